"""From snapshot, scenarios and book to every account's initial margin."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.margins import (
    MARGIN_FIELDS,
    Margins,
    concatenate_margins,
    result_digest,
    sample_of,
)
from margin_actors.engine.margin.prepared import PreparedMarket, prepare_market
from margin_actors.engine.margin.priced import hold, market_terms
from margin_actors.engine.margin.requirement import HeldPositions, requirements
from margin_actors.engine.margin.slabs import (
    Slab,
    alternative_profits,
    book_profits,
    price_slab,
    slab_profits,
)
from margin_actors.engine.margin.terms import Terms
from margin_actors.engine.measures import Attribution, attribute
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import RiskCube, ShockCheck, of_accounts
from margin_actors.engine.scenarios import CORE, ScenarioSet
from margin_actors.errors import InvalidPortfolio, Problem
from margin_actors.market.portfolios import Book
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface

PROFIT_BYTES_MAX = 512 * 2**20
"""Profits kept at once where every one is needed."""


@dataclass(frozen=True, kw_only=True)
class MarginResult(Margins):
    """Margins of all accounts of a book, in its order, with what they came from."""

    book: Book
    snapshot_id: str
    scenarios_id: str
    model_id: str
    surface_ids: tuple[str, ...]
    shock_checks: tuple[ShockCheck, ...]
    """Arbitrage found in the shocked surfaces, and how much of it was repaired."""
    pnl_usd: FloatArray | None
    """(n_accounts, n_scenarios) if asked for."""
    cube: RiskCube
    market: PreparedMarket
    terms: Terms

    @cached_property
    def digest(self) -> str:
        """Hash of every account's result to the bit, whatever machine or sharding made it."""
        return result_digest(
            self,
            snapshot_id=self.snapshot_id,
            scenarios_id=self.scenarios_id,
            model_id=self.model_id,
            book_id=self.book.id,
        )


def calculate_margin(
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    book: Book,
    parameters: ModelParameters,
    *,
    surfaces: dict[str, VolatilitySurface] | None = None,
    keep_pnl: bool = False,
    threads: int = 1,
    where: str = "book",
) -> MarginResult:
    """Return the initial margin of every account of a book.

    Parameters
    ----------
    snapshot, scenarios, book, parameters
        All that decides the result.
    surfaces : mapping, optional
        Smiles already fitted to the snapshot; fitted here by default.
    keep_pnl : bool
        Keep every account's profit in every scenario.
    threads : int
        Does not change a bit of the result.
    where : str
        Name of the book in messages.

    Raises
    ------
    InvalidPortfolio, MissingMarketData, InvalidScenario
        Naming everything that is wrong at once.
    """
    if book.n_positions == 0:
        raise InvalidPortfolio(
            f"{where} holds no position", [Problem(where, "the book is empty", "add positions")]
        )
    market = prepare_market(
        snapshot, parameters, names=book.instruments, surfaces=surfaces, where=where
    )
    n_core = scenarios.section(CORE).count
    # Other ways to price are summed one after the other, in one piece of memory.
    slab = price_slab(market, scenarios, 0, n_core=n_core, threads=threads, alternatives=False)
    return margin_from_slab(
        market, slab, scenarios, book, keep_pnl=keep_pnl, threads=threads, where=where
    )


def margin_from_slab(
    market: PreparedMarket,
    slab: Slab,
    scenarios: ScenarioSet,
    book: Book,
    *,
    keep_pnl: bool = False,
    threads: int = 1,
    where: str = "book",
) -> MarginResult:
    """Return the margins of a book on finished prices over all scenarios."""
    parameters = market.parameters
    sample = sample_of(scenarios, parameters)
    terms = market_terms(market, scenarios)
    held = hold(market, book, terms, where=where)
    others = alternative_profits(
        market, scenarios.core, slab, held.holdings, sample, threads=threads
    )
    margins: list[Margins] = []
    profits: list[FloatArray] = []
    for first, last in _batches(held, sample.n_rows if sample.needs_all else 0):
        part = held.part(first, last)
        bundle = slab_profits(
            slab, part.holdings, part.groups, sample, keep_pnl=keep_pnl, threads=threads
        )
        part_of = tuple((label, of_accounts(p, first, last)) for label, p in others)
        found = book_profits(
            [replace(bundle, alternatives=part_of)],
            part.holdings,
            part.groups,
            n_tail=sample.n_tail,
            accounts=book.accounts[first:last],
            where=where,
        )
        margins.append(requirements(found, part, terms))
        if keep_pnl and found.accounts.pnl_usd is not None:
            profits.append(found.accounts.pnl_usd)
    whole = margins[0] if len(margins) == 1 else concatenate_margins(margins)
    cube = RiskCube(
        market.contracts, slab.values, slab.n_scenarios, market.unit_value_usd, slab.largest_move
    )
    return MarginResult(
        **{name: getattr(whole, name) for name in MARGIN_FIELDS},
        inputs=whole.inputs,
        book=book,
        snapshot_id=market.snapshot.id,
        scenarios_id=scenarios.id,
        model_id=parameters.id,
        surface_ids=market.surface_ids,
        shock_checks=slab.checks,
        pnl_usd=np.concatenate(profits) if profits else None,
        cube=cube,
        market=market,
        terms=terms,
    )


def _batches(held: HeldPositions, kept_rows: int) -> list[tuple[int, int]]:
    """Return ranges of accounts whose kept profits fit the memory meant for them."""
    n = held.holdings.n_accounts
    if kept_rows == 0:
        return [(0, n)]
    step = max(1, PROFIT_BYTES_MAX // (8 * kept_rows))
    return [(first, min(first + step, n)) for first in range(0, n, step)]


def attribute_account(result: MarginResult, account: int) -> Attribution:
    """Return what each position of one account contributes to its VaR and ES, in its own order.

    Over the core rows with their weights.
    """
    book, cube, sample = result.book, result.cube, result.terms.sample
    held = slice(int(book.start[account]), int(book.start[account + 1]))
    index, quantity = book.instrument_index[held], book.quantity[held]
    rows = np.array([q * cube.profits_usd(int(i)) for i, q in zip(index, quantity, strict=True)])
    return attribute(
        rows[:, : sample.n_scenarios],
        quantity,
        confidence=sample.confidence,
        weight=sample.weight,
    )
