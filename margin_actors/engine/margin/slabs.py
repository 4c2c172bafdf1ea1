"""Prices of contracts over slices of the scenarios, and accounts summed over them.

A slab holds the model's own prices over all its rows and, over those that belong to the core, the
prices of every alternative. What accounts make of a slab is a bundle; bundles of all slices joined
are the profits from which requirements follow, the same bits however the rows were cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.addons import AccountGroups
from margin_actors.engine.margin.margins import Sample
from margin_actors.engine.margin.prepared import Alternative, PreparedMarket
from margin_actors.engine.margin.requirement import BookProfits
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
"""Prices kept at once where they are summed and forgotten: a few tiles of 20,000 contracts."""


@dataclass(frozen=True)
class SlabPrices:
    """The risk cube of some contracts over some rows."""

    values: FloatArray
    """float64 (n_tiles, n_contracts, TILE), as `RiskCube.values`."""
    largest_move: FloatArray
    """float64 (n_contracts,)."""


@dataclass(frozen=True)
class Slab:
    """The prices of all laid out contracts over a slice of the scenarios."""

    first_scenario: int
    n_scenarios: int
    values: FloatArray
    """float64 (n_tiles, n_contracts, TILE), as `RiskCube.values`."""
    largest_move: FloatArray
    """float64 (n_contracts,)."""
    checks: tuple[ShockCheck, ...]
    """What the check of the slice's shocked surfaces found."""
    n_core: int
    """Rows of the slice that belong to the core; they come first."""
    alternatives: tuple[tuple[str, SlabPrices], ...] = ()
    """Over the core rows, by label."""


@dataclass(frozen=True)
class SliceBundle:
    """What the accounts of a book make of a slab."""

    accounts: SliceProfits
    groups: SliceProfits | None
    """Over the core rows; None where the slice has none or the book no group."""
    alternatives: tuple[tuple[str, SliceProfits], ...]
    """Over the core rows, by label; empty where the slice has none."""


def applied_scenarios(
    market: PreparedMarket, scenarios: ScenarioSet
) -> tuple[ScenarioSet, tuple[ShockCheck, ...]]:
    """Return the scenarios with surface moves that this market's smiles can take."""
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
    """Return the prices of all laid out contracts over a slice that begins a tile.

    Parameters
    ----------
    market : PreparedMarket
    part : ScenarioSet
        The slice's rows.
    first_scenario : int
        Number of its first row in the whole set; begins a tile.
    n_core : int, optional
        Core rows of the whole set; by default every row is core.
    threads : int
        The result does not depend on it.
    alternatives : bool
        Price the market's alternatives too; see also `alternative_profits`.
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
    """Return what accounts make of each alternative over all core rows, one after the other.

    The same as pricing them with the slab, without keeping their prices.
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
    """Return some of the contracts on the same curves."""
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
    """Return what accounts and their groups make of a slab."""
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
    """Return the profits of accounts over a slice, keeping only a few tiles of prices at once.

    For portfolios whose prices would not fit into memory: 20,000 contracts in 100,000 scenarios
    are 16 GB.
    """
    n_contracts = len(market.contracts)
    tiles = max(1, chunk_bytes // (n_contracts * TILE * 8))
    step = tiles * TILE
    applied, _ = applied_scenarios(market, part)
    # One piece of memory, written again and again, stays in the processor's cache.
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
    """Return neighbouring slices as one; they may come in any order, and none may be missing."""
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
    where: str,
) -> BookProfits:
    """Return the profits of a book from the bundles of all slices.

    Raises
    ------
    InvalidPortfolio
        Naming every account so large that its profits cannot be summed exactly.
    """
    whole = join_bundles(parts, n_tail=n_tail)

    def joined(part: SliceProfits, of: Holdings, names: Sequence[str]) -> AccountProfits:
        return join_profits([part], of, n_tail=n_tail, accounts=names, where=where)

    own = joined(whole.accounts, holdings, accounts)
    grouped = None
    if whole.groups is not None and groups is not None:
        owners = [accounts[int(owner)] for owner in groups.owner]
        grouped = joined(whole.groups, groups.holdings, owners)
    others = tuple((label, joined(part, holdings, accounts)) for label, part in whole.alternatives)
    return BookProfits(own, grouped, others)
