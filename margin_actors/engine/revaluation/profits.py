"""Profits of accounts over slices of the scenarios, and how slices become a whole.

The k worst scenarios of all are among the k worst of every slice, so a slice need only hand over
those. Joined in the order of the slices and sorted, with the lower scenario first where profits
tie, they are the very numbers that one pass over all scenarios selects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray
from margin_actors.engine.revaluation.holdings import Holdings
from margin_actors.errors import InvalidPortfolio, Problem

EXACT_MAX = 2.0**53
"""Whole numbers below it are doubles, and so is every partial sum."""
INTEGER_MAX = 2.0**62
"""Sums below it fit a 64-bit integer with room to spare."""


@dataclass(frozen=True)
class SliceProfits:
    """Worst scenarios of each account within one slice, in ticks where the model rounds."""

    first_scenario: int
    """Number of the slice's first scenario in its set."""
    n_scenarios: int
    tail: FloatArray
    """float64 (n_accounts, n_tail): the least profits, ascending."""
    tail_scenario: IndexArray
    """int32 (n_accounts, n_tail): their numbers in the whole set."""
    pnl: FloatArray | None
    """float64 (n_accounts, n_scenarios); None unless asked for."""
    largest_move: FloatArray
    """float64 (n_contracts,): largest absolute entry of each contract in the slice."""


def of_accounts(part: SliceProfits, first: int, last: int) -> SliceProfits:
    """Return the profits of accounts [first, last)."""
    return replace(
        part,
        tail=part.tail[first:last],
        tail_scenario=part.tail_scenario[first:last],
        pnl=None if part.pnl is None else part.pnl[first:last],
    )


@dataclass(frozen=True)
class AccountProfits:
    """Worst scenarios of each account, and if asked for all of them."""

    tail_usd: FloatArray
    """float64 (n_accounts, n_tail): the n_tail least profits, ascending, US dollars."""
    tail_scenario: IndexArray
    """int32 (n_accounts, n_tail): their scenarios; the lower number first where profits tie."""
    pnl_usd: FloatArray | None
    """float64 (n_accounts, n_scenarios), US dollars; None unless asked for."""
    rounding_bound_usd: FloatArray
    """float64 (n_accounts,): most that rounding to ticks can have moved any profit."""


def join_slices(parts: Sequence[SliceProfits], *, n_tail: int) -> SliceProfits:
    """Return neighbouring slices as one; they may come in any order, and none may be missing."""
    ordered = sorted(parts, key=lambda part: part.first_scenario)
    for before, after in pairwise(ordered):
        assert before.first_scenario + before.n_scenarios == after.first_scenario
    if len(ordered) == 1:
        return ordered[0]
    tail = np.concatenate([part.tail for part in ordered], axis=1)
    rows = np.concatenate([part.tail_scenario for part in ordered], axis=1)
    keep = np.argsort(tail, axis=1, kind="stable")[:, :n_tail]
    kept = [part.pnl for part in ordered if part.pnl is not None]
    assert len(kept) in (0, len(ordered))
    largest = ordered[0].largest_move
    for part in ordered[1:]:
        largest = np.maximum(largest, part.largest_move)
    return SliceProfits(
        first_scenario=ordered[0].first_scenario,
        n_scenarios=sum(part.n_scenarios for part in ordered),
        tail=np.take_along_axis(tail, keep, axis=1),
        tail_scenario=np.take_along_axis(rows, keep, axis=1),
        pnl=np.concatenate(kept, axis=1) if kept else None,
        largest_move=largest,
    )


def join_profits(
    parts: Sequence[SliceProfits],
    holdings: Holdings,
    *,
    n_tail: int,
    accounts: Sequence[str],
    where: str = "book",
) -> AccountProfits:
    """Return the worst profits of every account over all slices, in US dollars.

    Raises
    ------
    InvalidPortfolio
        Naming every account so large that its profits cannot be summed exactly.
    """
    whole = join_slices(parts, n_tail=n_tail)
    bound = np.zeros(holdings.n_accounts)
    if holdings.is_exact:
        _refuse_too_large(accounts, holdings.gross(whole.largest_move), where)
        bound = 0.5 * holdings.quantum_usd * holdings.sums(np.abs(holdings.lots))
    quantum = holdings.quantum_usd
    return AccountProfits(
        tail_usd=whole.tail * quantum,
        tail_scenario=whole.tail_scenario,
        pnl_usd=None if whole.pnl is None else whole.pnl * quantum,
        rounding_bound_usd=bound,
    )


def is_too_large(gross_ticks: FloatArray) -> BoolArray:
    """Return which accounts' profits cannot be summed exactly, from bounds on them in ticks."""
    return ~(gross_ticks < INTEGER_MAX)


def _refuse_too_large(accounts: Sequence[str], gross: FloatArray, where: str) -> None:
    at = np.flatnonzero(is_too_large(gross))
    if at.size == 0:
        return
    problems = [
        Problem(
            f"{where}, account {accounts[int(a)]}",
            f"gross profits reach {gross[a]:.3g} ticks",
            f"sums are exact up to {INTEGER_MAX:.3g}; raise revaluation.pnl_quantum_usd",
        )
        for a in at
    ]
    error = InvalidPortfolio(f"{where} holds accounts too large to sum exactly", problems)
    error.too_large = tuple(accounts[int(a)] for a in at)
    raise error
