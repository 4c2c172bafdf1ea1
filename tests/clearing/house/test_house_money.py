"""Deposits, payments to calls, and withdrawals."""

from datetime import timedelta

from clearing_house import BTC, MILLION, USDC, House

from margin_actors.clearing.amounts import ASSETS
from margin_actors.clearing.calls import CallStatus, DeclareDefault
from margin_actors.clearing.house.account_events import WithdrawalStage
from margin_actors.clearing.house.commands import (
    ApproveWithdrawal,
    AttestPayment,
    ConfirmPayout,
    RequestWithdrawal,
    ReturnPayout,
)
from margin_actors.clearing.house.events import AlarmRaised, HouseAlarm
from margin_actors.clearing.house.queries import (
    balances,
    call_state,
    headroom,
    resources_of,
    shortfalls,
)
from margin_actors.clearing.journal.deficits import AccountType


def called(requirement: int = 1_500_000) -> House:
    """Return a house in which `a` has a million and an open call."""
    house = House().open("a", "b")
    house.deposit("a", MILLION)
    house.cycle({"a": requirement, "b": 0})
    assert house.call("a").status is CallStatus.ISSUED
    return house


def request(house: House, name: str, dollars: int, *, by: str = "ann") -> RequestWithdrawal:
    return RequestWithdrawal(house.id(), by, name, "a", USDC, dollars * MILLION, "bank")


def attestation(house: House, name: str, dollars: int) -> AttestPayment:
    expires = house.now + timedelta(minutes=20)
    units = dollars * MILLION
    return AttestPayment(house.id(), "bank", "a", name, USDC, units, "bank", house.now, expires)


def test_money_that_was_just_paid_is_not_called_again() -> None:
    house = called()
    read = house.state.number
    house.deposit("a", 500_000)
    assert house.call("a").status is CallStatus.MET
    before = len(house.calls_changed())
    house.cycle({"a": 1_500_000, "b": 0}, read_number=read)
    assert len(house.calls_changed()) == before
    assert not shortfalls(house.state)


def test_a_deposit_counts_for_the_call_with_its_value_after_the_haircut() -> None:
    house = called()
    house.deposit("a", 5, asset=BTC)  # 5 coins at 50,000 less 10 %
    assert house.call("a").out_cents == 100 * (500_000 - 225_000)


def test_a_deposit_without_an_open_call_changes_no_call() -> None:
    house = House().open("a")
    house.deposit("a", MILLION)
    assert not house.calls_changed()


def test_a_known_payment_under_another_command_is_credited_once() -> None:
    house = called()
    house.deposit("a", 100_000, payment="wire-1")
    out = house.call("a").out_cents
    again = house.deposit("a", 100_000, payment="wire-1")
    assert [event.log_kind for event in again.events] == ["command"]
    assert house.call("a").out_cents == out
    assert resources_of(house.state, "a").total_cents == 110_000_000


def test_a_known_payment_with_another_content_raises_an_alarm() -> None:
    house = called()
    house.deposit("a", 100_000, payment="wire-1")
    changed = house.deposit("a", 300_000, payment="wire-1")
    (alarm, _) = changed.events
    assert isinstance(alarm, AlarmRaised)
    assert alarm.alarm is HouseAlarm.PAYMENT_CHANGED
    assert changed.reply is not None
    assert changed.reply.subjects == (alarm.id,)
    assert resources_of(house.state, "a").total_cents == 110_000_000


def test_a_payment_without_a_price_is_credited_and_raises_an_alarm() -> None:
    house = called()

    paid = house.deposit("a", 5, asset=ASSETS["ETH"])
    assert [event.log_kind for event in paid.events] == ["group", "alarm", "command"]
    assert house.call("a").out_cents == 50_000_000
    assert {one.asset.name: one.collateral for one in balances(house.state, "a")}["ETH"] > 0


def test_an_attested_payment_is_shown_and_credited_when_it_arrives() -> None:
    house = called()
    house.accept(attestation(house, "wire-1", 500_000))
    assert house.call("a").out_cents == 50_000_000
    assert [one.payment_id for one in house.call("a").attested] == ["wire-1"]
    assert balances(house.state, "a")[0].announced == 500_000 * MILLION
    house.deposit("a", 500_000, payment="wire-1")
    assert house.call("a").status is CallStatus.MET
    assert not house.call("a").attested
    assert balances(house.state, "a")[0].announced == 0


def test_an_attestation_that_expires_leaves_journal_and_call() -> None:
    house = called()
    house.accept(attestation(house, "wire-1", 500_000))
    house.step(20)
    assert not house.call("a").attested
    assert balances(house.state, "a")[0].announced == 0
    assert house.call("a").out_cents == 50_000_000


def test_a_withdrawal_needs_another_person_and_leaves_through_the_custodian() -> None:
    house = House().open("a")
    house.deposit("a", MILLION)
    house.accept(request(house, "w1", 400_000))
    assert house.refused(ApproveWithdrawal(house.id(), "ann", "w1")) == "same_person"
    assert house.refused(ConfirmPayout(house.id(), "bank", "w1")) == "wrong_stage"
    house.accept(ApproveWithdrawal(house.id(), "bob", "w1"))
    assert balances(house.state, "a")[0].in_transit == 400_000 * MILLION
    house.accept(ConfirmPayout(house.id(), "bank", "w1"))
    assert house.refused(ReturnPayout(house.id(), "bank", "w1")) == "wrong_stage"
    assert resources_of(house.state, "a").total_cents == 60_000_000


