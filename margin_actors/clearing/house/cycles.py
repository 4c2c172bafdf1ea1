"""The decision on a cycle: requirements against the resources at the time of the commit."""

from dataclasses import replace
from datetime import timedelta

from margin_actors.clearing.amounts import ASSETS
from margin_actors.clearing.calls import CallClass, RequirementCycle
from margin_actors.clearing.house.acts import ExemptionKind
from margin_actors.clearing.house.book_events import CycleRecorded
from margin_actors.clearing.house.cycle_command import RecordCycle
from margin_actors.clearing.house.decisions import HouseRule
from margin_actors.clearing.house.draft import HouseDraft, refuse
from margin_actors.clearing.house.events import HouseAlarm
from margin_actors.clearing.house.state import AccountMargin, HouseState, call_key, exemption_key
from margin_actors.clearing.house.valuing import (
    PositionValue,
    account_resources,
    excess_cents,
    included_cents,
    position_value,
    requirement_cents,
    valuation,
)
from margin_actors.clearing.journal import AccountKind, holdings
from margin_actors.clearing.journal.reservations import MarginStatus, open_reservations, repriced
from margin_actors.clearing.journal.resources import Resources, resources
from margin_actors.errors import MissingMarketData

_NAMED = 5
"""Largest number of accounts that a message names."""
_FREE = f"{AccountKind.FREE_MARGIN.value}:MARGIN:"


def on_cycle(draft: HouseDraft, command: RecordCycle) -> tuple[str, ...]:
    """Record a cycle, decide on calls, and price reservations again.

    A valuation that is too old decides nothing and raises an alarm. An account that cannot be
    valued is left out with an alarm, and does not affect the others.
    """
    _check(draft, command)
    limit = draft.state.parameters.calls.valuation_seconds_max
    if draft.time - command.valued_at > timedelta(seconds=limit):
        what = f"the valuation of {command.valued_at} is older than {limit} seconds"
        draft.alarm(HouseAlarm.STALE_VALUATION, f"cycle {command.number}", what)
        return ()
    rows = _Rows(draft.state, command)
    draft.log(rows.cycle())
    leads = dict.fromkeys(draft.state.lead(account) for account in rows.accounts)
    changed: list[str] = []
    for lead in leads:
        try:
            changed += _call(draft, lead)
        except MissingMarketData as error:
            rows.missing[lead] = str(error)
    _reprice(draft, command, rows)
    for account, what in rows.missing.items():
        draft.alarm(HouseAlarm.MARK_MISSING, account, what)
    return tuple(changed)


def _check(draft: HouseDraft, command: RecordCycle) -> None:
    state = draft.state
    last = 0 if state.cycle is None else state.cycle.number
    if command.number <= last:
        refuse(HouseRule.OLD_CYCLE, f"cycle {command.number} is not after cycle {last}")
    if not 0 <= command.read_number <= state.number:
        what = f"positions at entry {command.read_number}, the log has {state.number}"
        refuse(HouseRule.INVALID, what)
    if command.valued_at > max(draft.time, draft.now):
        refuse(HouseRule.INVALID, f"the valuation of {command.valued_at} is in the future")
    unknown = [account for account in command.accounts if account not in state.accounts]
    if unknown:
        named = ", ".join(map(repr, unknown[:_NAMED]))
        refuse(HouseRule.UNKNOWN_ACCOUNT, f"{len(unknown)} accounts are not open: {named}")


