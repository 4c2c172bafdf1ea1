"""The log of the clearing house, on both databases: what is committed is the state."""

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from clearing_logs import NOON, SECOND, all_events, opened, ticking
from ledger_records import changed_outside, fill, sqlite_path
from margin_cluster.ledger import Ledger, sqlite_url
from margin_cluster.ledger.clearing_history import StateHistory
from margin_cluster.ledger.clearing_log import ClearingLog
from margin_cluster.ledger.clearing_rows import Committed, LogPosition
from margin_cluster.ledger.verification import verify_ledger
from margin_cluster.ledger.writer import Writer
from small_house import (
    SMALL_HOUSE,
    CallChanged,
    Decided,
    Deposit,
    Logged,
    Require,
    State,
    decide,
    fold_all,
)

from margin_actors.errors import InvalidRequest, KeyReused, LedgerDamaged, LedgerUnavailable

USD = 100


def test_what_is_committed_is_the_state_of_every_process(log_url: str) -> None:
    with opened(log_url, clock=ticking()) as log, opened(log_url) as other:
        with closing(Ledger(log_url)) as ledger:
            fill(ledger)  # entries of other kinds stand between those of the log
        log.commit([Deposit("d1", "A", 500_000 * USD)])
        (called,) = log.commit([Require("r1", "A", 900_000 * USD)])
        assert called.state.call("A").out_cents == 400_000 * USD
        fill_more = other.commit([Deposit("d2", "A", 400_000 * USD)])
        assert fill_more[0].state.call("A").status == "met"
        assert log.state.call("A").status == "issued"
        assert log.refresh().at == other.committed.at
        assert log.state == other.state
        with opened(log_url) as third:
            assert third.state.digest == log.state.digest
            assert third.state == fold_all(all_events(log))
            assert third.committed.at.number == len(all_events(log)) == 5
        assert verify_ledger(log._database).findings == ()


def test_commands_of_one_commit_see_what_the_preceding_ones_changed(log_url: str) -> None:
    with opened(log_url) as log:
        decided = log.commit(
            [
                Require("r1", "A", 900_000 * USD),
                Deposit("d1", "A", 900_000 * USD),
                Deposit("d1", "A", 900_000 * USD),
                Require("r2", "A", 900_000 * USD),
            ]
        )
        assert [d.state.call("A").number for d in decided] == [1, 1, 1, 1]
        assert [d.is_repeat for d in decided] == [False, False, True, False]
        assert decided[-1].state is log.state
        assert {e.recorded_at for e in log.events_after().events} == {log.committed.at.recorded_at}


def test_a_refused_command_commits_nothing(log_url: str) -> None:
    with opened(log_url) as log:
        before = log.committed
        with pytest.raises(InvalidRequest, match="requirement"):
            log.commit([Deposit("d1", "A", 100), Require("r1", "A", -1)])
        assert log.committed is before
        assert log.events_after().events == ()
        log.commit([])
        with closing(Ledger(log_url)) as ledger:
            assert ledger.head().sequence == 0


def test_in_the_queue_a_bad_command_fails_alone(log_url: str) -> None:
    with opened(log_url) as log:
        with log._database.writing():  # holds the queue until all commands have arrived
            results = [
                log.submit(command)
                for command in (
                    Deposit("d1", "A", 100),
                    Require("r1", "A", -1),
                    Deposit("d1", "A", 200),
                    Deposit("d2", "A", 50),
                )
            ]
        assert results[0].result(30).state.resources_cents("A") == 100
        assert isinstance(results[1].exception(30), InvalidRequest)
        assert isinstance(results[2].exception(30), KeyReused)
        assert results[3].result(30).state.resources_cents("A") == 150
        assert log.state.resources_cents("A") == 150


def forgetful(state: State, command: Deposit | Require, now: datetime) -> Decided:
    """Decide without recognising repeats."""
    return decide(replace(state, asked=State().asked), command, now)


def test_an_event_id_that_the_log_holds_is_refused_and_other_commands_are_not(
    log_url: str,
) -> None:
    with opened(log_url, machine=replace(SMALL_HOUSE, decide=forgetful)) as log:
        log.commit([Require("r1", "A", 100)])
        with pytest.raises(KeyReused, match="id of an event was used"):
            log.commit([Require("r2", "A", 100), Require("r1", "A", 100)])
        assert log.committed.at.number == 1
        with log._database.writing():
            names = ("r3", "r1", "r4", "r4")
            results = [log.submit(Require(name, "A", 100)) for name in names]
        kinds = [type(r.exception(30)) for r in results]
        assert kinds == [type(None), KeyReused, type(None), KeyReused]
        assert [e.event.id for e in log.events_after().events] == ["r1", "r3", "r4"]
        assert verify_ledger(log._database).findings == ()


