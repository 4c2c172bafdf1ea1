"""Calculations are recorded together, in order, and every caller learns what became of its own."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_records import record, sqlite_path
from margin_cluster.gateway.recorder import WAITING_MAX, Recorder
from margin_cluster.ledger import Ledger, address, sqlite_url

from margin_actors.errors import LedgerUnavailable, Overloaded


def test_calculations_keep_their_order_and_wait_for_one_commit(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    recorder = Recorder(ledger)

    async def keep_all() -> None:
        with ledger.database.writing():  # holds the recorder up, so that all wait together
            waiting = [asyncio.create_task(recorder.keep(record(f"c{i}"))) for i in range(200)]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)

    asyncio.run(keep_all())
    recorder.close()
    kept, _ = ledger.list_calculations(999, "")
    assert [r.calculation_id for r in kept] == [f"c{i}" for i in reversed(range(200))]
    ledger.close()


def test_everybody_who_waits_is_told_that_the_ledger_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk or a foreign lock is not an internal error; the lock is waited for 1 s here."""
    monkeypatch.setattr(address, "BUSY_SECONDS", 1)
    url = sqlite_url(tmp_path / "ledger.sqlite")
    ledger = Ledger(url)
    failures: list[Exception] = []
    recorder = Recorder(ledger, on_failure=failures.append)

    async def keep(names: range) -> list[object]:
        waiting = [recorder.keep(record(f"c{i}")) for i in names]
        return await asyncio.gather(*waiting, return_exceptions=True)

    with closing(sqlite3.connect(sqlite_path(url), isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        outcomes = asyncio.run(keep(range(20)))
        foreign.execute("ROLLBACK")
    assert all(isinstance(o, LedgerUnavailable) for o in outcomes)
    assert failures
    assert asyncio.run(keep(range(20))) == [None] * 20
    recorder.close()
    assert ledger.head().sequence == 20
    ledger.close()


def test_a_record_that_cannot_be_written_does_not_fail_the_others(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    recorder = Recorder(ledger)
    odd = replace(record("odd"), positions=2**70)  # too large for both databases

    async def keep_all() -> list[object]:
        with ledger.database.writing():
            items = [record("c0"), odd, record("c1")]
            waiting = [asyncio.create_task(recorder.keep(r)) for r in items]
            await asyncio.sleep(0)
        return await asyncio.gather(*waiting, return_exceptions=True)

    first, failed, last = asyncio.run(keep_all())
    assert (first, last) == (None, None)
    assert isinstance(failed, LedgerUnavailable)
    recorder.close()
    assert ledger.head().sequence == 2
    ledger.close()


def test_a_caller_that_leaves_disturbs_nobody(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    recorder = Recorder(ledger)

    async def leave() -> None:
        with ledger.database.writing():
            waiting = [asyncio.create_task(recorder.keep(record(f"c{i}"))) for i in range(9)]
            await asyncio.sleep(0)
            for task in waiting[::2]:
                task.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [r for r in results if r is None] == [None] * 4

    asyncio.run(leave())
    asyncio.run(recorder.keep(record("after")))
    recorder.close()
    assert ledger.calculation("after") == record("after")
    ledger.close()


def test_closing_writes_what_waits_and_refuses_what_comes_later(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    recorder = Recorder(ledger)

    async def close_while_waiting() -> None:
        with ledger.database.writing():
            waiting = [asyncio.create_task(recorder.keep(record(f"c{i}"))) for i in range(9)]
            await asyncio.sleep(0)
            closing_thread = threading.Thread(target=recorder.close)
            closing_thread.start()
        await asyncio.gather(*waiting)
        closing_thread.join(30)
        assert not closing_thread.is_alive()

    asyncio.run(close_while_waiting())
    with pytest.raises(LedgerUnavailable, match="stopping"):
        asyncio.run(recorder.keep(record("late")))
    recorder.close()
    assert ledger.head().sequence == 9
    ledger.close()


def test_too_many_that_wait_are_turned_away(tmp_path) -> None:
    ledger = Ledger(sqlite_url(tmp_path / "ledger.sqlite"))
    recorder = Recorder(ledger)

    async def flood() -> list[object]:
        with ledger.database.writing():
            count = WAITING_MAX + 1_000
            waiting = [asyncio.create_task(recorder.keep(record(f"c{i}"))) for i in range(count)]
            await asyncio.sleep(0)
        return await asyncio.gather(*waiting, return_exceptions=True)

    outcomes = asyncio.run(flood())
    recorder.close()
    refused = sum(isinstance(o, Overloaded) for o in outcomes)
    assert refused >= 1
    assert ledger.head().sequence == len(outcomes) - refused
    ledger.close()
