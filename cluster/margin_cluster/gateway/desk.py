"""What the services do between the conversions: find positions, ask the market, keep the record.

A small question is answered on the event loop itself, from the prices in the object store of this
node. What takes longer than a millisecond is done in threads (kernels release the interpreter); a
book goes to the cluster.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from margin_actors.actors.book_run import Batch, Completed, Progress, run_book
from margin_actors.actors.cluster import Cluster
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.explain import TracedPosition, trace_account
from margin_actors.engine.margin import LaidOut, Margins, result_digest
from margin_actors.engine.measures import Attribution, attribute
from margin_actors.errors import InvalidRequest, NotReady, Problem, UnknownAccount
from margin_actors.market.identity import content_id
from margin_actors.market.portfolios import Book, book_from_table
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.convert.margin import BookSubject, Subject
from margin_cluster.gateway.convert.margin_types import (
    generation_to_mapping,
    inputs_to_mapping,
    margin_from_row,
    margin_to_mapping,
    margins_to_table,
)
from margin_cluster.gateway.recorder import Recorder
from margin_cluster.ledger import CalculationRecord, Trade
from margin_cluster.positions import (
    Holding,
    Positions,
    add_quantities,
    books_side_by_side,
    select_accounts,
    trades_id,
)

R = TypeVar("R")
SIMULATED_POSITIONS_MAX = 1_000_000
ON_LOOP_MAX = 2**21
"""Positions times scenarios that are summed on the event loop: about half a millisecond."""
LAID_OUT_MAX = 4_096


@dataclass(frozen=True)
class Explanation:
    """Why one account's margin is what it is."""

    generation: ResidentGeneration
    book: Book
    margins: Margins
    margin: dict[str, Any]
    attribution: Attribution
    values_usd: np.ndarray
    """float64 (n_positions,)."""
    traced: tuple[TracedPosition, ...]
    """Prices in the scenario asked for; empty where none was."""


