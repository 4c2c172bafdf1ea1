"""Trades, reservations and what they leave in the state."""

from datetime import timedelta
from decimal import Decimal

import pytest
from clearing_house import MILLION, PERPETUAL, House

from margin_actors.clearing.house import fold
from margin_actors.clearing.house.commands import (
    BookTrades,
    CancelReservation,
    ListContract,
    Reserve,
    TradeBooking,
)
from margin_actors.clearing.house.queries import headroom, quantities, resources_of
from margin_actors.clearing.house.valuing import reserved_cents
from margin_actors.clearing.journal import MARGIN, AccountKind
from margin_actors.clearing.journal.reservations import Execution, Reservation, open_reservations
from margin_actors.clearing.settlement import Trade
from margin_actors.errors import KeyReused


def funded() -> House:
    house = House().open("a", "b")
    house.deposit("a", MILLION)
    house.deposit("b", MILLION)
    house.cycle({"a": 0, "b": 0})
    return house


def reserve(house: House, quote: str, dollars: int, *, account: str = "a") -> Reserve:
    expires = house.now + timedelta(minutes=10)
    priced = Reservation(quote, 100 * dollars, expires)
    return Reserve(house.id(), "desk", account, priced)


def test_a_trade_changes_the_positions_of_both_sides() -> None:
    house = funded()
    house.trade("a", "b", 10)
    house.trade("b", "a", 4)
    assert quantities(house.state, "a") == {PERPETUAL: Decimal(6)}
    assert quantities(house.state, "b") == {PERPETUAL: Decimal(-6)}
    assert house.state.contracts[PERPETUAL].life is None


def test_a_trade_is_booked_once_whatever_command_brings_it() -> None:
    house = funded()
    first = house.trade("a", "b", 10, name="t1")
    assert first.reply is not None
    again = house.trade("a", "b", 10, name="t1")
    assert again.refusal is not None
    assert again.refusal.rule == "known"


def test_trades_of_one_command_are_booked_all_or_none() -> None:
    house = funded()

    def booking(name: str, seller: str) -> TradeBooking:
        price = Decimal(50_000)
        trade = Trade(name, "a", seller, Decimal(1), price, price, house.now)
        return TradeBooking(PERPETUAL, trade)

    bad = BookTrades(house.id(), "x", (booking("t1", "b"), booking("t2", "nobody")))
    assert house.refused(bad) == "unknown_account"
    assert not quantities(house.state, "a")


def test_an_option_pays_its_premium_and_is_not_counted_twice() -> None:
    house = funded()
    name = "BTC_USDC-26JUN26-60000-C"
    trade = Trade("t1", "a", "b", Decimal(2), Decimal(1_500), Decimal(50_000), house.now)
    house.accept(BookTrades(house.id(), "x", (TradeBooking(name, trade),)))
    paid = resources_of(house.state, "b").total_cents - resources_of(house.state, "a").total_cents
    assert paid == 2 * 2 * 1_500 * 100


def test_the_same_id_with_another_content_is_an_error() -> None:
    house = funded()
    command = reserve(house, "q1", 1000)
    house.accept(command)
    other = Reserve(command.id, "desk", "b", command.reservation)
    with pytest.raises(KeyReused, match="other content"):
        house.do(other)


def test_reservations_use_free_margin_and_are_refused_beyond_it() -> None:
    house = funded()
    house.accept(reserve(house, "q1", 600_000))
    assert house.refused(reserve(house, "q2", 400_001)) == "insufficient_funds"
    house.accept(reserve(house, "q3", 400_000))
    assert headroom(house.state, "a").free_cents == 0
    house.accept(CancelReservation(house.id(), "desk", "a", "q1"))
    assert headroom(house.state, "a").free_cents == 60_000_000
    house.step(10)
    assert headroom(house.state, "a").free_cents == 100_000_000


