"""MarginService."""

from collections.abc import AsyncIterator
from typing import Any

from margin_protos.v1 import margin_service_pb2 as pb
from margin_protos.v1 import margin_service_pb2_grpc as stubs

from margin_actors.actors.book_run import Batch, Progress
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.measures import tail_count
from margin_actors.errors import InvalidRequest, Problem
from margin_cluster.gateway.call import current
from margin_cluster.gateway.convert import margin as convert
from margin_cluster.gateway.convert.margin_types import (
    generation_to_mapping,
    generation_to_proto,
    margin_to_proto,
    margins_to_columns,
)
from margin_cluster.gateway.desk import Desk
from margin_cluster.gateway.paging import page_size
from margin_cluster.ledger import CalculationRecord

MARGINS_MAX = 1_000


class MarginService(stubs.MarginServiceServicer):
    """See margin_service.proto."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def CalculateMargin(self, request: Any, context: Any) -> Any:
        """Return the margin of one account or portfolio, recorded."""
        record = await self._desk.calculate(convert.calculate_from_proto(request), current.get())
        return pb.CalculateMarginResponse(
            calculation_id=record.calculation_id,
            generation=generation_to_proto(record.generation),
            inputs=record.inputs,  # pyright: ignore[reportArgumentType]
            digest=record.digest,
            margin=margin_to_proto(record.margin),
        )

    async def CalculateBook(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Yield the margins of a book."""
        subject = convert.book_from_proto(request)
        async for book, event in self._desk.calculate_book(subject, current.get()):
            if isinstance(event, ResidentGeneration):
                kept = generation_to_mapping(event)
                yield pb.CalculateBookResponse(generation=generation_to_proto(kept))
            elif isinstance(event, Progress):
                yield pb.CalculateBookResponse(
                    progress=pb.BookProgress(done=event.done, total=event.total)
                )
            elif isinstance(event, Batch):
                span = slice(event.first, event.last)
                columns = margins_to_columns(event.margins, book.accounts[span], book.members[span])
                yield pb.CalculateBookResponse(batch=columns)
            else:
                yield pb.CalculateBookResponse(
                    summary=pb.BookSummary(
                        calculation_id=event.calculation_id,
                        inputs=event.inputs,  # pyright: ignore[reportArgumentType]
                        digest=event.digest,
                        accounts=event.accounts,
                        positions=event.positions,
                        initial_margin_usd=event.initial_margin_usd,
                    )
                )

    async def SimulateMargin(self, request: Any, context: Any) -> Any:
        """Return what trades would do."""
        subject, candidates = convert.simulate_from_proto(request)
        generation, margins = await self._desk.simulate(subject, candidates, current.get())
        before = margins[0]
        return pb.SimulateMarginResponse(
            generation=generation_to_proto(generation_to_mapping(generation)),
            before=margin_to_proto(before),
            candidates=[
                convert.simulated_to_proto(name, before, after)
                for (name, _), after in zip(candidates, margins[1:], strict=True)
            ],
        )

    async def ExplainMargin(self, request: Any, context: Any) -> Any:
        """Return why a margin is what it is."""
        subject, count, traced = convert.explain_from_proto(request)
        found = await self._desk.explain(subject, traced, current.get())
        scenarios = found.generation.priced.scenarios
        if count == 0:
            sample = found.generation.priced.sample
            count = tail_count(sample.n_scenarios, sample.confidence)[1] + 1
        return pb.ExplainMarginResponse(
            generation=generation_to_proto(generation_to_mapping(found.generation)),
            margin=margin_to_proto(found.margin),
            positions=convert.contributions_to_proto(
                found.book, found.values_usd, found.attribution
            ),
            scenarios=convert.tail_to_proto(scenarios, found.margins, 0, count),
            traced=convert.traced_to_proto(found.traced),
        )

    async def GetCalculation(self, request: Any, context: Any) -> Any:
        """Return a recorded calculation."""
        desk, wanted = self._desk, list(request.account_ids)
        if len(wanted) > MARGINS_MAX:
            raise InvalidRequest(
                "the request is not valid",
                [Problem("account_ids", f"{len(wanted):,}", f"at most {MARGINS_MAX:,}")],
            )
        record = await desk.store(desk.archive.ledger.calculation, request.calculation_id)
        margins = [record.margin] if record.margin else []
        if record.kind == "book" and wanted:
            margins = await desk.store(desk.margins_of, record.calculation_id, wanted)
        return pb.GetCalculationResponse(
            calculation=convert.calculation_to_proto(record),
            margins=[margin_to_proto(m) for m in margins],
        )

    async def ListCalculations(self, request: Any, context: Any) -> Any:
        """Return recorded calculations in pages."""
        size, kind = page_size(request.page_size), convert.kind_from_proto(request.kind)
        ledger = self._desk.archive.ledger

        def read() -> tuple[list[CalculationRecord], str]:
            return ledger.list_calculations(
                size, request.page_token, account_id=request.account_id, kind=kind
            )

        records, following = await self._desk.store(read)
        return pb.ListCalculationsResponse(
            calculations=[convert.calculation_to_proto(r) for r in records],
            next_page_token=following,
        )
