"""What was published, what is in use and who asked: recorded once, in one order, for good."""

from datetime import UTC, datetime

import pytest
from ledger_records import (
    ASKED,
    NOW,
    activate,
    fill,
    publish,
    record,
    scenario_set_record,
    snapshot_record,
    trade,
    upload,
)
from margin_cluster.ledger import Change, Ledger, PositionChange, Trade
from sqlalchemy.exc import DatabaseError

from margin_actors.actors.inputs import ActiveInputs
from margin_actors.errors import (
    InvalidRequest,
    KeyReused,
    OutdatedSnapshot,
    UnknownCalculation,
    UnknownScenarioSet,
)

TABLES = (
    "entries",
    "snapshots",
    "scenario_sets",
    "generations",
    "unchanged_requests",
    "portfolio_changes",
    "trades",
    "calculations",
)


@pytest.fixture
def ledger(ledger_url: str):
    ledger = Ledger(ledger_url)
    yield ledger
    ledger.close()


def test_calculations_are_recorded_once_and_listed_in_pages(ledger: Ledger) -> None:
    ledger.add_calculations([record(f"c{i}", "A" if i % 2 else "B") for i in range(7)])
    ledger.add_calculations([record("c3"), record("c7"), record("c7", "other")])
    ledger.add_calculations([])
    first, token = ledger.list_calculations(5, "")
    second, last = ledger.list_calculations(5, token)
    assert [r.calculation_id for r in first + second] == [f"c{i}" for i in range(7, -1, -1)]
    assert last == ""
    assert ledger.calculation("c3") == record("c3")
    assert ledger.calculation("c7") == record("c7")
    only, _ = ledger.list_calculations(5, "", account_id="B")
    assert {r.account_id for r in only} == {"B"}
    assert ledger.list_calculations(5, "", kind="book") == ([], "")
    with pytest.raises(UnknownCalculation):
        ledger.calculation("c99")
    assert ledger.head().sequence == 8


def test_a_page_token_that_is_not_ours_is_an_error_of_the_request(ledger: Ledger) -> None:
    """Every text that no listing returned is `InvalidRequest`, even if it is a number."""
    listings = (
        ledger.list_calculations,
        ledger.list_generations,
        ledger.list_snapshots,
        ledger.list_scenario_sets,
    )
    for token in ("abc", "-1", "0", "1.5", " 1", "٣", "9" * 26, str(2**63), "1e3", "x" * 10_000):
        for listing in listings:
            with pytest.raises(InvalidRequest, match="page token"):
                listing(5, token)


def test_what_was_in_use_when_is_kept_with_who_asked(ledger: Ledger) -> None:
    """Each change of what is in use is a row of its own with its key, request and caller."""
    assert ledger.active_inputs() == ActiveInputs()
    publish(ledger, "s1", key="k1")
    activate(ledger, "x1", key="k1")  # keys of other methods are other keys
    publish(ledger, "s2", 1)
    assert ledger.active_inputs() == ActiveInputs(3, "s2", "x1")
    history, token = ledger.list_generations(2, "")
    rest, end = ledger.list_generations(2, token)
    assert [(g.number, g.kind, g.snapshot_id, g.scenarios_id) for g in history + rest] == [
        (3, "publish", "s2", "x1"),
        (2, "activate", "s1", "x1"),
        (1, "publish", "s1", ""),
    ]
    assert end == ""
    assert (rest[0].idempotency_key, rest[0].request_id, rest[0].caller) == (
        "k1",
        ASKED.request_id,
        ASKED.caller,
    )
    assert rest[0].create_time == NOW


def test_publishing_what_is_in_use_changes_nothing(ledger: Ledger) -> None:
    assert publish(ledger, "s1") == publish(ledger, "s1") == 1
    assert len(ledger.list_generations(9, "")[0]) == 1
    assert len(ledger.list_snapshots(9, "")[0]) == 1
    assert ledger.head().sequence == 2


@pytest.mark.parametrize("repeated_first", [False, True])
def test_a_repeated_key_has_no_effect_after_something_else_was_published(
    ledger: Ledger, repeated_first: bool
) -> None:
    """The key decides, also if its first use changed nothing."""
    if repeated_first:
        publish(ledger, "s1")
    assert publish(ledger, "s1", key="k") == 1
    assert ledger.repeated_generation("publish", "k", "s1") == 1
    assert publish(ledger, "s2", 1) == 2
    assert publish(ledger, "s1", key="k") == 1
    assert ledger.active_inputs().snapshot_id == "s2"
    for other in (lambda: publish(ledger, "s3", 2, key="k"),):
        with pytest.raises(KeyReused):
            other()
    with pytest.raises(KeyReused):
        ledger.repeated_generation("publish", "k", "s3")
    assert ledger.repeated_generation("activate", "k", "s1") is None
    assert ledger.repeated_generation("publish", "", "s1") is None
    assert [s.snapshot_id for s in ledger.list_snapshots(9, "")[0]] == ["s2", "s1"]