def test_an_event_that_cannot_be_read_again_is_never_recorded(log_url: str) -> None:
    def lossy(event: Logged) -> str:
        return SMALL_HOUSE.payload_of(event).replace("900", "901")

    lossy_house = replace(SMALL_HOUSE, payload_of=lossy)
    with opened(log_url, machine=lossy_house) as log:
        with pytest.raises(InvalidRequest, match="reads as another event"):
            log.commit([Require("r1", "A", 900)])
        for name, words in (("x" * 501, "exceeds 500"), ("a\x00b", "NUL")):
            with pytest.raises(InvalidRequest, match=words):
                log.commit([Require(name, "A", 5)])
        with pytest.raises(InvalidRequest, match="actor"):
            log.commit([Require("r1", "A", 5, actor="")])
        log.commit([Require("r1", "A", 5)])
    with opened(log_url) as log:
        assert log.committed.at.number == 1


def test_the_ledger_clock_never_goes_back(log_url: str) -> None:
    wall = NOON
    with opened(log_url, clock=lambda: wall) as log:
        log.commit([Require("r1", "A", 1)])
        wall = NOON - timedelta(hours=1)
        log.commit([Require("r2", "A", 1)])
        wall = NOON + timedelta(microseconds=7)
        log.commit([Require("r3", "A", 1)])
        log.commit([Require("r4", "A", 1)], clock=lambda: NOON + SECOND)
        events = log.events_after().events
    assert [e.recorded_at - NOON for e in events] == [
        timedelta(0),
        timedelta(0),
        timedelta(microseconds=7),
        SECOND,
    ]
    assert events[1].clock_at == NOON - timedelta(hours=1)
    assert events[0].actor == "cycle"


def test_a_machine_can_hold_the_ledger_clock(log_url: str) -> None:
    """As during a jump of the wall clock that no second clock confirms."""

    def held(_state: object, last: datetime | None, wall: datetime) -> datetime:
        return wall if last is None else last - SECOND

    with opened(log_url, machine=replace(SMALL_HOUSE, time_of=held), clock=ticking()) as log:
        log.commit([Require("r1", "A", 1)])
        log.commit([Require("r2", "A", 1)])
        first, second = log.events_after().events
    assert first.recorded_at == second.recorded_at == NOON
    assert second.clock_at == NOON + SECOND


def test_past_states_by_number_and_by_time(log_url: str) -> None:
    with opened(log_url, clock=ticking()) as log:
        for i in range(6):
            log.commit([Deposit(f"d{i}", "A", 10), Deposit(f"e{i}", "A", 1)])
        events = all_events(log)
        for number in (0, 1, 7, 23, 24):
            assert log.state_at(number) == fold_all(events[:number])
        assert log.state_at(NOON - SECOND) == State()
        assert log.state_at(NOON + 2.5 * SECOND).resources_cents("A") == 33
        assert log.state_at(NOON + 3 * SECOND).resources_cents("A") == 44
        assert log.state_at(NOON + timedelta(days=9)) == log.state
        for wrong in (-1, 25):
            with pytest.raises(InvalidRequest, match="no event"):
                log.state_at(wrong)
        with pytest.raises(InvalidRequest, match="UTC"):
            log.state_at(NOON.replace(tzinfo=None))


def test_a_history_keeps_a_bounded_number_of_states() -> None:
    history = StateHistory(Committed(0), apart=10, kept_max=8)
    for number in range(1, 1_001):
        history.note(Committed(number, LogPosition(number)))
    assert len(history._kept) <= 9
    for number in (0, 9, 500, 1_000):
        found = history.before(number)
        assert found.state == found.at.number <= number
        assert number - found.at.number <= 2 * history._apart


def test_events_by_kind_and_account(log_url: str) -> None:
    with opened(log_url) as log:
        log.commit([Deposit("d1", "A", 10), Require("r1", "B", 5), Require("r2", "A", 5)])

        def ids(**options: Any) -> list[str]:
            return [e.event.id for e in log.events_after(**options).events]

        assert ids() == ["d1", "d1/paid", "r1", "r2"]
        assert ids(kinds=["group"]) == ["d1"]
        assert ids(account="A") == ["d1/paid", "r2"]
        assert ids(account="A", with_shared=True) == ["d1", "d1/paid", "r2"]
        assert ids(account="A", kinds=["group", "call"], limit=1, after=2) == ["r2"]
        assert [e.account for e in log.events_after().events] == ["", "A", "B", "A"]
        assert isinstance(log.events_after(1, limit=1).events[0].event, CallChanged)


