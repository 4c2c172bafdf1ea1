"""Use cases of one account or one portfolio: calculate, simulate, explain and export a margin.

A small calculation runs on the event loop itself, on prices that are memory-mapped from this node's
object store. Work that takes longer than a millisecond runs in a computing thread.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from margin_actors.actors.cluster import Cluster
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.disclosure import disclose
from margin_actors.engine.explain import TracedPosition, trace_account
from margin_actors.engine.margin import (
    Margins,
    PreparedBook,
    PreparedMarket,
    assess_book,
    book_content_id,
    result_digest,
)
from margin_actors.engine.measures import Attribution, attribute
from margin_actors.errors import InvalidRequest, MissingMarketData, Problem, named_input
from margin_actors.market.books import Book, book_of_portfolios
from margin_cluster.gateway.approvals import ModelApprovals
from margin_cluster.gateway.calculations import FinishedCalculation, calculation_record
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.convert.generations import input_ids
from margin_cluster.gateway.convert.margin import Subject
from margin_cluster.gateway.portfolios import Portfolios
from margin_cluster.gateway.recorder import Recorder
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.ledger import AccountMarginRecord, CalculationRecord
from margin_cluster.margin_records import account_margin_record
from margin_cluster.member_files import exported_files
from margin_cluster.positions import Holding, add_quantities

R = TypeVar("R")
SIMULATED_POSITIONS_MAX = 1_000_000
"""Largest number of positions held times (1 + number of candidates) of one simulation."""
ON_LOOP_MAX = 2**21
"""Largest number of positions times scenarios that is summed on the event loop, which takes about
half a millisecond."""
PREPARED_MAX = 4_096
"""Largest number of prepared accounts that are cached with a generation."""


@dataclass(frozen=True)
class Held:
    """The positions whose margin is requested."""

    holding: Holding
    version: int
    """Version of the positions; 0 for a portfolio in the request."""
    fellows: Book | None = None
    """Other accounts of the member; None if there are none, or the model does not use them."""

    @property
    def book_id(self) -> str:
        """Content id of all positions on which the margin depends."""
        return book_content_id(self.holding.book, self.fellows)


@dataclass(frozen=True)
class PreparedAccount:
    """An account's positions in the layout that the kernels of one generation require."""

    book: Book
    """The positions that have not expired."""
    market: PreparedMarket
    """A market with at least their contracts."""
    prepared: PreparedBook
    """The positions in the contracts of `market`."""
    expired: tuple[str, ...]
    """Instruments that had expired at the snapshot's time."""
    fellows: Book | None = None
    """Other accounts of the member that can be margined."""

    @property
    def live(self) -> dict[str, float]:
        """Signed quantity by instrument of the positions that have not expired."""
        book = self.book
        names = [book.instruments[i] for i in book.instrument_index.tolist()]
        return dict(zip(names, book.quantity.tolist(), strict=True))


@dataclass(frozen=True)
class Explanation:
    """The breakdown of one account's margin by position and scenario."""

    generation: ResidentGeneration
    book: Book
    """The account's positions that have not expired."""
    margins: Margins
    """One row, the account's."""
    margin: AccountMarginRecord
    """The margin as the ledger records it."""
    attribution: Attribution
    """Contributions of the positions, in the order of `book`; US dollars (the marginal measures per
    unit of quantity), a loss is positive."""
    values_usd: np.ndarray
    """float64 (n_positions,): value of each position (quantity included), US dollars."""
    traced: tuple[TracedPosition, ...]
    """Positions before and after the requested scenario; empty if no scenario was requested."""


