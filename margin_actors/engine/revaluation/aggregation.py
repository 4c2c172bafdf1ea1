"""Accounts against the cube: the profit of every account in every scenario, and its worst ones.

Accounts are taken in blocks; within a block one part of a tile of the cube after the other, so that
the part stays in the second-level cache while the block's accounts pass over it; an account's sums
are carried from part to part, and positions are added in their own order. The worst scenarios of an
account are selected at once, so no accounts x scenarios matrix is kept unless it is asked for.
"""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation.cube import RiskCube, in_threads
from margin_actors.errors import InvalidPortfolio, Problem, raise_if_any
from margin_actors.market.portfolios import Book
from margin_actors.numerics.jit import compiled
from margin_actors.numerics.tile_sum import weighted_row_sum

PART = 1024
"""Contracts whose rows of a tile are passed over together: 512 KB, half of a second-level cache of
1 MB, where a whole tile of 2,000 contracts would fill it. Measured: 7.1 ms in one part, 5.7 ms in
two, for 64 accounts of 505 positions."""
BLOCK = 512
"""Accounts that pass over one part together: their profits take 10 MB at 2,560 scenarios. Measured
for 10,000 accounts: 396 ms in blocks of 64, 218 ms in blocks of 512."""
EXACT_MAX = 2.0**53
"""Whole numbers below it are doubles, and so is every partial sum."""
INTEGER_MAX = 2.0**62
"""Sums below it fit a 64-bit integer with room to spare."""


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


@compiled
def _select_tail(pnl: FloatArray, n_scenarios: int, tail: FloatArray, rows: IndexArray) -> None:
    """Write the least elements of pnl[:n_scenarios], ascending, and where they stand."""
    n_tail = tail.size
    count = 0
    limit = np.inf
    for s in range(n_scenarios):
        x = pnl[s]
        if count == n_tail and x >= limit:
            continue
        at = min(count, n_tail - 1)
        while at > 0 and tail[at - 1] > x:
            tail[at] = tail[at - 1]
            rows[at] = rows[at - 1]
            at -= 1
        tail[at] = x
        rows[at] = s
        count = min(count + 1, n_tail)
        limit = tail[n_tail - 1] if count == n_tail else np.inf


@compiled
def _cut(index: IndexArray, start: int, stop: int, cuts: IntArray) -> None:
    """Write where an account's positions, ascending in contract, pass into the next part."""
    position = start
    for part in range(cuts.size - 1):
        cuts[part] = position
        while position < stop and index[position] < (part + 1) * PART:
            position += 1
    cuts[cuts.size - 1] = stop


@compiled
def _integer_sum(
    rows: FloatArray,
    index: IndexArray,
    lots: FloatArray,
    start: int,
    stop: int,
    integers: IntArray,
    out: FloatArray,
) -> None:
    integers[:] = 0
    for p in range(start, stop):
        q = np.int64(lots[p])
        for j in range(TILE):
            integers[j] += q * np.int64(rows[index[p], j])
    for j in range(TILE):
        out[j] = np.float64(integers[j])


