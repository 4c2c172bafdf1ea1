"""A minute of the soak test on SQLite, and a shorter one on PostgreSQL."""

import os
import random
from pathlib import Path

import pytest
from postgres_server import running_postgres
from soak.run import soak
from soak.session import Setting

SECONDS = float(os.environ.get("MARGIN_SOAK_SECONDS", "60"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),
]


def run(
    folder: Path, store: Path, *, seconds: float, ledger_url: str = "", gateways: int = 2
) -> None:
    seed = random.SystemRandom().randrange(2**31)
    setting = Setting(folder, ledger_url, gateways, store, seconds)
    record = soak(setting, seed).record
    assert sum(record.calls.values()) > 50
    assert not record.violations, f"seed {seed}; evidence in {record.folder}"


def test_a_minute_of_everything_on_sqlite(tmp_path: Path, store_root: Path) -> None:
    run(tmp_path, store_root, seconds=SECONDS)


@pytest.mark.postgres
def test_half_a_minute_on_postgresql(tmp_path: Path, store_root: Path) -> None:
    with running_postgres() as server:
        run(tmp_path, store_root, seconds=SECONDS / 2, ledger_url=server.new_database())


def test_half_a_minute_of_one_gateway_with_ray_inside(tmp_path: Path, store_root: Path) -> None:
    run(tmp_path, store_root, seconds=SECONDS / 2, gateways=0)
