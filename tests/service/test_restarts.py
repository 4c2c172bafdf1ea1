"""A restart changes nothing: options seed an empty ledger, and unusable data stop no start."""

import json
import os
import signal
import sqlite3
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import grpc
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import Origin, PositionChange, Trade, sqlite_url
from margin_cluster.seeding import keep_model, require_same_model
from margin_cluster.service import ServiceRequest
from service_calls import Service
from service_command import MARGIN, command
from service_world import Running, World, fill, moved_by, served
from waiting import wait_until

from margin_actors.engine.parameters import preset
from margin_actors.errors import InvalidMarketData, InvalidParameters

NAMES = "BTC-PERPETUAL"


def options(folder: Path, *more: str) -> list[str]:
    return [
        "--state",
        str(folder / "state"),
        "--book",
        str(folder / "state" / "book.parquet"),
        *more,
    ]


@pytest.mark.slow
def test_the_same_command_line_again_keeps_positions_and_market(
    world: World, tmp_path: Path
) -> None:
    """`--book` and `--snapshot` seed an empty ledger only."""
    fill(tmp_path / "state", world)
    with command(tmp_path, *options(tmp_path)) as first, Service(first.target) as service:
        service.trade("NEW", NAMES, 50.0, uuid4().hex, "M")
        later = moved_by(world.snapshot, timedelta(minutes=5))
        service.publish(later)
        before = service.book(snapshot_id=later.id).summary
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
    with command(tmp_path, *options(tmp_path)) as second, Service(second.target) as service:
        after = service.book().summary
        assert after.digest == before.digest
        assert after.portfolio_version == before.portfolio_version
        assert service.held("NEW") == {NAMES: 50.0}
        assert "--replace-book" in second.log.read_text()
        second.process.kill()
        second.process.wait()
    with command(tmp_path, *options(tmp_path, "--replace-book")) as third:
        with Service(third.target) as service:
            replaced = service.book().summary
            assert replaced.inputs.book_id == world.book.id
            assert replaced.portfolio_version == before.portfolio_version + 1
            with pytest.raises(grpc.RpcError) as caught:
                service.held("NEW")
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            # The raylet dies: the gateway says so before it exits.
            raylet = next(
                p for p in psutil.Process(third.process.pid).children() if p.name() == "raylet"
            )
            raylet.kill()
            assert third.process.wait(30) == 4
    log = third.log.read_text()
    assert "raylet" in log
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_log_that_cannot_be_written_changes_no_answer(world: World, tmp_path: Path) -> None:
    """A full disk, or a reader of the log that has gone, must not turn a commit into an error."""
    fill(tmp_path / "state", world)
    with command(tmp_path, *options(tmp_path), log=Path("/dev/full")) as running:
        with Service(running.target) as service:
            for number in range(3):
                service.trade("A", NAMES, 10.0, f"k{number}", "M")
            with pytest.raises(grpc.RpcError) as caught:
                service.trade("A", NAMES, 3.0, "broken", "M")
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert service.held("A") == {NAMES: 30.0}
            assert service.book().summary.is_complete
        # Without its control store Ray would end the gateway a minute later, without a word.
        children = psutil.Process(running.process.pid).children()
        next(p for p in children if p.name() == "gcs_server").kill()
        assert running.process.wait(30) == 4


def test_a_start_with_another_model_is_refused(world: World, tmp_path: Path) -> None:
    """The scenario set in use belongs to its model: together with another it margins nothing."""
    archive = StoreArchive(tmp_path, sqlite_url(tmp_path / "ledger.sqlite"))
    first = ServiceRequest(model=world.model)
    require_same_model(archive, first)
    keep_model(archive, first.model)
    require_same_model(archive, first)
    other = ServiceRequest(model=preset("plain-hs"))
    with pytest.raises(InvalidParameters, match="another model"):
        require_same_model(archive, other)
    require_same_model(archive, replace(other, replace_snapshot=True))


def test_a_stored_object_with_other_content_is_not_used(world: World, tmp_path: Path) -> None:
    """A changed quantity is noticed when the book is read, not when someone verifies the ledger."""
    archive = StoreArchive(tmp_path, sqlite_url(tmp_path / "ledger.sqlite"))
    archive.save_book(world.book)
    assert archive.load_book(world.book.id).id == world.book.id
    (stored,) = (tmp_path / "objects" / "books").glob("*.parquet")
    table = pq.read_table(stored)
    quantity = table["quantity"].to_pylist()
    quantity[0] += 10.0
    place = table.schema.get_field_index("quantity")
    pq.write_table(table.set_column(place, "quantity", pa.array(quantity)), stored)
    with pytest.raises(InvalidMarketData, match="damaged"):
        archive.load_book(world.book.id)


