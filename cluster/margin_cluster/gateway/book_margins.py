"""Margins of all accounts of the book, or of some of them, and the record of the calculation."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np

from margin_actors.actors.book_run import Batch, Completed, Failures, Progress, run_book
from margin_actors.actors.cluster import Cluster
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.margin import Margins
from margin_actors.errors import NotReady, Problem, UnknownAccount
from margin_actors.market.books import Book, other_accounts, select_positions
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.approvals import ModelApprovals
from margin_cluster.gateway.calculations import FinishedCalculation, calculation_record
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.convert.generations import input_ids
from margin_cluster.gateway.convert.margin import BookSubject
from margin_cluster.gateway.recorder import Recorder
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.ledger import CalculationRecord
from margin_cluster.margin_records import account_failure_record, margins_to_table
from margin_cluster.positions import Positions

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

    def __init__(
        self,
        cluster: Cluster,
        archive: StoreArchive,
        positions: Positions,
        recorder: Recorder,
        threads: GatewayThreads,
        approvals: ModelApprovals,
    ) -> None:
        self._cluster, self._archive, self._positions = cluster, archive, positions
        self._approvals = approvals
        self._recorder, self._threads = recorder, threads

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
        generation = await self._cluster.generation(
            until=call.until, snapshot_id=subject.snapshot_id
        )
        book, others, version = await self._threads.run_io(self._chosen, subject, generation)
        yield generation
        done: Completed | None = None
        run = run_book(self._cluster, generation, book, until=call.until, others=others)
        async for event in run:
            if isinstance(event, Completed):
                done = event
            elif isinstance(event, Batch):
                yield _margined(event)
            else:
                yield event
        assert done is not None
        live = done.assessment
        finished = FinishedCalculation(
            kind="book",
            generation=self._approvals.summary(generation),
            inputs=input_ids(generation, live.book_id),
            margins=done.margins,
            digest=done.digest,
            portfolio_version=version,
            expired_positions=live.expired_positions,
            accounts_failed=len(live.failures),
            failures=tuple(map(account_failure_record, live.failures[:FAILURES_KEPT_MAX])),
        )
        record = calculation_record(finished, call, key=key)
        await self._threads.run_io(
            self._save_margins, record.calculation_id, live.book, done.margins, generation
        )
        await self._recorder.keep(record)
        yield record

    def _chosen(
        self, subject: BookSubject, generation: ResidentGeneration
    ) -> tuple[Book, Book | None, int]:
        """Return (chosen accounts, further accounts of their members, version).

        The further accounts are None if the model does not measure size by member.
        """
        positions = self._positions
        book, version = positions.book()
        if book is None:
            raise NotReady(
                "there are no positions", [Problem("book", "is empty", "upload positions")]
            )
        if not subject.account_ids and not subject.member_ids:
            return book, None, version
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
        part = select_positions(book, np.array(chosen, np.bool_), everything)
        uses_members = generation.parameters.addons.members.enabled
        return part, other_accounts(book, part.accounts) if uses_members else None, version

    def _save_margins(
        self, calculation_id: str, book: Book, margins: Margins, generation: ResidentGeneration
    ) -> None:
        table = margins_to_table(margins, book, generation.priced.scenarios)
        self._archive.put("calculations", calculation_id, table)


def _margined(batch: Batch) -> MarginedBatch:
    live, span = batch.assessment, slice(batch.first, batch.last)
    accounts = live.book.accounts[span]
    return MarginedBatch(
        accounts,
        live.book.members[span],
        batch.margins,
        tuple(len(live.expired.get(a, ())) for a in accounts),
    )
