"""`margin schema`: the JSON Schemas of the documents that commands print."""

import json
import sys
from typing import Annotated

import typer

from margin_actors.errors import InvalidParameters, Problem
from margin_cluster.cli.console import print_plain
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.schemas import COMMANDS, Document
from margin_cluster.cli.schemas.page import reference_page


@reporting_errors
def schema_command(
    name: Annotated[
        str, typer.Argument(help="Name of a document, for example margin.run/1; or list.")
    ] = "list",
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference of all documents instead.")
    ] = False,
) -> None:
    """Print the JSON Schema of a document that a command prints with --json, or list them."""
    if as_markdown:
        sys.stdout.write(reference_page(COMMANDS))
        return
    if name == "list":
        for document, commands in COMMANDS.items():
            print_plain(f"{document.form():<26} {', '.join(commands)}")
        return
    schema = _find(name).json_schema()
    sys.stdout.write(json.dumps(schema, indent=1, ensure_ascii=False) + "\n")


def _find(name: str) -> type[Document]:
    """Return a document by its name; ``margin.`` and the version may be left out."""
    for document in COMMANDS:
        form = document.form()
        if name in (form, form.removeprefix("margin."), form.removeprefix("margin.").split("/")[0]):
            return document
    known = ", ".join(d.form() for d in COMMANDS)
    raise InvalidParameters(
        f"there is no document {name!r}", [Problem("NAME", repr(name), f"one of: {known}")]
    )
