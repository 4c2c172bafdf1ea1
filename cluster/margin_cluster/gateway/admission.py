"""Admission control: which calls are admitted, which wait, and in which order they are served.

Each priority class has its own limits and its own queue. Within a class every caller has a separate
queue, and the callers are served in turn (round robin), so that a burst of one caller delays each
of the others by one call and not by the length of the burst.

Bursts and overload look alike but need opposite responses. A burst of one well-behaved caller
should wait, because it ends by itself. An overload by many callers should be rejected at once,
because a long queue would only delay everyone. Therefore only the first few waiting calls of each
caller count towards the limit that all callers share. A rejection by that limit puts the class
under pressure for a quarter of a second, or for as long as more calls wait than the limit.
Meanwhile a much shorter queue is kept.

This module is pure logic: it reads no clock, does not wait, and does not use gRPC.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")

PRESSURE_SECONDS = 0.25
"""A class is under pressure for at least this long after a rejection by the shared limit."""
COUNTED_PER_CALLER = 4
"""Waiting calls of one caller that count towards the shared limit."""
_BURSTS_FULL_SIZE = 2
"""Number of callers that may each have a burst of full size waiting; see `burst_max`."""
_DELAY_SECONDS_MIN, _DELAY_SECONDS_MAX = 0.05, 5.0


class PriorityClass(Enum):
    """Classes of calls; a call competes for slots only with calls of its own class."""

    CONTROL = "control"
    """Status, health and reflection: never queued and never rejected."""
    UNARY = "unary"
    """Calls with one request and one response."""
    STREAMING = "streaming"
    """Calls with a stream in either direction: books, uploads, snapshots, scenario sets."""


class Reason(Enum):
    """Why a call is rejected."""

    SHARED_LIMIT = "shared limit"
    """All callers together have too many calls waiting."""
    CALLER_LIMIT = "caller limit"
    """This caller has too many calls waiting."""
    UPLOAD_LIMIT = "upload limit"
    """Too many request streams are open."""
    WATCH_LIMIT = "watch limit"
    """Too many streams of events are open."""
    BYTES_LIMIT = "bytes limit"
    """The requests that wait hold too much memory."""


@dataclass(frozen=True, slots=True)
class ClassLimits:
    """Limits of one priority class; every number is at least 1."""

    active_max: int
    """Calls that are active at the same time."""
    waiting_max: int
    """Waiting calls of all callers, of which at most 4 per caller count."""
    caller_waiting_max: int
    """Waiting calls of one caller."""
    caller_active_max: int
    """Calls of one caller that are active at the same time."""

    @property
    def pressed_max(self) -> int:
        """Return the limit that replaces `waiting_max` under pressure.

        Under pressure slots become free all the time, so a short queue suffices to keep them in
        use.
        """
        return min(max(self.active_max // 2, 1), self.waiting_max)


@dataclass(slots=True)
class _Caller(Generic[T]):
    """The calls of one caller in one class."""

    pending: int = 0
    """Admitted calls that are not active."""
    active: int = 0
    queue: deque[T] = field(default_factory=deque[T])
    """Pending calls that have asked for their turn."""


class FairQueue(Generic[T]):
    """The admitted calls of one priority class.

    A call goes through `admit`, `push`, `pop` and `release` in this order. A call that ends before
    `push` calls `give_up`, and one that ends between `push` and `pop` calls `withdraw`. A stream of
    requests, which is active only while it processes a message, calls `readmit`, `push`, `pop` and
    `release` for each message.
    """

    def __init__(self, limits: ClassLimits) -> None:
        self.limits = limits
        self.active = self.pending = 0
        self.rejected: Counter[Reason] = Counter()
        self.seconds = 0.05
        """Smoothed duration of a call, seconds, for the delay suggested to rejected callers."""
        self._callers: dict[str, _Caller[T]] = {}
        self._turns: deque[str] = deque()
        """Callers with a call in their queue, each once, in the order of their turns."""
        self._counted = self._bursts = 0
        self._pressed_until = float("-inf")
        self._is_backed_up = False
        """True from a rejection by the shared limit while more calls wait than that limit, until
        the number of waiting calls has fallen to the limit."""

    @property
    def has_waiting(self) -> bool:
        """Return whether a call has asked for its turn."""
        return bool(self._turns)

    @property
    def waiting(self) -> int:
        """Return the number of calls that have asked for their turn."""
        return sum(len(self._callers[name].queue) for name in self._turns)

    def admit(self, caller: str, now: float) -> Reason | None:
        """Admit a call, or return why it is rejected; `now` is a monotonic time in seconds."""
        reason = self._reason(caller, now)
        if reason is None:
            self._add_pending(caller)
        else:
            self.reject(reason, now)
        return reason

    def reject(self, reason: Reason, now: float) -> None:
        """Count a rejection; `now` is a monotonic time in seconds.

        A rejection by the shared limit puts the class under pressure. If it left more calls waiting
        than that limit, rejections for any reason prolong the pressure until the queue has
        drained to the limit.
        """
        self.rejected[reason] += 1
        if reason is Reason.SHARED_LIMIT:
            self._is_backed_up = self.pending > self.limits.waiting_max
        elif not self._is_backed_up:
            return
        self._pressed_until = now + PRESSURE_SECONDS

    def is_pressed(self, now: float) -> bool:
        """Return whether the class is under pressure; `now` is a monotonic time in seconds."""
        return self._is_backed_up or now < self._pressed_until

    def burst_max(self, bursts: int) -> int:
        """Return how many calls of one caller may wait while `bursts` callers have a burst.

        Up to two callers may each have a burst of full size. With more callers the allowance falls
        with the third power of their number, so that the sum over callers falls too, because many
        bursts at the same time are an overload.
        """
        full, share = self.limits.caller_waiting_max, _BURSTS_FULL_SIZE / max(bursts, 1)
        return full if share >= 1 else max(int(full * share**3), COUNTED_PER_CALLER)

    def delay_seconds(self) -> float:
        """Return the delay, 0.05 to 5 seconds, after which a rejected caller should retry."""
        expected = self.seconds * (self.active + self.pending) / self.limits.active_max
        return min(max(expected, _DELAY_SECONDS_MIN), _DELAY_SECONDS_MAX)

    def note_duration(self, seconds: float) -> None:
        """Include a finished call in the smoothed duration."""
        self.seconds += 0.05 * (seconds - self.seconds)

    def readmit(self, caller: str) -> None:
        """Admit a call that is limited elsewhere; it is never rejected."""
        self._add_pending(caller)

    def push(self, caller: str, item: T) -> None:
        """Append an admitted call to its caller's queue."""
        queue = self._callers[caller].queue
        if not queue:
            self._turns.append(caller)
        queue.append(item)

    def pop(self) -> T | None:
        """Return the call whose turn it is and make it active; None if no call may start."""
        if self.active >= self.limits.active_max:
            return None
        for _ in range(len(self._turns)):
            name = self._turns.popleft()
            entry = self._callers[name]
            if entry.active >= self.limits.caller_active_max:
                self._turns.append(name)
                continue
            item = entry.queue.popleft()
            if entry.queue:
                self._turns.append(name)
            self._remove_pending(name)
            entry.active += 1
            self.active += 1
            # The entry may have been dropped with its last pending call.
            self._callers[name] = entry
            return item
        return None

    def can_pop(self) -> bool:
        """Return whether `pop` would return a call."""
        if self.active >= self.limits.active_max:
            return False
        most = self.limits.caller_active_max
        return any(self._callers[name].active < most for name in self._turns)

    def withdraw(self, caller: str, item: T) -> None:
        """Remove a call that waits for its turn."""
        queue = self._callers[caller].queue
        queue.remove(item)
        if not queue:
            self._turns.remove(caller)
        self._remove_pending(caller)

    def give_up(self, caller: str) -> None:
        """Remove an admitted call that has not asked for its turn."""
        self._remove_pending(caller)

    def release(self, caller: str) -> None:
        """Release the slot of an active call."""
        self._callers[caller].active -= 1
        self.active -= 1
        self._forget_if_idle(caller)

    def _reason(self, caller: str, now: float) -> Reason | None:
        limits, entry = self.limits, self._callers.get(caller)
        own = entry.pending if entry is not None else 0
        is_pressed = self.is_pressed(now)
        if own < COUNTED_PER_CALLER:
            if own >= limits.caller_waiting_max:
                return Reason.CALLER_LIMIT
            most = limits.pressed_max if is_pressed else limits.waiting_max
            return Reason.SHARED_LIMIT if self._counted >= most else None
        bursts = self._bursts + (own == COUNTED_PER_CALLER)
        if is_pressed or own >= limits.caller_waiting_max:
            return Reason.CALLER_LIMIT
        return Reason.SHARED_LIMIT if own >= self.burst_max(bursts) else None

    def _add_pending(self, caller: str) -> None:
        entry = self._callers.setdefault(caller, _Caller())
        self._counted += entry.pending < COUNTED_PER_CALLER
        self._bursts += entry.pending == COUNTED_PER_CALLER
        entry.pending += 1
        self.pending += 1

    def _remove_pending(self, caller: str) -> None:
        entry = self._callers[caller]
        entry.pending -= 1
        self.pending -= 1
        self._counted -= entry.pending < COUNTED_PER_CALLER
        self._bursts -= entry.pending == COUNTED_PER_CALLER
        self._is_backed_up &= self.pending > self.limits.waiting_max
        self._forget_if_idle(caller)

    def _forget_if_idle(self, caller: str) -> None:
        entry = self._callers[caller]
        if not entry.pending and not entry.active:
            del self._callers[caller]
