"""Contracts repriced in every scenario (the risk cube) and accounts summed over it."""

from margin_actors.engine.revaluation.aggregation import AccountProfits, aggregate_book
from margin_actors.engine.revaluation.contracts import Contracts, Curve, contracts_from_names
from margin_actors.engine.revaluation.cube import RiskCube, build_cube
from margin_actors.engine.revaluation.shock_check import ShockCheck, repair_shocked_surfaces

__all__ = [
    "AccountProfits",
    "Contracts",
    "Curve",
    "RiskCube",
    "ShockCheck",
    "aggregate_book",
    "build_cube",
    "contracts_from_names",
    "repair_shocked_surfaces",
]
