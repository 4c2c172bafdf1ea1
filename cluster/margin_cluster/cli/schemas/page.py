"""The reference of all JSON documents as a Markdown page, generated from their JSON Schemas."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias, cast

from margin_cluster.cli.schemas.base import Document

Schema: TypeAlias = Mapping[str, object]
_DEFINITIONS = "#/$defs/"
_MODEL = "ModelParameters"
"""Record that `margin model show` describes, with all the records inside it."""


def reference_page(commands: Mapping[type[Document], tuple[str, ...]]) -> str:
    """Return the reference of the documents, which are given with the commands that print them."""
    sections = ["\n".join(_document(d, names)) for d, names in commands.items()]
    return "\n".join(sections)


def _document(document: type[Document], commands: tuple[str, ...]) -> Iterator[str]:
    schema = document.json_schema()
    printed = ", ".join(c if c.startswith("every") else f"`margin {c}`" for c in commands)
    yield f"### {document.form()}\n"
    yield f"Printed by {printed}. {_text(schema)}\n"
    yield from _table(schema)
    records = _mapping(schema, "$defs")
    for name, record in records.items() if _MODEL not in records else ():
        yield f"`{name}`: {_text(cast('Schema', record))}\n"
        yield from _table(cast("Schema", record))


def _table(schema: Schema) -> Iterator[str]:
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for name, field in _mapping(schema, "properties").items():
        item = cast("Schema", field)
        yield f"| `{name}` | {_type(item)} | {_text(item)} |"
    yield ""


def _mapping(schema: Schema, key: str) -> Schema:
    return cast("Schema", schema.get(key, {}))


def _text(schema: Schema) -> str:
    """Return the description on one line, with Markdown's form of code."""
    text = " ".join(str(schema.get("description", "")).split())
    return text.replace("``", "`").replace("|", "\\|")


def _type(schema: Schema) -> str:
    """Return the type of a value in words."""
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix(_DEFINITIONS)
        return "the fields that `margin model show` prints" if name == _MODEL else f"`{name}`"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{v}`" for v in cast("list[object]", schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_type(s) for s in cast("list[Schema]", schema["anyOf"]))
    kind = str(schema.get("type"))
    if kind == "array":
        return f"array of {_type(_mapping(schema, 'items'))}"
    if kind == "object" and "additionalProperties" in schema:
        return f"object of {_type(_mapping(schema, 'additionalProperties'))}"
    return kind
