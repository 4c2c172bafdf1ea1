"""Which rows of a scenario set were repaired, and which expiries admitted arbitrage before."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, IndexArray
from margin_actors.engine.revaluation import violations_by_expiry
from margin_actors.engine.scenarios import AT_MONEY, ScenarioSet
from margin_actors.market.surfaces import VolatilitySurface

REPAIRS: tuple[str, ...] = ("none", "half", "level", "left")
"""Outcomes of the check of one row for one underlying. ``none``: the row admits no arbitrage, or is
not checked; ``half``, ``level``: the deviations of its volatility moves from the move at the money
were halved, or set to zero; ``left``: neither removes the arbitrage, and the row is unchanged."""


@dataclass(frozen=True)
class RowRepairs:
    """The outcome of the check by row and underlying, and the violations by expiry."""

    outcome: IndexArray
    """int32 (n_scenarios, n_underlyings): index in `REPAIRS`."""
    butterfly: Mapping[str, BoolArray]
    """bool (n_scenarios, n_expiries) by underlying: the smile of the expiry admits butterfly
    arbitrage before the repair; expiries in the order of the surface."""
    calendar: Mapping[str, BoolArray]
    """bool (n_scenarios, n_expiries) by underlying: total variance falls from the previous expiry
    to this one before the repair."""


def row_repairs(
    built: ScenarioSet, applied: ScenarioSet, surfaces: Mapping[str, VolatilitySurface]
) -> RowRepairs:
    """Return which rows the check of shocked surfaces repaired.

    Parameters
    ----------
    built : ScenarioSet
        As built.
    applied : ScenarioSet
        The same rows as applied; see `applied_scenarios`.
    surfaces : mapping of VolatilitySurface by underlying
        The smiles for which the rows were repaired; empty if nothing was checked.
    """
    outcome = np.zeros((len(built), len(built.underlyings)), np.int32)
    butterfly: dict[str, BoolArray] = {}
    calendar: dict[str, BoolArray] = {}
    for u, name in enumerate(built.underlyings):
        if name not in surfaces or not built.has_surface_moves:
            continue
        before, after = built.vol_change[:, u], applied.vol_change[:, u]
        found = violations_by_expiry(surfaces[name], before, built.tenors_days)
        butterfly[name], calendar[name] = found
        broken = found[0].any(axis=1) | found[1].any(axis=1)
        level = before[:, :, AT_MONEY : AT_MONEY + 1]
        is_half = (after == level + 0.5 * (before - level)).all(axis=(1, 2))
        is_left = (after == before).all(axis=(1, 2))
        kind = np.where(is_left, REPAIRS.index("left"), REPAIRS.index("level"))
        kind = np.where(is_half & ~is_left, REPAIRS.index("half"), kind)
        outcome[:, u] = np.where(broken, kind, REPAIRS.index("none"))
    return RowRepairs(outcome, butterfly, calendar)