def test_a_snapshot_older_than_the_one_in_use_needs_permission(ledger: Ledger) -> None:
    publish(ledger, "late", 5)
    with pytest.raises(OutdatedSnapshot) as caught:
        publish(ledger, "early", 4, key="k")
    assert "2026-01-01 04:00:00" in str(caught.value)
    assert "2026-01-01 05:00:00" in str(caught.value)
    assert ledger.active_inputs() == ActiveInputs(1, "late", "")
    assert len(ledger.list_snapshots(9, "")[0]) == 1
    assert publish(ledger, "same time", 5) == 2
    assert publish(ledger, "early", 4, key="k", older=True) == 3
    assert publish(ledger, "early", 4, key="k") == 3


def test_a_scenario_set_in_use_is_one_that_is_recorded(ledger: Ledger) -> None:
    with pytest.raises(UnknownScenarioSet):
        ledger.activate_scenarios("x", key="", origin=ASKED, now=NOW)
    assert not ledger.has_scenario_set("x")
    ledger.add_scenario_set(scenario_set_record("x"))
    ledger.add_scenario_set(scenario_set_record("x"))
    assert ledger.has_scenario_set("x")
    assert ledger.list_scenario_sets(9, "")[0] == [scenario_set_record("x")]
    heads, number = ledger.activate_scenarios("x", key="", origin=ASKED, now=NOW)
    assert (heads, number) == (ActiveInputs(1, "", "x"), 1)


def test_snapshots_are_listed_as_they_were_recorded(ledger: Ledger) -> None:
    publish(ledger, "s1", 3)
    assert ledger.list_snapshots(9, "") == ([snapshot_record("s1", 3)], "")


def test_a_key_is_for_one_change_of_the_positions(ledger: Ledger) -> None:
    one = Trade("A", "M", "BTC-PERPETUAL", 1.0)
    first = trade(ledger, "k", one)
    second = trade(ledger, "k", one)
    assert (first.version, first.was_repeated) == (1, False)
    assert (second.version, second.was_repeated) == (1, True)
    with pytest.raises(KeyReused):
        trade(ledger, "k", one, one)
    assert upload(ledger, "book-1", "k").version == 2  # another method, another key
    assert ledger.repeated_change("upload", "k", "book-1") == upload(ledger, "book-1", "k")
    assert ledger.repeated_change("upload", "", "book-1") is None
    assert ledger.repeated_change("upload", "k2", "book-1") is None
    with pytest.raises(KeyReused):
        ledger.repeated_change("upload", "k", "book-2")
    assert trade(ledger, "", one).version == 3
    assert trade(ledger, "", one).version == 4
    assert ledger.portfolio_version() == ledger.head().portfolio_version == 4


def test_a_change_that_is_refused_leaves_nothing(ledger: Ledger) -> None:
    before = ledger.head()

    def refuse() -> PositionChange:
        assert ledger.portfolio_version() == 0  # reads while the writer's lock is held
        assert ledger.changes_since(0) == []
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest, match="no"):
        ledger.change_positions(
            "trades", key="k", content="c", origin=ASKED, now=NOW, decide=refuse
        )
    assert ledger.head() == before
    assert ledger.repeated_change("trades", "k", "other content") is None


def test_an_error_of_the_deciding_code_stays_what_it_is(ledger: Ledger) -> None:
    def fail() -> PositionChange:
        raise FileNotFoundError("a book")

    with pytest.raises(FileNotFoundError):
        ledger.change_positions("trades", key="", content="c", origin=ASKED, now=NOW, decide=fail)
    ledger.check_writable()


def test_changes_are_read_from_the_last_upload_on(ledger: Ledger) -> None:
    one = Trade("A", "M", "BTC-PERPETUAL", 0.1)
    many = tuple(Trade("A", "M", f"BTC-PERPETUAL-{i}", i / 7) for i in range(3_000))
    trade(ledger, "", one)
    upload(ledger, "book-1")
    trade(ledger, "", *many, content="many")
    assert ledger.changes_since(0) == [
        Change(2, "upload", "book-1"),
        Change(3, "trades", "many", many),
    ]
    assert ledger.changes_since(2) == [Change(3, "trades", "many", many)]
    assert ledger.changes_since(3) == []


def test_rows_cannot_be_changed_or_deleted(ledger: Ledger) -> None:
    """Triggers of the database refuse updates and deletions in every table of the log."""
    fill(ledger)

    def execute(statement: str) -> object:
        with ledger.database.reading() as connection:
            result = connection.exec_driver_sql(statement)
            return result.scalar() if result.returns_rows else None

    for table in TABLES:
        count = execute(f"SELECT count(*) FROM {table}")
        assert count
        column = "number" if table == "trades" else "sequence"
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            with pytest.raises(DatabaseError, match="never changed"):
                execute(statement)
        assert execute(f"SELECT count(*) FROM {table}") == count


def test_a_trade_needs_its_change(ledger: Ledger) -> None:
    with pytest.raises(DatabaseError):
        with ledger.database.reading() as connection:
            connection.exec_driver_sql("INSERT INTO trades VALUES (7, 0, 'A', 'M', 'X', 1.0)")


def test_who_asked_is_cut_and_cleaned_for_audit(ledger: Ledger) -> None:
    odd = ASKED.__class__("r" * 500, "CN=a\x00b\n" + "c" * 500)
    ledger.publish_snapshot(
        snapshot_record("s"), key="", origin=odd, allow_older=False, now=datetime.now(UTC)
    )
    kept = ledger.list_generations(1, "")[0][0]
    assert kept.request_id == "r" * 128
    assert kept.caller.startswith("CN=a?b?c")
    assert len(kept.caller) == 256