class AccountMargins:
    """Use cases of one account; belongs to one event loop."""

    def __init__(
        self,
        cluster: Cluster,
        portfolios: Portfolios,
        recorder: Recorder,
        threads: GatewayThreads,
        approvals: ModelApprovals,
    ) -> None:
        self._cluster, self._portfolios, self._approvals = cluster, portfolios, approvals
        self._recorder, self._threads = recorder, threads

    async def calculate(self, subject: Subject, key: str, call: Call) -> CalculationRecord:
        """Calculate the margin of one account or portfolio, record it, and return the record.

        Raises
        ------
        NotReady, UnknownAccount, InvalidPortfolio, MissingMarketData
            If the generation, the account or a price is missing; see `prepare_account`.
        Overloaded, LedgerUnavailable
            If the calculation cannot be recorded.
        """
        generation, held = await self._inputs(subject, call)
        work = partial(self._calculate, generation, held, key, call)
        record = await self._run(work, generation, held)
        await self._recorder.keep(record)
        return record

    async def simulate(
        self, subject: Subject, candidates: list[tuple[str, dict[str, float]]], call: Call
    ) -> tuple[ResidentGeneration, list[AccountMarginRecord]]:
        """Return (generation, margins): the margin before, then the margin after each candidate.

        Each candidate is applied on its own to the positions held. Nothing is recorded.

        Raises
        ------
        InvalidRequest
            If the simulation has more than `SIMULATED_POSITIONS_MAX` positions.
        NotReady, UnknownAccount, InvalidPortfolio, MissingMarketData
            As `calculate`.
        """
        generation, held = await self._inputs(subject, call)
        work = partial(self._simulate, generation, held, candidates)
        traded = {name for _, trades in candidates for name in trades}
        margins = await self._run(work, generation, held, traded, 1 + len(candidates))
        return generation, margins

    async def explain(self, subject: Subject, traced: int | None, call: Call) -> Explanation:
        """Return the breakdown of a margin, with the prices in scenario `traced` unless None.

        Raises
        ------
        InvalidRequest
            If `traced` is not below the number of scenarios.
        NotReady, UnknownAccount, InvalidPortfolio, MissingMarketData
            As `calculate`.
        """
        generation, held = await self._inputs(subject, call)
        return await self._threads.compute(self._explain, generation, held, traced)

    async def export(self, subject: Subject, call: Call) -> list[tuple[str, bytes]]:
        """Return (name, content) of the files from which a margin can be recomputed.

        Raises
        ------
        NotReady, UnknownAccount, InvalidPortfolio, MissingMarketData
            As `calculate`.
        """
        generation, held = await self._inputs(subject, call)
        return await self._threads.compute(self._export, generation, held)

    async def _inputs(self, subject: Subject, call: Call) -> tuple[ResidentGeneration, Held]:
        generation = await self._cluster.generation(
            until=call.until, snapshot_id=subject.snapshot_id
        )
        if subject.positions is not None:
            return generation, Held(Holding("", "", subject.positions), 0)
        account = subject.account_id
        if not generation.parameters.addons.members.enabled:
            return generation, Held(*await self._portfolios.held(account))
        holding, fellows, version = await self._portfolios.held_with_fellows(account)
        return generation, Held(holding, version, fellows)

    async def _run(
        self,
        work: Callable[[], R],
        generation: ResidentGeneration,
        held: Held,
        traded: Collection[str] = (),
        copies: int = 1,
    ) -> R:
        """Run a small calculation on the event loop, any other in a thread."""
        names = {*held.holding.positions, *traded}
        size = len(names) * copies * len(generation.priced.scenarios)
        is_small = size <= ON_LOOP_MAX and held.fellows is None
        if is_small and generation.priced.holds_prices_of(names):
            return work()
        return await self._threads.compute(work)

    def _calculate(
        self,
        generation: ResidentGeneration,
        held: Held,
        key: str,
        call: Call,
    ) -> CalculationRecord:
        account, holding = prepare_account(generation, held), held.holding
        margins = generation.priced.prepared_margins(account.market, account.prepared)
        inputs = input_ids(generation, held.book_id)
        finished = FinishedCalculation(
            kind="account",
            generation=self._approvals.summary(generation),
            inputs=inputs,
            margins=margins,
            digest=result_digest(
                margins,
                snapshot_id=inputs.snapshot_id,
                scenarios_id=inputs.scenarios_id,
                model_id=inputs.model_id,
                book_id=inputs.book_id,
            ),
            portfolio_version=held.version,
            expired_positions=len(account.expired),
            account_id=holding.account_id,
            margin=account_margin(generation, margins, 0, holding, account.expired),
            portfolio=None if holding.account_id else holding.positions,
        )
        return calculation_record(finished, call, key=key)

    def _simulate(
        self,
        generation: ResidentGeneration,
        subject: Held,
        candidates: list[tuple[str, dict[str, float]]],
    ) -> list[AccountMarginRecord]:
        account, holding = prepare_account(generation, subject), subject.holding
        held = account.live
        positions = len(held) * (1 + len(candidates))
        if positions > SIMULATED_POSITIONS_MAX:
            raise InvalidRequest(
                "the simulation is too large",
                [
                    Problem(
                        "candidates",
                        f"{len(candidates)} candidates and {len(held):,} positions held",
                        f"at most {SIMULATED_POSITIONS_MAX:,} positions in total; split the call",
                    )
                ],
            )
        sides = [("before", held)]
        for number, (candidate_id, trades) in enumerate(candidates):
            name = f"candidates[{number}] {candidate_id}".strip()
            sides.append((name, add_quantities(held, trades.items())))
        # Each side is a member of its own, to which the other accounts of the member belong.
        book = book_of_portfolios((name, name, positions) for name, positions in sides)
        others = None
        if account.fellows is not None:
            others = generation.priced.repeated_others(account.fellows, [name for name, _ in sides])
        with named_input("book", "simulation"):
            margins = generation.priced.margins(book, others)
        return [
            account_margin(generation, margins, a, holding, account.expired)
            for a in range(len(sides))
        ]

    def _export(self, generation: ResidentGeneration, held: Held) -> list[tuple[str, bytes]]:
        account, priced = prepare_account(generation, held), generation.priced
        found = disclose(priced.market, priced.scenarios, account.book, account.fellows)
        return list(exported_files(found))

    def _explain(
        self, generation: ResidentGeneration, held: Held, traced: int | None
    ) -> Explanation:
        priced, holding = generation.priced, held.holding
        account = prepare_account(generation, held)
        book, prepared = account.book, account.prepared
        trace: tuple[TracedPosition, ...] = ()
        if traced is not None:
            if traced >= len(priced.scenarios):
                raise InvalidRequest(
                    "the request is not valid",
                    [
                        Problem(
                            "traced_scenario",
                            f"{traced} is out of range",
                            f"give 0 to {len(priced.scenarios) - 1}",
                        )
                    ],
                )
            own = priced.market.with_contracts(book.instruments)
            trace = trace_account(own, book, 0, priced.scenarios, traced)
        margins = priced.prepared_margins(account.market, prepared)
        rows, sample = priced.position_profits_usd(book), priced.sample
        return Explanation(
            generation,
            book,
            margins,
            account_margin(generation, margins, 0, holding, account.expired),
            attribute(
                rows[:, : sample.n_scenarios],
                book.quantity,
                confidence=sample.confidence,
                weight=sample.weight,
            ),
            book.quantity * account.market.unit_value_usd[prepared.holdings.index],
            trace,
        )


