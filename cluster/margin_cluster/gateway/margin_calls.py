"""Use cases of MarginCallService: list and watch calls, acknowledge them, decide on them."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from margin_actors.clearing.calls import Action, CallClass, CallState, action_hash
from margin_actors.clearing.house import HouseState
from margin_actors.clearing.house.people_commands import (
    AcknowledgeCall,
    ApproveAction,
    ExecuteAction,
    ProposeAction,
    ReleaseHold,
)
from margin_actors.clearing.house.queries import call_state, open_calls
from margin_actors.errors import InvalidRequest, Problem
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.call_feed import CallFeed, Watched
from margin_cluster.gateway.clearing import Clearing, Done
from margin_cluster.ledger.clearing_rows import LogPosition

_END_SECONDS = 0.25
"""A watch ends this long before its deadline, so that it ends with OK."""


@dataclass(frozen=True)
class CallQuery:
    """Which calls are listed."""

    account: str = ""
    """Empty for all."""
    call_class: CallClass | None = None
    is_open_only: bool = False


@dataclass(frozen=True)
class CallAddress:
    """The call that a person decides on."""

    account: str
    call_class: CallClass
    call_id: str


@dataclass(frozen=True)
class DecidedCall:
    """What a decision of a person caused."""

    done: Done
    call: CallState


class MarginCalls:
    """Use cases of margin calls; belongs to one event loop."""

    def __init__(self, clearing: Clearing, feed: CallFeed) -> None:
        self._clearing, self._feed = clearing, feed

    async def list_calls(
        self, query: CallQuery, position: int | datetime | None, size: int, token: str
    ) -> tuple[list[CallState], str, LogPosition]:
        """Return (calls by class and account, token of the next page, position of the state).

        Parameters
        ----------
        query : CallQuery
        position : int, datetime or None
            Of the state that the first page lists; None for the present.
        size : int
        token : str
            Of the page; empty for the first.

        Raises
        ------
        InvalidRequest
            If the position or the token is not valid.
        """
        number, offset = _page(token)
        state, at = await self._clearing.state_at(position if number is None else number)
        found = listed_calls(state, query)
        following = f"{state.number}.{offset + size}" if len(found) > offset + size else ""
        return found[offset : offset + size], following, at

    def watch(self, account: str, token: str, call: Call) -> AsyncGenerator[Watched]:
        """Yield committed changes of calls after a token; see `CallFeed.watch`."""
        left = call.until - call.started
        return self._feed.watch(token, account, until=call.until - min(_END_SECONDS, left / 4))

    async def acknowledge(self, key: str, actor: str, at: CallAddress) -> DecidedCall:
        """Record that the member has read a call; raises the errors of `Clearing.submit`."""
        command = AcknowledgeCall(
            f"acknowledge:{key}", actor, at.account, at.call_class, at.call_id
        )
        return self._decided(await self._clearing.submit(command), at.account, at.call_class)

    async def release(self, key: str, actor: str, at: CallAddress) -> DecidedCall:
        """End the hold of a call; raises the errors of `Clearing.submit`."""
        command = ReleaseHold(f"release:{key}", actor, at.account, at.call_class, at.call_id)
        return self._decided(await self._clearing.submit(command), at.account, at.call_class)

    async def propose(
        self, key: str, actor: str, account: str, call_class: CallClass, action: Action
    ) -> DecidedCall:
        """Record the proposal of an action; raises the errors of `Clearing.submit`."""
        command = ProposeAction(f"propose:{key}", actor, account, call_class, action)
        return self._decided(await self._clearing.submit(command), account, call_class)

    async def approve(
        self, key: str, actor: str, account: str, call_class: CallClass, action: Action
    ) -> DecidedCall:
        """Approve an action as the second person, and execute it.

        The two steps are separate entries of the log. If the execution is refused, the approval
        remains, and a repetition with the same key executes the action.

        Raises
        ------
        RefusedByRule
            If the approval or the execution is refused.
        KeyReused, Overloaded, LedgerUnavailable
            As `Clearing.submit`.
        """
        name = action_hash(action)
        approval = ApproveAction(f"approve:{key}", actor, account, call_class, name)
        await self._clearing.submit(approval)
        execution = ExecuteAction(f"execute:{key}", actor, account, call_class, action)
        return self._decided(await self._clearing.submit(execution), account, call_class)

    def _decided(self, done: Done, account: str, call_class: CallClass) -> DecidedCall:
        return DecidedCall(done, call_state(done.committed.state, account, call_class))


def listed_calls(state: HouseState, query: CallQuery) -> list[CallState]:
    """Return the current or last calls that a query selects, by class and account."""
    if query.is_open_only:
        calls = list(open_calls(state))
    else:
        calls = [call for call in state.calls.values() if call.number]
    lead = state.lead(query.account) if query.account else ""
    chosen = [
        call
        for call in calls
        if lead in ("", call.account) and query.call_class in (None, call.call_class)
    ]
    return sorted(chosen, key=lambda call: (call.call_class.value, call.account))


def _page(token: str) -> tuple[int | None, int]:
    """Return (number of the listed state, calls on earlier pages) of a token."""
    if not token:
        return None, 0
    number, _, offset = token.partition(".")
    parts = (number, offset)
    if not all(p.isascii() and p.isdecimal() and len(p) <= 18 for p in parts):
        problem = Problem("page_token", repr(token[:64]), "send back next_page_token unchanged")
        raise InvalidRequest("the request is not valid", [problem])
    return int(number), int(offset)
