"""Reading of the committed log: events after a position, positions at a time."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic

from margin_actors.errors import InvalidRequest, Problem
from margin_cluster.ledger.clearing_machine import E, Machine
from margin_cluster.ledger.clearing_rows import (
    All,
    RecordedEvent,
    last_position,
    microseconds,
    number_at,
    position_at,
    recorded_events,
    rows_after,
)
from margin_cluster.ledger.columns import DriverRow, Value
from margin_cluster.ledger.database import Database

_DIGITS_MAX = 18


@dataclass(frozen=True)
class EventPage(Generic[E]):
    """Committed events in the order of the log, and where to continue."""

    events: tuple[RecordedEvent[E], ...]
    token: str
    """Continues after these events, in any process, without a loss or a repetition."""


class LogReader(Generic[E]):
    """Reads the log outside of transactions; it takes no lock and sees committed entries only."""

    def __init__(self, database: Database, machine: Machine[Any, E, Any, Any]) -> None:
        self._database, self._machine = database, machine

    def rows(self, number: int, limit: int) -> Sequence[DriverRow]:
        """Return at most `limit` rows after event `number`, in the order of the log."""
        with self._reading() as query:
            return rows_after(query, number, limit)

    def number_at(self, moment: datetime) -> int:
        """Return the number of the last event recorded at or before a time; 0 if there is none.

        Raises
        ------
        InvalidRequest
            If the time is not in UTC.
        """
        microseconds(moment)
        with self._reading() as query:
            return number_at(query, moment)

    def events_after(
        self,
        after: int | str = 0,
        kinds: Sequence[str] = (),
        account: str = "",
        limit: int = 1_000,
        *,
        with_shared: bool = False,
    ) -> EventPage[E]:
        """Return committed events after a position, in the order of the log.

        Parameters
        ----------
        after : int or str
            Number of an event, 0 for the beginning; or the token of an earlier page.
        kinds : sequence of str
            Kinds of events to return; empty for all.
        account : str
            Account to which the events belong; empty for all.
        limit : int
            Largest number of events, at least 1.
        with_shared : bool
            With an account, return also the events of several accounts or none.

        Raises
        ------
        InvalidRequest
            If the log has no such event, or the token is that of another log, for example of a
            ledger that was restored from an older backup.
        """
        number, known = _parsed(after)
        accounts = ([account, ""] if with_shared else [account]) if account else []
        with self._reading() as query:
            found = position_at(query, number)
            if found is None or (known and found.hash != known):
                what = f"the log has no entry {after}"
                problem = Problem("position", what, "read the log again from its beginning")
                raise InvalidRequest("the position is not of this log", [problem])
            last = last_position(query)
            rows = rows_after(
                query, number, limit, until=last.number, kinds=kinds, accounts=accounts
            )
        events = tuple(recorded_events(self._machine, rows, self._database.address.shown))
        end = events[-1].position if len(events) == limit else last
        return EventPage(events, end.token)

    @contextmanager
    def _reading(self) -> Generator[All]:
        """Yield a function that runs queries outside of transactions."""
        with self._database.reading() as connection:

            def query(sql: str, values: Sequence[Value]) -> Sequence[DriverRow]:
                if not self._database.is_sqlite:
                    sql = sql.replace("?", "%s")
                return connection.exec_driver_sql(sql, tuple(values)).all()

            yield query


def _parsed(after: int | str) -> tuple[int, str]:
    """Return (number of an event, hash of its entry) of a position; empty if it is a number.

    Raises
    ------
    InvalidRequest
        If it is neither a number from 0 nor a token.
    """
    number, _, known = str(after).partition(":")
    is_token = isinstance(after, int) or len(known) == 64
    if not (is_token and number.isascii() and number.isdecimal() and len(number) <= _DIGITS_MAX):
        problem = Problem("position", f"{after!r} is not one", "return the token unchanged")
        raise InvalidRequest("the position is not valid", [problem])
    return int(number), known


__all__ = ["EventPage", "LogReader"]
