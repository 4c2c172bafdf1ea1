"""Revaluation of contracts in every scenario (the risk cube), and profits of accounts from it."""

from margin_actors.engine.revaluation.aggregation import select_tails, slice_profits
from margin_actors.engine.revaluation.contracts import (
    Contracts,
    contracts_from_names,
    instrument_faults,
    listed_names,
    lot_of,
)
from margin_actors.engine.revaluation.cube import (
    RiskCube,
    anchor_factors,
    build_cube,
    total_deviations,
    unit_values,
    values_today,
)
from margin_actors.engine.revaluation.curves import Curve, discount_factor
from margin_actors.engine.revaluation.holdings import (
    Holdings,
    broken_lot,
    holdings_from_book,
    whole_lots,
)
from margin_actors.engine.revaluation.profits import (
    AccountProfits,
    SliceProfits,
    Tail,
    TailRows,
    is_too_large,
    join_profits,
    join_slices,
    of_accounts,
)
from margin_actors.engine.revaluation.shock_check import (
    ShockCheck,
    repair_shocked_surfaces,
    violations_by_expiry,
)

__all__ = [
    "AccountProfits",
    "Contracts",
    "Curve",
    "Holdings",
    "RiskCube",
    "ShockCheck",
    "SliceProfits",
    "Tail",
    "TailRows",
    "anchor_factors",
    "broken_lot",
    "build_cube",
    "contracts_from_names",
    "discount_factor",
    "holdings_from_book",
    "instrument_faults",
    "is_too_large",
    "join_profits",
    "join_slices",
    "listed_names",
    "lot_of",
    "of_accounts",
    "repair_shocked_surfaces",
    "select_tails",
    "slice_profits",
    "total_deviations",
    "unit_values",
    "values_today",
    "violations_by_expiry",
    "whole_lots",
]
