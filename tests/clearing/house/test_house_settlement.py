"""Settlement batches, delivery prices and the stages of contracts."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from clearing_house import MILLION, PERPETUAL, USDC, House
from house_days import CALL_OPTION, EXPIRY, FUTURE, book, daily, delivery, expiry, held, settle

from margin_actors.clearing.house.acts import CancelTrades, DecidePrice
from margin_actors.clearing.house.commands import (
    ArchiveContract,
    BookSettlement,
    RecordDeliveryPrice,
)
from margin_actors.clearing.house.people_commands import ProposeAct
from margin_actors.clearing.house.queries import balances, quantities, resources_of
from margin_actors.clearing.journal import AccountKind
from margin_actors.clearing.settlement import (
    Cutoff,
    Decision,
    correction,
    linked_group,
    settlement_batch,
    variation,
)
from margin_actors.clearing.settlement.life import ReverseAndRebook


def traded() -> House:
    house = House().open("a", "b")
    for account in ("a", "b"):
        house.deposit(account, MILLION)
    book(house, FUTURE, "a", "b", 4, 50_000)
    book(house, CALL_OPTION, "a", "b", 2, 6_000)
    return house


def expired(price: int = 45_000, *, missing: Fraction = Fraction(0)) -> House:
    house = traded()
    house.step((EXPIRY - house.now) / timedelta(minutes=1))
    computed = delivery(price, missing=missing)
    house.accept(RecordDeliveryPrice(house.id(), "loop", computed))
    return house


def stage(house: House, instrument: str = FUTURE) -> str:
    life = house.state.contracts[instrument].life
    assert life is not None
    return life.state


def collateral(house: House, account: str) -> int:
    (one,) = balances(house.state, account)
    assert one.cash == 0
    return one.collateral // MILLION


def test_a_daily_settlement_moves_variation_into_collateral() -> None:
    house = traded()
    house.cycle({"a": 0, "b": 0})
    before = house.state.number
    house.accept(settle(house, daily(house.state, FUTURE, 48_000)))
    assert collateral(house, "a") == 1_000_000 - 12_000 - 4 * 2_000
    assert house.state.last_change("a").valuation > before
    (lot,) = house.state.journal.position("a", FUTURE).lots
    assert lot.base_price == Decimal(48_000)


def test_variation_is_not_counted_twice_between_settlement_and_the_next_cycle() -> None:
    house = House().open("a", "b")
    for account in ("a", "b"):
        house.deposit(account, MILLION)
    house.trade("a", "b", 10, price=50_000)
    house.cycle({"a": 0, "b": 0}, mark=48_000, unsettled={"a": -20_000, "b": 20_000})
    assert resources_of(house.state, "a").total_cents == 98_000_000
    cutoff = Cutoff(house.now, house.state.number)
    contract = held(house.state, PERPETUAL)
    changes = variation(contract.contract, contract.changes, Decimal(48_000), cutoff)
    group = linked_group("daily", PERPETUAL, house.now, changes)
    house.accept(settle(house, group))
    assert resources_of(house.state, "a").total_cents == 98_000_000
    assert resources_of(house.state, "b").total_cents == 102_000_000


def test_a_repeated_settlement_under_another_command_changes_nothing() -> None:
    house = traded()
    batch = settlement_batch([daily(house.state, FUTURE, 48_000)])
    house.accept(BookSettlement(house.id(), "one", batch))
    again = house.accept(BookSettlement(house.id(), "two", batch))
    assert [event.log_kind for event in again.events] == ["command"]
    assert collateral(house, "a") == 1_000_000 - 12_000 - 8_000


def test_contracts_average_before_their_expiry() -> None:
    house = traded()
    house.step(89)
    assert stage(house) == "listed"
    house.step(1)
    assert stage(house) == stage(house, CALL_OPTION) == "averaging"


def test_an_expiry_delivers_future_and_option_in_one_decision() -> None:
    house = expired()
    price = delivery(45_000)
    decision = house.accept(settle(house, expiry(house.state, price, [CALL_OPTION])))
    kinds = [event.log_kind for event in decision.events]
    assert kinds == ["group", "contract", "contract", "group", "command"]
    assert stage(house) == stage(house, CALL_OPTION) == "delivered"
    assert not quantities(house.state, "a")
    fee = Decimal("0.00015") * 2 * 45_000  # below 12.5 % of the value
    paid = 1_000_000 - 12_000 - 4 * 5_000 + 2 * 1_000 - fee
    (one,) = balances(house.state, "a")
    assert one.collateral == paid * MILLION
    journal = house.state.journal
    assert journal.balance(AccountKind.SETTLEMENT, USDC).net == 0
    assert journal.balance(AccountKind.FEES, USDC).net == 2 * fee * MILLION


def test_an_expired_contract_is_not_traded_and_can_be_archived() -> None:
    house = expired()
    assert house.refused(ArchiveContract(house.id(), "ops", FUTURE)) == "invalid"
    house.accept(settle(house, expiry(house.state, delivery(45_000), [CALL_OPTION])))
    house.accept(ArchiveContract(house.id(), "ops", FUTURE))
    assert stage(house) == "archived"


def test_nothing_is_paid_at_a_provisional_price_until_two_people_decide() -> None:
    house = expired(missing=Fraction(1, 10))
    assert stage(house) == "provisional"
    final = delivery(45_000)
    assert house.refused(settle(house, expiry(house.state, final, [CALL_OPTION]))) == "invalid"
    house.enact(DecidePrice("BTC", EXPIRY, None, "the gap was quiet"))
    life = house.state.contracts[FUTURE].life
    assert life is not None
    assert life.price is not None
    assert (life.price.price, life.price.status) == (Decimal(45_000), "final")
    assert life.price.decision is not None
    assert (life.price.decision.proposer, life.price.decision.approver) == ("A", "B")
    house.accept(settle(house, expiry(house.state, life.price, [CALL_OPTION])))
    assert stage(house) == "delivered"


def test_a_second_computed_price_that_differs_is_refused() -> None:
    house = expired()
    again = RecordDeliveryPrice(house.id(), "loop", delivery(45_001))
    assert house.refused(again) == "invalid"


def test_a_corrected_price_reverses_and_books_again_in_one_group() -> None:
    house = expired()
    former = expiry(house.state, delivery(45_000), [CALL_OPTION])
    before = house.state
    house.accept(settle(house, former))
    house.enact(DecidePrice("BTC", EXPIRY, Decimal(46_000), "a source was wrong"))
    life = house.state.contracts[FUTURE].life
    assert life is not None
    assert life.price is not None
    assert stage(house) == "corrected"
    (reverse,) = house.state.contracts[FUTURE].effects
    assert reverse == ReverseAndRebook((former.id,), 2)
    assert life.price.decision is not None
    corrected = correction(
        former,
        expiry(before, life.price, [CALL_OPTION], version=2),
        Decision("A", "B", "a source was wrong", house.now),
    )
    number = house.state.number
    house.accept(settle(house, corrected))
    assert stage(house) == "delivered"
    assert [e for e in house.events if e.id == former.id]
    assert house.replayed() == house.state
    assert house.state.number > number
    fee = Decimal("0.00015") * 2 * 46_000
    (one,) = balances(house.state, "a")
    assert one.collateral == (1_000_000 - 12_000 - 4 * 4_000 + 2 * 2_000 - fee) * MILLION


def test_trades_in_an_expired_contract_are_not_cancelled() -> None:
    house = traded()
    (name, *_) = house.state.trades
    house.step((EXPIRY - house.now) / timedelta(minutes=1))
    house.accept(RecordDeliveryPrice(house.id(), "loop", delivery(45_000)))
    act = ProposeAct(house.id(), "ann", CancelTrades((name,), "error"))
    assert house.refused(act) == "invalid"
