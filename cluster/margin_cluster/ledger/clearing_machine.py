"""What the log of the clearing house requires of the state machine whose events it stores.

The state machine is pure: it reads no clock and no storage. The log reads the clock, stores what
was decided, and hands every process the same events in the same order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


class LoggedEvent(Protocol):
    """One event of the log."""

    @property
    def id(self) -> str:
        """Printable text of at most 500 characters, used at most once in the log."""
        ...

    @property
    def log_kind(self) -> str:
        """The kind of event, at most 32 characters."""
        ...

    @property
    def payload_hash(self) -> str:
        """Hash of the whole content, at most 128 characters."""
        ...


class Command(Protocol):
    """A request for a decision; a command that is repeated is recognised by `decide`."""

    @property
    def actor(self) -> str:
        """Who asks: a user or a process; printable text of at most 256 characters."""
        ...


E_co = TypeVar("E_co", bound=LoggedEvent, covariant=True)


class Decision(Protocol[S_co, E_co]):
    """The answer to a command; without events it leaves the log and the state unchanged."""

    @property
    def events(self) -> Sequence[E_co]:
        """What is appended to the log, in this order."""
        ...

    @property
    def state(self) -> S_co:
        """The state after the events, equal to the fold of them."""
        ...


E = TypeVar("E", bound=LoggedEvent)
C = TypeVar("C", bound=Command)
D = TypeVar("D", bound=Decision[Any, Any])


def later_of(_state: object, last: datetime | None, wall: datetime) -> datetime:
    """Return the later of the last committed time (None if there is none) and the wall clock."""
    return wall if last is None else max(last, wall)


def no_account(_event: object) -> str:
    """Return an empty text, for machines whose events belong to no account."""
    return ""


@dataclass(frozen=True)
class Machine(Generic[S, E, C, D]):
    """A state machine with the codec of its events."""

    empty: S
    """The state before the first event. States are immutable."""
    fold: Callable[[S, E, datetime], S]
    """Returns the state after an event and the time at which it was recorded, UTC."""
    decide: Callable[[S, C, datetime], D]
    """Returns the answer to a command at a time of the ledger clock, UTC. An exception refuses the
    command; nothing is recorded then."""
    payload_of: Callable[[E], str]
    """Returns the whole content of an event as text without NUL characters."""
    event_of: Callable[[str, str], E]
    """Returns the event of a kind and a payload: the inverse of `payload_of`."""
    account_of: Callable[[E], str] = no_account
    """Returns the account that an event concerns, at most 128 characters; empty if it concerns
    several accounts or none."""
    time_of: Callable[[S, datetime | None, datetime], datetime] = later_of
    """Returns the time of the ledger clock, given the state, the time of the last event and the
    wall clock, UTC. A result before the last event is replaced by that time."""


__all__ = ["Command", "Decision", "LoggedEvent", "Machine", "later_of", "no_account"]
