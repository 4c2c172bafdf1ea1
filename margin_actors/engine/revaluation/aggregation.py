"""Aggregation of the cube to accounts: every account's profit in every scenario, and the worst.

Accounts are processed in blocks. For each block the tiles of the cube are processed in parts of
PART contracts, so that one part stays in the second-level cache while all accounts of the block are
summed over it. An account's sums are carried from part to part, and its positions are added in
their own order. The worst scenarios of an account are selected as soon as its block is done, so
that no accounts x scenarios matrix is kept unless it is requested.

Slices of the scenarios are aggregated independently. Their worst scenarios are joined afterwards;
the result equals that of one pass over all scenarios, bit for bit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation.cube import in_threads
from margin_actors.engine.revaluation.holdings import Holdings
from margin_actors.engine.revaluation.profits import EXACT_MAX, SliceProfits, Tail, TailRows
from margin_actors.numerics.jit import compiled
from margin_actors.numerics.tile_sum import weighted_row_sum

PART = 1024
"""Contracts of a tile that are processed together: 512 KB, half of a second-level cache of 1 MB,
which a whole tile of 2,000 contracts would fill. Measured for 64 accounts of 505 positions: 7.1 ms
in one part, 5.7 ms in two."""
PIECE_MIN = 64
"""Least number of accounts given to a thread."""
BLOCK = 512
"""Accounts per block; their profits take 10 MB at 2,560 scenarios. Measured for 10,000 accounts:
396 ms in blocks of 64, 218 ms in blocks of 512."""


@compiled
def _select_tail(
    pnl: FloatArray, first: int, stop: int, tail: FloatArray, rows: IndexArray
) -> None:
    """Write the least elements of pnl[first:stop], ascending, and their indices in `pnl`."""
    n_tail = tail.size
    count = 0
    limit = np.inf
    for s in range(first, stop):
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
def _select_tails(pnl: FloatArray, tail: FloatArray, rows: IndexArray) -> None:
    for a in range(pnl.shape[0]):
        _select_tail(pnl[a], 0, pnl.shape[1], tail[a], rows[a])


def select_tails(pnl: FloatArray, n_tail: int) -> tuple[FloatArray, IndexArray]:
    """Return the least profits of each account, ascending, and their scenarios.

    Among equal profits the earlier scenario comes first.

    Parameters
    ----------
    pnl : float64 (n_accounts, n_scenarios)
        Profits in any unit; a loss is negative.
    n_tail : int
        Number of profits to select, at least 1; limited to n_scenarios.

    Returns
    -------
    float64 and int32, each (n_accounts, n_tail)
    """
    n_tail = min(n_tail, pnl.shape[1])
    tail = np.empty((pnl.shape[0], n_tail))
    rows = np.zeros((pnl.shape[0], n_tail), np.int32)
    _select_tails(np.ascontiguousarray(pnl), tail, rows)
    return tail, rows


@compiled
def _cut(index: IndexArray, start: int, stop: int, cuts: IntArray) -> None:
    """Write the boundaries of an account's positions, ascending in contract, between parts."""
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
    tail_rows: IntArray,
    share: FloatArray,
    buffer: FloatArray,
    tail: FloatArray,
    tail_scenario: IndexArray,
    pnl: FloatArray,
) -> None:
    """Aggregate accounts [first, last); `pnl` has no rows if it is not requested.

    A row of `tail_rows` contains the first row, the last row plus one, the first and last plus one
    columns of `tail` and `tail_scenario` for the least profits over these rows, and 1 if the
    profits are multiplied by `share` before, else 0.
    """
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
            if pnl.shape[0] > 0:
                pnl[a, :] = buffer[a - block, : pnl.shape[1]]
            for k in range(tail_rows.shape[0]):
                if tail_rows[k, 4] == 1:
                    for s in range(tail_rows[k, 0], tail_rows[k, 1]):
                        buffer[a - block, s] *= share[s]
                columns = slice(tail_rows[k, 2], tail_rows[k, 3])
                _select_tail(
                    buffer[a - block],
                    tail_rows[k, 0],
                    tail_rows[k, 1],
                    tail[a, columns],
                    tail_scenario[a, columns],
                )


def _rows_in_slice(
    tails: Sequence[TailRows], first_scenario: int, n_scenarios: int
) -> tuple[IntArray, FloatArray]:
    """Return the arguments `tail_rows`, int64 (n_tails, 5), and `share` of `_aggregate`.

    The share is float64 (n_scenarios,); 1 for rows without one.
    """
    out, share = np.zeros((len(tails), 5), np.int64), np.ones(n_scenarios)
    column = 0
    for k, wanted in enumerate(tails):
        first = min(max(wanted.first - first_scenario, 0), n_scenarios)
        stop = min(max(wanted.first + wanted.count - first_scenario, first), n_scenarios)
        width = min(wanted.n_tail, stop - first)
        out[k] = first, stop, column, column + width, wanted.share is not None
        if wanted.share is not None:
            begin = first_scenario - wanted.first
            share[first:stop] = wanted.share[begin + first : begin + stop]
        column += width
    return out, share


