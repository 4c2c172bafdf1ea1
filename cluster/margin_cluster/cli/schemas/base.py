"""Base classes of the JSON documents that commands print."""

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import JsonSchemaValue

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Record(BaseModel):
    """An object within a document. A float that is NaN or infinite becomes null."""

    model_config = ConfigDict(
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        ser_json_inf_nan="null",
        json_schema_serialization_defaults_required=True,
    )


class Document(Record):
    """The one JSON document that a command prints; its first field names its form."""

    @classmethod
    def form(cls) -> str:
        """Return the name and version of the form, for example ``margin.run/1``."""
        return str(cls.model_fields["form_id"].default)

    @classmethod
    def json_schema(cls) -> JsonSchemaValue:
        """Return the JSON Schema of the document, as a mapping that can be printed as JSON."""
        schema = cls.model_json_schema(mode="serialization", by_alias=True)
        return {"$schema": _DIALECT, **schema}
