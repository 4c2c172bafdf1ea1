"""Conversions for market_data_service.proto."""

from collections.abc import Mapping
from datetime import UTC, date, datetime

import numpy as np
from margin_protos.v1 import market_data_service_pb2 as pb

from margin_actors.errors import InvalidMarketData, InvalidRequest, Problem, raise_if_any
from margin_actors.market.instruments import Instrument, Kind, instrument_from_name
from margin_actors.market.rates import RateCurve
from margin_actors.market.snapshots import (
    ExpiryForward,
    MarketSnapshot,
    OptionQuotes,
    tenor_years,
)
from margin_actors.market.surfaces import VolatilitySurface, slice_parameters
from margin_actors.numerics.elementary import logarithms
from margin_cluster.gateway.convert.margin_types import (
    check_key,
    time_from_timestamp,
    timestamp_from_time,
)
from margin_cluster.gateway.convert.stream import Ending
from margin_cluster.ledger import SnapshotRecord

OPTIONS_MAX = 200_000
OPTIONS_A_MESSAGE_MAX = 20_000
STRIKES_MAX = 1_000
PRICE_MIN, PRICE_MAX = 1e-6, 1e9
"""Range of index prices and forwards, US dollars."""
QUOTE_MAX = 1e12
"""Largest price, volatility or size of a quote."""
DISCOUNT_MAX = 10.0
"""Largest absolute annual discount rate, a fraction."""
RATE_NODES_MAX = 1_000
_QUOTES = ("bid", "ask", "mark", "mark_vol", "open_interest", "volume")


class SnapshotBuilder:
    """Collects the messages of one stream and builds a snapshot from them."""

    def __init__(self) -> None:
        self.key = ""
        """Idempotency key of the publication; empty for none."""
        self.allow_older = False
        """True if the snapshot may be older than the one in use."""
        self._header: pb.SnapshotHeader | None = None
        self._names: list[str] = []
        self._quotes: dict[str, list[np.ndarray]] = {name: [] for name in _QUOTES}
        self._ages: list[np.ndarray] = []
        self._ending = Ending()

    def add(self, request: pb.PublishSnapshotRequest) -> None:
        """Add one message.

        Raises
        ------
        InvalidRequest
            If the message is out of order or too large, or its columns differ in length.
        """
        problems: list[Problem] = []
        which, number = request.WhichOneof("content"), self._ending.messages
        self._ending.note(request)
        where = f"message {number}"
        if number == 0:
            self.key = check_key(request.idempotency_key, problems, is_required=False)
            self.allow_older = request.allow_older
        if which == "header" and self._header is None and number == 0:
            self._header = request.header
        elif which != "quotes" or self._header is None:
            problems.append(
                Problem(where, f"contains {which or 'nothing'}", "send a header first, then quotes")
            )
        else:
            self._add_quotes(request.quotes, where, problems)
        raise_if_any(problems, InvalidRequest, "the stream is not a snapshot")

    def _add_quotes(
        self, quotes: pb.OptionQuoteColumns, where: str, problems: list[Problem]
    ) -> None:
        count = len(quotes.instrument_name)
        if count > OPTIONS_A_MESSAGE_MAX or len(self._names) + count > OPTIONS_MAX:
            problems.append(
                Problem(
                    where,
                    f"{count:,} options after {len(self._names):,}",
                    f"at most {OPTIONS_A_MESSAGE_MAX:,} per message and {OPTIONS_MAX:,} in total",
                )
            )
            return
        for name in _QUOTES:
            column = np.array(getattr(quotes, name), np.float64)
            if column.size != count:
                problems.append(
                    Problem(f"{where}.{name}", f"{column.size} values", f"{count} names are given")
                )
            self._quotes[name].append(column)
        if quotes.age_seconds and len(quotes.age_seconds) != count:
            what = f"{len(quotes.age_seconds)} values"
            problems.append(Problem(f"{where}.age_seconds", what, f"{count} names are given"))
        self._ages.append(np.array(quotes.age_seconds, np.float64))
        self._names.extend(quotes.instrument_name)

    def snapshot(self, *, origin: str) -> MarketSnapshot:
        """Return the snapshot; `origin` describes its source.

        Raises
        ------
        InvalidRequest
            If there is no header, or no message was marked as the last.
        InvalidMarketData
            If a field is invalid; names every invalid field.
        """
        header = self._header
        if header is None:
            raise InvalidRequest(
                "the stream is not a snapshot",
                [Problem("message 0", "is missing", "send a header first")],
            )
        self._ending.require()
        problems = _header_problems(header)
        time = time_from_timestamp(header.time, "header.time", [])
        expiries: list[ExpiryForward] = []
        for item in header.expiries:
            expiry = time_from_timestamp(item.expiry, "", [])
            years = tenor_years(time, expiry)
            expiries.append(ExpiryForward(item.underlying, expiry, item.forward_usd, years))
        expiries.sort(key=lambda e: (e.underlying, e.expiry))
        options = self._options(
            {(e.underlying, e.expiry): i for i, e in enumerate(expiries)}, problems
        )
        rates = _rates_of(header, problems)
        raise_if_any(problems, InvalidMarketData, "the snapshot cannot be used")
        return MarketSnapshot(
            time=time,
            index_usd={p.underlying: p.price_usd for p in header.index_prices},
            expiries=tuple(expiries),
            options=options,
            is_synthetic=header.is_synthetic,
            origin=origin,
            discount_annual=header.discount_annual,
            perpetual_usd={p.underlying: p.price_usd for p in header.perpetual_prices},
            rates=rates,
        )

    def _options(
        self, index_of: Mapping[tuple[str, datetime | None], int], problems: list[Problem]
    ) -> OptionQuotes:
        parsed: list[Instrument] = []
        expiry_index: list[int] = []
        seen: set[str] = set()
        for number, name in enumerate(self._names):
            where = f"instrument_name[{number}]"
            try:
                item = instrument_from_name(name)
            except ValueError as fault:
                problems.append(Problem(where, str(fault)[:200]))
                continue
            at = index_of.get((item.underlying, item.expiry))
            if item.kind is not Kind.OPTION or name in seen:
                problems.append(Problem(where, f"{name} is not an option, or is repeated"))
            elif at is None:
                problems.append(Problem(where, f"{name}: its expiry is not in the header"))
            seen.add(name)
            parsed.append(item)
            expiry_index.append(-1 if at is None else at)
        values = {
            name: np.concatenate([*columns, np.empty(0)]) for name, columns in self._quotes.items()
        }
        for name, column in values.items():
            bad = np.flatnonzero((column > QUOTE_MAX) | (column < 0))
            remedy = f"give a number from 0 to {QUOTE_MAX:g}, or NaN"
            problems.extend(Problem(f"{name}[{row}]", f"{column[row]}", remedy) for row in bad)
        ages = np.concatenate([*self._ages, np.empty(0)])
        if ages.size not in (0, len(self._names)):
            what = f"{ages.size} values in all messages"
            remedy = f"give none, or one for each of the {len(self._names)} options"
            problems.append(Problem("age_seconds", what, remedy))
        return OptionQuotes(
            names=tuple(self._names),
            expiry_index=np.array(expiry_index, np.int32),
            strike_usd=np.array([i.strike or np.nan for i in parsed], np.float64),
            is_call=np.array([i.is_call for i in parsed], np.bool_),
            is_inverse=np.array([i.is_inverse for i in parsed], np.bool_),
            age_seconds=ages if ages.size else None,
            **values,
        )


