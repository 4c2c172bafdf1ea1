"""Documents of `margin model` and `margin scenarios`."""

from typing import Literal

from pydantic import Field

from margin_actors.engine.parameters import ModelParameters
from margin_cluster.cli.schemas.base import Document, Record


class ListedModel(Record):
    """A preset."""

    name: str
    version: str
    id: str
    """Content id of the parameters."""
    description: str
    is_default: bool


class ModelListDocument(Document):
    """The presets."""

    form_id: Literal["margin.model-list/1"] = Field(
        default="margin.model-list/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    models: list[ListedModel]


class ModelDocument(Document):
    """All parameters of a model."""

    form_id: Literal["margin.model/1"] = Field(
        default="margin.model/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    id: str
    """Content id of the parameters."""
    parameters: ModelParameters


class ParameterChange(Record):
    """A parameter that differs between two models."""

    field: str
    """Name with its sections, for example ``measure.confidence``."""
    before: str
    after: str


class ModelDiffDocument(Document):
    """The parameters that differ between two models."""

    form_id: Literal["margin.model-diff/1"] = Field(
        default="margin.model-diff/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    before: str
    """The earlier model, as given."""
    after: str
    """The later model, as given."""
    changes: list[ParameterChange]


class RecordedVersion(Record):
    """A version of a model that was used with the store or by the service."""

    name: str
    version: str
    id: str
    """Content id of the parameters."""
    first_used: str
    """ISO 8601, UTC."""
    registered_by: str
    """empty if the version is not registered in the ledger."""
    approved_by: str
    """Another person; empty if the version is not approved."""
    approve_time: str | None
    """ISO 8601, UTC; null if the version is not approved."""


class ModelVersionsDocument(Document):
    """The model versions that were used with the store."""

    form_id: Literal["margin.model-versions/1"] = Field(
        default="margin.model-versions/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    versions: list[RecordedVersion]


class ScenariosDocument(Document):
    """The contents of a scenario set."""

    form_id: Literal["margin.scenarios/1"] = Field(
        default="margin.scenarios/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    id: str
    engine: str
    count: int
    """Number of scenarios."""
    underlyings: list[str]
    horizon_hours: float
    sections: dict[str, int]
    """Number of scenarios of each section."""
    first: str | None
    """Earliest end of a window, ISO 8601, UTC; null if no scenario is a window."""
    last: str | None
    """Latest end of a window, ISO 8601, UTC; null if no scenario is a window."""
    volatility: dict[str, dict[str, int]]
    """By underlying, the number of scenarios with each origin of the volatility moves."""
    calibration: dict[str, float]
    """Calibrated values that requirements depend on, by name."""
    synthetic: bool
    notes: list[str]


class ScenariosListDocument(Document):
    """The scenario sets of the store."""

    form_id: Literal["margin.scenarios-list/1"] = Field(
        default="margin.scenarios-list/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    ids: list[str]
    """The newest last."""