def test_a_returned_payout_is_collateral_again() -> None:
    house = House().open("a")
    house.deposit("a", MILLION)
    house.accept(request(house, "w1", 400_000))
    house.accept(ApproveWithdrawal(house.id(), "bob", "w1"))
    house.accept(ReturnPayout(house.id(), "bank", "w1"))
    assert resources_of(house.state, "a").total_cents == 100_000_000
    assert house.state.withdrawals["w1"].stage is WithdrawalStage.RETURNED


def test_a_withdrawal_below_the_requirement_is_refused_at_request_and_approval() -> None:
    house = House().open("a")
    house.deposit("a", MILLION)
    house.cycle({"a": 700_000})
    assert house.refused(request(house, "w1", 300_001)) == "not_covered"
    house.accept(request(house, "w2", 300_000))
    assert headroom(house.state, "a").free_cents == 0
    house.cycle({"a": 700_001})
    assert house.refused(ApproveWithdrawal(house.id(), "bob", "w2")) == "not_covered"


def test_an_unsettled_profit_cannot_be_withdrawn() -> None:
    house = House().open("a")
    house.deposit("a", MILLION)
    house.cycle({"a": 700_000}, unsettled={"a": 200_000})
    assert headroom(house.state, "a").free_cents == 50_000_000
    assert house.refused(request(house, "w1", 300_001)) == "not_covered"


def test_a_trade_stops_withdrawals_until_a_requirement_includes_it() -> None:
    house = House().open("a", "b")
    house.deposit("a", MILLION)
    house.cycle({"a": 0, "b": 0})
    house.trade("a", "b", 10)
    assert house.refused(request(house, "w1", 1)) == "requirement_outdated"
    house.cycle({"a": 0, "b": 0}, read_number=house.state.number - 2)
    assert house.refused(request(house, "w1", 1)) == "requirement_outdated"
    house.cycle({"a": 100_000, "b": 0})
    house.accept(request(house, "w1", 1))


def test_an_overdue_call_blocks_withdrawals_until_it_is_paid() -> None:
    house = called()
    house.deposit("b", MILLION)
    house.step(61)
    assert house.call("a").status is CallStatus.OVERDUE
    assert house.refused(request(house, "w1", 1)) == "blocked"
    house.deposit("a", 600_000)
    house.cycle({"a": 1_500_000, "b": 0})
    house.accept(request(house, "w1", 1))


def test_a_request_without_approval_lapses() -> None:
    house = House().open("a")
    house.deposit("a", MILLION)
    house.accept(request(house, "w1", 400_000))
    house.step(24 * 60)
    assert house.state.withdrawals["w1"].stage is WithdrawalStage.CANCELLED
    assert balances(house.state, "a")[0].requested == 0
    assert house.refused(ApproveWithdrawal(house.id(), "bob", "w1")) == "wrong_stage"


def netting() -> House:
    house = House().open("client")
    for name in ("h1", "h2"):
        house.open_account(name, kind=AccountType.HOUSE, nets=True)
    house.deposit("h1", MILLION)
    house.deposit("client", MILLION)
    return house


def test_house_accounts_that_net_are_called_together() -> None:
    house = netting()
    house.cycle({"h1": 300_000, "h2": 600_000, "client": 0})
    assert not house.calls_changed()
    house.cycle({"h1": 300_000, "h2": 1_200_000, "client": 0})
    (event,) = house.calls_changed()
    assert (event.account, event.after.out_cents) == ("h1", 50_000_000)
    assert [one.accounts for one in shortfalls(house.state)] == [("h1", "h2")]
    house.deposit("h2", 500_000)
    assert call_state(house.state, "h2", event.call_class).status is CallStatus.MET


def test_what_covers_an_account_that_nets_cannot_be_withdrawn() -> None:
    house = netting()
    house.cycle({"h1": 300_000, "h2": 600_000, "client": 0})
    name = house.id()

    def wanted(dollars: int) -> RequestWithdrawal:
        return RequestWithdrawal(house.id(), "ann", name, "h1", USDC, dollars * MILLION, "bank")

    assert house.refused(wanted(100_001)) == "not_covered"
    house.accept(wanted(100_000))


def test_an_attestation_after_the_receipt_is_ignored() -> None:
    house = called()
    house.deposit("a", 500_000, payment="wire-1")
    late = house.accept(attestation(house, "wire-1", 500_000))
    assert [event.log_kind for event in late.events] == ["command"]
    assert balances(house.state, "a")[0].announced == 0


def test_an_overdue_call_and_a_default_concern_all_accounts_that_net() -> None:
    house = netting()
    house.cycle({"h1": 300_000, "h2": 1_200_000, "client": 0})
    house.step(60)
    wanted = RequestWithdrawal(house.id(), "ann", "w1", "h2", USDC, 1, "bank")
    assert set(house.state.blocked) == {"h1", "h2"}
    assert house.refused(wanted) == "blocked"
    call = house.call("h1")
    house.four_eyes("h2", DeclareDefault(call.call_id, "not paid"))
    assert set(house.state.frozen) == {"h1", "h2"}
