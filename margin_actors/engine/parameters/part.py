"""The base class of all parameter sections."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """One section of the parameters: immutable, without unknown fields and non-finite numbers."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