def _header_problems(header: pb.SnapshotHeader) -> list[Problem]:
    """Return the problems of a header, field by field."""
    problems: list[Problem] = []
    time = datetime(1970, 1, 1, tzinfo=UTC)
    if header.HasField("time"):
        time = time_from_timestamp(header.time, "header.time", problems)
    else:
        problems.append(Problem("header.time", "is not set", "give the valuation time"))
    if not header.index_prices:
        problems.append(Problem("header.index_prices", "is empty", "give at least one index price"))
    indexed: set[str] = set()
    for number, item in enumerate(header.index_prices):
        where = f"header.index_prices[{number}]"
        if not item.underlying or item.underlying in indexed:
            what = f"{item.underlying!r} is empty or repeated"
            problems.append(Problem(f"{where}.underlying", what, "name each underlying once"))
        indexed.add(item.underlying)
        _require_price(item.price_usd, f"{where}.price_usd", problems)
    _check_perpetuals(header, indexed, problems)
    listed: set[tuple[str, datetime]] = set()
    for number, item in enumerate(header.expiries):
        where = f"header.expiries[{number}]"
        expiry = time_from_timestamp(item.expiry, f"{where}.expiry", problems)
        if item.underlying not in indexed:
            what = f"{item.underlying!r} has no index price"
            problems.append(Problem(f"{where}.underlying", what, "add it to index_prices"))
        if (item.underlying, expiry) in listed:
            problems.append(Problem(where, "is repeated", "give each expiry once"))
        listed.add((item.underlying, expiry))
        if expiry <= time:
            what = f"{expiry:%Y-%m-%d %H:%M} UTC is not after the snapshot's time"
            problems.append(Problem(f"{where}.expiry", what, "leave expired expiries out"))
        _require_price(item.forward_usd, f"{where}.forward_usd", problems)
    if not abs(header.discount_annual) <= DISCOUNT_MAX:
        what, remedy = f"{header.discount_annual}", f"a fraction per year, at most {DISCOUNT_MAX:g}"
        problems.append(Problem("header.discount_annual", what, remedy))
    return problems


