"""Books, ticks and sums for the tests of settlement."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st

from margin_actors.clearing.settlement import (
    Cutoff,
    Decision,
    DeliveryPrice,
    IndexTick,
    PositionChange,
    SettlementEvent,
    contract_from_name,
    delivery_price,
)
from margin_actors.clearing.settlement.parameters import DeliveryParameters, SettlementParameters
from margin_actors.market.instruments import Kind

EXPIRY = datetime(2026, 6, 26, 8, tzinfo=UTC)
DAY = datetime(2026, 3, 2, 8, tzinfo=UTC)
RULES = SettlementParameters().id
TWO_PEOPLE = Decision("ada", "ben", "checked against two venues", EXPIRY + timedelta(minutes=20))

INVERSE, LINEAR = "BTC-PERPETUAL", "BTC_USDC-PERPETUAL"


def change(
    account: str,
    instrument: str,
    quantity: Decimal | int | str,
    base: Decimal | int | str,
    time: datetime = DAY - timedelta(hours=4),
) -> PositionChange:
    """Return a change of a position; `base` is left out for options."""
    price = None if contract_from_name(instrument).kind is Kind.OPTION else Decimal(base)
    return PositionChange(account, instrument, Decimal(quantity), price, time)


def sides(
    instrument: str,
    quantity: Decimal | int | str,
    base: Decimal | int | str,
    *,
    buyer: str = "long",
    seller: str = "short",
    time: datetime = DAY - timedelta(hours=4),
) -> list[PositionChange]:
    """Return the position changes of both sides of a trade."""
    amount = Decimal(quantity)
    return [
        change(buyer, instrument, amount, base, time),
        change(seller, instrument, -amount, base, time),
    ]


def cutoff(time: datetime = DAY, *, version: int = 1) -> Cutoff:
    return Cutoff(time, 17, version)


def cash(events: Iterable[SettlementEvent]) -> Mapping[str, int]:
    """Return the units that each account receives."""
    sums: dict[str, int] = defaultdict(int)
    for event in events:
        for entry in event.entries:
            sums[entry.account] += entry.units
    return {account: units for account, units in sums.items() if units}


def moves(events: Iterable[SettlementEvent]) -> list[PositionChange]:
    return [moved for event in events for moved in event.changes]


def steady(price: Decimal | int | str, *, expiry: datetime = EXPIRY) -> list[IndexTick]:
    """Return one index value per minute of the averaging window."""
    start = expiry - timedelta(minutes=30)
    return [IndexTick(start + timedelta(minutes=k), Decimal(price)) for k in range(30)]


def final(
    price: Decimal | int | str, *, underlying: str = "BTC", expiry: datetime = EXPIRY
) -> DeliveryPrice:
    ticks = steady(price, expiry=expiry)
    return delivery_price(underlying, expiry, ticks, DeliveryParameters(), RULES)


fewer = settings(max_examples=30)
"""For laws whose examples are whole books."""
prices = st.decimals(100, 200_000, places=2)
quantities = st.decimals(Decimal("0.01"), 1_000_000, places=2)


@st.composite
def books(draw: st.DrawFn, instrument: str) -> list[PositionChange]:
    """Return the changes of a balanced book, one pair per trade, at times before `DAY`."""
    held: list[PositionChange] = []
    for _ in range(draw(st.integers(1, 8))):
        buyer, seller = draw(st.permutations(["a", "b", "c", "d", "e"]))[:2]
        minutes = draw(st.integers(0, 60 * 24))
        held += sides(
            instrument,
            draw(quantities),
            draw(prices),
            buyer=buyer,
            seller=seller,
            time=DAY - timedelta(minutes=minutes),
        )
    return held
