"""Scenario engines; each builds a `ScenarioSet`, whose rows are joint moves of all underlyings."""

from margin_actors.engine.scenarios.build import build_scenarios, uses_recorded_depth
from margin_actors.engine.scenarios.engines.historical import build_historical
from margin_actors.engine.scenarios.engines.monte_carlo import (
    MonteCarloModel,
    build_monte_carlo,
    fit_monte_carlo,
)
from margin_actors.engine.scenarios.history.depth_history import (
    DepthHistory,
    calibrate_depth,
    depth_history,
)
from margin_actors.engine.scenarios.history.perpetual_basis import (
    PerpetualBasisHistory,
    basis_from_candles,
)
from margin_actors.engine.scenarios.history.surface_history import SurfaceHistory
from margin_actors.engine.scenarios.sets.calibration import CalibratedDepth, Calibration
from margin_actors.engine.scenarios.sets.perpetual_basis import (
    BasisProvenance,
    PerpetualBasisMoves,
)
from margin_actors.engine.scenarios.sets.scenario_set import (
    AT_MONEY,
    CORE,
    EXTENDED,
    LONG,
    MONEYNESS,
    MONTH,
    STRESS,
    STRESS_PERIOD,
    TENORS_DAYS,
    Provenance,
    ScenarioSet,
    Section,
    join_sections,
)
from margin_actors.engine.scenarios.sets.set_table import (
    scenario_set_from_table,
    scenario_set_to_table,
)
from margin_actors.engine.scenarios.surface_moves import VolatilityIndex

__all__ = [
    "AT_MONEY",
    "CORE",
    "EXTENDED",
    "LONG",
    "MONEYNESS",
    "MONTH",
    "STRESS",
    "STRESS_PERIOD",
    "TENORS_DAYS",
    "CalibratedDepth",
    "BasisProvenance",
    "Calibration",
    "DepthHistory",
    "MonteCarloModel",
    "PerpetualBasisHistory",
    "PerpetualBasisMoves",
    "Provenance",
    "ScenarioSet",
    "Section",
    "SurfaceHistory",
    "VolatilityIndex",
    "basis_from_candles",
    "build_historical",
    "build_monte_carlo",
    "build_scenarios",
    "calibrate_depth",
    "depth_history",
    "fit_monte_carlo",
    "join_sections",
    "scenario_set_from_table",
    "scenario_set_to_table",
    "uses_recorded_depth",
]