@pytest.mark.slow
def test_stored_data_that_cannot_be_used_stop_neither_start_nor_status(
    embedded: None, world: World, tmp_path: Path
) -> None:
    """The service starts, reports what is wrong, and can be repaired."""
    folder = tmp_path / "state"
    fill(folder, world)
    archive = StoreArchive(folder, sqlite_url(folder / "ledger.sqlite"))
    infinite = Trade("INF", "M", NAMES, 1e308)
    for trades in ((infinite, infinite), (Trade("ODD", "M", NAMES, 3.0),)):
        archive.ledger.change_positions(
            "trades",
            key="",
            content=uuid4().hex,
            origin=Origin(),
            now=world.snapshot.time,
            decide=lambda trades=trades: PositionChange(accounts=0, positions=0, trades=trades),
        )
    snapshot_file = folder / "objects" / "market_snapshots" / f"{world.snapshot.id}.parquet"
    content = snapshot_file.read_bytes()
    snapshot_file.write_bytes(content[: len(content) // 2])
    archive.ledger.close()
    with served(world, folder, shards=1) as running, Service(running.target) as service:
        status = service.status()
        assert status.last_fault
        assert status.problems
        assert status.accounts == 2
        with pytest.raises(grpc.RpcError) as caught:
            service.book(timeout=20)
        assert caught.value.code() is not grpc.StatusCode.INTERNAL
        newer = moved_by(world.snapshot, timedelta(minutes=1))
        service.publish(newer)
        found = service.book(snapshot_id=newer.id)
        assert set(found.failures) == {"INF", "ODD"}
        service.trade("GOOD", NAMES, 10.0, uuid4().hex, "M")
        assert set(service.book().margins) == {"GOOD"}
        wait_until(lambda: not service.status().problems)


@pytest.mark.slow
def test_a_stored_book_that_cannot_be_read_is_reported_until_it_is_replaced(
    embedded: None, world: World, tmp_path: Path
) -> None:
    """Positions are reported as unreadable, never as empty."""
    folder = tmp_path / "state"
    with served(world, folder, shards=1) as running, Service(running.target) as service:
        assert service.book().summary.digest == world.expected.digest
    (stored,) = (folder / "objects" / "books").glob("*.parquet")
    stored.write_bytes(b"not a table")
    with served(world, folder, shards=1) as running, Service(running.target) as service:
        assert any("positions" in p for p in service.status().problems)
        for call in (service.book, lambda: service.margin_of(world.book.accounts[0])):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        service.upload([("M", "A", NAMES, 10.0)])
        assert set(service.book().margins) == {"A"}


def test_no_change_is_accepted_before_the_service_is_ready(
    embedded: None, world: World, tmp_path: Path
) -> None:
    """Changes during the start-up are refused, not wiped out."""
    refusals: list[grpc.StatusCode] = []
    statuses: list[bool] = []

    def before_ready(running: Running) -> None:
        with Service(running.target) as service:
            statuses.append(service.status().is_ready)
            with pytest.raises(grpc.RpcError) as caught:
                service.trade("EARLY", NAMES, 10.0, "early", "M")
            refusals.append(caught.value.code())

    with served(world, tmp_path / "state", shards=1, before_ready=before_ready) as running:
        assert refusals == [grpc.StatusCode.UNAVAILABLE]
        assert statuses == [False]
        with Service(running.target) as service:
            assert service.status().is_ready
            assert service.trade("EARLY", NAMES, 10.0, "early", "M").version == 2
            assert service.held("EARLY") == {NAMES: 10.0}


@pytest.mark.slow
def test_a_ledger_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    """A ledger of random bytes gives a message, not a traceback."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "ledger.sqlite").write_bytes(os.urandom(8192))
    done = subprocess.run(
        [MARGIN, "serve", "--state", str(state), "--port", "0", "--health-port", "0"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"MARGIN_STORE": str(tmp_path / "store"), "COLUMNS": "200"},
    )
    assert done.returncode == 2
    assert "ledger.sqlite" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_clean_stop_leaves_a_ledger_that_is_complete_in_one_file(
    embedded: None, world: World, tmp_path: Path
) -> None:
    """Copying `ledger.sqlite` alone loses nothing after a clean stop."""
    folder = tmp_path / "state"
    with served(world, folder, shards=1) as running, Service(running.target) as service:
        for number in range(20):
            service.trade("A", NAMES, 10.0, f"k{number}", "M")
        version = service.status().portfolio_version
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes((folder / "ledger.sqlite").read_bytes())
    with sqlite3.connect(copy) as connection:
        (found,) = connection.execute("select max(version) from portfolio_changes").fetchone()
    assert found == version


def test_what_was_in_use_when_and_who_asked_is_kept(running: Running, world: World) -> None:
    """Generations and changes are recorded with their callers."""
    with Service(running.target) as service:
        later = moved_by(world.snapshot, timedelta(minutes=3))
        service.publish(later, key="pub-1", metadata=(("x-request-id", "req-1"),))
        service.margin_of(world.book.accounts[0], snapshot_id=later.id)
        ledger = running.gateway.archive.ledger
        generations, _ = ledger.list_generations(10, "")
        newest = generations[0]
        assert (newest.snapshot_id, newest.request_id) == (later.id, "req-1")
        assert newest.caller
        assert newest.idempotency_key == "pub-1"
        assert len({g.number for g in generations}) == len(generations) >= 3
        assert json.dumps([g.snapshot_id for g in generations]).count(world.snapshot.id) >= 1
        service.publish(world.snapshot, allow_older=True)
        service.margin_of(world.book.accounts[0], snapshot_id=world.snapshot.id)