class Desk:
    """One gateway's work; belongs to one event loop."""

    def __init__(self, cluster: Cluster, archive: StoreArchive, *, threads: int) -> None:
        self.cluster, self.archive = cluster, archive
        self.positions = Positions(archive)
        self._recorder = Recorder(archive.ledger)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="margin")
        # Files and the ledger's slow writes have threads of their own, so that they delay nobody.
        self._files = ThreadPoolExecutor(2, thread_name_prefix="files")

    def close(self) -> None:
        """Finish what is being written."""
        self._pool.shutdown()
        self._files.shutdown()
        self._recorder.close()

    async def compute(self, work: Callable[..., R], *args: Any) -> R:
        """Run a short piece of work in one of the computing threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)

    async def store(self, work: Callable[..., R], *args: Any) -> R:
        """Run something that reads or writes files in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._files, work, *args)

    async def warm(self, *, until: float) -> None:
        """Load every kernel, here and in the cluster's tasks and reducers."""
        generation = await self.cluster.generation(until=until)
        contracts = generation.priced.market.contracts
        held = {contracts.names[0]: float(contracts.lot[0])}
        await self.compute(self._simulate, generation, Holding("", "", held), [])
        cpus = int(self.cluster.cpus)
        book = books_side_by_side((f"warm{i}", held) for i in range(cpus))
        async for _ in run_book(self.cluster, generation, book, until=until):
            pass

    # -- one account ---------------------------------------------------------------------------

    async def calculate(self, subject: Subject, call: Call) -> CalculationRecord:
        """Return the recorded margin of one account or portfolio."""
        generation = await self.cluster.generation(
            until=call.until, snapshot_id=subject.snapshot_id
        )
        holding = await self._holding(subject)
        work = partial(self._calculate, generation, holding, call.request_id)
        record = await self._soonest(work, generation, holding.positions)
        await self._recorder.keep(record)
        return record

    async def _soonest(
        self,
        work: Callable[[], R],
        generation: ResidentGeneration,
        positions: Mapping[str, float],
        copies: int = 1,
    ) -> R:
        """Do small work on the event loop, other work in a thread."""
        size = len(positions) * copies * len(generation.priced.scenarios)
        if size <= ON_LOOP_MAX and generation.priced.holds_prices_of(positions):
            return work()
        return await self.compute(work)

    async def _holding(self, subject: Subject) -> Holding:
        if subject.positions is not None:
            return Holding("", "", subject.positions)
        return (await self.held(subject.account_id))[0]

    async def held(self, account: str) -> tuple[Holding, int]:
        """Return what an account holds after all changes committed before now, and the version."""
        if not (self.archive.ledger.reads_at_once and self.positions.is_current()):
            await self.store(self.positions.follow)
        return self.positions.held(account)

    def _calculate(
        self, generation: ResidentGeneration, holding: Holding, request_id: str
    ) -> CalculationRecord:
        margins = generation.priced.margins(self._laid_out(generation, holding))
        inputs = inputs_to_mapping(generation, holding.book.id)
        margin = self._mapping(generation, margins, 0, holding)
        return self._record(generation, inputs, margins, "account", request_id, margin)

    def _mapping(
        self, generation: ResidentGeneration, margins: Margins, account: int, holding: Holding
    ) -> dict[str, Any]:
        return margin_to_mapping(
            margins,
            account,
            generation.parameters,
            generation.priced.scenarios,
            account_id=holding.account_id,
            member_id=holding.member_id,
        )

    def _laid_out(self, generation: ResidentGeneration, holding: Holding) -> LaidOut:
        """Return an account as the kernels take it, from the last time where nothing changed."""
        account = holding.account_id
        before = generation.laid.get(account)
        if before is not None and before[0] is holding:
            return before[1]
        laid = generation.priced.lay_out(holding.book, where=account or "portfolio")
        if account:
            if len(generation.laid) >= LAID_OUT_MAX:
                generation.laid.clear()
            generation.laid[account] = (holding, laid)
        return laid

    def _record(
        self,
        generation: ResidentGeneration,
        inputs: dict[str, Any],
        margins: Margins,
        kind: Any,
        request_id: str,
        margin: dict[str, Any],
    ) -> CalculationRecord:
        ids = {name: inputs[name] for name in inputs if name != "surface_ids"}
        return CalculationRecord(
            # The same request on the same inputs is the same calculation, however often it runs.
            calculation_id=content_id("calculation", {"request": request_id, "inputs": ids}),
            kind=kind,
            create_time=datetime.now(UTC),
            request_id=request_id,
            account_id=margin.get("account_id", ""),
            generation=generation_to_mapping(generation),
            inputs=inputs,
            digest=result_digest(margins, **ids),
            accounts=margins.positions.size,
            positions=int(margins.positions.sum()),
            initial_margin_usd=float(margins.initial_margin_usd.sum()),
            margin=margin,
        )

    async def simulate(
        self, subject: Subject, candidates: list[tuple[str, dict[str, float]]], call: Call
    ) -> tuple[ResidentGeneration, list[dict[str, Any]]]:
        """Return the margin as it stands and after each candidate, in their order."""
        generation = await self.cluster.generation(
            until=call.until, snapshot_id=subject.snapshot_id
        )
        holding = await self._holding(subject)
        work = partial(self._simulate, generation, holding, candidates)
        names = dict(holding.positions)
        for _, trades in candidates:
            names.update(trades)
        margins = await self._soonest(work, generation, names, 1 + len(candidates))
        return generation, margins

    def _simulate(
        self,
        generation: ResidentGeneration,
        holding: Holding,
        candidates: list[tuple[str, dict[str, float]]],
    ) -> list[dict[str, Any]]:
        held = holding.positions
        positions = len(held) * (1 + len(candidates))
        if positions > SIMULATED_POSITIONS_MAX:
            raise InvalidRequest(
                "the simulation is too large",
                [
                    Problem(
                        "candidates",
                        f"{len(candidates)} on {len(held):,} positions",
                        f"at most {SIMULATED_POSITIONS_MAX:,} positions in all; split the call",
                    )
                ],
            )
        sides = [("before", held)]
        for number, (candidate_id, trades) in enumerate(candidates):
            name = f"candidates[{number}] {candidate_id}".strip()
            sides.append((name, add_quantities(held, trades.items())))
        margins = generation.priced.margins(books_side_by_side(sides), where="simulation")
        return [self._mapping(generation, margins, a, holding) for a in range(len(sides))]

    async def explain(self, subject: Subject, traced: int | None, call: Call) -> Explanation:
        """Return which positions and scenarios make a margin, and the prices of one scenario."""
        generation = await self.cluster.generation(
            until=call.until, snapshot_id=subject.snapshot_id
        )
        holding = await self._holding(subject)
        return await self.compute(self._explain, generation, holding, traced)

    def _explain(
        self, generation: ResidentGeneration, holding: Holding, traced: int | None
    ) -> Explanation:
        book = holding.book
        priced = generation.priced
        trace: tuple[TracedPosition, ...] = ()
        if traced is not None:
            if traced >= len(priced.scenarios):
                raise InvalidRequest(
                    "the request is not valid",
                    [Problem("traced_scenario", str(traced), f"below {len(priced.scenarios)}")],
                )
            own = priced.market.lay_out(book.instruments)
            trace = trace_account(own, book, 0, priced.scenarios, traced)
        margins = priced.margins(book)
        rows = priced.position_profits_usd(book)
        laid, sample = priced.lay_out(book), priced.sample
        return Explanation(
            generation,
            book,
            margins,
            self._mapping(generation, margins, 0, holding),
            attribute(
                rows[:, : sample.n_scenarios],
                book.quantity,
                confidence=sample.confidence,
                weight=sample.weight,
            ),
            book.quantity * laid.market.unit_value_usd[laid.held.holdings.index],
            trace,
        )

    # -- books ---------------------------------------------------------------------------------

    async def calculate_book(
        self, subject: BookSubject, call: Call
    ) -> AsyncGenerator[tuple[Book, ResidentGeneration | Progress | Batch | CalculationRecord]]:
        """Yield the generation, a book's run, and its record when it is kept."""
        generation = await self.cluster.generation(
            until=call.until, snapshot_id=subject.snapshot_id
        )
        book = await self.compute(self._chosen, subject)
        yield book, generation
        done: Completed | None = None
        async for event in run_book(self.cluster, generation, book, until=call.until):
            if isinstance(event, Completed):
                done = event
            else:
                yield book, event
        assert done is not None
        inputs = inputs_to_mapping(generation, book.id)
        record = self._record(generation, inputs, done.margins, "book", call.request_id, {})
        assert record.digest == done.digest
        await self.store(self._save_margins, record.calculation_id, book, done.margins, generation)
        await self._recorder.keep(record)
        yield book, record

    def _chosen(self, subject: BookSubject) -> Book:
        book = self.positions.book()
        if book is None:
            raise NotReady(
                "there are no positions", [Problem("book", "is empty", "upload positions")]
            )
        if not subject.account_ids and not subject.member_ids:
            return book
        wanted, members = set(subject.account_ids), set(subject.member_ids)
        unknown = sorted(wanted - set(book.accounts))
        unknown += sorted(members - set(book.members))
        if unknown:
            raise UnknownAccount(
                "there are no such accounts or members",
                [Problem("account_ids, member_ids", name[:128], "unknown") for name in unknown],
            )
        return select_accounts(
            book,
            np.array(
                [
                    a in wanted or m in members
                    for a, m in zip(book.accounts, book.members, strict=True)
                ],
                np.bool_,
            ),
        )

    def _save_margins(
        self, calculation_id: str, book: Book, margins: Margins, generation: ResidentGeneration
    ) -> None:
        table = margins_to_table(margins, book, generation.priced.scenarios)
        self.archive.store.put("calculations", calculation_id, table)

    def margins_of(self, calculation_id: str, accounts: list[str]) -> list[dict[str, Any]]:
        """Return the margins of some accounts of a recorded book."""
        table = self.archive.store.get("calculations", calculation_id)
        place = {a: i for i, a in enumerate(table.column("account_id").to_pylist())}
        unknown = [a for a in accounts if a not in place]
        if unknown:
            raise UnknownAccount(
                "the calculation has no such accounts",
                [Problem("account_ids", a[:128], "not margined in it") for a in unknown],
            )
        rows = table.take(pa.array([place[a] for a in accounts], pa.int64())).to_pylist()
        return [margin_from_row(row) for row in rows]

    # -- what is put in ------------------------------------------------------------------------

    async def publish(self, snapshot: MarketSnapshot, call: Call) -> int:
        """Store a snapshot, make it current, and return the number of its generation."""
        await self.store(self.archive.store_snapshot, snapshot)
        number = await self.cluster.publish(snapshot, key=call.request_id, until=call.until)
        await self.store(self.archive.note_snapshot, snapshot)
        return number

    async def upload(self, table: pa.Table, key: str) -> tuple[int, Book]:
        """Replace all positions and return (version, book)."""
        return await self.store(self._upload, table, key)

    def _upload(self, table: pa.Table, key: str) -> tuple[int, Book]:
        book = book_from_table(table, where="upload")
        ledger = self.archive.ledger
        if ledger.repeated(key, book.id) is None:
            self.archive.save_book(book)
        version = ledger.add_upload(
            key=key,
            content=book.id,
            accounts=len(book.accounts),
            positions=book.n_positions,
            now=datetime.now(UTC),
        )
        return version, book

    async def apply_trades(self, key: str, trades: tuple[Trade, ...]) -> tuple[int, bool]:
        """Add trades and return (version, whether they had been added before)."""
        return await self.store(self._apply, key, trades)

    def _apply(self, key: str, trades: tuple[Trade, ...]) -> tuple[int, bool]:
        content = trades_id(trades)  # as they came: members are filled in from what is known now
        before = self.archive.ledger.repeated(key, content)
        if before is not None:
            return before[0], True
        checked = self.positions.check_trades(trades)
        return self.archive.ledger.add_trades(
            checked, key=key, content=content, now=datetime.now(UTC)
        )
