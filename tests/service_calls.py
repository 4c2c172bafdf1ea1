"""Calls through the generated stubs, for requests that the client library would not send."""

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from margin_protos.v1 import (
    margin_service_pb2,
    margin_service_pb2_grpc,
    margin_types_pb2,
    market_data_service_pb2,
    market_data_service_pb2_grpc,
    operations_service_pb2,
    operations_service_pb2_grpc,
    portfolio_service_pb2,
    portfolio_service_pb2_grpc,
    scenario_service_pb2,
    scenario_service_pb2_grpc,
)

from margin_actors.market.snapshots import MarketSnapshot

TIMEOUT = 60.0


class Service:
    """All stubs on one separate channel."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])
        self.margin = margin_service_pb2_grpc.MarginServiceStub(self.channel)
        self.market = market_data_service_pb2_grpc.MarketDataServiceStub(self.channel)
        self.portfolio = portfolio_service_pb2_grpc.PortfolioServiceStub(self.channel)
        self.scenario = scenario_service_pb2_grpc.ScenarioServiceStub(self.channel)
        self.operations = operations_service_pb2_grpc.OperationsServiceStub(self.channel)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def status(self) -> operations_service_pb2.GetStatusResponse:
        request = operations_service_pb2.GetStatusRequest()
        return self.operations.GetStatus(request, timeout=TIMEOUT)

    def trade(
        self, account: str, instrument: str, quantity: float, key: str, member: str = ""
    ) -> portfolio_service_pb2.ApplyTradesResponse:
        return self.trades([(account, instrument, quantity)], key, member)

    def trades(
        self, items: Sequence[tuple[str, str, float]], key: str, member: str = ""
    ) -> portfolio_service_pb2.ApplyTradesResponse:
        trades = [
            portfolio_service_pb2.Trade(
                account_id=a, member_id=member, instrument_name=i, quantity=q
            )
            for a, i, q in items
        ]
        request = portfolio_service_pb2.ApplyTradesRequest(idempotency_key=key, trades=trades)
        return self.portfolio.ApplyTrades(request, timeout=TIMEOUT)

    def held(self, account: str) -> dict[str, float]:
        request = portfolio_service_pb2.GetPortfolioRequest(account_id=account)
        answer = self.portfolio.GetPortfolio(request, timeout=TIMEOUT)
        return {p.instrument_name: p.quantity for p in answer.positions}

    def upload(
        self, rows: Iterable[tuple[str, str, str, float]], key: str = ""
    ) -> portfolio_service_pb2.UploadPositionsResponse:
        """Upload rows of (member, account, instrument, quantity)."""
        rows = list(rows)
        owners = {account: member for member, account, _, _ in rows}
        accounts, names = list(owners), list(dict.fromkeys(name for _, _, name, _ in rows))
        columns = margin_types_pb2.PositionColumns(
            account_ids=accounts,
            member_ids=[owners[a] for a in accounts],
            instrument_names=names,
            account=[accounts.index(a) for _, a, _, _ in rows],
            instrument=[names.index(n) for _, _, n, _ in rows],
            quantity=[q for _, _, _, q in rows],
        )
        request = portfolio_service_pb2.UploadPositionsRequest(
            idempotency_key=key, positions=columns, is_last=True
        )
        return self.portfolio.UploadPositions(iter([request]), timeout=TIMEOUT)

    def publish(
        self, snapshot: MarketSnapshot, *, key: str = "", allow_older: bool = False, **call: Any
    ) -> market_data_service_pb2.PublishSnapshotResponse:
        messages = snapshot_messages(snapshot)
        messages[0].idempotency_key, messages[0].allow_older = key, allow_older
        return self.market.PublishSnapshot(iter(messages), timeout=TIMEOUT, **call)

    def activate(
        self, scenarios_id: str, *, key: str = "", **call: Any
    ) -> scenario_service_pb2.ActivateScenarioSetResponse:
        request = scenario_service_pb2.ActivateScenarioSetRequest(
            scenarios_id=scenarios_id, idempotency_key=key
        )
        return self.scenario.ActivateScenarioSet(request, timeout=TIMEOUT, **call)

    def margin_of(
        self, account: str, *, snapshot_id: str = "", key: str = "", **call: Any
    ) -> margin_service_pb2.CalculateMarginResponse:
        request = margin_service_pb2.CalculateMarginRequest(
            account_id=account, snapshot_id=snapshot_id, idempotency_key=key
        )
        return self.margin.CalculateMargin(request, timeout=TIMEOUT, **call)

    def book(
        self, *, snapshot_id: str = "", timeout: float = TIMEOUT, **fields: Any
    ) -> "BookAnswer":
        request = margin_service_pb2.CalculateBookRequest(snapshot_id=snapshot_id, **fields)
        found = BookAnswer()
        for message in self.margin.CalculateBook(request, timeout=timeout):
            found.add(message)
        return found


class BookAnswer:
    """The messages of a book calculation, collected by kind of content."""

    def __init__(self) -> None:
        self.margins: dict[str, float] = {}
        self.expired: dict[str, int] = {}
        self.failures: dict[str, margin_types_pb2.AccountFailure] = {}
        self.summary = margin_service_pb2.BookSummary()
        self.generation = margin_types_pb2.Generation()

    def add(self, message: margin_service_pb2.CalculateBookResponse) -> None:
        which = message.WhichOneof("content")
        if which == "batch":
            b = message.batch
            self.margins |= dict(zip(b.account_id, b.initial_margin_usd, strict=True))
            self.expired |= dict(zip(b.account_id, b.expired_positions, strict=True))
        elif which == "failures":
            self.failures |= {f.account_id: f for f in message.failures.failures}
        elif which == "summary":
            self.summary = message.summary
        elif which == "generation":
            self.generation = message.generation


def snapshot_messages(
    snapshot: MarketSnapshot,
) -> list[market_data_service_pb2.PublishSnapshotRequest]:
    """Return the messages that publish a snapshot."""
    pb, o = market_data_service_pb2, snapshot.options
    header = pb.SnapshotHeader(
        index_prices=[
            pb.IndexPrice(underlying=u, price_usd=p) for u, p in snapshot.index_usd.items()
        ],
        discount_annual=snapshot.discount_annual,
        is_synthetic=snapshot.is_synthetic,
    )
    header.time.FromDatetime(snapshot.time.replace(tzinfo=None))
    for item in snapshot.expiries:
        forward = header.expiries.add(underlying=item.underlying, forward_usd=item.forward_usd)
        forward.expiry.FromDatetime(item.expiry.replace(tzinfo=None))
    quotes = pb.OptionQuoteColumns(
        instrument_name=o.names,
        bid=o.bid,
        ask=o.ask,
        mark=o.mark,
        mark_vol=o.mark_vol,
        open_interest=o.open_interest,
        volume=o.volume,
    )
    return [
        pb.PublishSnapshotRequest(header=header),
        pb.PublishSnapshotRequest(quotes=quotes, is_last=True),
    ]


def violations_of(fault: grpc.RpcError) -> dict[str, str]:
    """Return the descriptions of an error's violations, by field or subject."""
    raw = dict(fault.trailing_metadata())["grpc-status-details-bin"]
    out: dict[str, str] = {}
    for item in status_pb2.Status.FromString(raw).details:
        bad = error_details_pb2.BadRequest()
        if item.Unpack(bad):
            out |= {v.field: v.description for v in bad.field_violations}
        missing = error_details_pb2.PreconditionFailure()
        if item.Unpack(missing):
            out |= {v.subject: v.description for v in missing.violations}
    return out
