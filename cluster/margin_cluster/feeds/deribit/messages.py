"""Messages of Deribit's JSON-RPC interface, converted into events. Pure.

A message of unexpected form raises ValueError, KeyError or TypeError; see `MALFORMED`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from margin_actors.market.instruments import instrument_from_name
from margin_cluster.feeds.events import (
    FeedEvent,
    FundingRate,
    IndexTick,
    Quote,
    Trade,
    VolatilityTick,
)

MALFORMED = (ValueError, KeyError, TypeError)
"""What conversions raise if a message has an unexpected form."""
Fields: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a connection."""

    kind: Literal["response", "subscription", "test_request", "heartbeat"]
    id: int = 0
    """Number of the request that is answered."""
    channel: str = ""
    """Channel of a subscription."""
    data: object = None
    """Data of a subscription, or result of a request."""
    error_code: int | None = None
    error: str = ""
    """Text of an error; empty for a result."""


def parse_frame(text: str) -> Frame:
    """Return one message of a connection."""
    body = json.loads(text)
    if not isinstance(body, dict):
        raise TypeError("a message is not an object")
    fields = cast("dict[str, object]", body)
    method = fields.get("method")
    if method == "subscription":
        params = _fields(fields["params"])
        return Frame("subscription", channel=_text(params["channel"]), data=params["data"])
    if method == "heartbeat":
        kind = _fields(fields["params"]).get("type")
        return Frame("test_request" if kind == "test_request" else "heartbeat")
    if "error" in fields:
        error = _fields(fields["error"])
        number = fields.get("id")
        return Frame(
            "response",
            id=number if isinstance(number, int) else 0,
            error_code=_whole(error["code"]),
            error=f"{error.get('message')} ({error['code']})",
        )
    if "result" in fields:
        return Frame("response", id=_whole(fields["id"]), data=fields["result"])
    raise ValueError("a message is neither a response nor a notification")


def request_text(number: int, method: str, params: Fields) -> str:
    """Return the text of a request of a public method."""
    return json.dumps(
        {"jsonrpc": "2.0", "id": number, "method": f"public/{method}", "params": dict(params)}
    )


def events_of(source: str, channel: str, data: object) -> list[FeedEvent]:
    """Return the events of one message of a subscription, other than order books.

    Channels that the feed does not know have no events.
    """
    kind = channel.partition(".")[0]
    if kind == "trades":
        return [trade_of(source, _fields(row)) for row in _rows(data)]
    if kind == "deribit_price_index":
        return [_index_tick(source, _fields(data))]
    if kind == "deribit_volatility_index":
        return [_volatility_tick(source, _fields(data))]
    if kind == "ticker":
        return _ticker_events(source, _fields(data))
    return []


def trade_of(source: str, row: Fields) -> Trade:
    """Return a trade, from a channel or from the answer of a request."""
    name = _text(row["instrument_name"])
    price, amount = _positive(row["price"]), _positive(row["amount"])
    # Sizes are US dollars for inverse futures and perpetuals, coins for everything else.
    instrument = instrument_from_name(name)
    in_dollars = instrument.is_inverse and instrument.strike is None
    return Trade(
        source,
        name,
        _whole(row["timestamp"]),
        price,
        amount / price if in_dollars else amount,
        _text(row["trade_id"]),
        _whole(row["trade_seq"]),
    )


def trades_page(source: str, result: object) -> tuple[list[Trade], bool]:
    """Return (trades, whether there are more) from the answer of a request for past trades."""
    fields = _fields(result)
    return [trade_of(source, _fields(row)) for row in _rows(fields["trades"])], bool(
        fields["has_more"]
    )


def volatility_page(source: str, underlying: str, result: object) -> list[VolatilityTick]:
    """Return the ticks of past candles of one minute: open, high, low and close of each.

    The exchange reports no times within a candle; the four values are placed at its start, after 20
    and 40 seconds, and at its end.
    """
    out: list[VolatilityTick] = []
    for row in _rows(_fields(result)["data"]):
        start, *values = cast("Sequence[object]", row)
        if len(values) != 4:
            raise ValueError("a candle does not have four values")
        for offset, value in zip((0, 20_000, 40_000, 59_999), values, strict=True):
            out.append(VolatilityTick(source, underlying, _whole(start) + offset, _positive(value)))
    return out


def funding_page(source: str, underlying: str, result: object) -> list[FundingRate]:
    """Return the hourly funding rates of an answer."""
    return [
        FundingRate(source, underlying, _whole(row["timestamp"]), _number(row["interest_1h"]))
        for row in map(_fields, _rows(result))
    ]


def _index_tick(source: str, data: Fields) -> IndexTick:
    return IndexTick(
        source, _underlying(data["index_name"]), _whole(data["timestamp"]), _positive(data["price"])
    )


def _volatility_tick(source: str, data: Fields) -> VolatilityTick:
    return VolatilityTick(
        source,
        _underlying(data["index_name"]),
        _whole(data["timestamp"]),
        _positive(data["volatility"]),
    )


def _ticker_events(source: str, data: Fields) -> list[FeedEvent]:
    name = _text(data["instrument_name"])
    quote = Quote(
        source,
        name,
        _whole(data["timestamp"]),
        _price_or_nan(data.get("best_bid_price")),
        _price_or_nan(data.get("best_ask_price")),
        _price_or_nan(data.get("mark_price")),
    )
    return [quote]


def _price_or_nan(value: object) -> float:
    """Return a price; NaN for null and for 0, by which the exchange marks an empty side."""
    number = math.nan if value is None else _number(value)
    return number if number > 0.0 else math.nan


def _underlying(index_name: object) -> str:
    name, _, currency = _text(index_name).partition("_")
    if not name or currency != "usd":
        raise ValueError(f"{index_name!r} is not an index in US dollars")
    return name.upper()


def _fields(value: object) -> Fields:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return cast("Fields", value)


def _rows(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return cast("Sequence[object]", value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is not a text")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is not a finite number")
    return float(value)


def _positive(value: object) -> float:
    number = _number(value)
    if not number > 0.0:
        raise ValueError(f"{value!r} is not positive")
    return number
