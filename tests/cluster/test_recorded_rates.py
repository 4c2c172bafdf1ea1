"""Interest rates and bases of perpetuals from the files of a data folder."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made import model_from
from margin_cluster.settings import settings_from_environment
from margin_cluster.sources import (
    DataFolder,
    load_rate_curve,
    snapshot_from_toml,
    with_recorded_rates,
)
from margin_cluster.wiring import build_scenarios, open_workspace

from margin_actors.engine.margin import calculate_margin
from margin_actors.engine.parameters import (
    PerpetualBasisParameters,
    RateParameters,
    ScenarioParameters,
)
from margin_actors.errors import InvalidMarketData
from margin_actors.market.books import book_of_portfolios
from margin_actors.market.snapshots import MarketSnapshot, OptionQuotes

RULES = RateParameters(use="curve")
NOON = datetime(2026, 2, 23, 12, tzinfo=UTC)


def folder(tmp_path: Path) -> Path:
    """Return a data folder with four days of rates, of which the third is a holiday."""
    days = pa.array(
        [datetime(2026, 2, d) for d in (18, 19, 20, 23)],
        pa.timestamp("ms"),
    )
    root = tmp_path / "rates"
    root.mkdir()
    yields = {"DGS3MO": [3.70, 3.69, None, 3.80], "DGS1": [3.49, 3.50, None, 3.60]}
    pq.write_table(
        pa.table({"date": days, **yields}), root / "us_treasury_constant_maturity_1d.parquet"
    )
    pq.write_table(
        pa.table({"date": days, "SOFR": [3.65, 3.66, 3.67, 3.99]}), root / "us_sofr_1d.parquet"
    )
    return tmp_path


def test_the_last_values_known_at_the_time_are_used(tmp_path: Path) -> None:
    curve, used = load_rate_curve(folder(tmp_path), RULES, NOON)
    assert curve is not None
    # The values of the 23rd are known at its end only; the 20th has no Treasury yields.
    assert curve.day == date(2026, 2, 20)
    assert curve.discount(0.25) == pytest.approx((1 + 0.0369 / 2) ** -0.5, abs=1e-12)
    assert curve.rate(1 / 365) == pytest.approx(365 * np.log1p(0.0367 / 360), abs=1e-12)
    assert [Path(file.path).stem for file in used] == [
        "us_treasury_constant_maturity_1d",
        "us_sofr_1d",
    ]


def test_rates_that_are_too_old_are_not_used(tmp_path: Path) -> None:
    root = folder(tmp_path)
    assert load_rate_curve(root, RULES, datetime(2026, 5, 15, tzinfo=UTC)) == (None, [])
    strict = RULES.model_copy(update={"age_days_max": 2})
    curve, used = load_rate_curve(root, strict, NOON)
    assert curve is not None
    assert curve.tenor_years.size == 1  # the overnight rate of the 20th alone
    assert len(used) == 1


def test_a_folder_without_rates_gives_no_curve(tmp_path: Path) -> None:
    assert load_rate_curve(tmp_path, RULES, NOON) == (None, [])


def test_a_file_without_rates_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    table = pa.table({"date": pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ms"))})
    pq.write_table(table, root / "rates" / "us_treasury_constant_maturity_1d.parquet")
    with pytest.raises(InvalidMarketData, match="DGS1MO"):
        load_rate_curve(root, RULES, NOON)


SNAPSHOT = """
time = 2026-02-23T12:00:00Z
[index]
BTC = 80000.0
[[option]]
name = "BTC-27MAR26-85000-C"
volatility = 0.5
[[future]]
name = "BTC-PERPETUAL"
price = 80024.0
"""


def test_a_snapshot_file_may_give_the_price_of_the_perpetual(tmp_path: Path) -> None:
    path = tmp_path / "market.toml"
    path.write_text(SNAPSHOT)
    assert snapshot_from_toml(path).perpetual_usd == {"BTC": 80_024.0}


def test_rates_join_the_snapshot_only_if_the_model_uses_them(tmp_path: Path) -> None:
    path = tmp_path / "market.toml"
    path.write_text(SNAPSHOT)
    snapshot, root = snapshot_from_toml(path), folder(tmp_path)
    flat, on_curve = (
        model_from("plain-hs", revaluation={"rates": {"use": use}}) for use in ("flat", "curve")
    )
    assert with_recorded_rates(snapshot, flat, root) == (snapshot, [])
    found, used = with_recorded_rates(snapshot, on_curve, root)
    assert found.rates is not None
    assert found.id != snapshot.id
    assert len(used) == 2
    assert with_recorded_rates(found, on_curve, root) == (found, [])


def test_the_recorded_treasury_curve(data_root: Path) -> None:
    curve, _ = load_rate_curve(data_root, RULES, NOON)
    assert curve is not None
    assert curve.day == date(2026, 2, 20)
    # 2026-02-20: 3 months 3.69 %, 2 years 3.48 %, 30 years 4.72 % (FRED DGS3MO, DGS2, DGS30).
    assert curve.rate(0.25) == pytest.approx(2 * np.log1p(0.0369 / 2), abs=1e-12)
    assert curve.rate(2.0) == pytest.approx(2 * np.log1p(0.0348 / 2), abs=5e-5)
    assert 0.045 < curve.rate(30.0) < 0.055
    factors = [curve.discount(t) for t in curve.tenor_years.tolist()]
    assert factors == sorted(factors, reverse=True)


@pytest.mark.parametrize(("underlying", "expected"), [("BTC", 16.6), ("ETH", 22.0)])
def test_the_recorded_basis_of_perpetuals(data_root: Path, underlying, expected) -> None:
    wanted = ScenarioParameters(
        underlyings=(underlying,), perpetual_basis=PerpetualBasisParameters(moves="history")
    )
    found, used = DataFolder(data_root).perpetual_bases(wanted)
    assert len(used) == 2
    history = found[underlying]
    assert history.time[0] == np.datetime64("2020-01-01T00:00")
    assert 1e4 * history.quantile(48.0, 0.995) == pytest.approx(expected, abs=0.1)
    largest = np.abs(history.moves(48.0)).max()
    assert 0.01 < largest < 0.03  # March 2020; a perpetual that halts with spot leaves no move


@pytest.mark.parametrize("core", ["es", "span", "venue_grid"])
def test_hedged_coins_ask_for_the_recorded_basis(
    data_root: Path, environment: None, core: str
) -> None:
    workspace = open_workspace(settings_from_environment(), data_root)
    parameters = model_from(
        "plain-hs",
        measure={"core": core},
        scenarios={"perpetual_basis": {"moves": "history"}, "underlyings": ["BTC"]},
        revaluation={"pnl_quantum_usd": 1e-6},
    )
    time = datetime(2026, 5, 15, 11, 27, 31, tzinfo=UTC)
    scenarios, _ = build_scenarios(workspace, parameters, time)
    none, bits = np.empty(0), np.empty(0, np.bool_)
    quotes = OptionQuotes(
        (), np.empty(0, np.int32), none, bits, bits, none, none, none, none, none, none
    )
    snapshot = MarketSnapshot(time, {"BTC": 80_000.0}, (), quotes)
    book = book_of_portfolios(
        [
            ("linear", "M", {"BTC_USDC": 100.0, "BTC_USDC-PERPETUAL": -100.0}),
            ("inverse", "M", {"BTC_USDC": 100.0, "BTC-PERPETUAL": -8_000_000.0}),
        ]
    )
    result = calculate_margin(snapshot, scenarios, book, parameters)
    # 16.6 bp of 8,000,000 US dollars: 13,280.
    assert np.all(result.margins.initial_margin_usd > 13_280.0)
    assert np.all(result.margins.initial_margin_usd < 20_000.0)
