"""Descriptions of all calls: the method, the request messages and the reader of the answer.

These functions do no I/O, so that the blocking and the asyncio client share them. Their arguments
are documented in `MarginClient`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import uuid4

from google.protobuf.message import Message
from margin_protos.v1 import (
    margin_service_pb2,
    margin_service_pb2_grpc,
    market_data_service_pb2,
    market_data_service_pb2_grpc,
    operations_service_pb2,
    operations_service_pb2_grpc,
    portfolio_service_pb2,
    portfolio_service_pb2_grpc,
    scenario_service_pb2,
    scenario_service_pb2_grpc,
)

from margin_client import _write, results
from margin_client._read import BookReader, FilesReader, LastReader, read
from margin_client._transport import Stub
from margin_client._write import AccountPositions, Quantities, Quotes, Trades
from margin_client.errors import UnavailableError
from margin_client.results import CalculationKind, Progress
from margin_client.values import Candidate, Snapshot

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
OnProgress = Callable[[Progress], None]

MARGIN = margin_service_pb2_grpc.MarginServiceStub
MARKET = market_data_service_pb2_grpc.MarketDataServiceStub
PORTFOLIO = portfolio_service_pb2_grpc.PortfolioServiceStub
SCENARIO = scenario_service_pb2_grpc.ScenarioServiceStub
OPERATIONS = operations_service_pb2_grpc.OperationsServiceStub


class MessageReader(Protocol[T_co]):
    """Assembles the messages of a stream into a result."""

    def add(self, message: Any) -> None:
        """Add the next message."""
        ...

    def result(self) -> T_co | None:
        """Return the result, or None if the stream ended before its last message."""
        ...


@dataclass(frozen=True, slots=True)
class UnaryCall(Generic[T]):
    """A call with one response message."""

    stub: Stub
    method: str
    request: Callable[[], Message | Iterator[Message]]
    """Returns the request message, or an iterator over a stream of them, for one attempt."""
    read: Callable[[Any], T]
    """Converts the response message to the result."""
    is_long: bool = False
    """True if the time limit of long calls applies."""


@dataclass(frozen=True, slots=True)
class StreamingCall(Generic[T]):
    """A call whose response is a stream of messages."""

    stub: Stub
    method: str
    request: Message
    reader: Callable[[], MessageReader[T]]
    """Returns a new object that assembles the stream of one attempt."""


@dataclass(frozen=True, slots=True)
class PagedCall(Generic[T]):
    """A listing that is read page by page."""

    stub: Stub
    method: str
    request: Callable[[str], Message]
    """Returns the request message for the token of a page."""
    read: Callable[[Any], list[T]]
    """Converts a response message to the items of the page."""

    def page(self, token: str) -> UnaryCall[tuple[list[T], str]]:
        """Return the call for one page; its result is (items, token of the next page)."""
        return UnaryCall(
            self.stub,
            self.method,
            lambda: self.request(token),
            lambda m: (self.read(m), m.next_page_token),
        )


def _unary(stub: Stub, method: str, request: Message, kind: type[T]) -> UnaryCall[T]:
    return UnaryCall(stub, method, lambda: request, lambda message: read(kind, message))


def key_or_new(key: str | None) -> str:
    """Return the caller's idempotency key, or a new random one if it is None."""
    return uuid4().hex if key is None else key


def calculate_margin(
    account_id: str | None,
    portfolio: Quantities | None,
    snapshot_id: str,
    idempotency_key: str | None,
) -> UnaryCall[results.MarginResult]:
    """Return the call of `MarginClient.calculate_margin`."""
    request = margin_service_pb2.CalculateMarginRequest(
        snapshot_id=snapshot_id,
        idempotency_key=key_or_new(idempotency_key),
        **_write.subject(account_id, portfolio),
    )
    return _unary(MARGIN, "CalculateMargin", request, results.MarginResult)


def calculate_book(
    account_ids: Iterable[str],
    member_ids: Iterable[str],
    snapshot_id: str,
    idempotency_key: str | None,
    on_progress: OnProgress | None,
) -> StreamingCall[results.BookResult]:
    """Return the call of `MarginClient.calculate_book`."""
    request = margin_service_pb2.CalculateBookRequest(
        account_ids=list(account_ids),
        member_ids=list(member_ids),
        snapshot_id=snapshot_id,
        idempotency_key=key_or_new(idempotency_key),
    )
    return StreamingCall(MARGIN, "CalculateBook", request, lambda: BookReader(on_progress))


