"""Acts that require two people, and decisions of people on calls."""

from datetime import timedelta
from decimal import Decimal

import pytest
from clearing_house import MILLION, PARAMETERS, USDC, House

from margin_actors.clearing.calls import (
    CallClass,
    CallStatus,
    CancelCall,
    DeclareDefault,
    ExtendDeadline,
    HoldCall,
)
from margin_actors.clearing.house.account_events import WithdrawalStage
from margin_actors.clearing.house.acts import (
    Act,
    CancelTrades,
    ChangeParameters,
    ExemptionKind,
    GrantExemption,
    act_hash,
)
from margin_actors.clearing.house.commands import (
    FireTimers,
    RecordParameters,
    RequestWithdrawal,
    Reserve,
)
from margin_actors.clearing.house.parameters import CollateralParameters
from margin_actors.clearing.house.people_commands import (
    AcknowledgeCall,
    ApproveAct,
    ApproveAction,
    EndExemption,
    ExecuteAct,
    ExecuteAction,
    ProposeAct,
    ProposeAction,
    ReleaseHold,
)
from margin_actors.clearing.house.queries import quantities, resources_of
from margin_actors.clearing.journal.reservations import Reservation, open_reservations
from margin_actors.errors import InvalidRequest

KIND = CallClass.INITIAL


def called() -> House:
    house = House().open("a", "b")
    house.deposit("a", MILLION)
    house.deposit("b", MILLION)
    house.cycle({"a": 1_500_000, "b": 0})
    return house


def haircut(share: str) -> ChangeParameters:
    section = CollateralParameters(haircuts={"USDC": Decimal(share)})
    changed = PARAMETERS.model_copy(update={"collateral": section})
    return ChangeParameters(changed, "the stablecoin lost its peg")


def acts(house: House) -> list[Act]:
    later = house.now + timedelta(hours=1)
    return [
        haircut("0.35"),
        GrantExemption(ExemptionKind.CALLS, "a", later, "agreed"),
        GrantExemption(ExemptionKind.GATE, "price jump", later, "checked"),
        CancelTrades(("t1",), "error"),
    ]


@pytest.mark.parametrize("which", range(4))
def test_no_act_is_executed_without_two_different_people(which: int) -> None:
    house = called()
    house.trade("a", "b", 1, name="t1")
    act = acts(house)[which]
    before = (house.state.parameters, house.state.exemptions, house.state.trades)
    name = act_hash(act)
    assert house.refused(ExecuteAct(house.id(), "ann", name)) == "not_proposed"
    assert house.refused(ApproveAct(house.id(), "bob", name)) == "not_proposed"
    house.accept(ProposeAct(house.id(), "ann", act))
    assert house.refused(ExecuteAct(house.id(), "bob", name)) == "not_approved"
    assert house.refused(ApproveAct(house.id(), "ann", name)) == "same_person"
    assert house.refused(ProposeAct(house.id(), "bob", act)) == "already_proposed"
    assert (house.state.parameters, house.state.exemptions, house.state.trades) == before
    house.accept(ApproveAct(house.id(), "bob", name))
    house.accept(ExecuteAct(house.id(), "ann", name))
    assert (house.state.parameters, house.state.exemptions, house.state.trades) != before
    assert house.refused(ExecuteAct(house.id(), "ann", name)) == "not_proposed"


def test_an_approval_expires_and_its_lapse_is_recorded() -> None:
    house = called()
    act = haircut("0.35")
    house.accept(ProposeAct(house.id(), "ann", act))
    house.accept(ApproveAct(house.id(), "bob", act_hash(act)))
    house.step(60)
    assert house.refused(ExecuteAct(house.id(), "ann", act_hash(act))) == "not_proposed"
    assert not house.state.acts
    assert house.state.parameters == PARAMETERS


def test_a_haircut_that_two_people_change_applies_from_the_next_decision() -> None:
    house = called()
    house.enact(haircut("0.35"))
    assert resources_of(house.state, "a").total_cents == 65_000_000
    house.cycle({"a": 1_500_000, "b": 0})
    assert house.call("a").out_cents == 85_000_000


def test_parameters_are_recorded_by_one_person_only_once() -> None:
    house = called()
    again = RecordParameters(house.id(), "ann", haircut("0.35").parameters)
    assert house.refused(again) == "two_people"


def test_an_exempt_account_is_not_called_and_the_exemption_ends_by_itself() -> None:
    house = House().open("a")
    house.deposit("a", MILLION)
    until = house.now + timedelta(minutes=30)
    house.enact(GrantExemption(ExemptionKind.CALLS, "a", until, "agreed"))
    (exemption,) = house.state.exemptions.values()
    assert exemption.people == ("A", "B")
    house.cycle({"a": 2_000_000})
    assert house.call("a").status is CallStatus.NONE
    house.step(30)
    assert not house.state.exemptions
    house.cycle({"a": 2_000_000})
    assert house.call("a").status is CallStatus.ISSUED


