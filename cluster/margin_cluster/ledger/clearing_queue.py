"""Group commit: commands that arrive while a transaction runs are committed together in the next.

A commit takes about as long for a hundred commands as for one, because most of the time is spent on
flushing to disk. One thread commits; callers wait for their own result.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from margin_actors.errors import LedgerUnavailable, Overloaded, Problem

C = TypeVar("C")
R = TypeVar("R")


class GroupCommit(Generic[C, R]):
    """A bounded queue of commands and the thread that commits them, in the order of arrival.

    Parameters
    ----------
    commit_each : callable
        Commits commands in order and returns for each its result, or the exception that refused it.
        An exception that it raises is the result of all of them.
    pending_max : int
        Largest number of commands that wait; further ones are rejected.
    together_max : int
        Largest number of commands of one transaction.
    """

    def __init__(
        self,
        commit_each: Callable[[Sequence[C]], Sequence[R | Exception]],
        *,
        pending_max: int = 2_000,
        together_max: int = 200,
    ) -> None:
        self._commit_each = commit_each
        self._pending_max, self._together_max = pending_max, together_max
        self._waiting: deque[tuple[C, Future[R]]] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def submit(self, command: C, *, wait_seconds: float = 0.0) -> "Future[R]":
        """Queue a command and return the future of its result.

        Parameters
        ----------
        command
        wait_seconds : float
            Longest time to wait for room in the queue. An event loop leaves it at 0 and awaits
            `asyncio.wrap_future` of the result.

        Raises
        ------
        Overloaded
            If the queue is full; nothing was queued.
        LedgerUnavailable
            If the queue was closed.
        """
        future: Future[R] = Future()
        with self._changed:
            self._changed.wait_for(self._has_room, wait_seconds)
            if self._is_closed:
                what = "it was closed by this process"
                raise LedgerUnavailable("the log accepts no commands", [Problem("log", what)])
            if len(self._waiting) >= self._pending_max:
                what = f"{self._pending_max:,} commands are waiting"
                problem = Problem("log of the clearing house", what, "try again later")
                raise Overloaded("too many commands are waiting to be committed", [problem])
            self._waiting.append((command, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return future

    def _has_room(self) -> bool:
        return self._is_closed or len(self._waiting) < self._pending_max

    def close(self) -> None:
        """Commit what is queued, then end the thread; later commands are refused."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while taken := self._take():
            self._commit(taken)

    def _take(self) -> list[tuple[C, "Future[R]"]]:
        """Return the next commands, at least one; none if the queue is closed and empty."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                count = min(len(self._waiting), self._together_max)
                taken = [self._waiting.popleft() for _ in range(count)]
                self._changed.notify_all()
                # A command whose caller has cancelled it is left out.
                wanted = [one for one in taken if one[1].set_running_or_notify_cancel()]
                if wanted or (self._is_closed and not self._waiting):
                    return wanted

    def _commit(self, taken: Sequence[tuple[C, "Future[R]"]]) -> None:
        try:
            results = self._commit_each([command for command, _ in taken])
        except Exception as error:  # the caller of each command receives it
            results = [error] * len(taken)
        for (_, future), result in zip(taken, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


__all__ = ["GroupCommit"]