class _Rows:
    """Resources of the accounts of a cycle at this moment, as columns."""

    def __init__(self, state: HouseState, command: RecordCycle) -> None:
        self._command = command
        self.accounts: list[str] = []
        self.missing: dict[str, str] = {}
        """Why an account was left out, or valued as by the calculation, by account."""
        self._requirements: list[int] = []
        self._collateral: list[int] = []
        self._options: list[int] = []
        self._unsettled: list[int] = []
        self._values: dict[str, list[int]] = {a: [] for a in command.option_values_cents}
        for row, account in enumerate(command.accounts):
            margin = _margin(command, row)
            value = position_value(
                state, account, margin, prices=command.prices, marks=command.marks
            )
            if value.missing:
                self.missing[account] = f"no mark or price of {', '.join(value.missing)}"
            held = holdings(state.journal, account, ASSETS)
            try:
                found = resources(held, valuation(state, value, command.prices))
            except MissingMarketData as error:
                self.missing[account] = str(error)
                continue
            self._add(margin, value, found, account)

    def _add(
        self, margin: AccountMargin, value: PositionValue, found: Resources, account: str
    ) -> None:
        for asset in value.option_values_cents.keys() - self._values.keys():
            self._values[asset] = [0] * len(self.accounts)
        for asset, cents in self._values.items():
            cents.append(value.option_values_cents.get(asset, 0))
        self.accounts.append(account)
        self._requirements.append(margin.requirement_cents)
        self._options.append(found.option_cents)
        self._unsettled.append(found.unsettled_cents)
        self._collateral.append(sum(one.counted_cents for one in found.collateral))

    def cycle(self) -> CycleRecorded:
        """Return the event."""
        command = self._command
        return CycleRecorded(
            command.number,
            command.calculation_id,
            command.snapshot_id,
            command.generation_id,
            command.model_id,
            command.valued_at,
            command.read_number,
            dict(command.prices),
            dict(command.marks),
            tuple(self.accounts),
            tuple(self._requirements),
            tuple(self._collateral),
            tuple(self._options),
            tuple(self._unsettled),
            {asset: tuple(cents) for asset, cents in sorted(self._values.items())},
        )


def _margin(command: RecordCycle, row: int) -> AccountMargin:
    values = {
        asset: cents[row] for asset, cents in command.option_values_cents.items() if cents[row]
    }
    return AccountMargin(
        command.number,
        command.read_number,
        command.requirement_cents[row],
        values,
        command.unsettled_cents[row],
    )


def _call(draft: HouseDraft, lead: str) -> list[str]:
    """Decide on the call of an account, or of those that net; return its id if it changes."""
    state = draft.state
    cycle = state.cycle
    assert cycle is not None
    exempt = exemption_key(ExemptionKind.CALLS.value, lead) in state.exemptions
    if exempt and call_key(lead, CallClass.INITIAL) not in state.timed_calls:
        return []
    members = state.netted(lead)
    if len(members) == 1:
        row = cycle.rows[lead]
        required = cycle.requirement_cents[row]
        available = required + cycle.excess_cents(row)
    else:
        required = sum(requirement_cents(state, member) for member in members)
        available = sum(account_resources(state, member).total_cents for member in members)
    event = RequirementCycle(
        cycle.number, required, available, cycle.valued_at, is_frozen=lead in state.frozen
    )
    count = len(draft.events)
    call = draft.call(lead, CallClass.INITIAL, event).state
    return [call.call_id] if len(draft.events) > count else []


def _reprice(draft: HouseDraft, command: RecordCycle, rows: _Rows) -> None:
    """Set limits and reservations again, of accounts of the cycle that use free margin."""
    names = draft.state.journal.pending_by_account
    using = {name.removeprefix(_FREE) for name in names if name.startswith(_FREE)}
    using |= set(draft.state.reserved)
    for account in rows.accounts:
        if account in using:
            try:
                _reprice_account(draft, command, account)
            except MissingMarketData as error:
                rows.missing[account] = str(error)


def _reprice_account(draft: HouseDraft, command: RecordCycle, account: str) -> None:
    state = draft.state
    status = MarginStatus(
        account,
        f"cycle:{command.number}",
        excess_cents(state, account),
        included_cents(state, account),
        draft.time,
    )
    # Quotes may have been added or have ended since the sender priced them.
    prices = {one.quote: one.incremental_cents for one in command.reservations.get(account, ())}
    priced = [
        replace(one, incremental_cents=prices.get(one.quote, one.incremental_cents))
        for one in open_reservations(state.journal, account)
    ]
    group = repriced(state.journal, status, priced, now=draft.time).group
    if group is not None:
        draft.group(group)
