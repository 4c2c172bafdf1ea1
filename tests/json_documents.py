"""Validation of the JSON documents that commands print, shared by the tests of all commands."""

import json
from typing import Any

import jsonschema
from margin_cluster.cli.schemas import COMMANDS

SCHEMAS = {document.form(): document.json_schema() for document in COMMANDS}


def validated(text: str) -> dict[str, Any]:
    """Return the document that a command printed; it must fit the schema that it names."""
    found = json.loads(text)
    jsonschema.Draft202012Validator(SCHEMAS[found["schema"]]).validate(found)
    return found
