"""Conversion of the arguments of calls to protobuf messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, TypedDict, TypeVar, cast

from google.protobuf.timestamp_pb2 import Timestamp
from margin_protos.v1 import margin_service_pb2, margin_types_pb2, market_data_service_pb2
from margin_protos.v1 import portfolio_service_pb2 as portfolio_pb

from margin_client import _tables
from margin_client.values import (
    AccountPosition,
    Candidate,
    Forward,
    OptionQuote,
    Position,
    Snapshot,
    Trade,
)

if TYPE_CHECKING:
    import pandas as pd

Quantities: TypeAlias = "Mapping[str, float] | Iterable[Position] | pd.DataFrame"
"""Quantity by instrument name, positions, or a table with columns instrument_name and quantity.
Quantities are signed as `Position.quantity`."""
AccountPositions: TypeAlias = "Iterable[AccountPosition] | pd.DataFrame"
"""Positions of accounts, or a table whose columns are the fields of AccountPosition."""
Trades: TypeAlias = "Iterable[Trade] | pd.DataFrame"
"""Trades, or a table whose columns are the fields of Trade; member_id is optional."""
Quotes: TypeAlias = "Iterable[OptionQuote] | pd.DataFrame"
"""Quotes, or a table whose columns are the fields of OptionQuote, all optional except
instrument_name."""

T = TypeVar("T")
POSITION_ROWS = 100_000
QUOTE_ROWS = 20_000
_NUMBERS = ("bid", "ask", "mark", "mark_vol", "open_interest", "volume")
_AGE = "age_seconds"
"""Column that is sent only if at least one age is known."""


def timestamp(time: datetime, what: str) -> Timestamp:
    """Return a protobuf timestamp.

    Raises
    ------
    ValueError
        If the time has no timezone, since it would then depend on the machine.
    """
    if time.tzinfo is None:
        raise ValueError(f"{what}: {time} has no timezone; use datetime(..., tzinfo=UTC)")
    stamp = Timestamp()
    stamp.FromDatetime(time.astimezone(UTC).replace(tzinfo=None))
    return stamp


def positions(quantities: Quantities, what: str) -> list[margin_types_pb2.Position]:
    """Return protobuf positions in the given order.

    Raises
    ------
    ValueError
        If a quantity is not a number, or a table lacks a column.
    """
    if _tables.is_frame(quantities):
        names, amounts = _tables.columns_of(quantities, ("instrument_name", "quantity"), what)
        pairs: Iterable[tuple[str, float]] = zip(names.tolist(), amounts.tolist(), strict=True)
    elif isinstance(quantities, Mapping):
        pairs = cast("Mapping[str, float]", quantities).items()
    else:
        pairs = ((p.instrument_name, p.quantity) for p in quantities)
    return [
        margin_types_pb2.Position(instrument_name=n, quantity=_number(q, f"{what}: {n}: quantity"))
        for n, q in pairs
    ]


def _number(value: float, field: str) -> float:
    """Return the value; raises ValueError, naming the field, if it is text or a truth value."""
    if isinstance(value, (str, bytes, bool)):
        kind = type(value).__name__
        raise ValueError(f"{field} is {value!r}, a {kind}; give a number")
    return value


class SubjectField(TypedDict, total=False):
    """The one field of a request that selects what to margin."""

    account_id: str
    portfolio: margin_types_pb2.Portfolio


def subject(account_id: str | None, portfolio: Quantities | None) -> SubjectField:
    """Return the request field that selects the account or portfolio to margin.

    Raises
    ------
    ValueError
        Unless exactly one of the two is given.
    """
    if (account_id is None) == (portfolio is None):
        raise ValueError("give either account_id or portfolio")
    if portfolio is not None:
        held = positions(portfolio, "portfolio")
        return {"portfolio": margin_types_pb2.Portfolio(positions=held)}
    assert account_id is not None
    return {"account_id": account_id}


def candidates(
    trades: Quantities | None,
    several: Iterable[Candidate] | None,
) -> list[margin_service_pb2.Candidate]:
    """Return protobuf candidates: one for `trades`, or those in `several`.

    Raises
    ------
    ValueError
        Unless exactly one of the two is given.
    """
    if (trades is None) == (several is None):
        raise ValueError("give either trades or candidates")
    if trades is not None:
        return [margin_service_pb2.Candidate(trades=positions(trades, "trades"))]
    return [
        margin_service_pb2.Candidate(
            candidate_id=c.candidate_id, trades=positions(c.trades, "candidates")
        )
        for c in several or ()
    ]


def trades_to_wire(trades: Trades) -> list[portfolio_pb.Trade]:
    """Return protobuf trades in the given order."""
    if not _tables.is_frame(trades):
        rows = ((t.account_id, t.member_id, t.instrument_name, t.quantity) for t in trades)
    else:
        names = ["account_id", "instrument_name", "quantity"]
        accounts, instruments, amounts = _tables.columns_of(trades, names, "trades")
        has_members = "member_id" in trades
        members = (
            _tables.columns_of(trades, ["member_id"], "trades")[0].fillna("").tolist()
            if has_members
            else [""] * len(accounts)
        )
        rows = zip(accounts.tolist(), members, instruments.tolist(), amounts.tolist(), strict=True)
    return [
        portfolio_pb.Trade(
            account_id=a,
            member_id=m,
            instrument_name=n,
            quantity=_number(q, f"trades: {n}: quantity"),
        )
        for a, m, n, q in rows
    ]


def uploads(
    rows: AccountPositions, key: str
) -> Callable[[], Iterator[portfolio_pb.UploadPositionsRequest]]:
    """Return a function that yields the messages of an upload, to be called for each attempt.

    A table or a sequence is split into chunks while it is sent; any other iterable is first read
    into memory.

    Raises
    ------
    ValueError
        If a table lacks a column.
    """
    if _tables.is_frame(rows):
        frame = rows
        names = ["account_id", "member_id", "instrument_name", "quantity"]
        _tables.columns_of(frame, names, "positions")  # raises before the call begins

        def chunks() -> Iterator[margin_types_pb2.PositionColumns]:
            for part in _tables.chunks_of(frame, POSITION_ROWS):
                yield _columns_of_frame(part, names)
    else:
        kept: Sequence[AccountPosition] = rows if isinstance(rows, Sequence) else list(rows)

        def chunks() -> Iterator[margin_types_pb2.PositionColumns]:
            for part in _parts(kept, POSITION_ROWS):
                yield _columns_of_rows(part)

    def messages() -> Iterator[portfolio_pb.UploadPositionsRequest]:
        for number, (columns, is_last) in enumerate(_with_end(chunks())):
            yield portfolio_pb.UploadPositionsRequest(
                idempotency_key=key if number == 0 else "", positions=columns, is_last=is_last
            )

    return messages


def _columns_of_frame(part: pd.DataFrame, names: list[str]) -> margin_types_pb2.PositionColumns:
    accounts, members, instruments, amounts = _tables.columns_of(part, names, "positions")
    account, account_ids = _tables.codes_and_categories(accounts)
    instrument, instrument_names = _tables.codes_and_categories(instruments)
    # The member of an account is taken from its first row; the other rows must agree.
    first = ~accounts.duplicated().to_numpy()
    member_ids = members.to_numpy()[first].tolist()
    expected = [member_ids[code] for code in account]
    given = members.tolist()
    if expected != given:
        row = next(i for i, member in enumerate(given) if member != expected[i])
        raise ValueError(f"positions: account {accounts.iloc[row]} has more than one member")
    return margin_types_pb2.PositionColumns(
        account_ids=account_ids,
        member_ids=member_ids,
        instrument_names=instrument_names,
        account=account,
        instrument=instrument,
        quantity=amounts.tolist(),
    )


def _columns_of_rows(part: Sequence[AccountPosition]) -> margin_types_pb2.PositionColumns:
    accounts: dict[str, int] = {}
    members: list[str] = []
    instruments: dict[str, int] = {}
    for row in part:
        place = accounts.setdefault(row.account_id, len(accounts))
        if place == len(members):
            members.append(row.member_id)
        elif members[place] != row.member_id:
            raise ValueError(f"positions: account {row.account_id} has more than one member")
        instruments.setdefault(row.instrument_name, len(instruments))
    return margin_types_pb2.PositionColumns(
        account_ids=list(accounts),
        member_ids=members,
        instrument_names=list(instruments),
        account=[accounts[row.account_id] for row in part],
        instrument=[instruments[row.instrument_name] for row in part],
        quantity=[
            _number(row.quantity, f"positions: {row.instrument_name}: quantity") for row in part
        ],
    )


def publication(
    snapshot: Snapshot, quotes: Quotes, key: str, *, allow_older: bool
) -> Callable[[], Iterator[market_data_service_pb2.PublishSnapshotRequest]]:
    """Return a function that yields the messages of a publication, to be called for each attempt.

    Raises
    ------
    ValueError
        If a time has no timezone, or a table lacks the column instrument_name.
    """
    pb = market_data_service_pb2
    header = pb.SnapshotHeader(
        time=timestamp(snapshot.time, "snapshot.time"),
        index_prices=[
            pb.IndexPrice(underlying=u, price_usd=p) for u, p in snapshot.index_prices.items()
        ],
        expiries=[_forward(item) for item in snapshot.forwards],
        discount_annual=snapshot.discount_annual,
        is_synthetic=snapshot.is_synthetic,
        perpetual_prices=[
            pb.IndexPrice(underlying=u, price_usd=p) for u, p in snapshot.perpetual_prices.items()
        ],
        rates=None
        if snapshot.rates is None
        else pb.RateCurve(
            day=snapshot.rates.day.isoformat(),
            tenor_years=snapshot.rates.tenor_years,
            zero_rate=snapshot.rates.zero_rate,
        ),
    )
    if _tables.is_frame(quotes):
        frame = quotes
        _tables.columns_of(frame, ["instrument_name"], "quotes")

        def chunks() -> Iterator[market_data_service_pb2.OptionQuoteColumns]:
            for part in _tables.chunks_of(frame, QUOTE_ROWS):
                yield _quotes_of_frame(part)
    else:
        kept: Sequence[OptionQuote] = quotes if isinstance(quotes, Sequence) else list(quotes)
        numbers = _NUMBERS
        if any(q.age_seconds == q.age_seconds for q in kept):  # not NaN
            numbers = (*_NUMBERS, _AGE)

        def chunks() -> Iterator[market_data_service_pb2.OptionQuoteColumns]:
            for part in _parts(kept, QUOTE_ROWS):
                yield pb.OptionQuoteColumns(
                    instrument_name=[q.instrument_name for q in part],
                    **{name: [getattr(q, name) for q in part] for name in numbers},
                )

    def messages() -> Iterator[market_data_service_pb2.PublishSnapshotRequest]:
        yield pb.PublishSnapshotRequest(header=header, idempotency_key=key, allow_older=allow_older)
        for columns, is_last in _with_end(chunks()):
            yield pb.PublishSnapshotRequest(quotes=columns, is_last=is_last)

    return messages


def _forward(item: Forward) -> market_data_service_pb2.ExpiryForward:
    return market_data_service_pb2.ExpiryForward(
        underlying=item.underlying,
        expiry=timestamp(item.expiry, "forward.expiry"),
        forward_usd=item.forward_usd,
    )


def _quotes_of_frame(part: pd.DataFrame) -> market_data_service_pb2.OptionQuoteColumns:
    (names,) = _tables.columns_of(part, ["instrument_name"], "quotes")
    numbers: dict[str, list[float]] = {}
    for name in _NUMBERS:
        absent = 0.0 if name in ("open_interest", "volume") else float("nan")
        numbers[name] = part[name].tolist() if name in part else [absent] * len(part)
    if _AGE in part:
        numbers[_AGE] = part[_AGE].tolist()
    return market_data_service_pb2.OptionQuoteColumns(instrument_name=names.tolist(), **numbers)


def _with_end(items: Iterator[T]) -> Iterator[tuple[T, bool]]:
    """Yield (item, whether it is the last); `items` must not be empty."""
    waiting = next(items)
    for item in items:
        yield waiting, False
        waiting = item
    yield waiting, True


def _parts(rows: Sequence[T], size: int) -> Iterator[list[T]]:
    """Yield chunks of at most `size` rows; one empty list if there are no rows."""
    source = iter(rows)
    yield list(islice(source, size))
    while part := list(islice(source, size)):
        yield part
