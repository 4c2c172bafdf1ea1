"""Least profits of several sections: from slices, from accounts of one position, and by sorting."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation import (
    Holdings,
    SliceProfits,
    TailRows,
    join_slices,
    slice_profits,
)

N_CONTRACTS, N_ROWS = 5, 3 * TILE - 7
SECTIONS = (TailRows(0, 80, 4), TailRows(80, 70, 90), TailRows(150, N_ROWS - 150, 1))


def cube_of(seed: int, size: int) -> np.ndarray:
    """Return whole ticks below `size`, with many equal ones, padded to whole tiles."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-size, size + 1, (N_CONTRACTS, 3 * TILE)).astype(np.float64)
    return np.ascontiguousarray(rows.reshape(N_CONTRACTS, 3, TILE).transpose(1, 0, 2))


def holdings_of(positions: Sequence[Sequence[tuple[int, int]]]) -> Holdings:
    flat = [item for account in positions for item in account]
    return Holdings(
        start=np.cumsum([0, *(len(account) for account in positions)]).astype(np.int64),
        index=np.array([contract for contract, _ in flat], np.int32),
        lots=np.array([float(lots) for _, lots in flat]),
        quantum_usd=1e-6,
        is_exact=True,
    )


def profits(
    cube: np.ndarray, holdings: Holdings, tiles: slice = slice(0, 3), *, keep_pnl: bool = False
) -> SliceProfits:
    first = tiles.start * TILE
    return slice_profits(
        cube[tiles],
        holdings,
        n_scenarios=min(N_ROWS, tiles.stop * TILE) - first,
        tails=SECTIONS,
        largest_move=np.abs(cube).max(axis=(0, 2)),
        first_scenario=first,
        keep_pnl=keep_pnl,
    )


def assert_same_tails(found: SliceProfits, expected: SliceProfits) -> None:
    assert len(found.tails) == len(expected.tails) == len(SECTIONS)
    for one, other in zip(found.tails, expected.tails, strict=True):
        assert one.profit.tobytes() == other.profit.tobytes()
        assert one.scenario.tolist() == other.scenario.tolist()


ACCOUNT = st.lists(
    st.tuples(st.integers(0, N_CONTRACTS - 1), st.integers(-(10**6), 10**6)),
    max_size=4,
    unique_by=lambda item: item[0],
).map(sorted)


@settings(max_examples=25, deadline=None)
@given(st.lists(ACCOUNT, min_size=1, max_size=12), st.integers(0, 99), st.sampled_from([3, 10**9]))
def test_tails_are_the_sorted_profits_of_their_rows(
    accounts: list[list[tuple[int, int]]], seed: int, size: int
) -> None:
    cube, holdings = cube_of(seed, size), holdings_of(accounts)
    whole = profits(cube, holdings, keep_pnl=True)
    assert whole.pnl is not None
    for rows, tail in zip(SECTIONS, whole.tails, strict=True):
        own = whole.pnl[:, rows.first : rows.first + rows.count]
        order = np.argsort(own, axis=1, kind="stable")[:, : rows.n_tail]
        np.testing.assert_array_equal(tail.scenario, order + rows.first)
        np.testing.assert_array_equal(tail.profit, np.take_along_axis(own, order, axis=1))


@settings(max_examples=25, deadline=None)
@given(st.lists(ACCOUNT, min_size=1, max_size=12), st.integers(0, 99))
def test_slices_joined_have_the_tails_of_one_pass(
    accounts: list[list[tuple[int, int]]], seed: int
) -> None:
    cube, holdings = cube_of(seed, 5), holdings_of(accounts)
    parts = [profits(cube, holdings, tiles) for tiles in (slice(2, 3), slice(0, 1), slice(1, 2))]
    assert_same_tails(join_slices(parts, tails=SECTIONS), profits(cube, holdings))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(ACCOUNT, max_size=4),
    st.lists(
        st.tuples(st.integers(0, N_CONTRACTS - 1), st.integers(-(2**33), 2**33)),
        min_size=2 * N_CONTRACTS + 1,
        max_size=30,
    ),
    st.integers(0, 99),
    st.sampled_from([3, 2**25]),
)
def test_accounts_of_one_position_have_the_tails_of_a_sum(
    several: list[list[tuple[int, int]]], single: list[tuple[int, int]], seed: int, size: int
) -> None:
    # Products of lots and ticks reach 2**58: beyond 2**53 the sums are those of integers.
    accounts = [*several, *([item] for item in single)]
    order = np.random.default_rng(seed).permutation(len(accounts))
    holdings = holdings_of([accounts[i] for i in order])
    cube = cube_of(seed, size)
    assert_same_tails(profits(cube, holdings), profits(cube, holdings, keep_pnl=True))
