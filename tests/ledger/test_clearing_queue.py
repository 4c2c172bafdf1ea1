"""Group commit: order, bounds, and one result for each command."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from margin_cluster.ledger.clearing_queue import GroupCommit

from margin_actors.errors import LedgerUnavailable, Overloaded


class Committer:
    """Commits numbers; negative ones are refused. The first commit waits until it is released."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began, self.released = threading.Event(), threading.Event()

    def __call__(self, commands: Sequence[int]) -> list[int | Exception]:
        self.began.set()
        assert self.released.wait(30)
        self.batches.append(list(commands))
        if 13 in commands:
            raise LedgerUnavailable("no answer")
        return [ValueError(str(c)) if c < 0 else 10 * c for c in commands]


@contextmanager
def busy(committer: Committer, **limits: int) -> Iterator[GroupCommit[int, int]]:
    """A queue whose thread is committing the command 0."""
    queue = GroupCommit(committer, **limits)
    queue.submit(0)
    assert committer.began.wait(30)
    yield queue
    committer.released.set()
    queue.close()


def test_what_arrives_during_a_commit_is_committed_together_in_order() -> None:
    committer = Committer()
    with busy(committer, together_max=4) as queue:
        results = [queue.submit(number) for number in range(1, 11)]
        committer.released.set()
        assert [r.result(30) for r in results] == [10 * n for n in range(1, 11)]
    assert committer.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_each_command_has_its_own_result() -> None:
    committer = Committer()
    with busy(committer) as queue:
        results = [queue.submit(number) for number in (1, -2, 3)]
        committer.released.set()
        assert results[0].result(30) == 10
        assert isinstance(results[1].exception(30), ValueError)
        assert results[2].result(30) == 30


def test_a_commit_that_fails_fails_its_commands_only() -> None:
    committer = Committer()
    with busy(committer, together_max=2) as queue:
        results = [queue.submit(number) for number in (12, 13, 14)]
        committer.released.set()
        assert [type(r.exception(30)) for r in results] == [
            LedgerUnavailable,
            LedgerUnavailable,
            type(None),
        ]


def test_a_full_queue_rejects_or_lets_the_caller_wait() -> None:
    committer = Committer()
    with busy(committer, pending_max=2) as queue:
        waiting = [queue.submit(1), queue.submit(2)]
        with pytest.raises(Overloaded, match="2 commands"):
            queue.submit(3)
        with pytest.raises(Overloaded):
            queue.submit(3, wait_seconds=0.01)
        patient = threading.Thread(
            target=lambda: waiting.append(queue.submit(3, wait_seconds=30.0))
        )
        patient.start()
        committer.released.set()
        patient.join()
        assert [w.result(30) for w in waiting] == [10, 20, 30]


def test_a_cancelled_command_is_not_committed() -> None:
    committer = Committer()
    with busy(committer, together_max=1) as queue:
        results = [queue.submit(number) for number in (1, 2, 3)]
        assert results[0].cancel()
        committer.released.set()
        assert results[2].result(30) == 30
    assert committer.batches == [[0], [2], [3]]


def test_closing_commits_what_is_queued_and_refuses_the_rest() -> None:
    committer = Committer()
    with busy(committer, together_max=2) as queue:
        results = [queue.submit(number) for number in range(1, 6)]
        assert all(result.cancel() for result in results[:2])
        committer.released.set()
        queue.close()
        assert [r.result(0) for r in results[2:]] == [30, 40, 50]
        with pytest.raises(LedgerUnavailable, match="no commands"):
            queue.submit(9)
        queue.close()


def test_an_event_loop_awaits_its_result() -> None:
    committer = Committer()
    committer.released.set()
    queue = GroupCommit(committer)

    async def ask() -> list[int]:
        futures = [asyncio.wrap_future(queue.submit(number)) for number in range(5)]
        return await asyncio.gather(*futures)

    assert asyncio.run(ask()) == [0, 10, 20, 30, 40]
    queue.close()
