"""Validated parameters of the margin model, and presets of common models."""

from margin_actors.engine.parameters.components import NamedComponent
from margin_actors.engine.parameters.depth import (
    CloseOutParameters,
    DepthParameters,
    HedgeParameters,
    LossBoundParameters,
    MemberParameters,
)
from margin_actors.engine.parameters.model import (
    HistoryParameters,
    MeasureParameters,
    ModelParameters,
    RevaluationParameters,
)
from margin_actors.engine.parameters.perpetual_basis import PerpetualBasisParameters
from margin_actors.engine.parameters.presets import (
    EARLIER,
    PRESETS,
    parameters_from_mapping,
    preset,
)
from margin_actors.engine.parameters.rates import RateParameters
from margin_actors.engine.parameters.requirement import (
    AddOnParameters,
    BufferParameters,
    CollateralParameters,
    SpanParameters,
    StressPeriodParameters,
    VenueGridParameters,
)
from margin_actors.engine.parameters.scenarios import (
    FilterParameters,
    HypotheticalMove,
    MonteCarloParameters,
    ScenarioParameters,
    StressEvent,
    StressParameters,
)
from margin_actors.engine.parameters.tails import (
    EVERY,
    ExtendedMoveParameters,
    ExtendedRow,
    MoveGrid,
    ShortOptionMinimumParameters,
    TailParameters,
)
from margin_actors.engine.parameters.versions import (
    Change,
    changes_between,
    require_same_version,
)

__all__ = [
    "EARLIER",
    "EVERY",
    "PRESETS",
    "AddOnParameters",
    "BufferParameters",
    "Change",
    "CloseOutParameters",
    "CollateralParameters",
    "ExtendedMoveParameters",
    "ExtendedRow",
    "DepthParameters",
    "FilterParameters",
    "HedgeParameters",
    "HistoryParameters",
    "HypotheticalMove",
    "LossBoundParameters",
    "MeasureParameters",
    "MemberParameters",
    "ModelParameters",
    "MonteCarloParameters",
    "MoveGrid",
    "NamedComponent",
    "PerpetualBasisParameters",
    "RateParameters",
    "RevaluationParameters",
    "ScenarioParameters",
    "ShortOptionMinimumParameters",
    "SpanParameters",
    "StressEvent",
    "StressParameters",
    "StressPeriodParameters",
    "TailParameters",
    "VenueGridParameters",
    "changes_between",
    "parameters_from_mapping",
    "preset",
    "require_same_version",
]
