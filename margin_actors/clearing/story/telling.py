"""The story of one account: which events have a line, in which order, from where to where."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import assert_never

from margin_actors.clearing.amounts import value_of
from margin_actors.clearing.calls import Action, CallClass
from margin_actors.clearing.house.account_events import (
    AccountOpened,
    CallChanged,
    ReminderSent,
    ReservationQuoted,
    WithdrawalChanged,
)
from margin_actors.clearing.house.book_events import ContractChanged, CycleRecorded
from margin_actors.clearing.house.events import (
    AlarmRaised,
    ApprovalChanged,
    ClockRead,
    CommandDecided,
    ExemptionChanged,
    HouseEvent,
    ParametersRecorded,
)
from margin_actors.clearing.house.folding import fold
from margin_actors.clearing.house.queries import balances, call_state, resources_of
from margin_actors.clearing.house.state import HouseState, stored_call
from margin_actors.clearing.journal import Group
from margin_actors.clearing.story.call_lines import call_in_words, call_lines, reminder_line
from margin_actors.clearing.story.cycle_lines import CycleView, cycle_line, cycle_view, is_notable
from margin_actors.clearing.story.group_lines import group_lines
from margin_actors.clearing.story.lines import (
    AccountPosition,
    Logged,
    Statement,
    Story,
    StoryLine,
    amount,
)
from margin_actors.clearing.story.other_lines import (
    alarm_line,
    approval_line,
    contract_line,
    exemption_line,
    opening_line,
    rules_line,
    withdrawal_line,
)
from margin_actors.errors import MissingMarketData

_TRADES_MAX = 5
"""Largest number of trades of one time and actor that have a line each."""


@dataclass(frozen=True)
class StoryRules:
    """Which cycles have a line of their own; see `is_notable`."""

    requirement_share: Decimal = Decimal("0.05")
    """Change of the requirement since the last line, as a share of it."""
    price_share: Decimal = Decimal("0.02")
    """Change of an index price since the last line, as a share of it."""


@dataclass
class _Teller:
    account: str
    rules: StoryRules
    state: HouseState
    last: CycleView | None = None
    """The cycle of the last line on requirements."""
    actions: dict[str, Action] = field(default_factory=dict[str, Action])
    cycles: int = 0
    models: dict[str, None] = field(default_factory=dict[str, None])

    def lines(self, event: HouseEvent) -> list[Statement]:
        """Return what an event means for the account; `state` is that before the event."""
        match event:
            case Group():
                return group_lines(event, self.account)
            case CycleRecorded():
                return self._on_cycle(event)
            case CallChanged():
                return self._on_call(event)
            case ReminderSent():
                lead = self.state.lead(self.account)
                return [reminder_line(event)] if event.account == lead else []
            case AccountOpened():
                return [opening_line(event)] if event.account.name == self.account else []
            case WithdrawalChanged():
                own = event.request.owner == self.account
                return [withdrawal_line(event, self.state)] if own else []
            case ParametersRecorded():
                return [rules_line(event)]
            case ApprovalChanged():
                return _some(approval_line(event, self.account, self.state))
            case ContractChanged():
                return _some(contract_line(event, self.account, self.state))
            case ExemptionChanged():
                return _some(exemption_line(event, self.account))
            case AlarmRaised():
                return _some(alarm_line(event, self.account))
            case ClockRead() | CommandDecided() | ReservationQuoted():
                return []
            case _:
                assert_never(event)

    def _on_cycle(self, event: CycleRecorded) -> list[Statement]:
        view = cycle_view(self.state, event, self.account)
        if view is None:
            return []
        self.cycles += 1
        self.models.setdefault(event.model_id)
        rules = self.rules
        if not is_notable(
            view,
            self.last,
            requirement_share=rules.requirement_share,
            price_share=rules.price_share,
        ):
            return []
        statement = cycle_line(view, self.last)
        self.last = view
        return [statement]

    def _on_call(self, event: CallChanged) -> list[Statement]:
        if event.account != self.state.lead(self.account):
            return []
        before = stored_call(self.state, event.account, event.call_class)
        return call_lines(event, before, self.state.parameters, self.actions)


def account_story(
    state: HouseState,
    account: str,
    events: Iterable[Logged],
    *,
    rules: StoryRules | None = None,
) -> Story:
    """Return what happened to an account.

    Parameters
    ----------
    state : HouseState
        The state before the first event.
    account : str
    events : iterable of Logged
        All events of the log during the period, of all accounts, in their order.
    rules : StoryRules, optional
    """
    opening = _position(state, account)
    teller = _Teller(account, rules or StoryRules(), state)
    if state.cycle is not None:
        teller.last = cycle_view(state, state.cycle, account)
    lines: list[StoryLine] = []
    for one in events:
        lines += [
            StoryLine(statement, one.recorded_at, one.number, one.event.id, one.hash, one.actor)
            for statement in teller.lines(one.event)
        ]
        teller.state = fold(teller.state, one.event, one.recorded_at)
    after = teller.state
    known = after.accounts.get(account)
    return Story(
        account,
        "" if known is None else known.member,
        after.lead(account),
        opening,
        tuple(_with_trades_joined(lines)),
        _position(after, account),
        teller.cycles,
        tuple(teller.models),
    )


def _with_trades_joined(lines: Sequence[StoryLine]) -> Iterator[StoryLine]:
    """Yield the lines; more than `_TRADES_MAX` trades of one time and actor become one line."""
    for (is_trade, _, _), run in groupby(lines, _trade_key):
        some = list(run)
        if not is_trade or len(some) <= _TRADES_MAX:
            yield from some
            continue
        first, last = some[0], some[-1]
        text = (
            f"{len(some):,} trades were booked, in entries {first.number:,} to {last.number:,}. "
            f"The first: {first.statement.text} The last: {last.statement.text}"
        )
        references = (("first", first.event_id), ("last", last.event_id))
        yield replace(last, statement=replace(last.statement, title="Trades booked", text=text,
                                         references=references))  # fmt: skip


def _trade_key(line: StoryLine) -> tuple[bool, datetime, str]:
    return line.statement.title == "Trade booked", line.at, line.actor


def _position(state: HouseState, account: str) -> AccountPosition:
    margin = state.margin(account)
    call = call_state(state, account, CallClass.INITIAL)
    return AccountPosition(
        _time(state),
        state.number,
        None if margin is None else margin.requirement_cents,
        _resources(state, account),
        call_in_words(call),
        _balances(state, account),
    )


def _balances(state: HouseState, account: str) -> tuple[str, ...]:
    found: list[str] = []
    for one in balances(state, account):
        if one.collateral:
            found.append(f"collateral {amount(one.collateral, one.asset)}")
        if one.cash:
            owed = "owed" if value_of(one.cash, one.asset) < 0 else "settled cash"
            found.append(f"{owed} {amount(abs(one.cash), one.asset)}")
        if one.in_transit:
            found.append(f"being paid out {amount(one.in_transit, one.asset)}")
    return tuple(found)


def _resources(state: HouseState, account: str) -> int | None:
    if account not in state.accounts:
        return None
    try:
        return resources_of(state, account).total_cents
    except MissingMarketData:
        return None


def _time(state: HouseState) -> datetime | None:
    return None if state.clock is None else state.clock.now


def _some(statement: Statement | None) -> list[Statement]:
    return [] if statement is None else [statement]
