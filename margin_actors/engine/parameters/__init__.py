"""Every choice that changes a number, validated, and the presets that name common ones."""

from margin_actors.engine.parameters.model import (
    HistoryParameters,
    MeasureParameters,
    ModelParameters,
    QualityParameters,
    RevaluationParameters,
    ScenarioParameters,
)
from margin_actors.engine.parameters.presets import (
    PRESETS,
    parameters_from_mapping,
    preset,
)

__all__ = [
    "PRESETS",
    "HistoryParameters",
    "MeasureParameters",
    "ModelParameters",
    "QualityParameters",
    "RevaluationParameters",
    "ScenarioParameters",
    "parameters_from_mapping",
    "preset",
]
