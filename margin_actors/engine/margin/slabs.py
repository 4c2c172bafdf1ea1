"""Prices of contracts over slices of the scenarios, and profits of accounts over these slices.

A `Slab` holds prices, that is entries of the risk cube, over one slice: the model's own in every
row, and those of each alternative in the core rows. A `SliceBundle` holds the profits of accounts
over one slice. The bundles of all slices joined give the profits from which requirements are
calculated; the result is the same, bit for bit, however the rows were divided into slices.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.addons import AccountGroups
from margin_actors.engine.margin.margins import Sample
from margin_actors.engine.margin.prepared import Alternative, PreparedMarket
from margin_actors.engine.margin.records import BookProfits
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation import (
    AccountProfits,
    Contracts,
    Holdings,
    ShockCheck,
    SliceProfits,
    build_cube,
    join_profits,
    join_slices,
    repair_shocked_surfaces,
    slice_profits,
)
from margin_actors.engine.scenarios import ScenarioSet

CHUNK_BYTES = 64 * 2**20
"""Most bytes of prices held at once by `revalue_slice`: a few tiles of 20,000 contracts."""


@dataclass(frozen=True)
class SlabPrices:
    """Risk cube of some contracts over some rows."""

    values: FloatArray
    """float64 (n_tiles, n_contracts, TILE), as `RiskCube.values`."""
    largest_move: FloatArray
    """float64 (n_contracts,): largest absolute entry, in the unit of `values`."""


@dataclass(frozen=True)
class Slab:
    """Prices of all laid out contracts over a slice of the scenarios."""

    first_scenario: int
    """Number of the slice's first row in the whole set."""
    n_scenarios: int
    values: FloatArray
    """float64 (n_tiles, n_contracts, TILE), as `RiskCube.values`."""
    largest_move: FloatArray
    """float64 (n_contracts,): largest absolute entry, in the unit of `values`."""
    checks: tuple[ShockCheck, ...]
    """Arbitrage found in the slice's shocked surfaces, by underlying."""
    n_core: int
    """Number of rows of the slice that belong to the core; they come first."""
    alternatives: tuple[tuple[str, SlabPrices], ...] = ()
    """Pairs (label, prices over the core rows), one per alternative."""


@dataclass(frozen=True)
class SliceBundle:
    """Profits of the accounts of a book over one slice of the scenarios."""

    accounts: SliceProfits
    groups: SliceProfits | None
    """Profits of account groups over the core rows; None if the slice has no core rows or the model
    needs no groups."""
    alternatives: tuple[tuple[str, SliceProfits], ...]
    """Pairs (label, profits over the core rows); empty if the slice has no core rows."""


def applied_scenarios(
    market: PreparedMarket, scenarios: ScenarioSet
) -> tuple[ScenarioSet, tuple[ShockCheck, ...]]:
    """Return the scenarios as applied to this market's smiles, and what the check found.

    Surface moves that would admit arbitrage are repaired if the model asks for it.
    """
    if market.surfaces and market.parameters.revaluation.shocked_surfaces == "repair":
        return repair_shocked_surfaces(scenarios, dict(market.surfaces))
    return scenarios, ()


def price_slab(
    market: PreparedMarket,
    part: ScenarioSet,
    first_scenario: int,
    *,
    n_core: int | None = None,
    threads: int = 1,
    alternatives: bool = True,
) -> Slab:
    """Return the prices of all laid out contracts over a slice of the scenarios.

    Parameters
    ----------
    market : PreparedMarket
    part : ScenarioSet
        The rows of the slice.
    first_scenario : int
        Number of the slice's first row in the whole set; a multiple of TILE.
    n_core : int, optional
        Number of core rows of the whole set; by default every row of the slice is core.
    threads : int
        Number of threads; the result does not depend on it.
    alternatives : bool
        Whether to price the market's alternatives as well; see also `alternative_profits`.
    """
    if not alternatives:
        market = replace(market, alternatives=())
    applied, checks = applied_scenarios(market, part)
    core = len(part) if n_core is None else max(0, min(n_core - first_scenario, len(part)))
    slab = _price_applied(market, applied, first_scenario, core, threads=threads)
    return replace(slab, checks=checks)


