"""What reservations are for, and what they were priced on."""

from datetime import timedelta
from decimal import Decimal

from clearing_house import MILLION, PERPETUAL, House

from margin_actors.clearing.house.account_events import QuotedTrade
from margin_actors.clearing.house.commands import CancelReservation, PricingBasis, Reserve
from margin_actors.clearing.house.queries import quoted_reservations
from margin_actors.clearing.journal.reservations import Reservation


def funded() -> House:
    house = House().open("a", "b")
    for account in "ab":
        house.deposit(account, MILLION)
    house.cycle({"a": 0, "b": 0})
    return house


def quoted(house: House, quote: str, coins: int, basis: PricingBasis | None) -> Reserve:
    priced = Reservation(quote, 100 * coins, house.now + timedelta(minutes=10))
    trades = (QuotedTrade(PERPETUAL, Decimal(coins)),)
    return Reserve(house.id(), "desk", "a", priced, trades, basis)


def test_the_trades_of_open_reservations_are_known_in_their_order() -> None:
    house = funded()
    for number, quote in enumerate(("q1", "q2", "q3"), 1):
        house.accept(quoted(house, quote, number, None))
    house.accept(CancelReservation(house.id(), "desk", "a", "q2"))
    found = quoted_reservations(house.state, "a")
    assert [one.quote for one, _ in found] == ["q1", "q3"]
    assert [trades[0].quantity for _, trades in found] == [1, 3]
    house.accept(quoted(house, "q4", 4, None))
    assert [one.quote for one in house.state.quotes["a"]] == ["q1", "q3", "q4"]
    assert house.replayed() == house.state


def test_the_trades_survive_a_new_price() -> None:
    house = funded()
    house.accept(quoted(house, "q1", 1, None))
    ((before, _),) = quoted_reservations(house.state, "a")
    house.cycle({"a": 0, "b": 0}, reservations={"a": [Reservation("q1", 500, before.expires_at)]})
    ((after, trades),) = quoted_reservations(house.state, "a")
    assert after.reserved_cents == 500
    assert trades == (QuotedTrade(PERPETUAL, Decimal(1)),)


def test_a_reservation_priced_on_other_reservations_is_refused() -> None:
    house = funded()
    now = house.state.number
    house.accept(quoted(house, "q1", 1, PricingBasis(now, ())))
    assert house.refused(quoted(house, "q2", 1, PricingBasis(now, ()))) == "price_outdated"
    house.accept(quoted(house, "q2", 1, PricingBasis(now, ("q1",))))
    stale = PricingBasis(house.state.number, ("q2", "q1"))
    assert house.refused(quoted(house, "q3", 1, stale)) == "price_outdated"


def test_a_reservation_priced_on_other_positions_is_refused() -> None:
    house = funded()
    read = house.state.number
    house.trade("a", "b", 1)
    house.cycle({"a": 0, "b": 0})
    assert house.refused(quoted(house, "q1", 1, PricingBasis(read, ()))) == "price_outdated"
    house.accept(quoted(house, "q1", 1, PricingBasis(house.state.number, ())))