def slice_profits(
    values: FloatArray,
    holdings: Holdings,
    *,
    n_scenarios: int,
    tails: Sequence[TailRows],
    largest_move: FloatArray,
    first_scenario: int = 0,
    keep_pnl: bool = False,
    threads: int = 1,
) -> SliceProfits:
    """Return the worst profits of every account over a slice of the scenarios.

    Parameters
    ----------
    values : float64 array of shape (n_tiles, n_contracts, TILE)
        The risk cube of the slice; see `RiskCube.values`.
    holdings : Holdings
        Positions in the contracts of the cube.
    n_scenarios : int
        Number of scenarios of the slice.
    tails : sequence of TailRows
        The scenarios, numbered in the whole set, of which the least profits are kept.
    largest_move : float64 array of shape (n_contracts,)
        Largest absolute entry of each contract in the slice, in the unit of `values`.
    first_scenario : int
        Number of the slice's first scenario in the whole set.
    keep_pnl : bool
        Whether to return the profit in every scenario as well.
    threads : int
        Number of threads; the result does not depend on it.
    """
    summed = partial(
        _summed_profits,
        values,
        n_scenarios=n_scenarios,
        tails=tails,
        largest_move=largest_move,
        first_scenario=first_scenario,
        keep_pnl=keep_pnl,
        threads=threads,
    )
    n_contracts, single = values.shape[1], _single_positions(holdings)
    # A product with a share is rounded, so that its multiples are not those of the sum.
    needs_sums = keep_pnl or any(rows.share is not None for rows in tails)
    if needs_sums or np.count_nonzero(single) <= 2 * n_contracts:
        return summed(holdings)
    return _with_single_positions(holdings, single, n_contracts, summed)


def _summed_profits(
    values: FloatArray,
    holdings: Holdings,
    *,
    n_scenarios: int,
    tails: Sequence[TailRows],
    largest_move: FloatArray,
    first_scenario: int,
    keep_pnl: bool,
    threads: int,
) -> SliceProfits:
    """Return the result of `slice_profits` by summing the positions of every account."""
    n_accounts = holdings.n_accounts
    tail_rows, share = _rows_in_slice(tails, first_scenario, n_scenarios)
    n_columns = int(tail_rows[-1, 3])
    needs_integers = np.zeros(n_accounts, np.bool_)
    if holdings.is_exact:
        needs_integers = holdings.gross(largest_move) >= EXACT_MAX
    inputs = values, holdings.start, holdings.index, holdings.lots, needs_integers
    tail = np.empty((n_accounts, n_columns))
    rows = np.zeros((n_accounts, n_columns), np.int32)
    pnl = np.empty((n_accounts if keep_pnl else 0, n_scenarios))
    buffer_shape = min(BLOCK, n_accounts), values.shape[0] * TILE
    pieces = max(1, min(threads * 4, n_accounts // PIECE_MIN))
    bounds = [n_accounts * piece // pieces for piece in range(pieces + 1)]

    def work(piece: int) -> None:
        first, last = bounds[piece], bounds[piece + 1]
        buffer = np.empty(buffer_shape)
        _aggregate(*inputs, first, last, tail_rows, share, buffer, tail, rows, pnl)

    in_threads(work, range(pieces), threads)
    rows += np.int32(first_scenario)
    found = tuple(Tail(tail[:, a:b], rows[:, a:b]) for a, b in tail_rows[:, 2:4].tolist())
    return SliceProfits(first_scenario, n_scenarios, found, pnl if keep_pnl else None, largest_move)


def _single_positions(holdings: Holdings) -> BoolArray:
    """Return which accounts hold one position, of at least one lot, bool (n_accounts,)."""
    single = np.diff(holdings.start) == 1
    single[single] = holdings.lots[holdings.start[:-1][single]] != 0.0
    return single


def _with_single_positions(
    holdings: Holdings,
    is_single: BoolArray,
    n_contracts: int,
    summed: Callable[[Holdings], SliceProfits],
) -> SliceProfits:
    """Return the result of `summed` for holdings with many accounts of one position.

    The least profits of q lots are |q| times those of one lot, long or short: a sum of one term is
    rounded like the product, and the order of the scenarios is the same.
    """
    units = replace(
        holdings,
        start=np.arange(2 * n_contracts + 1, dtype=np.int64),
        index=np.tile(np.arange(n_contracts, dtype=np.int32), 2),
        lots=np.repeat([1.0, -1.0], n_contracts),
    )
    counts = np.diff(holdings.start)
    several = np.repeat(~is_single, counts)
    rest = replace(
        holdings,
        start=np.append(0, np.cumsum(counts[~is_single])).astype(np.int64),
        index=holdings.index[several],
        lots=holdings.lots[several],
    )
    of_rest, of_units = summed(rest), summed(units)
    index, lots = holdings.index[~several], holdings.lots[~several]
    unit = np.where(lots < 0.0, n_contracts, 0) + index
    found: list[Tail] = []
    for other, one in zip(of_rest.tails, of_units.tails, strict=True):
        profit = np.empty((holdings.n_accounts, one.profit.shape[1]))
        scenario = np.empty(profit.shape, np.int32)
        profit[~is_single], scenario[~is_single] = other.profit, other.scenario
        profit[is_single] = np.abs(lots)[:, None] * one.profit[unit]
        scenario[is_single] = one.scenario[unit]
        found.append(Tail(profit, scenario))
    return replace(of_rest, tails=tuple(found))
