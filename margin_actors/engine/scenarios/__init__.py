"""Scenario engines: every one fills the same kind of set, a row a joint move of all underlyings."""

from margin_actors.engine.scenarios.historical import VolatilityIndex, build_historical
from margin_actors.engine.scenarios.scenario_set import (
    MONEYNESS,
    TENORS_DAYS,
    Provenance,
    ScenarioSet,
)
from margin_actors.engine.scenarios.surface_history import SurfaceHistory
from margin_actors.engine.scenarios.table import scenario_set_from_table, scenario_set_to_table

__all__ = [
    "MONEYNESS",
    "TENORS_DAYS",
    "Provenance",
    "ScenarioSet",
    "SurfaceHistory",
    "VolatilityIndex",
    "build_historical",
    "scenario_set_from_table",
    "scenario_set_to_table",
]
