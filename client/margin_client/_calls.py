"""Every call before it is sent: its method, its messages, and how the answer is read.

Nothing here sends or waits, so that both clients share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import uuid4

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
from margin_client._read import BookReader, LastReader, read
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


class Folding(Protocol[T_co]):
    """Collects the messages of a stream."""

    def add(self, message: Any) -> None:
        """Take one message."""
        ...

    def result(self) -> T_co | None:
        """Return the result, or None if the stream ended too early."""
        ...


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """A call with one answer."""

    service: type[Any]
    method: str
    request: Callable[[], Any]
    """Makes the message, or the messages of a stream, for one attempt."""
    read: Callable[[Any], T]
    is_long: bool = False


@dataclass(frozen=True, slots=True)
class Followed(Generic[T]):
    """A call whose answer is a stream of messages."""

    service: type[Any]
    method: str
    request: Any
    fold: Callable[[], Folding[T]]


@dataclass(frozen=True, slots=True)
class Paged(Generic[T]):
    """A listing, read page by page."""

    service: type[Any]
    method: str
    request: Callable[[str], Any]
    """Makes the message for a page's token."""
    read: Callable[[Any], list[T]]

    def page(self, token: str) -> Asked[tuple[list[T], str]]:
        """Return the call for one page."""
        return Asked(
            self.service,
            self.method,
            lambda: self.request(token),
            lambda m: (self.read(m), m.next_page_token),
        )


def _asked(service: type[Any], method: str, request: Any, kind: type[T]) -> Asked[T]:
    return Asked(service, method, lambda: request, lambda message: read(kind, message))


def key_or_new(key: str | None) -> str:
    """Return the caller's idempotency key, or a new one."""
    return uuid4().hex if key is None else key


def calculate_margin(
    account_id: str | None,
    portfolio: Quantities | None,
    snapshot_id: str,
    idempotency_key: str | None,
) -> Asked[results.MarginResult]:
    """See the clients."""
    request = margin_service_pb2.CalculateMarginRequest(
        snapshot_id=snapshot_id,
        idempotency_key=key_or_new(idempotency_key),
        **_write.subject(account_id, portfolio),
    )
    return _asked(MARGIN, "CalculateMargin", request, results.MarginResult)


def calculate_book(
    account_ids: Iterable[str],
    member_ids: Iterable[str],
    snapshot_id: str,
    idempotency_key: str | None,
    on_progress: OnProgress | None,
) -> Followed[results.BookResult]:
    """See the clients."""
    request = margin_service_pb2.CalculateBookRequest(
        account_ids=list(account_ids),
        member_ids=list(member_ids),
        snapshot_id=snapshot_id,
        idempotency_key=key_or_new(idempotency_key),
    )
    return Followed(MARGIN, "CalculateBook", request, lambda: BookReader(on_progress))


def simulate_margin(
    account_id: str | None,
    portfolio: Quantities | None,
    trades: Quantities | None,
    candidates: Iterable[Candidate] | None,
    snapshot_id: str,
) -> Asked[results.Simulation]:
    """See the clients."""
    request = margin_service_pb2.SimulateMarginRequest(
        candidates=_write.candidates(trades, candidates),
        snapshot_id=snapshot_id,
        **_write.subject(account_id, portfolio),
    )
    return _asked(MARGIN, "SimulateMargin", request, results.Simulation)


def explain_margin(
    account_id: str | None,
    portfolio: Quantities | None,
    scenarios_max: int,
    traced_scenario: int | None,
    snapshot_id: str,
) -> Asked[results.Explanation]:
    """See the clients."""
    request = margin_service_pb2.ExplainMarginRequest(
        scenarios_max=scenarios_max,
        traced_scenario=traced_scenario,
        snapshot_id=snapshot_id,
        **_write.subject(account_id, portfolio),
    )
    return _asked(MARGIN, "ExplainMargin", request, results.Explanation)


def get_calculation(
    calculation_id: str, account_ids: Sequence[str]
) -> Asked[results.CalculationDetail]:
    """See the clients."""
    request = margin_service_pb2.GetCalculationRequest(
        calculation_id=calculation_id, account_ids=account_ids
    )
    return _asked(MARGIN, "GetCalculation", request, results.CalculationDetail)


def list_calculations(
    account_id: str, kind: CalculationKind | None, page_size: int
) -> Paged[results.Calculation]:
    """See the clients."""
    numbers: dict[CalculationKind | None, Any] = {
        None: 0,
        CalculationKind.ACCOUNT: 1,
        CalculationKind.BOOK: 2,
    }
    if kind not in numbers:
        raise ValueError(f"kind: {kind} cannot be asked for")
    return Paged(
        MARGIN,
        "ListCalculations",
        lambda token: margin_service_pb2.ListCalculationsRequest(
            page_size=page_size, page_token=token, account_id=account_id, kind=numbers[kind]
        ),
        lambda m: [read(results.Calculation, c) for c in m.calculations],
    )


