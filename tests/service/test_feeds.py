"""`margin serve --feed` in a separate process, and `margin status` about it."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from json_documents import validated
from margin_cluster.sources import write_synthetic_folder
from service_command import MARGIN, command

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


@pytest.mark.parametrize("feed", ["binance", "replay:/nowhere@60x", "deribit:ftp://x"])
def test_a_feed_that_cannot_be_used_stops_the_start(feed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [MARGIN, "serve", "--feed", feed, "--state", str(tmp_path / "state")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert not (tmp_path / "state").exists()
