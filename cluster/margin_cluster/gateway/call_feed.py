"""Committed changes of margin calls, delivered to any number of watchers.

One task of the gateway follows the log and keeps the last changes in memory. A watcher that is
behind them reads pages of the ledger instead. Hence a slow watcher holds at most one page, and no
watcher is ever sent anything that is not committed.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import structlog

from margin_actors.clearing.house import HouseEvent
from margin_actors.clearing.house.account_events import CallChanged, ReminderSent
from margin_actors.errors import MarginError
from margin_cluster.gateway.clearing import Clearing
from margin_cluster.ledger.clearing_rows import RecordedEvent

KINDS = (CallChanged.log_kind, ReminderSent.log_kind)
KEPT_MAX = 4_096
"""Changes that are kept in memory."""
PAGE = 200
"""Largest number of changes that a watcher holds."""
HEARTBEAT_SECONDS = 5.0
"""Longest time without a message to a watcher."""
_WAIT_SECONDS = 0.5
_RETRY_SECONDS = 0.5

Change = RecordedEvent[HouseEvent]


@dataclass(frozen=True, slots=True)
class Watched:
    """One message of a watch."""

    token: str
    """Continues after the message."""
    change: Change | None
    """None if nothing happened for some seconds."""


class CallFeed:
    """Follows the changes of margin calls; belongs to one event loop.

    Parameters
    ----------
    clearing : Clearing
    kept_max : int
        See `KEPT_MAX`.
    heartbeat_seconds : float
        See `HEARTBEAT_SECONDS`.
    """

    def __init__(
        self,
        clearing: Clearing,
        *,
        kept_max: int = KEPT_MAX,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._clearing = clearing
        self._heartbeat_seconds = heartbeat_seconds
        self._kept: deque[Change] = deque(maxlen=kept_max)
        self._complete_after = 0
        """Every change after this event, up to `_number`, is kept."""
        self._number, self._token = 0, ""
        self._news = asyncio.Event()
        self._is_stopped = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow the log, from its present end."""
        at = self._clearing.committed.at
        self._number, self._token, self._complete_after = at.number, at.token, at.number
        self._task = asyncio.create_task(self._follow())

    def end_watches(self) -> None:
        """End all watches after what they are sending."""
        self._is_stopped = True
        self._news.set()

    async def close(self) -> None:
        """End all watches and stop following the log."""
        self.end_watches()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def watch(self, token: str, account: str, *, until: float) -> AsyncGenerator[Watched]:
        """Yield the changes after a position until a time, or until the gateway stops.

        Parameters
        ----------
        token : str
            Of an earlier message or listing; empty for the beginning of the log.
        account : str
            Account in whose name the calls are issued; empty for all.
        until : float
            Monotonic time, seconds.

        Raises
        ------
        InvalidRequest
            If the token is not of this log.
        LedgerUnavailable
            If the ledger cannot be read; the caller continues from its last token.
        """
        position, is_checked, last = token, False, time.monotonic()
        while not self._is_stopped and time.monotonic() < until:
            found = self._kept_after(_number(position)) if is_checked else None
            if found is None:
                page = await self._clearing.run(
                    self._clearing.log.events_after, position or 0, KINDS, account, PAGE
                )
                found = list(page.events), page.token
            changes, position = found
            is_checked = True
            for change in changes:
                if account in ("", change.account):
                    last = time.monotonic()
                    yield Watched(change.position.token, change)
                if self._is_stopped:
                    return
            if not changes:
                seconds = min(last + self._heartbeat_seconds, until) - time.monotonic()
                await self._advanced(_number(position), seconds)
            if time.monotonic() >= last + self._heartbeat_seconds:
                last = time.monotonic()
                yield Watched(position, None)

    def _kept_after(self, number: int) -> tuple[list[Change], str] | None:
        """Return (at most `PAGE` kept changes after an event, token of their end).

        None if the changes after the event are not all in memory, or not read yet.
        """
        if not self._complete_after <= number <= self._number:
            return None
        found = [change for change in self._kept if change.number > number][:PAGE]
        return found, found[-1].position.token if len(found) == PAGE else self._token

    async def _advanced(self, number: int, seconds: float) -> None:
        """Wait until the log is followed beyond an event, at most for some seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                while self._number <= number and not self._is_stopped:
                    await self._news.wait()

    async def _follow(self) -> None:
        log = self._clearing.log
        while True:
            try:
                if await self._clearing.run(log.wait_for, self._number + 1, _WAIT_SECONDS):
                    page = await self._clearing.run(log.events_after, self._token, KINDS, "", PAGE)
                    self._take(page.events, page.token)
            except MarginError as error:
                structlog.get_logger("gateway").warning("calls not followed", problem=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    def _take(self, changes: tuple[Change, ...], token: str) -> None:
        for change in changes:
            if len(self._kept) == self._kept.maxlen:
                self._complete_after = self._kept[0].number
            self._kept.append(change)
        self._number, self._token = _number(token), token
        news, self._news = self._news, asyncio.Event()
        news.set()


def _number(token: str) -> int:
    return int(token.partition(":")[0] or 0)