def test_one_person_ends_an_exemption() -> None:
    house = House().open("a")
    until = house.now + timedelta(minutes=30)
    house.enact(GrantExemption(ExemptionKind.GATE, "jump", until, "checked"))
    end = EndExemption(house.id(), "ann", ExemptionKind.GATE, "jump")
    house.accept(end)
    assert not house.state.exemptions
    assert house.refused(EndExemption(house.id(), "ann", ExemptionKind.GATE, "jump")) == "unknown"


def test_an_act_that_cannot_be_executed_is_not_proposed() -> None:
    house = called()
    past = GrantExemption(ExemptionKind.CALLS, "a", house.now, "late")
    assert house.refused(ProposeAct(house.id(), "ann", past)) == "invalid"
    unknown = CancelTrades(("t9",), "error")
    assert house.refused(ProposeAct(house.id(), "ann", unknown)) == "invalid"
    with pytest.raises(InvalidRequest, match="reason"):
        CancelTrades(("t1",), " ")


def test_cancelled_trades_leave_positions_and_cash_as_before() -> None:
    house = called()
    house.trade("a", "b", 5, name="t1")
    house.enact(CancelTrades(("t1",), "error"))
    assert not quantities(house.state, "a")
    assert house.state.trades["t1"].is_cancelled
    assert house.refused(ProposeAct(house.id(), "ann", CancelTrades(("t1",), "x"))) == "invalid"


def test_an_action_on_a_call_needs_two_people() -> None:
    house = called()
    action = CancelCall(house.call("a").call_id, "error")
    assert house.refused(ExecuteAction(house.id(), "ann", "a", KIND, action)) == "not_approved"
    proposed = house.accept(ProposeAction(house.id(), "ann", "a", KIND, action))
    assert proposed.reply is not None
    (name,) = proposed.reply.subjects
    assert house.refused(ApproveAction(house.id(), "ann", "a", KIND, name)) == "same_person"
    assert house.refused(ExecuteAction(house.id(), "bob", "a", KIND, action)) == "not_approved"
    house.accept(ApproveAction(house.id(), "bob", "a", KIND, name))
    house.accept(ExecuteAction(house.id(), "bob", "a", KIND, action))
    assert house.call("a").status is CallStatus.CANCELLED


def test_a_hold_suspends_the_consequence_and_one_person_ends_it() -> None:
    house = called()
    name = house.call("a").call_id
    house.four_eyes("a", HoldCall(name, "bank closed"))
    house.step(61)
    assert house.call("a").status is CallStatus.ISSUED
    house.accept(ReleaseHold(house.id(), "ann", "a", KIND, name))
    house.accept(FireTimers(house.id(), "loop"))
    assert house.call("a").status is CallStatus.OVERDUE


def test_an_extension_moves_the_due_time_and_its_timer() -> None:
    house = called()
    due = house.now + timedelta(hours=2)
    house.four_eyes("a", ExtendDeadline(house.call("a").call_id, 1, due, "bank closed"))
    house.step(119)
    assert house.call("a").status is CallStatus.ISSUED
    house.step(1)
    assert house.call("a").status is CallStatus.OVERDUE


def test_an_acknowledgement_is_recorded() -> None:
    house = called()
    name = house.call("a").call_id
    house.accept(AcknowledgeCall(house.id(), "a", "a", KIND, name))
    assert house.call("a").status is CallStatus.ACKNOWLEDGED
    other = AcknowledgeCall(house.id(), "a", "a", KIND, "call/a/initial/9")
    assert house.refused(other) == "other_call"


def test_a_default_freezes_the_account_and_voids_what_is_open_in_one_decision() -> None:
    house = called()
    house.deposit("a", 100_000)
    house.cycle({"a": 0, "b": 0})  # the call stays open for one more cycle
    expires = house.now + timedelta(hours=3)
    priced = Reservation("q1", 100, expires)
    house.accept(Reserve(house.id(), "desk", "a", priced))
    house.accept(RequestWithdrawal(house.id(), "ann", "w1", "a", USDC, MILLION, "bank"))
    house.step(60)
    assert house.call("a").status is CallStatus.OVERDUE
    done = house.four_eyes("a", DeclareDefault(house.call("a").call_id, "not paid"))
    assert [e.log_kind for e in done.events] == ["call", "group", "group", "withdrawal", "command"]
    assert not open_reservations(house.state.journal, "a")
    assert house.state.withdrawals["w1"].stage is WithdrawalStage.CANCELLED
    again = Reserve(house.id(), "desk", "a", priced)
    assert house.refused(again) == "frozen"
    traded = house.trade("a", "b", 1)
    assert traded.refusal is not None
    assert traded.refusal.rule == "frozen"
    wanted = RequestWithdrawal(house.id(), "ann", "w2", "a", USDC, MILLION, "bank")
    assert house.refused(wanted) == "frozen"
    paid = house.deposit("a", 5)
    assert paid.reply is not None
