"""The commands of one transaction, decided in order on the state that each of them leaves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar

from margin_cluster.ledger.clearing_machine import C, D, E, Machine
from margin_cluster.ledger.clearing_rows import (
    Committed,
    LogPosition,
    microseconds,
    row_of,
    time_of,
)
from margin_cluster.ledger.columns import Columns

S = TypeVar("S")


class Batch(Generic[S, E, C, D]):
    """Decides commands and collects the rows of their events.

    Parameters
    ----------
    machine : Machine
    base : Committed
        The state of everything that is committed.
    wall : datetime
        The wall clock, UTC; read while the head of the ledger is locked.
    skips_refused : bool
        Whether an exception of one command is collected in `refused`; otherwise it is raised.
    """

    def __init__(
        self,
        machine: Machine[S, E, C, D],
        base: Committed[S],
        wall: datetime,
        *,
        skips_refused: bool,
    ) -> None:
        self._machine, self._base, self._state = machine, base, base.state
        self._skips_refused = skips_refused
        self._wall_us = microseconds(wall)
        last = base.at.recorded_at
        self.now_us = microseconds(machine.time_of(base.state, last, wall))
        """Time of all decisions, microseconds since 1970 UTC; never before the last event."""
        if last is not None:
            self.now_us = max(self.now_us, microseconds(last))
        self.rows: list[Columns] = []
        """Rows of the events, in order."""
        self.decided: list[D] = []
        """Decisions, in the order of the commands that were not refused."""
        self.events: list[E] = []
        """The events, in order."""
        self.refused: dict[int, Exception] = {}
        """Exceptions by the index of the command."""

    def decide(self, commands: Sequence[C]) -> None:
        """Decide further commands; a refused one leaves the state and the rows unchanged."""
        now = time_of(self.now_us)
        for index, command in enumerate(commands):
            try:
                decision = self._machine.decide(self._state, command, now)
                rows = self._rows_of(decision, command)
            except Exception as error:
                if not self._skips_refused:
                    raise
                self.refused[index] = error
                continue
            self.decided.append(decision)
            self.events += decision.events
            self.rows += rows
            self._state = decision.state

    def _rows_of(self, decision: D, command: C) -> list[Columns]:
        first = self._base.at.number + len(self.rows) + 1
        return [
            row_of(self._machine, event, number, command.actor, self.now_us, self._wall_us)
            for number, event in enumerate(decision.events, first)
        ]

    @property
    def state(self) -> S:
        """The state after the rows."""
        return self._state

    def committed(self, last_hash: str) -> Committed[S]:
        """Return the state after the rows; `last_hash` is that of the entry of the last row."""
        if not self.rows:
            return self._base
        number = self._base.at.number + len(self.rows)
        return Committed(self._state, LogPosition(number, last_hash, time_of(self.now_us)))


__all__ = ["Batch"]