def test_a_reader_continues_in_another_process_without_loss_or_repetition(
    log_url: str,
) -> None:
    with opened(log_url) as log, opened(log_url) as reader:
        read: list[str] = []
        token: int | str = 0
        for i in range(5):
            log.commit([Deposit(f"d{i}", "A", 1), Require(f"r{i}", "B", 1)])
            page = (log, reader)[i % 2].events_after(token, kinds=["group"], limit=2)
            read += [e.event.id for e in page.events]
            token = page.token
        assert read == [f"d{i}" for i in range(5)]
        # with nothing new, the token moves past events of other kinds
        assert log.events_after(token, kinds=["group"]).token == log.committed.at.token


def test_a_token_of_another_log_is_refused(log_url: str, tmp_path: Any) -> None:
    elsewhere = sqlite_url(tmp_path / "elsewhere.sqlite")
    with opened(log_url) as log, opened(elsewhere) as other:
        for one in (log, other):
            one.commit([Require("r1", "A" if one is log else "B", 1)])
        other.commit([Require("r2", "A", 1)])
        for token in (other.events_after(limit=1).token, other.committed.at.token, 2):
            with pytest.raises(InvalidRequest, match="not of this log"):
                log.events_after(token)
        for token in ("1", "x:" + "0" * 64, -1, "", ":", "1:" + "0" * 63):
            with pytest.raises(InvalidRequest, match="not valid"):
                log.events_after(token)


def test_uncommitted_events_are_visible_to_none(log_url: str) -> None:
    with opened(log_url) as log, opened(log_url) as other:
        log.commit([Require("r0", "A", 1)])
        seen: list[tuple[int, int, int]] = []

        def watching(state: State, command: Deposit | Require, now: datetime) -> Decided:
            decided = decide(state, command, now)
            seen.append(
                (
                    len(other.events_after().events),
                    other.refresh().at.number,
                    log.committed.at.number,
                )
            )
            return decided

        with opened(log_url, machine=replace(SMALL_HOUSE, decide=watching)) as writer:
            writer.commit([Require("r1", "A", 1), Require("r2", "A", 1)])
        assert seen == [(1, 1, 1), (1, 1, 1)]
        assert other.refresh().at.number == 3


def test_a_watcher_waits_for_commits_of_any_process(log_url: str) -> None:
    with opened(log_url, poll_seconds=0.01) as log, opened(log_url) as other:
        assert not log.wait_for(1, 0.0)
        result = log.submit(Require("r1", "A", 1))
        assert log.wait_for(1, 30.0)
        result.result(30)
        other.commit([Require("r2", "A", 1)])
        assert log.wait_for(2, 30.0)
        assert log.state == other.state
        assert not log.wait_for(3, 0.03)


