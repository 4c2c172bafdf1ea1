"""`margin serve --feed` in a separate process, and `margin status` about it."""

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deribit_server import Venue, deribit_server
from json_documents import validated
from margin_cluster.sources import chain_files, write_synthetic_folder
from service_command import MARGIN, command
from small_chain import small_snapshot

pytestmark = pytest.mark.slow


def status(target: str) -> dict[str, object]:
    done = subprocess.run(
        [MARGIN, "status", "--address", target, "--json"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return validated(done.stdout)


def test_a_replay_publishes_generations_and_the_status_shows_it(
    tmp_path: Path, store_root: Path
) -> None:
    data = tmp_path / "data"
    write_synthetic_folder(data, seed=11, n_accounts=5, history_days=36)
    # One of the daily chains per two seconds.
    options = ["--data", str(data), "--feed", f"replay:{data}@43200x",
               "--state", str(tmp_path / "state"), "--cpus", "1"]  # fmt: skip
    with command(tmp_path, *options, store=store_root) as running:
        until = time.monotonic() + 45.0
        while True:
            found = status(running.target)
            feed = next(f for f in found["feeds"] if f["source"] == "replay")
            if feed["snapshots_accepted"] >= 3 and found["generation"]["number"] >= 4:
                break
            assert time.monotonic() < until, (found, running.log.read_text())
            time.sleep(0.5)
        assert feed["is_connected"]
        assert 0.0 <= feed["snapshot_age_seconds"] < 45.0
        shown = subprocess.run(
            [MARGIN, "status", "--address", running.target],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
        assert "Feeds" in shown
        [line] = [row for row in shown.splitlines() if row.lstrip(" │┃|").startswith("replay")]
        assert "connected" in line
        assert "ago" in line
        log = [json.loads(row) for row in running.log.read_text().splitlines() if row[:1] == "{"]
        times = [e["time"] for e in log if e["event"] == "snapshot"]
        assert times == sorted(times)


@contextmanager
def venue_in_a_thread() -> Iterator[Venue]:
    """A local exchange whose clock started at the time of the synthetic chain."""
    start, began = small_snapshot().time.timestamp() + 60.0, time.time()
    venue = Venue(small_snapshot(), lambda: round(1000 * (start + time.time() - began)))
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with deribit_server(venue):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10.0)
        yield venue
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_a_venue_is_read_published_and_recorded(tmp_path: Path, store_root: Path) -> None:
    recorded = tmp_path / "recorded"
    with venue_in_a_thread() as venue:
        options = ["--feed", f"deribit:{venue.url}", "--feed-seconds", "2", "--record",
                   str(recorded), "--state", str(tmp_path / "state"), "--cpus", "1"]  # fmt: skip
        with command(tmp_path, *options, store=store_root) as running:
            until = time.monotonic() + 45.0
            while True:
                [feed] = [f for f in status(running.target)["feeds"] if f["source"] == "deribit"]
                if feed["snapshots_accepted"] >= 2:
                    venue.share_of_chain = 0.4
                if feed["snapshots_rejected"] >= 1:
                    break
                assert time.monotonic() < until, (feed, running.log.read_text())
                time.sleep(0.5)
            assert feed["is_connected"]
            assert "snapshot not used: " in feed["last_problem"] or feed["faults"]["skew"] > 0
            assert list((tmp_path / "state" / "quarantine").glob("*-deribit.json"))
            running.process.terminate()
            assert running.process.wait(60) == 0
    [chain] = chain_files(recorded)
    assert chain.times.size == 1
    assert (recorded / "rates" / "deribit_funding_BTC_1h.parquet").exists()


@pytest.mark.parametrize("feed", ["binance", "replay:/nowhere@60x", "deribit:ftp://x"])
def test_a_feed_that_cannot_be_used_stops_the_start(feed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [MARGIN, "serve", "--feed", feed, "--state", str(tmp_path / "state")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert not (tmp_path / "state").exists()
