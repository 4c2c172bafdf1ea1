"""Conversions for reservation_service.proto and for cleared trades of portfolio_service.proto."""

from margin_protos.v1 import portfolio_service_pb2 as portfolio
from margin_protos.v1 import reservation_service_pb2 as pb

from margin_actors.clearing.house.account_events import QuotedTrade
from margin_actors.clearing.house.commands import CancelReservation
from margin_actors.clearing.journal.reservations import Reservation
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.portfolios import QUANTITY_MAX
from margin_cluster.gateway.bookings import AskedTrade
from margin_cluster.gateway.convert.clearing_types import decimal_from_text, time_from_proto
from margin_cluster.gateway.convert.margin_types import (
    check_id,
    check_key,
    positions_from_proto,
    positions_to_proto,
    timestamp_from_time,
)
from margin_cluster.gateway.reservations import Quote

QUOTED_MAX = 1_000
CLEARED_MAX = 1_000
QUANTITY_DECIMALS, PRICE_DECIMALS = 9, 12
_INVALID = "the request is not valid"


def quote_from_proto(request: pb.ReserveMarginRequest) -> Quote:
    """Return a quoted trade.

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    key = check_key(request.idempotency_key, problems, is_required=True)
    check_id(request.account_id, "account_id", problems)
    check_id(request.quote_id, "quote_id", problems)
    trades = positions_from_proto(request.trades, "trades", problems, limit=QUOTED_MAX)
    if not request.trades:
        problems.append(Problem("trades", "is empty", "give at least one"))
    problems += [Problem("trades", f"the quantity of {n} is 0") for n, q in trades.items() if not q]
    is_set = request.HasField("expire_time")
    expires = time_from_proto(request.expire_time, "expire_time", problems, is_set=is_set)
    raise_if_any(problems, InvalidRequest, _INVALID)
    return Quote(key, request.account_id, request.quote_id, trades, expires)


def cancellation_from_proto(request: pb.CancelReservationRequest, actor: str) -> CancelReservation:
    """Return the command of a cancellation; raises InvalidRequest as `quote_from_proto`."""
    problems: list[Problem] = []
    key = check_key(request.idempotency_key, problems, is_required=True)
    check_id(request.account_id, "account_id", problems)
    check_id(request.quote_id, "quote_id", problems)
    raise_if_any(problems, InvalidRequest, _INVALID)
    return CancelReservation(
        f"cancel-reservation:{key}", actor, request.account_id, request.quote_id
    )


def reservation_to_proto(
    reservation: Reservation, trades: tuple[QuotedTrade, ...]
) -> pb.MarginReservation:
    """Return the wire form of an open reservation."""
    return pb.MarginReservation(
        quote_id=reservation.quote,
        reserved_cents=reservation.reserved_cents,
        expire_time=timestamp_from_time(reservation.expires_at),
        trades=positions_to_proto({t.instrument: float(t.quantity) for t in trades}),
    )


def cleared_trades_from_proto(
    request: portfolio.BookTradesRequest,
) -> tuple[str, list[AskedTrade]]:
    """Return (idempotency key, trades).

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    key = check_key(request.idempotency_key, problems, is_required=True)
    count = len(request.trades)
    if not 1 <= count <= CLEARED_MAX:
        problems.append(Problem("trades", f"{count:,} trades", f"give 1 to {CLEARED_MAX:,}"))
        raise_if_any(problems, InvalidRequest, _INVALID)
    trades = [_cleared(item, f"trades[{n}]", problems) for n, item in enumerate(request.trades)]
    raise_if_any(problems, InvalidRequest, _INVALID)
    return key, trades


def _cleared(item: portfolio.ClearedTrade, where: str, problems: list[Problem]) -> AskedTrade:
    for name in ("trade_id", "buyer_account_id", "seller_account_id"):
        check_id(getattr(item, name), f"{where}.{name}", problems)
    for name in ("buyer_quote_id", "seller_quote_id"):
        if getattr(item, name):
            check_id(getattr(item, name), f"{where}.{name}", problems)
    _check_instrument(item.instrument_name, f"{where}.instrument_name", problems)
    at = f"{where}.quantity"
    quantity = decimal_from_text(item.quantity, at, problems, decimals_max=QUANTITY_DECIMALS)
    if not 0 < quantity <= QUANTITY_MAX:
        remedy = f"positive, at most {QUANTITY_MAX:g}"
        problems.append(Problem(at, f"{item.quantity[:40]!r}", remedy))
    price = None
    if item.price:
        at = f"{where}.price"
        price = decimal_from_text(item.price, at, problems, decimals_max=PRICE_DECIMALS)
    return AskedTrade(
        item.trade_id,
        item.instrument_name,
        item.buyer_account_id,
        item.seller_account_id,
        quantity,
        price,
        item.buyer_quote_id,
        item.seller_quote_id,
    )


def _check_instrument(name: str, where: str, problems: list[Problem]) -> None:
    try:
        kind = instrument_from_name(name).kind
    except ValueError as error:
        problems.append(Problem(where, str(error), "correct the name"))
        return
    if kind is Kind.SPOT:
        problems.append(Problem(where, f"{name} is an asset", "deposit it as collateral"))