def publish_snapshot(
    snapshot: Snapshot, quotes: Quotes, idempotency_key: str | None, *, allow_older: bool
) -> Asked[results.PublishedSnapshot]:
    """See the clients."""
    key = key_or_new(idempotency_key)
    messages = _write.publication(snapshot, quotes, key, allow_older=allow_older)
    return Asked(
        MARKET,
        "PublishSnapshot",
        messages,
        lambda message: read(results.PublishedSnapshot, message),
        is_long=True,
    )


def list_snapshots(page_size: int) -> Paged[results.SnapshotSummary]:
    """See the clients."""
    return Paged(
        MARKET,
        "ListSnapshots",
        lambda token: market_data_service_pb2.ListSnapshotsRequest(
            page_size=page_size, page_token=token
        ),
        lambda m: [read(results.SnapshotSummary, s) for s in m.snapshots],
    )


def get_surface(
    underlying: str, strike_over_forward: Sequence[float], snapshot_id: str
) -> Asked[results.Surface]:
    """See the clients."""
    request = market_data_service_pb2.GetSurfaceRequest(
        underlying=underlying, snapshot_id=snapshot_id, strike_over_forward=strike_over_forward
    )
    return _asked(MARKET, "GetSurface", request, results.Surface)


def upload_positions(
    positions: AccountPositions, idempotency_key: str | None
) -> Asked[results.UploadedPositions]:
    """See the clients."""
    messages = _write.uploads(positions, key_or_new(idempotency_key))
    return Asked(
        PORTFOLIO,
        "UploadPositions",
        messages,
        lambda message: read(results.UploadedPositions, message),
        is_long=True,
    )


def apply_trades(trades: Trades, idempotency_key: str | None) -> Asked[results.AppliedTrades]:
    """See the clients."""
    request = portfolio_service_pb2.ApplyTradesRequest(
        idempotency_key=key_or_new(idempotency_key), trades=_write.trades_to_wire(trades)
    )
    return _asked(PORTFOLIO, "ApplyTrades", request, results.AppliedTrades)


def get_portfolio(account_id: str) -> Asked[results.Portfolio]:
    """See the clients."""
    request = portfolio_service_pb2.GetPortfolioRequest(account_id=account_id)
    return _asked(PORTFOLIO, "GetPortfolio", request, results.Portfolio)


def build_scenario_set(
    as_of: datetime | None, on_progress: OnProgress | None
) -> Followed[results.ScenarioSetSummary]:
    """See the clients."""
    request = scenario_service_pb2.BuildScenarioSetRequest(
        as_of=None if as_of is None else _write.timestamp(as_of, "as_of")
    )
    kind = results.ScenarioSetSummary
    return Followed(
        SCENARIO,
        "BuildScenarioSet",
        request,
        lambda: LastReader(kind, "scenario_set", on_progress),
    )


def list_scenario_sets(page_size: int) -> Paged[results.ScenarioSetSummary]:
    """See the clients."""
    return Paged(
        SCENARIO,
        "ListScenarioSets",
        lambda token: scenario_service_pb2.ListScenarioSetsRequest(
            page_size=page_size, page_token=token
        ),
        lambda m: [read(results.ScenarioSetSummary, s) for s in m.scenario_sets],
    )


def activate_scenario_set(
    scenarios_id: str, idempotency_key: str | None
) -> Asked[results.ActivatedScenarioSet]:
    """See the clients."""
    request = scenario_service_pb2.ActivateScenarioSetRequest(
        scenarios_id=scenarios_id, idempotency_key=key_or_new(idempotency_key)
    )
    return _asked(SCENARIO, "ActivateScenarioSet", request, results.ActivatedScenarioSet)


def get_status() -> Asked[results.ServiceStatus]:
    """See the clients."""
    request = operations_service_pb2.GetStatusRequest()
    return _asked(OPERATIONS, "GetStatus", request, results.ServiceStatus)


def not_ready(status: results.ServiceStatus) -> UnavailableError:
    """Return the error of a service that is not ready, with the reasons that it gives."""
    reasons = [*status.problems, *([status.last_fault] if status.last_fault else [])]
    why = f": {'; '.join(reasons)}" if reasons else ""
    return UnavailableError(f"the service is not ready{why}", code="UNAVAILABLE")


def is_ready(status: results.ServiceStatus) -> bool:
    """Return whether the service accepts changes and has a market to answer from."""
    return status.is_ready and status.generation is not None


def cut_short(request_id: str) -> UnavailableError:
    """Return the error of a stream that ended without its last message."""
    return UnavailableError(
        "the stream ended before its last message", code="UNAVAILABLE", request_id=request_id
    )
