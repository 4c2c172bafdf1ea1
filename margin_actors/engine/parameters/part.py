"""What every section of the parameters has in common."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A section: unknown fields are refused, numbers are finite, nothing changes afterwards."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
