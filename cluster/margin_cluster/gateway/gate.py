"""The admission gate, in which admitted calls wait for their turn on the event loop.

`admission.FairQueue` makes all decisions. This module adds the futures on which calls wait and the
task that grants the turns.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from margin_cluster.gateway.admission import ClassLimits, FairQueue, PriorityClass, Reason
from margin_cluster.gateway.backlog import Backlog


class Rejected(Exception):  # noqa: N818
    """Raised for a call that is not admitted; `retry_seconds` is the delay suggested to it."""

    def __init__(self, priority: PriorityClass, reason: Reason, retry_seconds: float) -> None:
        self.summary = f"too many {priority.value} calls: the {reason.value} has been reached"
        super().__init__(self.summary)
        self.priority, self.reason, self.retry_seconds = priority, reason, retry_seconds


@dataclass(slots=True, eq=False)
class _Turn:
    """The turn of one waiting call."""

    granted: asyncio.Future[None]
    is_active: bool = False
    """True once the call has been taken from the queue, even if it was cancelled just before."""


class AdmissionGate:
    """The gate of one priority class; belongs to one event loop."""

    def __init__(self, priority: PriorityClass, limits: ClassLimits, backlog: Backlog) -> None:
        self.priority = priority
        self.queue: FairQueue[_Turn] = FairQueue(limits)
        self._backlog = backlog
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def admit(self, caller: str) -> None:
        """Admit a call; it must then call `enter` or `give_up`.

        Raises
        ------
        Rejected
            If a limit is reached.
        """
        reason = self.queue.admit(caller, time.monotonic())
        if reason is not None:
            raise Rejected(self.priority, reason, self.queue.delay_seconds())

    def reject(self, reason: Reason) -> NoReturn:
        """Reject a call for a reason outside the queue.

        Raises
        ------
        Rejected
            Always.
        """
        self.queue.reject(reason, time.monotonic())
        raise Rejected(self.priority, reason, self.queue.delay_seconds())

    def give_up(self, caller: str) -> None:
        """Remove an admitted call that has not entered."""
        self.queue.give_up(caller)

    async def enter(self, caller: str) -> None:
        """Wait for the turn of an admitted call, which then holds a slot until `leave`."""
        turn = _Turn(asyncio.get_running_loop().create_future())
        self.queue.push(caller, turn)
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._hand_out_turns())
        self._changed.set()
        try:
            await turn.granted
        except asyncio.CancelledError:
            if turn.is_active:
                self.leave(caller)
            else:
                self.queue.withdraw(caller, turn)
                self._changed.set()
            raise

    async def enter_unconditionally(self, caller: str) -> None:
        """Wait for the turn of a call that was not admitted here; it is never rejected."""
        self.queue.readmit(caller)
        await self.enter(caller)

    def leave(self, caller: str) -> None:
        """Release the slot of an active call."""
        self.queue.release(caller)
        self._changed.set()

    async def _hand_out_turns(self) -> None:
        """Grant turns one by one until no call waits."""
        while self.queue.has_waiting:
            if not self.queue.can_pop():
                self._changed.clear()
                await self._changed.wait()
                continue
            await self._backlog.drained()
            turn = self.queue.pop()
            if turn is None:
                continue
            turn.is_active = True
            if not turn.granted.done():
                turn.granted.set_result(None)
                await asyncio.sleep(0)  # the call runs here, up to its first wait
        self._keeper = None


class UploadSlot:
    """The slot of a stream of requests, which is held only while a message is processed."""

    def __init__(self, gate: AdmissionGate, caller: str) -> None:
        self._gate, self._caller = gate, caller
        self._is_held = False

    async def take(self) -> None:
        """Wait for a slot."""
        await self._gate.enter_unconditionally(self._caller)
        self._is_held = True

    def give_back(self) -> None:
        """Release the slot if it is held."""
        if self._is_held:
            self._is_held = False
            self._gate.leave(self._caller)


class Admission:
    """The gates of a gateway, with the limits on uploads and on the bytes of waiting requests.

    Belongs to one event loop.
    """

    def __init__(
        self,
        unary: ClassLimits,
        streaming: ClassLimits,
        *,
        uploads_max: int,
        caller_uploads_max: int,
        waiting_bytes_max: int,
        watches_max: int = 512,
        caller_watches_max: int = 128,
        backlog: Backlog | None = None,
    ) -> None:
        self.backlog = backlog or Backlog()
        self.unary = AdmissionGate(PriorityClass.UNARY, unary, self.backlog)
        self.streaming = AdmissionGate(PriorityClass.STREAMING, streaming, self.backlog)
        self.control_active = 0
        self._uploads: Counter[str] = Counter()
        self._uploads_max, self._caller_uploads_max = uploads_max, caller_uploads_max
        self._watches: Counter[str] = Counter()
        self._watches_max, self._caller_watches_max = watches_max, caller_watches_max
        self._bytes, self._bytes_max = 0, waiting_bytes_max

    @property
    def gates(self) -> tuple[AdmissionGate, AdmissionGate]:
        """Return the gates of the unary and the streaming class."""
        return self.unary, self.streaming

    @property
    def active(self) -> int:
        """Return the number of active calls, status calls included."""
        return self.control_active + sum(gate.queue.active for gate in self.gates)

    @property
    def waiting(self) -> int:
        """Return the number of calls that are admitted and not active."""
        return sum(gate.queue.pending for gate in self.gates)

    @property
    def uploads(self) -> int:
        """Return the number of open request streams."""
        return self._uploads.total()

    @property
    def watches(self) -> int:
        """Return the number of open streams of events."""
        return self._watches.total()

    @property
    def rejected(self) -> int:
        """Return the number of calls rejected so far."""
        return sum(gate.queue.rejected.total() for gate in self.gates)

    @contextmanager
    def control(self) -> Generator[None]:
        """Count a call of the control class while the block runs."""
        self.control_active += 1
        try:
            yield
        finally:
            self.control_active -= 1

    @contextmanager
    def upload(self, caller: str) -> Generator[UploadSlot]:
        """Count an open stream of requests while the block runs.

        Raises
        ------
        Rejected
            If the caller, or all callers together, have too many open streams.
        """
        if self.uploads >= self._uploads_max or self._uploads[caller] >= self._caller_uploads_max:
            self.streaming.reject(Reason.UPLOAD_LIMIT)
        self._uploads[caller] += 1
        slot = UploadSlot(self.streaming, caller)
        try:
            yield slot
        finally:
            slot.give_back()
            self._uploads[caller] -= 1
            if not self._uploads[caller]:
                del self._uploads[caller]

    @contextmanager
    def watch(self, caller: str) -> Generator[None]:
        """Count an open stream of events while the block runs.

        Raises
        ------
        Rejected
            If the caller, or all callers together, have too many open streams.
        """
        if self.watches >= self._watches_max or self._watches[caller] >= self._caller_watches_max:
            self.streaming.reject(Reason.WATCH_LIMIT)
        self._watches[caller] += 1
        try:
            yield
        finally:
            self._watches[caller] -= 1
            if not self._watches[caller]:
                del self._watches[caller]

    async def enter(self, gate: AdmissionGate, caller: str, size: int) -> None:
        """Wait for the turn of an admitted call whose request has `size` bytes.

        Raises
        ------
        Rejected
            If other requests wait, and all waiting requests together would exceed the byte limit.
        """
        if self._bytes and self._bytes + size > self._bytes_max:
            gate.give_up(caller)
            gate.reject(Reason.BYTES_LIMIT)
        self._bytes += size
        try:
            await gate.enter(caller)
        finally:
            self._bytes -= size