@compiled
def _aggregate(
    cube: FloatArray,
    start: IntArray,
    index: IndexArray,
    lots: FloatArray,
    needs_integers: BoolArray,
    first: int,
    last: int,
    n_scenarios: int,
    buffer: FloatArray,
    tail: FloatArray,
    tail_rows: IndexArray,
    pnl: FloatArray,
) -> None:
    """Aggregate accounts [first, last); `pnl` has no rows where it is not wanted."""
    n_tiles, n_contracts = cube.shape[0], cube.shape[1]
    n_parts = -(-n_contracts // PART)
    integers = np.empty(TILE, np.int64)
    cuts = np.empty((BLOCK, n_parts + 1), np.int64)
    for block in range(first, last, BLOCK):
        stop = min(block + BLOCK, last)
        for a in range(block, stop):
            _cut(index, start[a], start[a + 1], cuts[a - block])
        buffer[: stop - block] = 0.0
        for t in range(n_tiles):
            rows = cube[t]
            for part in range(n_parts):
                for a in range(block, stop):
                    begin, end = cuts[a - block, part], cuts[a - block, part + 1]
                    target = buffer[a - block, t * TILE : (t + 1) * TILE]
                    if not needs_integers[a]:
                        weighted_row_sum(rows, index, lots, begin, end, target)
                    elif part == 0:
                        _integer_sum(rows, index, lots, start[a], start[a + 1], integers, target)
        for a in range(block, stop):
            _select_tail(buffer[a - block], n_scenarios, tail[a], tail_rows[a])
            if pnl.shape[0] > 0:
                pnl[a, :] = buffer[a - block, :n_scenarios]


def aggregate_book(
    cube: RiskCube,
    book: Book,
    *,
    n_tail: int,
    keep_pnl: bool = False,
    threads: int = 1,
    where: str = "book",
) -> AccountProfits:
    """Return the worst profits of every account.

    Parameters
    ----------
    cube : RiskCube
        Of exactly the book's instruments, in their order.
    book : Book
    n_tail : int
        How many of the worst scenarios to keep, at least 1.
    keep_pnl : bool
        Also return the profit in every scenario.
    threads : int
        The result does not depend on it.

    Raises
    ------
    InvalidPortfolio
        Naming every position that is no whole number of lots, and every account so large that its
        profits cannot be summed exactly.
    """
    assert cube.contracts.names == book.instruments
    n_accounts, n = len(book.accounts), cube.n_scenarios
    n_tail = min(n_tail, n)
    lots, quantum = _in_lots(cube, book, where)
    gross = np.add.reduceat(
        np.append(np.abs(lots) * cube.largest_move[book.instrument_index], 0.0),
        np.minimum(book.start[:-1], lots.size),
    ) * (np.diff(book.start) > 0)
    needs_integers = np.zeros(n_accounts, np.bool_)
    bound = np.zeros(n_accounts)
    if cube.contracts.quantum_usd is not None:
        needs_integers = gross >= EXACT_MAX
        _refuse_too_large(book, gross, where)
        held = np.append(np.abs(lots), 0.0)
        sums = np.add.reduceat(held, np.minimum(book.start[:-1], lots.size))
        bound = 0.5 * quantum * sums * (np.diff(book.start) > 0)
    tail = np.empty((n_accounts, n_tail))
    rows = np.zeros((n_accounts, n_tail), np.int32)
    pnl = np.empty((n_accounts if keep_pnl else 0, n))
    padded = cube.values.shape[0] * TILE
    pieces = max(1, min(threads * 4, n_accounts // BLOCK))
    bounds = np.linspace(0, n_accounts, pieces + 1).astype(np.int64)

    def work(piece: int) -> None:
        _aggregate(
            cube.values,
            book.start,
            book.instrument_index,
            lots,
            needs_integers,
            int(bounds[piece]),
            int(bounds[piece + 1]),
            n,
            np.empty((min(BLOCK, n_accounts), padded)),
            tail,
            rows,
            pnl,
        )

    in_threads(work, range(pieces), threads)
    if quantum != 1.0:
        tail *= quantum
        pnl *= quantum
    return AccountProfits(tail, rows, pnl if keep_pnl else None, bound)


def _in_lots(cube: RiskCube, book: Book, where: str) -> tuple[FloatArray, float]:
    """Return (quantities in lots, US dollars of one tick of one lot)."""
    contracts = cube.contracts
    if contracts.quantum_usd is None:
        return book.quantity, 1.0
    lots = book.quantity / contracts.lot[book.instrument_index]
    whole = np.round(lots)
    bad = np.flatnonzero(np.abs(lots - whole) > 1e-6 * np.maximum(1.0, np.abs(whole)) ** 0.5)
    account = np.searchsorted(book.start, bad, side="right") - 1
    problems = [
        Problem(
            f"{where}, account {book.accounts[a]}",
            f"{book.quantity[p]:g} of {book.instruments[book.instrument_index[p]]} is no whole "
            f"number of lots of {contracts.lot[book.instrument_index[p]]:g}",
            "correct the quantity, or set revaluation.lot_coins / lot_usd to its unit",
        )
        for p, a in zip(bad, account, strict=True)
    ]
    raise_if_any(problems, InvalidPortfolio, f"{where} holds broken lots")
    return whole, contracts.quantum_usd


def _refuse_too_large(book: Book, gross: FloatArray, where: str) -> None:
    problems = [
        Problem(
            f"{where}, account {book.accounts[a]}",
            f"gross profits reach {gross[a]:.3g} ticks",
            f"sums are exact up to {INTEGER_MAX:.3g}; raise revaluation.pnl_quantum_usd",
        )
        for a in np.flatnonzero(~(gross < INTEGER_MAX))
    ]
    raise_if_any(problems, InvalidPortfolio, f"{where} holds accounts too large to sum exactly")
