"""Margins of all accounts of the book, or of some of them, and the record of the calculation."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from margin_actors.actors.book_run import Batch, Completed, Failures, Progress, run_book
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.margin import Margins
from margin_actors.errors import NotReady, Problem, UnknownAccount
from margin_actors.market.books import Book, select_positions
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.convert.margin import BookSubject
from margin_cluster.gateway.convert.margin_types import inputs_to_mapping
from margin_cluster.gateway.desk import Desk, calculation_record
from margin_cluster.gateway.margin_records import (
    account_failure_record,
    margin_record_from_row,
    margins_to_table,
)
from margin_cluster.ledger import AccountMarginRecord, CalculationRecord

FAILURES_KEPT_MAX = 1_000
"""Most failures that are stored in a ledger record; the digest covers all failures."""


@dataclass(frozen=True)
class MarginedBatch:
    """Margins of consecutive accounts of a book."""

    accounts: tuple[str, ...]
    members: tuple[str, ...]
    margins: Margins
    """One row per account, in the order of `accounts`."""
    expired: tuple[int, ...]
    """Number of expired positions of each account."""


BookEvent = ResidentGeneration | Progress | Failures | MarginedBatch | CalculationRecord


class BookMargins:
    """Use cases of whole books; belongs to one event loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def calculate(
        self, subject: BookSubject, key: str, call: Call
    ) -> AsyncGenerator[BookEvent]:
        """Yield the generation, failures, progress and margins of a book, and its record last.

        Raises
        ------
        NotReady
            If there are no positions, or the requested snapshot is not the one in use.
        UnknownAccount
            If an account or member is unknown; names every one.
        Overloaded
            If too many books are being margined, or too many calculations wait to be recorded.
        DeadlinePassed, ClusterUnavailable, LedgerUnavailable
            If the run cannot be completed or recorded; the margins yielded before are not a result.
        """
        desk = self._desk
        generation = await desk.cluster.generation(
            until=call.until, snapshot_id=subject.snapshot_id
        )
        book, version = await desk.store(self._chosen, subject)
        yield generation
        done: Completed | None = None
        async for event in run_book(desk.cluster, generation, book, until=call.until):
            if isinstance(event, Completed):
                done = event
            elif isinstance(event, Batch):
                yield _margined(event)
            else:
                yield event
        assert done is not None
        live = done.assessment
        record = calculation_record(
            generation,
            done.margins,
            call,
            kind="book",
            inputs=inputs_to_mapping(generation, live.book_id),
            digest=done.digest,
            key=key,
            account_id="",
            portfolio_version=version,
            accounts_failed=len(live.failures),
            expired_positions=live.expired_positions,
            failures=tuple(map(account_failure_record, live.failures[:FAILURES_KEPT_MAX])),
        )
        await desk.store(
            self._save_margins, record.calculation_id, live.book, done.margins, generation
        )
        await desk.recorder.keep(record)
        yield record

    def _chosen(self, subject: BookSubject) -> tuple[Book, int]:
        positions = self._desk.positions
        book, version = positions.book()
        if book is None:
            raise NotReady(
                "there are no positions", [Problem("book", "is empty", "upload positions")]
            )
        if not subject.account_ids and not subject.member_ids:
            return book, version
        wanted, members = set(subject.account_ids), set(subject.member_ids)
        unknown = sorted(a for a in wanted - set(book.accounts) if not positions.is_known(a))
        unknown += sorted(members - set(book.members))
        if unknown:
            raise UnknownAccount(
                "unknown accounts or members",
                [Problem("account_ids, member_ids", name[:128], "unknown") for name in unknown],
            )
        chosen = [
            a in wanted or m in members for a, m in zip(book.accounts, book.members, strict=True)
        ]
        everything = np.ones(book.n_positions, np.bool_)
        return select_positions(book, np.array(chosen, np.bool_), everything), version

    def _save_margins(
        self, calculation_id: str, book: Book, margins: Margins, generation: ResidentGeneration
    ) -> None:
        table = margins_to_table(margins, book, generation.priced.scenarios)
        self._desk.archive.put("calculations", calculation_id, table)

    def margins_of(self, calculation_id: str, accounts: list[str]) -> list[AccountMarginRecord]:
        """Return the margins of some accounts of a recorded book, in the order of `accounts`.

        Raises
        ------
        UnknownAccount
            If the calculation has no margin of an account; names every such account.
        """
        table = self._desk.archive.store.get("calculations", calculation_id)
        place = {a: i for i, a in enumerate(table.column("account_id").to_pylist())}
        unknown = [a for a in accounts if a not in place]
        if unknown:
            raise UnknownAccount(
                "the calculation does not contain these accounts",
                [Problem("account_ids", a[:128], "not in the calculation") for a in unknown],
            )
        rows = table.take(pa.array([place[a] for a in accounts], pa.int64())).to_pylist()
        return [margin_record_from_row(row) for row in rows]


def _margined(batch: Batch) -> MarginedBatch:
    live, span = batch.assessment, slice(batch.first, batch.last)
    accounts = live.book.accounts[span]
    return MarginedBatch(
        accounts,
        live.book.members[span],
        batch.margins,
        tuple(len(live.expired.get(a, ())) for a in accounts),
    )
