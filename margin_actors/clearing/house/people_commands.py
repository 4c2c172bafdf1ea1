"""Commands of people: on calls, and acts that require two of them."""

from dataclasses import dataclass

from margin_actors.clearing.calls import Action, CallClass
from margin_actors.clearing.house.acts import ACT, Act, ExemptionKind
from margin_actors.clearing.house.call_forms import ACTION, CALL_CLASS
from margin_actors.clearing.house.forms import TEXT, enumeration
from margin_actors.clearing.house.recorded import Recorded, recorded


@recorded(
    "acknowledge_call", id=TEXT, actor=TEXT, account=TEXT, call_class=CALL_CLASS, call_id=TEXT
)
@dataclass(frozen=True)
class AcknowledgeCall(Recorded):
    """The member confirms that it has read a call; subject of the reply: the call."""

    id: str
    actor: str
    account: str
    call_class: CallClass
    call_id: str


@recorded("release_hold", id=TEXT, actor=TEXT, account=TEXT, call_class=CALL_CLASS, call_id=TEXT)
@dataclass(frozen=True)
class ReleaseHold(Recorded):
    """One person ends the hold of a call; subject of the reply: the call."""

    id: str
    actor: str
    account: str
    call_class: CallClass
    call_id: str


@recorded("propose_action", id=TEXT, actor=TEXT, account=TEXT, call_class=CALL_CLASS, action=ACTION)
@dataclass(frozen=True)
class ProposeAction(Recorded):
    """Propose an action on a call; subject of the reply: the hash of the action."""

    id: str
    actor: str
    account: str
    call_class: CallClass
    action: Action


@recorded(
    "approve_action", id=TEXT, actor=TEXT, account=TEXT, call_class=CALL_CLASS, action_hash=TEXT
)
@dataclass(frozen=True)
class ApproveAction(Recorded):
    """Approve a proposed action as the second person; subject of the reply: its hash."""

    id: str
    actor: str
    account: str
    call_class: CallClass
    action_hash: str


@recorded("execute_action", id=TEXT, actor=TEXT, account=TEXT, call_class=CALL_CLASS, action=ACTION)
@dataclass(frozen=True)
class ExecuteAction(Recorded):
    """Execute an approved action on a call; subject of the reply: its hash."""

    id: str
    actor: str
    account: str
    call_class: CallClass
    action: Action


@recorded("propose_act", id=TEXT, actor=TEXT, act=ACT)
@dataclass(frozen=True)
class ProposeAct(Recorded):
    """Propose an act that requires two people; subject of the reply: its hash."""

    id: str
    actor: str
    act: Act


@recorded("approve_act", id=TEXT, actor=TEXT, act_hash=TEXT)
@dataclass(frozen=True)
class ApproveAct(Recorded):
    """Approve a proposed act as the second person; subject of the reply: its hash."""

    id: str
    actor: str
    act_hash: str


@recorded("execute_act", id=TEXT, actor=TEXT, act_hash=TEXT)
@dataclass(frozen=True)
class ExecuteAct(Recorded):
    """Execute an approved act; subject of the reply: its hash."""

    id: str
    actor: str
    act_hash: str


@recorded("end_exemption", id=TEXT, actor=TEXT, kind=enumeration(ExemptionKind), subject=TEXT)
@dataclass(frozen=True)
class EndExemption(Recorded):
    """One person ends an exemption."""

    id: str
    actor: str
    kind: ExemptionKind
    subject: str
