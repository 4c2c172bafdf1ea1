"""Days of a clearing house for tests: an expiry, its settlement, and a day with every event."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from clearing_house import MILLION, PARAMETERS, PERPETUAL, USDC, House

from margin_actors.clearing.calls import (
    CallClass,
    CancelCall,
    DeclareDefault,
    ExtendDeadline,
    HoldCall,
    Outage,
)
from margin_actors.clearing.house.acts import (
    CancelTrades,
    ChangeParameters,
    DecidePrice,
    ExemptionKind,
    GrantExemption,
)
from margin_actors.clearing.house.commands import (
    ApproveWithdrawal,
    AttestPayment,
    BookSettlement,
    BookTrades,
    ConfirmPayout,
    RecordDeliveryPrice,
    ReportOutage,
    RequestWithdrawal,
    Reserve,
    TradeBooking,
)
from margin_actors.clearing.house.people_commands import AcknowledgeCall, ReleaseHold
from margin_actors.clearing.house.state import HouseState
from margin_actors.clearing.house.valuing import contract_of
from margin_actors.clearing.journal.reservations import Reservation
from margin_actors.clearing.settlement import (
    Cutoff,
    DeliveryPrice,
    Held,
    PositionChange,
    SettlementGroup,
    Trade,
    daily_group,
    expiry_group,
    settlement_batch,
)

EXPIRY = datetime(2026, 5, 15, 8, tzinfo=UTC)
FUTURE = "BTC_USDC-15MAY26"
CALL_OPTION = "BTC_USDC-15MAY26-44000-C"


def book(house: House, instrument: str, buyer: str, seller: str, quantity: int, price: int) -> None:
    name = house.id()
    trade = Trade(
        name, buyer, seller, Decimal(quantity), Decimal(price), Decimal(50_000), house.now
    )
    house.accept(BookTrades(house.id(), "matching", (TradeBooking(instrument, trade),)))


def held(state: HouseState, instrument: str) -> Held:
    """Return the positions of all accounts in a contract."""
    contract = contract_of(state, instrument)
    changes = [
        PositionChange(account, instrument, lot.quantity, lot.base_price, EXPIRY)
        for account in state.accounts
        for lot in state.journal.position(account, instrument).lots
    ]
    return Held(contract, tuple(changes))


def delivery(price: int, *, missing: Fraction = Fraction(0)) -> DeliveryPrice:
    """Return the delivery price; it is provisional if more than 5 % of the window is missing."""
    rules = PARAMETERS.settlement.id
    status = "provisional" if missing > Fraction(1, 20) else "final"
    return DeliveryPrice("BTC", EXPIRY, Decimal(price), status, missing, Fraction(0), rules)


def expiry(
    state: HouseState, price: DeliveryPrice, options: Sequence[str] = (), *, version: int = 1
) -> SettlementGroup:
    cutoff = Cutoff(EXPIRY, state.number, version)
    rules = PARAMETERS.settlement
    return expiry_group(
        held(state, FUTURE), [held(state, name) for name in options], price, cutoff, rules
    )


def settle(house: House, *groups: SettlementGroup) -> BookSettlement:
    return BookSettlement(house.id(), "loop", settlement_batch(groups))


def daily(state: HouseState, instrument: str, price: int) -> SettlementGroup:
    """Return the settlement of a future one hour before its expiry."""
    cutoff = Cutoff(EXPIRY - timedelta(hours=1), state.number)
    return daily_group(held(state, instrument), Decimal(price), cutoff)


def full_day() -> House:
    """Return a house after a day in which every kind of event occurred."""
    house = House().open("a", "b", "c")
    for account in "abc":
        house.deposit(account, 2 * MILLION)
    book(house, FUTURE, "a", "b", 4, 50_000)
    book(house, CALL_OPTION, "c", "b", 2, 6_000)
    house.trade("a", "b", 3, name="t1")
    _calls(house)
    _money(house)
    later = house.now + timedelta(hours=1)
    house.enact(GrantExemption(ExemptionKind.GATE, "jump", later, "checked"))
    house.enact(CancelTrades(("t1",), "error"))
    house.enact(ChangeParameters(PARAMETERS.model_copy(update={"version": "2"}), "new version"))
    house.step((EXPIRY - house.now) / timedelta(minutes=1))
    doubtful = delivery(45_000, missing=Fraction(1, 10))
    house.accept(RecordDeliveryPrice(house.id(), "loop", doubtful))
    house.enact(DecidePrice("BTC", EXPIRY, Decimal(46_000), "sources were silent"))
    life = house.state.contracts[FUTURE].life
    assert life is not None
    assert life.price is not None
    house.accept(settle(house, expiry(house.state, life.price, [CALL_OPTION])))
    house.trade("a", "c", 1, name="t2")
    assert PERPETUAL in house.state.contracts
    return house


def _calls(house: House) -> None:
    """Call `a` and `b`, and take every decision on their calls."""
    house.cycle({"a": 3_000_000, "b": 3_500_000, "c": 0})
    call_a, call_b = house.call("a"), house.call("b")
    kind = CallClass.INITIAL
    house.accept(AcknowledgeCall(house.id(), "a", "a", kind, call_a.call_id))
    units, expires = 5 * MILLION, house.now + timedelta(minutes=15)
    house.accept(
        AttestPayment(house.id(), "bank", "a", "w", USDC, units, "bank", house.now, expires)
    )
    house.four_eyes("a", HoldCall(call_a.call_id, "bank closed"))
    house.accept(ReleaseHold(house.id(), "ann", "a", kind, call_a.call_id))
    due = call_a.tranches[0].due + timedelta(minutes=1)
    house.four_eyes("a", ExtendDeadline(call_a.call_id, 1, due, "bank closed"))
    outage = Outage(house.now - timedelta(minutes=6), house.now)
    house.accept(ReportOutage(house.id(), "ops", "bank", outage))
    house.cycle({"a": 2_700_000, "b": 4_000_000, "c": 0})
    house.step(75)
    house.deposit("a", 3_000_000)
    house.four_eyes("b", DeclareDefault(call_b.call_id, "not paid"))
    house.cycle({"a": 9_000_000, "b": 0, "c": 0})
    house.four_eyes("a", CancelCall(house.call("a").call_id, "wrong model"))


def _money(house: House) -> None:
    house.cycle({"a": 100_000, "b": 0, "c": 0})
    name = house.id()
    house.accept(RequestWithdrawal(house.id(), "ann", name, "a", USDC, MILLION, "bank"))
    house.accept(ApproveWithdrawal(house.id(), "bob", name))
    house.accept(ConfirmPayout(house.id(), "bank", name))
    expires = house.now + timedelta(minutes=2)
    house.accept(Reserve(house.id(), "desk", "a", Reservation("q", 100, expires)))
