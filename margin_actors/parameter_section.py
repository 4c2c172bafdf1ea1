"""The base class of all sections of model parameters."""

from pydantic import BaseModel, ConfigDict


class ParameterSection(BaseModel):
    """One section of the parameters: immutable, without unknown fields and non-finite numbers."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
