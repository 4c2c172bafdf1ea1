"""The clearing house in a gateway: commands without blocking the event loop, states of any time.

A command is decided and committed by the log of the ledger, together with those of other calls. A
refusal becomes an error with the rule and the reason.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import ParamSpec, TypeVar

from margin_actors.clearing.house import Command, Decision, HouseRule, HouseState, Refusal, Reply
from margin_actors.errors import (
    InvalidRequest,
    MarginError,
    MissingMarketData,
    NotReady,
    Problem,
    RefusedByRule,
    UnknownAccount,
)
from margin_cluster.gateway.call import Call
from margin_cluster.ledger import Database
from margin_cluster.ledger.clearing_rows import Committed, LogPosition
from margin_cluster.operations import HouseLog, clearing_log

P = ParamSpec("P")
R = TypeVar("R")
_THREADS = 3
_ERRORS: dict[str, type[MarginError]] = {
    HouseRule.UNKNOWN_ACCOUNT.value: UnknownAccount,
    HouseRule.MISSING_DATA.value: MissingMarketData,
    HouseRule.NOT_READY.value: NotReady,
}
"""Errors of refusals that callers treat as they treat the same errors elsewhere."""


@dataclass(frozen=True)
class Done:
    """An accepted command and a committed state that includes it."""

    reply: Reply
    was_repeated: bool
    committed: Committed[HouseState]


class Clearing:
    """The log of the clearing house in one gateway; belongs to one event loop.

    Parameters
    ----------
    database : Database
        The ledger; `close` does not close it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log: HouseLog | None = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="clearing")

    async def open(self) -> None:
        """Read the log; must be awaited before any other method is used."""
        self._log = await self.run(clearing_log, self._database)

    def close(self) -> None:
        """Commit what is queued and end the threads; blocks."""
        if self._log is not None:
            self._log.close()
        self._threads.shutdown()

    @property
    def log(self) -> HouseLog:
        """The log, once it is open."""
        assert self._log is not None, "the log is opened when the gateway starts"
        return self._log

    @property
    def committed(self) -> Committed[HouseState]:
        """The state in memory, which may lack the last commits of other gateways."""
        return Committed(HouseState()) if self._log is None else self._log.committed

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function that reads or writes the log in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(work, *args, **kwargs))

    async def refreshed(self) -> Committed[HouseState]:
        """Return the state of everything that any gateway had committed before the call."""
        return await self.run(self.log.refresh)

    async def state_at(self, position: int | datetime | None) -> tuple[HouseState, LogPosition]:
        """Return a past state and its position; None for the present.

        Raises
        ------
        InvalidRequest
            If the log has no such event, or the time has not passed.
        """
        if position is None:
            found = await self.refreshed()
            return found.state, found.at
        state = await self.run(self.log.state_at, position)
        return state, LogPosition(state.number, "")

    async def decided(self, command: Command) -> Decision:
        """Return the decision on a command, which is committed unless it is refused.

        Raises
        ------
        KeyReused
            If the id of the command was used with other content.
        Overloaded, LedgerUnavailable
            If the command cannot be queued or committed now.
        """
        return await asyncio.wrap_future(self.log.submit(command))

    async def submit(self, command: Command) -> Done:
        """Commit a command.

        Raises
        ------
        RefusedByRule, UnknownAccount, MissingMarketData, NotReady
            If the clearing house refuses the command, with the rule and the reason.
        KeyReused, Overloaded, LedgerUnavailable
            As `decided`.
        """
        decision = await self.decided(command)
        return self.done(decision)

    def done(self, decision: Decision) -> Done:
        """Return what an accepted command caused; raise the error of a refusal, see `submit`."""
        if decision.refusal is not None:
            raise refusal_error(decision.refusal)
        assert decision.reply is not None
        return Done(decision.reply, decision.is_repeat, self.log.committed)


def refusal_error(refusal: Refusal) -> MarginError:
    """Return the error of a refusal; its problem is located at the rule."""
    kind = _ERRORS.get(refusal.rule, RefusedByRule)
    return kind("the clearing house refuses the request", [Problem(refusal.rule, refusal.reason)])


def actor_of(call: Call, person: str, *, is_required: bool = False) -> str:
    """Return the identity that the log records as the actor of a command.

    With client certificates it is the name in the certificate. Without them it is what the caller
    states, which is not verified, or the caller's address.

    Raises
    ------
    InvalidRequest
        If the caller states another name than that of its certificate, or states none although two
        people have to be told apart.
    """
    if call.is_authenticated:
        if person in ("", call.caller):
            return call.caller
        what = f"{person[:40]!r} is not the name in the certificate, {call.caller!r}"
        raise InvalidRequest(
            "the request is not valid", [Problem("person", what, "leave it empty")]
        )
    if not person and is_required:
        problem = Problem("person", "is empty", "state who decides")
        raise InvalidRequest("the request is not valid", [problem])
    return person or call.caller
