"""The audit of one account: its story during a period, read from the log of a ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from margin_actors.clearing.house import HouseState
from margin_actors.clearing.story import Logged, Story, StoryRules, account_story
from margin_actors.errors import InvalidRequest, Problem, UnknownAccount
from margin_cluster.operations.machine import HouseLog

_PAGE = 500
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Audit:
    """The story of an account with what identifies the log that it was read from."""

    story: Story
    first: datetime | None
    """Start of the period, UTC, inclusive; None for the beginning of the log."""
    last: datetime | None
    """End of the period, UTC, inclusive; None for the end of the log."""
    head_number: int
    """Number of the last event of the log when it was read."""
    head_hash: str
    """Hash of its entry, which covers all entries before it."""


def audit_account(
    log: HouseLog,
    account: str,
    first: datetime | None = None,
    last: datetime | None = None,
    *,
    rules: StoryRules | None = None,
) -> Audit:
    """Return the story of an account.

    Parameters
    ----------
    log : HouseLog
    account : str
    first, last : datetime, optional
        UTC, both inclusive.
    rules : StoryRules, optional
        Which cycles have a line of their own.

    Raises
    ------
    UnknownAccount
        If the account is not open.
    InvalidRequest
        If the period ends before it begins.
    """
    committed = log.committed
    _require_open(committed.state, account)
    if first is not None and last is not None and last < first:
        problem = Problem("period", f"it ends at {last}, before {first}", "exchange the times")
        raise InvalidRequest("the period is not valid", [problem])
    before = log.state_at(0 if first is None else first - _MICROSECOND)
    head = committed.at
    events = _events(log, before.number, head.number, last)
    story = account_story(before, account, events, rules=rules)
    return Audit(story, first, last, head.number, head.hash)


def _require_open(state: HouseState, account: str) -> None:
    if account in state.accounts:
        return
    names = list(state.accounts)
    known = f"one of {len(names):,}, for example {names[0]}" if names else "no account is open"
    problem = Problem("ACCOUNT", f"{account!r} is not an account of this ledger", known)
    raise UnknownAccount("the account is not open", [problem])


def _events(log: HouseLog, number: int, until: int, last: datetime | None) -> Iterator[Logged]:
    """Yield the events after `number` up to the event `until` and the time `last`, in pages."""
    while number < until:
        page = log.events_after(number, limit=_PAGE)
        for event in page.events:
            if event.number > until or (last is not None and event.recorded_at > last):
                return
            yield event
        if not page.events:
            return
        number = page.events[-1].number


__all__ = ["Audit", "audit_account"]
