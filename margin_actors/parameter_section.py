"""The base class of all sections of model parameters."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class ParameterSection(BaseModel):
    """One section of the parameters: immutable, without unknown fields and non-finite numbers."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    later_fields: ClassVar[frozenset[str]] = frozenset()
    """Names of fields that were added after models with this section had been published. Their
    defaults must leave every result unchanged. A field with its default is not serialised, so that
    models published before keep their ids and stored form."""

    @model_serializer(mode="wrap")
    def _without_unused_later_fields(
        self, serialize: SerializerFunctionWrapHandler
    ) -> dict[str, object]:
        content: dict[str, object] = serialize(self)
        for name in self.later_fields:
            field = type(self).model_fields[name]
            if getattr(self, name) == field.get_default(call_default_factory=True):
                content.pop(name, None)
        return content