def test_a_cycle_withdraws_the_newest_reservations_first() -> None:
    house = funded()
    for quote, dollars in (("q1", 600_000), ("q2", 300_000), ("q3", 100_000)):
        house.accept(reserve(house, quote, dollars))
    expires = house.now + timedelta(minutes=10)
    priced = {
        "a": [
            Reservation("q1", 60_000_000, expires),
            Reservation("q2", 20_000_000, expires),
            Reservation("q3", 5_000_000, expires),
        ]
    }
    house.cycle({"a": 300_000, "b": 0}, reservations=priced)
    assert [one.quote for one in open_reservations(house.state.journal, "a")] == ["q1"]
    assert headroom(house.state, "a").free_cents == 10_000_000


def test_quotes_that_changed_since_they_were_priced_do_not_disturb_a_cycle() -> None:
    house = funded()
    house.accept(reserve(house, "q1", 1_000))
    house.accept(reserve(house, "q2", 1_000))
    priced = open_reservations(house.state.journal, "a")
    house.accept(CancelReservation(house.id(), "desk", "a", "q1"))
    house.accept(reserve(house, "q3", 1_000))
    house.accept(reserve(house, "q1", 1_000))
    house.cycle({"a": 0, "b": 0}, reservations={"a": priced})
    left = [one.quote for one in open_reservations(house.state.journal, "a")]
    assert left == ["q2", "q3", "q1"]


def test_the_margin_of_a_trade_stays_reserved_until_a_requirement_includes_it() -> None:
    house = funded()
    house.accept(reserve(house, "q1", 300_000))
    before = house.state.number
    house.trade("a", "b", 10, executions=[Execution("a", "q1")])
    assert not open_reservations(house.state.journal, "a")
    assert reserved_cents(house.state, "a") == 30_000_000
    house.cycle({"a": 0, "b": 0}, read_number=before)
    assert headroom(house.state, "a").free_cents == 70_000_000
    house.cycle({"a": 250_000, "b": 0})
    assert headroom(house.state, "a").free_cents == 75_000_000
    assert house.state.journal.balance(AccountKind.RESERVED, MARGIN, "a").net == 0
    assert "a" not in house.state.reserved


def test_margin_of_a_trade_after_the_positions_were_read_stays_reserved() -> None:
    house = funded()
    house.accept(reserve(house, "q1", 300_000))
    house.trade("a", "b", 10, executions=[Execution("a", "q1")])
    read = house.state.number
    house.cycle({"a": 0, "b": 0}, read_number=read - 10)
    house.accept(reserve(house, "q2", 100_000))
    house.trade("a", "b", 3, executions=[Execution("a", "q2")])
    house.cycle({"a": 250_000, "b": 0}, read_number=read)
    assert reserved_cents(house.state, "a") == 10_000_000


def test_a_reserved_trade_does_not_make_the_requirement_outdated() -> None:
    house = funded()
    house.accept(reserve(house, "q1", 300_000))
    house.trade("a", "b", 10, executions=[Execution("a", "q1")])
    house.accept(reserve(house, "q2", 700_000))
    assert house.refused(reserve(house, "q1", 1, account="b")) == "requirement_outdated"


def test_a_contract_is_listed_once_with_one_multiplier() -> None:
    house = funded()
    house.accept(ListContract(house.id(), "ops", PERPETUAL, Decimal(1)))
    again = house.accept(ListContract(house.id(), "ops", PERPETUAL, Decimal(1)))
    assert [event.log_kind for event in again.events] == ["command"]
    assert house.refused(ListContract(house.id(), "ops", PERPETUAL, Decimal(5))) == "known"
    assert house.refused(ListContract(house.id(), "ops", "BTC-", Decimal(1))) == "invalid"


def test_reserved_margin_that_a_requirement_includes_is_not_needed_twice() -> None:
    """The release is booked with the next cycle or reservation that concerns the account."""
    house = funded()
    house.accept(reserve(house, "q1", 300_000))
    house.trade("a", "b", 10, executions=[Execution("a", "q1")])
    included = house.state
    command = house.cycle({"a": 250_000, "b": 0}).events
    (cycle,) = (event for event in command if event.log_kind == "cycle")
    before_release = fold(included, cycle, house.now)
    assert before_release.journal.balance(AccountKind.RESERVED, MARGIN, "a").net == 30_000_000
    assert reserved_cents(before_release, "a") == 0
