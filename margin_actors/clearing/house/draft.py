"""A decision in progress: the running state and the events so far.

Every event is folded when it is added, by the same fold that reads the log, so that the state of a
decision cannot differ from the fold of its events.
"""

from datetime import datetime
from typing import NoReturn

from margin_actors.clearing.calls import (
    Alarm,
    AlarmKind,
    CallClass,
    CallEvent,
    CallState,
    Outcome,
    transition,
)
from margin_actors.clearing.house.account_events import CallChanged, ClearingAccount
from margin_actors.clearing.house.decisions import HouseRule, Refusal
from margin_actors.clearing.house.events import AlarmRaised, HouseAlarm, HouseEvent
from margin_actors.clearing.house.folding import clock_reading, fold
from margin_actors.clearing.house.group_folding import after_group
from margin_actors.clearing.house.state import HouseState, stored_call
from margin_actors.clearing.journal import Group, Refused, apply


class RefusedCommand(Exception):  # noqa: N818  # ends a decision and never leaves `decide`
    """The command is refused as a whole."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.reason)


def refuse(rule: str, reason: str) -> NoReturn:
    """Refuse the command; what was added to the draft is discarded."""
    raise RefusedCommand(Refusal(str(rule), reason))


class HouseDraft:
    """The running state of one decision."""

    def __init__(self, state: HouseState, now: datetime, *, command_id: str, actor: str) -> None:
        self.state = state
        self.now = now
        """The time of the decision as read, UTC."""
        self.command_id = command_id
        self.actor = actor
        self.events: list[HouseEvent] = []
        self._time = clock_reading(state, now).clock.now

    @property
    def time(self) -> datetime:
        """The time of the ledger clock, UTC; it stands still while a jump is not confirmed."""
        return self._time

    def log(self, event: HouseEvent) -> None:
        """Add an event."""
        self._added(event, fold(self.state, event, self.now))

    def group(self, group: Group) -> bool:
        """Add a group of the journal; return False for a repetition, which changes nothing.

        Raises
        ------
        KeyReused
            If another group was applied under the same id.
        """
        outcome = apply(self.state.journal, group, self._time)
        if isinstance(outcome, Refused):
            refuse(outcome.rule.value, f"{group.id}: {outcome.what}")
        if outcome.is_repeat:
            return False
        clock = clock_reading(self.state, self.now).clock
        self._added(group, after_group(self.state, group, outcome.state, clock))
        return True

    def call(self, account: str, call_class: CallClass, event: CallEvent) -> Outcome:
        """Pass an event to the calls of an account and add what changes."""
        before = stored_call(self.state, account, call_class)
        outcome = transition(before, event, self._time, self.state.parameters.calls)
        if outcome.refusal is not None:
            refuse(outcome.refusal.rule.value, outcome.refusal.what)
        if has_changed(before, outcome.state):
            after = outcome.state
            self.log(CallChanged(before.account, call_class, event, after, outcome.effects))
        else:
            for effect in outcome.effects:
                if isinstance(effect, Alarm) and effect.kind is AlarmKind.PAYMENT_CHANGED:
                    what = f"payment {effect.subject} arrived with another content"
                    self.alarm(HouseAlarm.PAYMENT_CHANGED, before.account, what)
        return outcome

    def alarm(self, alarm: HouseAlarm, subject: str, what: str) -> None:
        """Add an alarm."""
        self.log(AlarmRaised(alarm, subject, what, self.command_id))

    def account(self, name: str) -> ClearingAccount:
        """Return an account; refuse the command if it is not open."""
        known = self.state.accounts.get(name)
        if known is None:
            refuse(HouseRule.UNKNOWN_ACCOUNT, f"account {name!r} is not open")
        return known

    def _added(self, event: HouseEvent, state: HouseState) -> None:
        self.events.append(event)
        self.state = state
        assert state.clock is not None
        self._time = state.clock.now


def has_changed(before: CallState, after: CallState) -> bool:
    """Return whether anything changed except that another cycle passed."""
    return (
        before.tranches != after.tranches
        or before.status is not after.status
        or _rest(before) != _rest(after)
    )


def _rest(call: CallState) -> tuple[object, ...]:
    return (
        call.number,
        call.is_acknowledged,
        call.is_held,
        call.attested,
        call.payments,
        call.approvals,
        call.outages,
        call.cycles_at_release,
    )