def _price_applied(
    market: PreparedMarket,
    applied: ScenarioSet,
    first_scenario: int,
    n_core: int,
    out: FloatArray | None = None,
    threads: int = 1,
) -> Slab:
    assert first_scenario % TILE == 0
    cube = build_cube(
        market.contracts,
        market.snapshot,
        applied,
        market.parameters.revaluation,
        base_value=market.value_today,
        threads=threads,
        out=out,
    )
    others: list[tuple[str, SlabPrices]] = []
    if n_core > 0:
        core = applied if n_core == len(applied) else applied.rows(0, n_core)
        for other in market.alternatives:
            own = SlabPrices(cube.values, cube.largest_move)
            others.append((other.label, _price_otherwise(market, other, core, own, threads)))
    return Slab(
        first_scenario,
        len(applied),
        cube.values,
        cube.largest_move,
        (),
        n_core,
        tuple(others),
    )


def alternative_profits(
    market: PreparedMarket,
    core: ScenarioSet,
    slab: Slab,
    holdings: Holdings,
    sample: Sample,
    *,
    threads: int = 1,
) -> tuple[tuple[str, SliceProfits], ...]:
    """Return (label, profits of accounts over all core rows) of each alternative.

    The result is the same as from a slab that holds the alternatives. They are priced one at a time
    into one buffer, so that their prices are not kept.

    Parameters
    ----------
    market : PreparedMarket
    core : ScenarioSet
        The core rows of the set.
    slab : Slab
        The market's own prices, from scenario 0 over at least the core rows.
    holdings : Holdings
        Positions in the market's contracts.
    sample, threads
    """
    applied, _ = applied_scenarios(market, core)
    own = SlabPrices(slab.values, slab.largest_move)
    work = np.empty((-(-len(core) // TILE), len(market.contracts), TILE))
    found: list[tuple[str, SliceProfits]] = []
    for other in market.alternatives:
        prices = _price_otherwise(market, other, applied, own, threads, work)
        found.append((other.label, _over_core(prices, holdings, 0, len(core), sample, threads)))
    return tuple(found)


def _price_otherwise(
    market: PreparedMarket,
    other: Alternative,
    core: ScenarioSet,
    own: SlabPrices,
    threads: int,
    out: FloatArray | None = None,
) -> SlabPrices:
    contracts, value = other.contracts, other.value_today
    some = other.repriced
    if some is not None:
        contracts, value = _some(contracts, some), value[some]
    cube = build_cube(
        contracts,
        market.snapshot,
        core,
        other.revaluation,
        base_value=value,
        threads=threads,
        out=out if some is None else None,
    )
    if some is None:
        return SlabPrices(cube.values, cube.largest_move)
    tiles = cube.values.shape[0]
    values = np.empty((tiles, *own.values.shape[1:])) if out is None else out[:tiles]
    values[:] = own.values[:tiles]
    values[:, some] = cube.values
    largest = own.largest_move.copy()
    largest[some] = cube.largest_move
    return SlabPrices(values, largest)


def _over_core(
    prices: SlabPrices, of: Holdings, first: int, n_core: int, sample: Sample, threads: int
) -> SliceProfits:
    return slice_profits(
        prices.values[: -(-n_core // TILE)],
        of,
        n_scenarios=n_core,
        n_tail=sample.n_tail,
        largest_move=prices.largest_move,
        first_scenario=first,
        keep_pnl=sample.core_needs_all,
        threads=threads,
    )


def _some(contracts: Contracts, chosen: IntArray) -> Contracts:
    """Return the chosen contracts; curves are kept as they are."""
    per_contract = (
        "kind",
        "curve",
        "strike",
        "ln_strike",
        "ln_strike_low",
        "sign",
        "mark_deviation",
        "unit_value",
        "settles_daily",
        "ticks_per_usd",
        "lot",
    )
    cut = {name: getattr(contracts, name)[chosen] for name in per_contract}
    return replace(contracts, names=tuple(contracts.names[i] for i in chosen), **cut)


def slab_profits(
    slab: Slab,
    holdings: Holdings,
    groups: AccountGroups | None,
    sample: Sample,
    *,
    keep_pnl: bool = False,
    threads: int = 1,
) -> SliceBundle:
    """Return the profits of accounts and their groups over the slice of a slab.

    The profit in every row is kept if `keep_pnl` is set or the measures need it.
    """
    accounts = slice_profits(
        slab.values,
        holdings,
        n_scenarios=slab.n_scenarios,
        n_tail=sample.n_tail,
        largest_move=slab.largest_move,
        first_scenario=slab.first_scenario,
        keep_pnl=keep_pnl or sample.needs_all,
        threads=threads,
    )
    if slab.n_core == 0:
        return SliceBundle(accounts, None, ())

    first, n = slab.first_scenario, slab.n_core
    own = SlabPrices(slab.values, slab.largest_move)
    grouped = None
    if groups is not None:
        grouped = _over_core(own, groups.holdings, first, n, sample, threads)
    others = tuple(
        (label, _over_core(prices, holdings, first, n, sample, threads))
        for label, prices in slab.alternatives
    )
    return SliceBundle(accounts, grouped, others)


def revalue_slice(
    market: PreparedMarket,
    part: ScenarioSet,
    first_scenario: int,
    holdings: Holdings,
    groups: AccountGroups | None,
    sample: Sample,
    *,
    keep_pnl: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> SliceBundle:
    """Return the profits of accounts over a slice, holding only a few tiles of prices at once.

    For portfolios whose prices would not fit into memory: 20,000 contracts in 100,000 scenarios
    take 16 GB.

    Parameters
    ----------
    market, part, first_scenario
        As in `price_slab`.
    holdings, groups, sample, keep_pnl
        As in `slab_profits`.
    chunk_bytes : int
        Most bytes of prices held at once, but at least one tile.
    """
    n_contracts = len(market.contracts)
    tiles = max(1, chunk_bytes // (n_contracts * TILE * 8))
    step = tiles * TILE
    applied, _ = applied_scenarios(market, part)
    # One buffer is reused for all chunks, so that it stays in the processor's cache.
    work = np.empty((min(tiles, -(-len(part) // TILE)), n_contracts, TILE))
    found: list[SliceBundle] = []
    for begin in range(0, len(part), step):
        rows = applied.rows(begin, min(begin + step, len(part)))
        first = first_scenario + begin
        core = max(0, min(sample.n_scenarios - first, len(rows)))
        slab = _price_applied(market, rows, first, core, work)
        found.append(slab_profits(slab, holdings, groups, sample, keep_pnl=keep_pnl))
        if not (keep_pnl or sample.needs_all):
            found = [join_bundles(found, n_tail=sample.n_tail)]
    return join_bundles(found, n_tail=sample.n_tail)


def join_bundles(parts: Sequence[SliceBundle], *, n_tail: int) -> SliceBundle:
    """Return adjacent slices joined into one; `parts` may be in any order, but without a gap."""
    ordered = sorted(parts, key=lambda part: part.accounts.first_scenario)
    accounts = join_slices([part.accounts for part in ordered], n_tail=n_tail)
    grouped = [part.groups for part in ordered if part.groups is not None]
    groups = join_slices(grouped, n_tail=n_tail) if grouped else None
    labels = [label for label, _ in ordered[0].alternatives]
    others = tuple(
        (
            label,
            join_slices(
                [part.alternatives[k][1] for part in ordered if part.alternatives], n_tail=n_tail
            ),
        )
        for k, label in enumerate(labels)
    )
    return SliceBundle(accounts, groups, others)


def book_profits(
    parts: Sequence[SliceBundle],
    holdings: Holdings,
    groups: AccountGroups | None,
    *,
    n_tail: int,
    accounts: Sequence[str],
) -> BookProfits:
    """Return the profits of a book from the bundles of all slices.

    Parameters
    ----------
    parts : sequence of SliceBundle
        In any order, but without a gap.
    holdings, groups
        Those from which the bundles were computed.
    n_tail : int
        Number of least profits to keep per account.
    accounts : sequence of str
        Account ids, for messages.

    Raises
    ------
    InvalidPortfolio
        If the profits of accounts are too large to be summed exactly; names all of them.
    """
    whole = join_bundles(parts, n_tail=n_tail)

    def joined(part: SliceProfits, of: Holdings, names: Sequence[str]) -> AccountProfits:
        return join_profits([part], of, n_tail=n_tail, accounts=names)

    own = joined(whole.accounts, holdings, accounts)
    grouped = None
    if whole.groups is not None and groups is not None:
        owners = [accounts[int(owner)] for owner in groups.owner]
        grouped = joined(whole.groups, groups.holdings, owners)
    others = tuple((label, joined(part, holdings, accounts)) for label, part in whole.alternatives)
    return BookProfits(own, grouped, others)
