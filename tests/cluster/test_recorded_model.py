"""What version 2 of `ccp-default` and of `hybrid` requires of the recorded books."""

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from margin_cluster.holdings import read_book
from margin_cluster.settings import Settings
from margin_cluster.wiring import build_scenarios, load_market, load_model, open_workspace

from margin_actors.engine.margin import (
    MarginResult,
    binding_components,
    calculate_margin,
    screened_snapshot,
)
from margin_actors.market.portfolios import book_from_table

pytestmark = [pytest.mark.slow, pytest.mark.data]

MAY = ("2026-05-15T11:27:31Z", "book_20260515T112731Z_100.parquet")
FEBRUARY = ("2026-02-06T09:35:16Z", "book_20260206T093516Z_1000.parquet")


@cache
def recorded(data: Path, store: Path, model: str, time: str, book: str) -> MarginResult:
    """Return the margins of a recorded book: a file, or a perpetual and its quantity."""
    place, parameters = open_workspace(Settings(store=store, data=data), data), load_model(model)
    published, _ = load_market(place, time, parameters)
    snapshot = screened_snapshot(published, parameters)
    scenarios, _ = build_scenarios(place, parameters, snapshot.time)
    if book.endswith(".parquet"):
        positions = read_book(place.store, data / "portfolios" / book).book
    else:
        name, quantity = book.split()
        row = {"member_id": "M", "account_id": "A", "instrument_name": name}
        table = {column: [value] for column, value in row.items()}
        positions = book_from_table(
            pa.table({**table, "quantity": [float(quantity)]}), where="outright"
        )
    return calculate_margin(snapshot, scenarios, positions, parameters, threads=2)


@pytest.mark.parametrize(("time", "book"), [MAY, FEBRUARY])
def test_the_long_run_floor_determines_fewer_than_half_of_the_requirements(
    data_root: Path, store_root: Path, time: str, book: str
) -> None:
    found = Counter(
        binding_components(recorded(data_root, store_root, "ccp-default", time, book).margins)
    )
    assert found["floor"] < 0.5 * sum(found.values())
    assert found["core"] > 0
    assert found["extended_moves"] > 0


@pytest.mark.parametrize("position", ["BTC_USDC-PERPETUAL 10", "ETH_USDC-PERPETUAL -300"])
def test_outrights_require_at_most_ten_per_cent_more_than_under_version_1(
    data_root: Path, store_root: Path, position: str
) -> None:
    for time in (MAY[0], FEBRUARY[0]):
        now, before = (
            recorded(data_root, store_root, model, time, position).margins.initial_margin_usd[0]
            for model in ("ccp-default", "ccp-default@1")
        )
        assert now <= 1.1 * before


@pytest.mark.parametrize(("time", "book"), [MAY, FEBRUARY])
def test_the_floor_of_the_hybrid_binds_for_some_accounts_and_none_is_below_var(
    data_root: Path, store_root: Path, time: str, book: str
) -> None:
    margins = recorded(data_root, store_root, "hybrid", time, book).margins
    assert np.all(margins.initial_margin_usd >= margins.var_usd)
    above = margins.initial_margin_usd > margins.span_usd
    assert 0 < np.count_nonzero(above) < 0.2 * above.size
    first = recorded(data_root, store_root, "hybrid@1", time, book).margins
    assert margins.initial_margin_usd.sum() < first.initial_margin_usd.sum()