def simulate_margin(
    account_id: str | None,
    portfolio: Quantities | None,
    trades: Quantities | None,
    candidates: Iterable[Candidate] | None,
    snapshot_id: str,
) -> UnaryCall[results.Simulation]:
    """Return the call of `MarginClient.simulate_margin`."""
    request = margin_service_pb2.SimulateMarginRequest(
        candidates=_write.candidates(trades, candidates),
        snapshot_id=snapshot_id,
        **_write.subject(account_id, portfolio),
    )
    return _unary(MARGIN, "SimulateMargin", request, results.Simulation)


def explain_margin(
    account_id: str | None,
    portfolio: Quantities | None,
    scenarios_max: int,
    traced_scenario: int | None,
    snapshot_id: str,
) -> UnaryCall[results.Explanation]:
    """Return the call of `MarginClient.explain_margin`."""
    request = margin_service_pb2.ExplainMarginRequest(
        scenarios_max=scenarios_max,
        traced_scenario=traced_scenario,
        snapshot_id=snapshot_id,
        **_write.subject(account_id, portfolio),
    )
    return _unary(MARGIN, "ExplainMargin", request, results.Explanation)


def export_margin(
    account_id: str | None, portfolio: Quantities | None, snapshot_id: str
) -> StreamingCall[results.ExportedFiles]:
    """Return the call of `MarginClient.export_margin`."""
    request = margin_service_pb2.ExportMarginRequest(
        snapshot_id=snapshot_id, **_write.subject(account_id, portfolio)
    )
    return StreamingCall(MARGIN, "ExportMargin", request, FilesReader)


def get_calculation(
    calculation_id: str, account_ids: Sequence[str]
) -> UnaryCall[results.CalculationDetail]:
    """Return the call of `MarginClient.get_calculation`."""
    request = margin_service_pb2.GetCalculationRequest(
        calculation_id=calculation_id, account_ids=account_ids
    )
    return _unary(MARGIN, "GetCalculation", request, results.CalculationDetail)


def explain_change(
    before_calculation_id: str, after_calculation_id: str, account_id: str
) -> UnaryCall[results.RequirementChange]:
    """Return the call of `MarginClient.explain_change`."""
    request = margin_service_pb2.ExplainChangeRequest(
        before_calculation_id=before_calculation_id,
        after_calculation_id=after_calculation_id,
        account_id=account_id,
    )
    return _unary(MARGIN, "ExplainChange", request, results.RequirementChange)


def list_calculations(
    account_id: str, kind: CalculationKind | None, page_size: int
) -> PagedCall[results.Calculation]:
    """Return the listing of `MarginClient.list_calculations`.

    Raises
    ------
    ValueError
        If `kind` is `CalculationKind.UNKNOWN`.
    """
    wire = margin_service_pb2.CalculationKind
    numbers: dict[CalculationKind | None, margin_service_pb2.CalculationKind] = {
        None: wire.CALCULATION_KIND_UNSPECIFIED,
        CalculationKind.ACCOUNT: wire.CALCULATION_KIND_ACCOUNT,
        CalculationKind.BOOK: wire.CALCULATION_KIND_BOOK,
    }
    if kind not in numbers:
        raise ValueError(f"kind: {kind} is not a kind of calculation to list")
    return PagedCall(
        MARGIN,
        "ListCalculations",
        lambda token: margin_service_pb2.ListCalculationsRequest(
            page_size=page_size, page_token=token, account_id=account_id, kind=numbers[kind]
        ),
        lambda m: [read(results.Calculation, c) for c in m.calculations],
    )


def publish_snapshot(
    snapshot: Snapshot, quotes: Quotes, idempotency_key: str | None, *, allow_older: bool
) -> UnaryCall[results.PublishedSnapshot]:
    """Return the call of `MarginClient.publish_snapshot`."""
    key = key_or_new(idempotency_key)
    messages = _write.publication(snapshot, quotes, key, allow_older=allow_older)
    return UnaryCall(
        MARKET,
        "PublishSnapshot",
        messages,
        lambda message: read(results.PublishedSnapshot, message),
        is_long=True,
    )