def test_a_log_that_is_far_behind_reads_before_it_locks_the_head(
    log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("margin_cluster.ledger.clearing_log._READ_TOGETHER", 10)
    with opened(log_url) as log, opened(log_url) as other:
        other.commit([Require(f"r{i}", "A", 1) for i in range(25)])
        refreshed: list[int] = []
        monkeypatch.setattr(log, "refresh", lambda: refreshed.append(log._read_new().at.number))
        log.commit([Require("last", "A", 1)])
        assert refreshed == [25]
        assert log.committed.at.number == 26
        # if others always commit more in the meantime, the last try reads under the lock
        other.commit([Require(f"s{i}", "A", 1) for i in range(25)])
        monkeypatch.setattr(log, "refresh", lambda: None)
        log.commit([Require("again", "A", 1)])
        assert log.state == other.refresh().state


def test_long_payloads_are_compressed_and_covered_by_the_log(
    log_url: str, request: pytest.FixtureRequest
) -> None:
    is_sqlite = log_url.startswith("sqlite")
    server = None if is_sqlite else request.getfixturevalue("postgres_server")
    name = "r1" + "x" * 400
    with opened(log_url) as log:
        log.commit([Deposit("d1", "A" * 120, 1), Require(name, "A", 1)])
        with log._database.reading() as connection:
            query = "SELECT payload, packed FROM clearing_events ORDER BY number"
            group, *_, call = connection.exec_driver_sql(query).all()
        assert group.payload is None
        assert 0 < len(group.packed) < 1_000
        assert call.packed is None
        assert call.payload == SMALL_HOUSE.payload_of(log.events_after(2).events[0].event)
        assert verify_ledger(log._database).findings == ()
    other = "(SELECT packed FROM clearing_events WHERE number = 1)"
    for change, expected in (
        (f"packed = substr({other}, 1, 50)", "the row of clearing_event 1 was modified"),
        ("packed = NULL, payload = '{}'", "the row of clearing_event 1 was modified"),
    ):
        statement = f"UPDATE clearing_events SET {change} WHERE number = 1"
        changed_outside(log_url, statement, server=server)
        with closing(Ledger(log_url)) as ledger:
            findings = verify_ledger(ledger.database).findings
            assert [(f.sequence, f.what) for f in findings] == [(1, expected)]
            with pytest.raises(LedgerDamaged, match="clearing event 1"):
                ClearingLog(ledger.database, SMALL_HOUSE)


def test_events_are_never_changed_deleted_or_renumbered(
    log_url: str, request: pytest.FixtureRequest
) -> None:
    is_sqlite = log_url.startswith("sqlite")
    server = None if is_sqlite else request.getfixturevalue("postgres_server")
    with opened(log_url) as log:
        log.commit([Require(f"r{i}", "A", 1) for i in range(3)])
        statements = ["UPDATE clearing_events SET actor = 'x'", "DELETE FROM clearing_events"]
        for statement in [*statements, *([] if is_sqlite else ["TRUNCATE clearing_events"])]:
            with pytest.raises(Exception, match="never changed"), log._database.writing() as writer:
                writer.execute(statement)
    changed_outside(log_url, "DELETE FROM clearing_events WHERE number = 2", server=server)
    with closing(Ledger(log_url)) as ledger:
        texts = [f.what for f in verify_ledger(ledger.database).findings]
        assert texts == [
            "clearing event 3 follows number 1",
            "the row of clearing_event 2 is missing",
        ]
        with pytest.raises(LedgerDamaged, match="clearing event 3 follows number 1"):
            ClearingLog(ledger.database, SMALL_HOUSE)


def test_the_state_is_visible_only_after_the_commit(
    log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(log_url) as log:
        log.commit([Deposit("d1", "A", 1)])
        before, finish = log.committed, Writer.finish

        def failing(writer: Writer) -> None:  # the last step before the commit
            assert log.committed is before
            finish(writer)
            raise OSError("no answer")

        monkeypatch.setattr(Writer, "finish", failing)
        with pytest.raises(LedgerUnavailable, match="no answer"):
            log.commit([Deposit("d2", "A", 1)])
        assert isinstance(log.submit(Deposit("d2", "A", 1)).exception(30), LedgerUnavailable)
        monkeypatch.undo()
        assert log.committed is before
        assert log.refresh() is before
        assert not log.commit([Deposit("d2", "A", 1)])[0].is_repeat


def test_a_full_disk_changes_nothing_and_the_command_can_be_repeated(tmp_path: Any) -> None:
    url = sqlite_url(tmp_path / "ledger.sqlite")
    with opened(url) as log:
        log.commit([Deposit("d1", "A", 1)])
        with log._database.writing() as writer:  # SQLite reports its own limit as a full disk
            pages = writer.first("PRAGMA page_count")[0]
            writer.execute(f"PRAGMA max_page_count = {pages}")
        commands = [Deposit(f"e{i}", f"account-{i}", 1) for i in range(300)]
        before = log.committed
        with pytest.raises(LedgerUnavailable, match="disk is full"):
            log.commit(commands)
        assert log.committed is before
        assert log.refresh() is before
        waiting = {command.id: log.submit(command) for command in commands}
        failures = {name: one.exception(30) for name, one in waiting.items()}
        assert {type(e) for e in failures.values() if e is not None} == {LedgerUnavailable}
        acknowledged = {name for name, error in failures.items() if error is None}
        assert set(log.refresh().state.journal.groups) == {"d1"} | acknowledged
        with log._database.writing() as writer:
            writer.execute("PRAGMA max_page_count = 1000000")
        log.commit(commands)
        assert log.committed.at.number == 2 + 600
        assert log.state == fold_all(all_events(log))
        assert verify_ledger(log._database).findings == ()
    assert sqlite_path(url).exists()
