"""Shared fixtures: the collected data if they are present, a small synthetic market, a store."""

import os
from pathlib import Path

import pytest
from _pytest.doctest import DoctestItem
from hypothesis import settings
from postgres_server import (  # noqa: F401
    ledger_url,
    postgres_server,
    postgres_url,
    pytest_terminal_summary,
)

from margin_actors.market.books import Book
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.synthetic import SyntheticMarket, synthetic_market

# readline hands the size of a terminal down to the workers of xdist; it would fix tables' widths.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)

# No deadline, because the first example compiles kernels; time limits are tested by benchmarks.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")

HERE = Path(__file__).resolve().parent
TOGETHER = ("service, faults", "service", "cluster", "ledger")
"""Groups of tests that share what is expensive to make: Ray, fitted surfaces, a database server."""
FAULTS = {
    "test_book_runs",
    "test_command",
    "test_faults",
    "test_generations",
    "test_partial_runs",
    "test_restarts",
}
"""Tests of actors and services that stop or fail; they have a Ray cluster of their own."""
# Inherited by Ray's workers and by commands, which load the module only for a model that names a
# component beyond the built-in ones.
os.environ["MARGIN_COMPONENTS"] = "gap_component"
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH")))
)

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Name the group of each test; with several workers, a group runs in one of them.

    Examples in docstrings come first: once Ray runs, its messages would mix with their output. The
    longest groups follow, so that no worker waits for the other at the end.
    """
    parallel = config.pluginmanager.hasplugin("xdist")

    def rank(item: pytest.Item) -> int:
        if isinstance(item, DoctestItem):
            return 0
        group = _group(item)
        return 1 + (TOGETHER.index(group) if parallel and group in TOGETHER else len(TOGETHER))

    items.sort(key=rank)
    for item in items if parallel else ():
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    folder = item.path.parent.name if item.path.is_relative_to(HERE) else ""
    if folder == "service" and item.path.stem in FAULTS:
        folder = "service, faults"
    return folder if folder in TOGETHER else str(item.path)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of collected market data; the test is skipped if it is absent."""
    root = Path(os.environ.get("MARGIN_DATA") or BESIDE)
    if not (root / "prices").is_dir():
        pytest.skip(f"the collected market data are not at {root}; set MARGIN_DATA to run this")
    return root


@pytest.fixture(scope="session")
def market() -> SyntheticMarket:
    """The synthetic market with a short chain history."""
    return synthetic_market(seed=5, n_days=900, history_days=40, n_accounts=20)


@pytest.fixture(scope="session")
def store_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the whole session, so that surfaces are fitted once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, store_root: Path) -> None:
    """Set the session's store in the settings, and no folder of data."""
    monkeypatch.setenv("MARGIN_STORE", str(store_root))
    monkeypatch.delenv("MARGIN_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture(scope="session")
def snapshot(market: SyntheticMarket) -> MarketSnapshot:
    return market.snapshot


@pytest.fixture(scope="session")
def book(market: SyntheticMarket) -> Book:
    return book_from_table(market.book, where="book")