def prepare_account(generation: ResidentGeneration, subject: Held) -> PreparedAccount:
    """Return an account in the layout of the kernels; cached while its positions do not change.

    Raises
    ------
    InvalidPortfolio, MissingMarketData
        If a portfolio of the request cannot be margined; names every position at fault.
    MissingMarketData
        If a resident account holds positions that cannot be margined; names every one.
    """
    holding, account = subject.holding, subject.holding.account_id
    if not account:
        book = holding.book
        with named_input("book", "portfolio"):
            market, positions = generation.priced.prepare_book(book)
        return PreparedAccount(book, market, positions, ())
    held, before = generation.prepared.get(account, (None, None))
    if (
        isinstance(held, Held)
        and held.holding is holding
        and held.fellows is subject.fellows
        and isinstance(before, PreparedAccount)
    ):
        return before
    assessment = assess_book(generation.priced, holding.book, subject.fellows)
    if assessment.failures:
        raise MissingMarketData(
            f"account {account} cannot be margined",
            [
                Problem(f"account {account}, {p.instrument_name}".rstrip(", "), p.description)
                for p in assessment.failures[0].problems
            ],
        )
    with named_input("book", account):
        market, positions = generation.priced.prepare_book(assessment.book, assessment.others)
    expired = tuple(assessment.expired.get(account, ()))
    prepared = PreparedAccount(assessment.book, market, positions, expired, assessment.others)
    if len(generation.prepared) >= PREPARED_MAX:
        generation.prepared.clear()
    generation.prepared[account] = (subject, prepared)
    return prepared


def account_margin(
    generation: ResidentGeneration,
    margins: Margins,
    row: int,
    holding: Holding,
    expired: tuple[str, ...],
) -> AccountMarginRecord:
    """Return the record of row `row` of `margins`, the margin of an account."""
    return account_margin_record(
        margins,
        row,
        generation.parameters,
        generation.priced.scenarios,
        account_id=holding.account_id,
        member_id=holding.member_id,
        expired_instruments=expired,
    )