def list_snapshots(page_size: int) -> PagedCall[results.SnapshotSummary]:
    """Return the listing of `MarginClient.list_snapshots`."""
    return PagedCall(
        MARKET,
        "ListSnapshots",
        lambda token: market_data_service_pb2.ListSnapshotsRequest(
            page_size=page_size, page_token=token
        ),
        lambda m: [read(results.SnapshotSummary, s) for s in m.snapshots],
    )


def get_surface(
    underlying: str, strike_over_forward: Sequence[float], snapshot_id: str
) -> UnaryCall[results.Surface]:
    """Return the call of `MarginClient.get_surface`."""
    request = market_data_service_pb2.GetSurfaceRequest(
        underlying=underlying, snapshot_id=snapshot_id, strike_over_forward=strike_over_forward
    )
    return _unary(MARKET, "GetSurface", request, results.Surface)


def upload_positions(
    positions: AccountPositions, idempotency_key: str | None
) -> UnaryCall[results.UploadedPositions]:
    """Return the call of `MarginClient.upload_positions`."""
    messages = _write.uploads(positions, key_or_new(idempotency_key))
    return UnaryCall(
        PORTFOLIO,
        "UploadPositions",
        messages,
        lambda message: read(results.UploadedPositions, message),
        is_long=True,
    )


def apply_trades(trades: Trades, idempotency_key: str | None) -> UnaryCall[results.AppliedTrades]:
    """Return the call of `MarginClient.apply_trades`."""
    request = portfolio_service_pb2.ApplyTradesRequest(
        idempotency_key=key_or_new(idempotency_key), trades=_write.trades_to_wire(trades)
    )
    return _unary(PORTFOLIO, "ApplyTrades", request, results.AppliedTrades)


def get_portfolio(account_id: str) -> UnaryCall[results.Portfolio]:
    """Return the call of `MarginClient.get_portfolio`."""
    request = portfolio_service_pb2.GetPortfolioRequest(account_id=account_id)
    return _unary(PORTFOLIO, "GetPortfolio", request, results.Portfolio)


def build_scenario_set(
    as_of: datetime | None, on_progress: OnProgress | None
) -> StreamingCall[results.ScenarioSetSummary]:
    """Return the call of `MarginClient.build_scenario_set`."""
    request = scenario_service_pb2.BuildScenarioSetRequest(
        as_of=None if as_of is None else _write.timestamp(as_of, "as_of")
    )
    kind = results.ScenarioSetSummary
    return StreamingCall(
        SCENARIO,
        "BuildScenarioSet",
        request,
        lambda: LastReader(kind, "scenario_set", on_progress),
    )


def list_scenario_sets(page_size: int) -> PagedCall[results.ScenarioSetSummary]:
    """Return the listing of `MarginClient.list_scenario_sets`."""
    return PagedCall(
        SCENARIO,
        "ListScenarioSets",
        lambda token: scenario_service_pb2.ListScenarioSetsRequest(
            page_size=page_size, page_token=token
        ),
        lambda m: [read(results.ScenarioSetSummary, s) for s in m.scenario_sets],
    )


def activate_scenario_set(
    scenarios_id: str, idempotency_key: str | None
) -> UnaryCall[results.ActivatedScenarioSet]:
    """Return the call of `MarginClient.activate_scenario_set`."""
    request = scenario_service_pb2.ActivateScenarioSetRequest(
        scenarios_id=scenarios_id, idempotency_key=key_or_new(idempotency_key)
    )
    return _unary(SCENARIO, "ActivateScenarioSet", request, results.ActivatedScenarioSet)


def get_status() -> UnaryCall[results.ServiceStatus]:
    """Return the call of `MarginClient.get_status`."""
    request = operations_service_pb2.GetStatusRequest()
    return _unary(OPERATIONS, "GetStatus", request, results.ServiceStatus)


def not_ready(status: results.ServiceStatus) -> UnavailableError:
    """Return the error for a service that is not ready, with the reasons in its status."""
    reasons = [*status.problems, *([status.last_fault] if status.last_fault else [])]
    why = f": {'; '.join(reasons)}" if reasons else ""
    return UnavailableError(f"the service is not ready{why}", code="UNAVAILABLE")


def is_ready(status: results.ServiceStatus) -> bool:
    """Return whether the service accepts changes and has a market in use."""
    return status.is_ready and status.generation is not None


def cut_short(request_id: str) -> UnavailableError:
    """Return the error for a stream that ended without its last message."""
    return UnavailableError(
        "the stream ended before its last message", code="UNAVAILABLE", request_id=request_id
    )