def _check_perpetuals(
    header: pb.SnapshotHeader, indexed: set[str], problems: list[Problem]
) -> None:
    given: set[str] = set()
    for number, item in enumerate(header.perpetual_prices):
        where = f"header.perpetual_prices[{number}]"
        if item.underlying not in indexed or item.underlying in given:
            what = f"{item.underlying!r} is repeated or has no index price"
            problems.append(Problem(f"{where}.underlying", what, "name each underlying once"))
        given.add(item.underlying)
        _require_price(item.price_usd, f"{where}.price_usd", problems)


def _rates_of(header: pb.SnapshotHeader, problems: list[Problem]) -> RateCurve | None:
    """Return the rate curve of a header, or None; append what is wrong with it to `problems`."""
    if not header.HasField("rates"):
        return None
    given = header.rates
    if len(given.tenor_years) > RATE_NODES_MAX:
        what = f"{len(given.tenor_years):,} nodes"
        problems.append(Problem("header.rates", what, f"give at most {RATE_NODES_MAX:,}"))
        return None
    try:
        day = date.fromisoformat(given.day)
    except ValueError:
        what = f"{given.day[:40]!r} is not a day"
        problems.append(Problem("header.rates.day", what, "write it as YYYY-MM-DD"))
        return None
    try:
        return RateCurve(day, np.array(given.tenor_years), np.array(given.zero_rate))
    except InvalidMarketData as fault:
        problems.extend(
            Problem("header.rates", problem.what, problem.remedy) for problem in fault.problems
        )
    return None


def _require_price(value: float, where: str, problems: list[Problem]) -> None:
    if not PRICE_MIN <= value <= PRICE_MAX:
        remedy = f"give a price from {PRICE_MIN:g} to {PRICE_MAX:g} US dollars"
        problems.append(Problem(where, f"{value}", remedy))


def snapshot_summary_to_proto(record: SnapshotRecord, current: str) -> pb.SnapshotSummary:
    """Return the wire form of a published snapshot; `current` is the id of the one in use."""
    return pb.SnapshotSummary(
        snapshot_id=record.snapshot_id,
        time=timestamp_from_time(record.time),
        create_time=timestamp_from_time(record.create_time),
        options=record.options,
        is_synthetic=record.is_synthetic,
        is_current=record.snapshot_id == current,
    )


def surface_request_from_proto(request: pb.GetSurfaceRequest) -> tuple[str, str, np.ndarray]:
    """Return (underlying, snapshot id, strikes).

    The strikes are float64 (n_strikes,): K / F, positive and finite; n_strikes may be 0.

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    strikes = np.array(request.strike_over_forward[: STRIKES_MAX + 1], np.float64)
    problems: list[Problem] = []
    if not request.underlying:
        problems.append(Problem("underlying", "is empty", "for example BTC"))
    if strikes.size > STRIKES_MAX:
        problems.append(Problem("strike_over_forward", "too many", f"at most {STRIKES_MAX:,}"))
    bad = np.flatnonzero(~(np.isfinite(strikes) & (strikes > 0)))
    problems += [
        Problem(f"strike_over_forward[{i}]", f"{strikes[i]}", "give a positive number") for i in bad
    ]
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return request.underlying, request.snapshot_id, strikes


def surface_to_proto(
    surface: VolatilitySurface, snapshot_id: str, strikes: np.ndarray
) -> pb.GetSurfaceResponse:
    """Return the wire form of a surface, with annual volatilities (fractions) at some strikes.

    Parameters
    ----------
    surface : VolatilitySurface
    snapshot_id : str
    strikes : float64 (n_strikes,)
        K / F, positive; may be empty, then no volatilities are returned.
    """
    k = logarithms(strikes)[0] if strikes.size else np.empty(0)
    slices = [
        pb.SurfaceSlice(
            expiry=timestamp_from_time(item.expiry),
            tenor_years=item.tenor_years,
            forward_usd=item.forward_usd,
            parameters=slice_parameters(smile),
            volatility=surface.volatility(k, item.tenor_years) if k.size else [],
            quotes=found.quotes,
            quotes_inside=found.inside,
            is_arbitrage_free=found.is_arbitrage_free,
        )
        for item, smile, found in zip(
            surface.expiries, surface.slices, surface.diagnostics, strict=True
        )
    ]
    return pb.GetSurfaceResponse(
        surface_id=surface.id, snapshot_id=snapshot_id, smile=surface.model, slices=slices
    )
