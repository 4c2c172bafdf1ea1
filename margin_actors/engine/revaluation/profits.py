"""Profits of accounts over slices of the scenarios, and the joining of slices.

The k worst scenarios of all are among the k worst of their slices, so that a slice only has to
return those. Concatenated in the order of the slices and sorted, with the lower scenario first
among equal profits, they are exactly the numbers that one pass over all scenarios would select.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray
from margin_actors.engine.revaluation.holdings import Holdings
from margin_actors.errors import InvalidPortfolio, Location, Problem

EXACT_MAX = 2.0**53
"""Integers below it are exact as doubles; if gross profits are below it, so is any partial sum."""
INTEGER_MAX = 2.0**62
"""Sums of absolute values below it cannot overflow a 64-bit integer."""


@dataclass(frozen=True, slots=True, eq=False)
class TailRows:
    """Consecutive scenarios of which the least profits of each account are kept."""

    first: int
    """Number of the first scenario in the whole set."""
    count: int
    """Number of scenarios."""
    n_tail: int
    """Number of least profits to keep, at least 1; all if there are fewer scenarios."""
    share: FloatArray | None = None
    """float64 (count,): factors on the profits, which are kept as products; None: 1."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The least profits of each account over some scenarios."""

    profit: FloatArray
    """float64 (n_accounts, n_tail): in ascending order; a loss is negative."""
    scenario: IndexArray
    """int32 (n_accounts, n_tail): their scenarios, numbered in the whole set; among equal profits
    the lower number first."""

    def of(self, first: int, last: int) -> "Tail":
        """Return the tail of accounts [first, last)."""
        return Tail(self.profit[first:last], self.scenario[first:last])


@dataclass(frozen=True)
class SliceProfits:
    """Worst scenarios of each account in one slice, in ticks if the model rounds, else in USD."""

    first_scenario: int
    """Number of the slice's first scenario in the whole set."""
    n_scenarios: int
    tails: tuple[Tail, ...]
    """Least profits over each of the requested `TailRows`, as far as they are in the slice."""
    pnl: FloatArray | None
    """float64 (n_accounts, n_scenarios): profits in every scenario; None unless requested."""
    largest_move: FloatArray
    """float64 (n_contracts,): largest absolute entry of each contract in the slice's cube."""


def of_accounts(part: SliceProfits, first: int, last: int) -> SliceProfits:
    """Return the profits of accounts [first, last)."""
    return replace(
        part,
        tails=tuple(tail.of(first, last) for tail in part.tails),
        pnl=None if part.pnl is None else part.pnl[first:last],
    )


@dataclass(frozen=True)
class AccountProfits:
    """Worst scenarios of each account and, if requested, its profits in all scenarios."""

    tails: tuple[Tail, ...]
    """Least profits over each of the requested `TailRows`, US dollars; the core rows come first."""
    pnl_usd: FloatArray | None
    """float64 (n_accounts, n_scenarios), US dollars; None unless requested."""
    rounding_bound_usd: FloatArray
    """float64 (n_accounts,), US dollars: bound on the effect of rounding to ticks on any profit."""

    @property
    def tail_usd(self) -> FloatArray:
        """Least profits of the core rows, float64 (n_accounts, n_tail), US dollars, ascending."""
        return self.tails[0].profit

    @property
    def tail_scenario(self) -> IndexArray:
        """Scenarios of these profits, int32 (n_accounts, n_tail)."""
        return self.tails[0].scenario


def join_slices(parts: Sequence[SliceProfits], *, tails: Sequence[TailRows]) -> SliceProfits:
    """Return adjacent slices joined into one.

    The slices may be in any order, but there must be no gap between them. `tails` are those for
    which the slices were computed; if there is only one slice it is returned unchanged.
    """
    ordered = sorted(parts, key=lambda part: part.first_scenario)
    for before, after in pairwise(ordered):
        assert before.first_scenario + before.n_scenarios == after.first_scenario
    if len(ordered) == 1:
        return ordered[0]
    kept = [part.pnl for part in ordered if part.pnl is not None]
    assert len(kept) in (0, len(ordered))
    largest = ordered[0].largest_move
    for part in ordered[1:]:
        largest = np.maximum(largest, part.largest_move)
    return SliceProfits(
        first_scenario=ordered[0].first_scenario,
        n_scenarios=sum(part.n_scenarios for part in ordered),
        tails=tuple(
            _join_tails([part.tails[k] for part in ordered], wanted.n_tail)
            for k, wanted in enumerate(tails)
        ),
        pnl=np.concatenate(kept, axis=1) if kept else None,
        largest_move=largest,
    )


def _join_tails(parts: Sequence[Tail], n_tail: int) -> Tail:
    """Return the `n_tail` least profits of adjacent slices, given in the order of the slices."""
    profit = np.concatenate([part.profit for part in parts], axis=1)
    scenario = np.concatenate([part.scenario for part in parts], axis=1)
    keep = np.argsort(profit, axis=1, kind="stable")[:, :n_tail]
    return Tail(
        np.take_along_axis(profit, keep, axis=1), np.take_along_axis(scenario, keep, axis=1)
    )


def join_profits(
    parts: Sequence[SliceProfits],
    holdings: Holdings,
    *,
    tails: Sequence[TailRows],
    accounts: Sequence[str],
) -> AccountProfits:
    """Return the worst profits of every account over all slices, in US dollars.

    Parameters
    ----------
    parts : sequence of SliceProfits
        All slices, in any order.
    holdings : Holdings
        The positions from which the slices were computed.
    tails : sequence of TailRows
        As for `slice_profits`.
    accounts : sequence of str
        Account ids, for messages.

    Raises
    ------
    InvalidPortfolio
        If the profits of accounts are too large to be summed exactly; names all of them, also in
        the error's `too_large`.
    """
    whole = join_slices(parts, tails=tails)
    if holdings.is_exact:
        _refuse_too_large(accounts, holdings.gross(whole.largest_move))
    quantum = holdings.quantum_usd
    return AccountProfits(
        tails=tuple(Tail(tail.profit * quantum, tail.scenario) for tail in whole.tails),
        pnl_usd=None if whole.pnl is None else whole.pnl * quantum,
        rounding_bound_usd=holdings.rounding_bound_usd,
    )


def is_too_large(gross_ticks: FloatArray) -> BoolArray:
    """Return which accounts' profits are too large to be summed exactly, bool (n_accounts,).

    `gross_ticks`, float64 (n_accounts,), is a bound on the absolute profits, in ticks; a NaN counts
    as too large.
    """
    return ~(gross_ticks < INTEGER_MAX)


def _refuse_too_large(accounts: Sequence[str], gross: FloatArray) -> None:
    at = np.flatnonzero(is_too_large(gross))
    if at.size == 0:
        return
    problems = [
        Problem(
            Location("book", accounts[int(a)]),
            f"the sum of absolute profits reaches {gross[a]:.3g} ticks",
            f"sums are exact below {INTEGER_MAX:.3g}; increase revaluation.pnl_quantum_usd",
        )
        for a in at
    ]
    error = InvalidPortfolio(
        "the book contains accounts whose profits are too large to be summed exactly", problems
    )
    error.too_large = tuple(accounts[int(a)] for a in at)
    raise error
