"""MarginService."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

from margin_protos.v1 import margin_service_pb2 as pb
from margin_protos.v1 import margin_service_pb2_grpc as stubs

from margin_actors.actors.book_run import Failures, Progress
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.clearing.house import HouseState
from margin_actors.engine.measures import tail_count
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_cluster.gateway.account_margins import AccountMargins
from margin_cluster.gateway.book_margins import BookEvent, BookMargins, MarginedBatch
from margin_cluster.gateway.calculations import Calculations
from margin_cluster.gateway.call import current
from margin_cluster.gateway.clearing import Clearing
from margin_cluster.gateway.convert import margin as convert
from margin_cluster.gateway.convert.clearing_types import resources_to_proto
from margin_cluster.gateway.convert.generations import (
    generation_to_proto,
    inputs_to_proto,
    summary_of_generation,
)
from margin_cluster.gateway.convert.margin_types import (
    failure_to_proto,
    margin_to_proto,
    margins_to_columns,
)
from margin_cluster.gateway.margin_records import account_failure_record
from margin_cluster.gateway.paging import page_from_proto
from margin_cluster.gateway.resources import AccountStanding, standing, standings
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.ledger import AccountMarginRecord
from margin_cluster.ledger.clearing_rows import Committed

MARGINS_MAX = 1_000
FAILURES_A_MESSAGE = 500
EXPORT_BYTES = 2**20
"""Largest number of bytes of a file in one message of an export."""


class MarginService(stubs.MarginServiceServicer):
    """See margin_service.proto."""

    def __init__(
        self,
        accounts: AccountMargins,
        books: BookMargins,
        calculations: Calculations,
        clearing: Clearing,
        threads: GatewayThreads,
    ) -> None:
        self._accounts, self._books, self._calculations = accounts, books, calculations
        self._clearing, self._threads = clearing, threads

    async def CalculateMargin(
        self, request: pb.CalculateMarginRequest, context: object
    ) -> pb.CalculateMarginResponse:
        """Calculate, record and return the margin of one account or portfolio."""
        subject, key = convert.calculate_from_proto(request)
        record = await self._accounts.calculate(subject, key, current.get())
        return pb.CalculateMarginResponse(
            calculation_id=record.calculation_id,
            generation=generation_to_proto(record.generation),
            inputs=inputs_to_proto(record.inputs),
            digest=record.digest,
            margin=None if record.margin is None else margin_to_proto(record.margin),
            portfolio_version=record.portfolio_version,
            resources=resources_to_proto(self._standing(record.margin)),
        )

    def _standing(self, margin: AccountMarginRecord | None) -> AccountStanding | None:
        """Return the resources of an account against a margin; None without a clearing account."""
        if margin is None:
            return None
        return standing(self._clearing.committed, margin.account_id, margin.initial_margin_usd)

    async def CalculateBook(
        self, request: pb.CalculateBookRequest, context: object
    ) -> AsyncIterator[pb.CalculateBookResponse]:
        """Calculate and record the margins of a book; yield them in batches."""
        subject, key = convert.book_from_proto(request)
        async with aclosing(self._books.calculate(subject, key, current.get())) as events:
            async for event in events:
                if isinstance(event, MarginedBatch):
                    yield await self._threads.compute(
                        _batch_message, event, self._clearing.committed
                    )
                    continue
                for message in _book_messages(event):
                    yield message

    async def SimulateMargin(
        self, request: pb.SimulateMarginRequest, context: object
    ) -> pb.SimulateMarginResponse:
        """Return the margin before and after the trades of each candidate, without recording it."""
        subject, candidates = convert.simulate_from_proto(request)
        generation, margins = await self._accounts.simulate(subject, candidates, current.get())
        before = margins[0]
        now = self._standing(before)
        return pb.SimulateMarginResponse(
            generation=generation_to_proto(summary_of_generation(generation)),
            before=margin_to_proto(before),
            candidates=[
                convert.simulated_to_proto(name, before, after, now)
                for (name, _), after in zip(candidates, margins[1:], strict=True)
            ],
            resources=resources_to_proto(now),
        )

    async def ExplainMargin(
        self, request: pb.ExplainMarginRequest, context: object
    ) -> pb.ExplainMarginResponse:
        """Return the breakdown of a margin by position and scenario."""
        subject, count, traced = convert.explain_from_proto(request)
        found = await self._accounts.explain(subject, traced, current.get())
        scenarios = found.generation.priced.scenarios
        if count == 0:
            sample = found.generation.priced.sample
            count = tail_count(sample.n_scenarios, sample.confidence)[1] + 1
        return pb.ExplainMarginResponse(
            generation=generation_to_proto(summary_of_generation(found.generation)),
            margin=margin_to_proto(found.margin),
            positions=convert.contributions_to_proto(
                found.book, found.values_usd, found.attribution
            ),
            scenarios=convert.tail_to_proto(scenarios, found.margins, 0, count),
            traced=convert.traced_to_proto(found.traced),
        )

    async def ExportMargin(
        self, request: pb.ExportMarginRequest, context: object
    ) -> AsyncIterator[pb.ExportMarginResponse]:
        """Yield the files from which a margin can be recomputed, in pieces."""
        files = await self._accounts.export(convert.export_from_proto(request), current.get())
        last = files[-1][0]
        for name, content in files:
            ends = range(EXPORT_BYTES, len(content) + EXPORT_BYTES, EXPORT_BYTES)
            for end in ends:
                yield pb.ExportMarginResponse(
                    file_name=name,
                    content=content[end - EXPORT_BYTES : end],
                    is_last=name == last and end == ends[-1],
                )

    async def GetCalculation(
        self, request: pb.GetCalculationRequest, context: object
    ) -> pb.GetCalculationResponse:
        """Return a recorded calculation."""
        wanted = list(request.account_ids)
        if len(wanted) > MARGINS_MAX:
            raise InvalidRequest(
                "the request is not valid",
                [Problem("account_ids", f"{len(wanted):,}", f"at most {MARGINS_MAX:,}")],
            )
        found = await self._calculations.get(request.calculation_id, wanted)
        return pb.GetCalculationResponse(
            calculation=convert.calculation_to_proto(found.record),
            margins=[margin_to_proto(m) for m in found.margins],
            failures=[failure_to_proto(f) for f in found.record.failures],
        )

    async def ListCalculations(
        self, request: pb.ListCalculationsRequest, context: object
    ) -> pb.ListCalculationsResponse:
        """Return recorded calculations in pages."""
        problems: list[Problem] = []
        size, token = page_from_proto(request, problems)
        kind = convert.kind_from_proto(request.kind, problems)
        raise_if_any(problems, InvalidRequest, "the request is not valid")
        records, following = await self._calculations.list_records(
            size, token, account_id=request.account_id, kind=kind
        )
        return pb.ListCalculationsResponse(
            calculations=[convert.calculation_to_proto(r) for r in records],
            next_page_token=following,
        )


def _batch_message(
    event: MarginedBatch, committed: Committed[HouseState]
) -> pb.CalculateBookResponse:
    """Return the message of some margins, with the resources of the accounts."""
    columns = margins_to_columns(event.margins, event.accounts, event.members, event.expired)
    found = standings(committed, event.accounts, columns.initial_margin_usd)
    if any(found):
        columns.has_resources.extend(one is not None for one in found)
        columns.resources_cents.extend(
            0 if one is None else one.headroom.resources_cents for one in found
        )
        columns.excess_cents.extend(
            0 if one is None else one.headroom.excess_cents for one in found
        )
    return pb.CalculateBookResponse(batch=columns)


def _book_messages(event: BookEvent) -> Iterator[pb.CalculateBookResponse]:
    """Yield the messages of one event of a book run, other than margins."""
    if isinstance(event, ResidentGeneration):
        summary = summary_of_generation(event)
        yield pb.CalculateBookResponse(generation=generation_to_proto(summary))
    elif isinstance(event, Progress):
        progress = pb.BookProgress(done=event.done, total=event.total)
        yield pb.CalculateBookResponse(progress=progress)
    elif isinstance(event, Failures):
        for first in range(0, len(event.failures), FAILURES_A_MESSAGE):
            chunk = event.failures[first : first + FAILURES_A_MESSAGE]
            failures = [failure_to_proto(account_failure_record(f)) for f in chunk]
            yield pb.CalculateBookResponse(failures=pb.AccountFailures(failures=failures))
    elif not isinstance(event, MarginedBatch):
        yield pb.CalculateBookResponse(summary=convert.summary_to_proto(event))
