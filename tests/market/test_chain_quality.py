"""Every planted fault of an option chain is found, and clean chains have no findings."""

from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path

import chain_faults as faults
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin_actors.market.chain_quality import (
    GATE_MEANING,
    ChainQualityLimits,
    Gate,
    screen_snapshot,
)
from margin_actors.market.chain_quality.robust import outliers, predictions, row_medians
from margin_actors.market.chains import snapshot_from_chain, snapshot_to_chain
from margin_actors.market.rates import RateCurve
from margin_actors.market.snapshot_table import snapshot_from_table, snapshot_to_table
from margin_actors.market.snapshots import MarketSnapshot

RECORDED = datetime(2026, 5, 15, 11, 27, 31, tzinfo=UTC)
NEAR = 1.5
"""Largest standardised moneyness of the options in which faults are planted."""


def near_money(snapshot: MarketSnapshot) -> list[int]:
    """Rows of two-sided options near the money that expire in more than two days."""
    quotes = snapshot.options
    forward = np.array([e.forward_usd for e in snapshot.expiries])[quotes.expiry_index]
    tenor = np.array([e.tenor_years for e in snapshot.expiries])[quotes.expiry_index]
    z = np.log(quotes.strike_usd / forward) / (quotes.mark_vol * np.sqrt(tenor))
    found = (np.abs(z) < NEAR) & (tenor > 2 / 365) & (quotes.ask > quotes.bid)
    return np.flatnonzero(found).tolist()


@pytest.fixture(scope="module")
def recorded(data_root: Path) -> MarketSnapshot:
    table = pq.read_table(data_root / "options" / "deribit_chain_2026-05.parquet")
    return snapshot_from_chain(table, time=RECORDED, origin="chain", for_gates=True)


def require_quote_excluded(snapshot: MarketSnapshot, row: int, fault: str) -> None:
    """Plant a fault in one option: this option alone is found, and its quote is not used."""
    name = snapshot.options.names[row]
    found = faults.screened(faults.QUOTE_FAULTS[fault](snapshot, row))
    assert {f.where for f in found.findings} == {name}
    assert not found.quarantined
    at = found.option_row[name]
    assert np.isnan(found.options.bid[at])
    assert np.isnan(found.options.ask[at])
    assert np.isnan(found.options.mark_vol[at]) == (fault != "one_crossed")
    assert len(set(found.options.names)) == len(found.options) == len(snapshot.options)


def require_quarantined(snapshot: MarketSnapshot, row: int, fault: str) -> None:
    """Plant a fault in one expiry: this expiry alone is quarantined, and nothing else changes."""
    rows, label = faults.siblings(snapshot, row), faults.expiry_of(snapshot, row)
    found = faults.screened(faults.EXPIRY_FAULTS[fault](snapshot, row))
    assert faults.whole_expiries(found.findings) == {label}
    names = set(snapshot.options.names) - {snapshot.options.names[r] for r in rows}
    assert set(found.options.names) == names
    is_whole = len(found.expiries) == len(snapshot.expiries) - 1
    assert is_whole == fault.startswith("forward")
    kept = np.setdiff1d(np.arange(len(snapshot.options)), rows)
    for column in ("bid", "ask", "mark", "mark_vol", "open_interest"):
        before, after = (getattr(s.options, column) for s in (snapshot, found))
        np.testing.assert_array_equal(before[kept], after)


def test_a_clean_synthetic_chain_has_no_findings(snapshot: MarketSnapshot) -> None:
    found = faults.screened(faults.aged(snapshot))
    assert found.findings == ()
    assert found.expiries == snapshot.expiries
    assert found.options.names == snapshot.options.names
    for column in ("bid", "ask", "mark", "mark_vol"):
        same = getattr(found.options, column), getattr(snapshot.options, column)
        np.testing.assert_array_equal(*same)


@pytest.mark.parametrize("fault", faults.QUOTE_FAULTS)
def test_a_fault_of_one_quote_excludes_this_quote(snapshot: MarketSnapshot, fault: str) -> None:
    rows = near_money(snapshot)
    for row in rows[:: len(rows) // 4]:
        require_quote_excluded(snapshot, row, fault)


@pytest.mark.parametrize("fault", faults.EXPIRY_FAULTS)
def test_a_fault_of_one_expiry_quarantines_this_expiry(
    snapshot: MarketSnapshot, fault: str
) -> None:
    rows = near_money(snapshot)
    for row in rows[:: len(rows) // 4]:
        require_quarantined(snapshot, row, fault)


@pytest.mark.data
def test_a_recorded_chain_has_no_findings(recorded: MarketSnapshot) -> None:
    assert recorded.options.age_seconds is not None
    assert faults.screened(recorded).findings == ()


@pytest.mark.data
@pytest.mark.parametrize("fault", faults.QUOTE_FAULTS)
def test_a_fault_of_one_recorded_quote_is_found(recorded: MarketSnapshot, fault: str) -> None:
    for row in near_money(recorded)[10::400]:
        require_quote_excluded(recorded, row, fault)


@pytest.mark.data
@pytest.mark.parametrize("fault", faults.EXPIRY_FAULTS)
def test_a_fault_of_one_recorded_expiry_is_found(recorded: MarketSnapshot, fault: str) -> None:
    for row in near_money(recorded)[10::400]:
        require_quarantined(recorded, row, fault)


@settings(max_examples=15)
@given(choice=st.floats(0, 1), fault=st.sampled_from([*faults.QUOTE_FAULTS, *faults.EXPIRY_FAULTS]))
def test_any_single_fault_is_found_and_affects_nothing_else(
    snapshot: MarketSnapshot, choice: float, fault: str
) -> None:
    rows = near_money(snapshot)
    row = rows[min(int(choice * len(rows)), len(rows) - 1)]
    if fault in faults.QUOTE_FAULTS:
        require_quote_excluded(snapshot, row, fault)
    else:
        require_quarantined(snapshot, row, fault)


@settings(max_examples=8)
@given(choice=st.floats(0, 1), factor=st.one_of(st.floats(0.5, 0.97), st.floats(1.03, 2.0)))
def test_a_forward_three_per_cent_off_is_found(
    snapshot: MarketSnapshot, choice: float, factor: float
) -> None:
    rows = near_money(snapshot)
    row = rows[min(int(choice * len(rows)), len(rows) - 1)]
    found = faults.screened(faults.forward_off(snapshot, row, factor))
    assert faults.whole_expiries(found.findings) == {faults.expiry_of(snapshot, row)}


def test_variance_that_falls_between_expiries_is_found(snapshot: MarketSnapshot) -> None:
    later = [r for r in near_money(snapshot)
             if snapshot.expiries[snapshot.options.expiry_index[r]].tenor_years > 0.1]  # fmt: skip
    found = faults.screened(faults.falling_variance(snapshot, later[0]))
    assert [f.gate for f in found.findings] == ["calendar"]
    assert faults.whole_expiries(found.findings) == {faults.expiry_of(snapshot, later[0])}


def test_two_wrong_marks_of_one_expiry_are_both_found(snapshot: MarketSnapshot) -> None:
    first = near_money(snapshot)[0]
    rows = [r for r in near_money(snapshot) if r in faults.siblings(snapshot, first)][:2]
    both = snapshot
    for row in rows:
        both = faults.mark_at_350_with_its_price(both, row)
    names = {snapshot.options.names[r] for r in rows}
    assert {f.where for f in faults.screened(both).findings} == names


def test_the_id_is_that_of_the_published_snapshot(snapshot: MarketSnapshot) -> None:
    broken = faults.forward_off(snapshot, 0)
    found = faults.screened(broken)
    assert found.id == broken.id != snapshot.id
    assert screen_snapshot(found, faults.GATES) is found


def test_everything_but_what_is_excluded_is_kept(snapshot: MarketSnapshot) -> None:
    curve = RateCurve(date(2026, 1, 2), np.array([0.5]), np.array([0.04]))
    perpetuals = {u: 1.001 * price for u, price in snapshot.index_usd.items()}
    whole = replace(snapshot, rates=curve, perpetual_usd=perpetuals, discount_annual=0.01)
    found = faults.screened(whole)
    for item in fields(MarketSnapshot):
        if item.name not in ("expiries", "options"):
            assert getattr(found, item.name) is getattr(whole, item.name), item.name


def test_disabled_gates_return_the_same_snapshot(snapshot: MarketSnapshot) -> None:
    broken = faults.forward_off(snapshot, 0)
    assert screen_snapshot(broken, ChainQualityLimits()) is broken


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("smile_score_max", "mark_at_350_with_its_price"),
        ("volatility_min", "implausible_mark"),
        ("age_seconds_max", "old_row"),
    ],
)
def test_a_gate_without_a_limit_is_disabled(
    snapshot: MarketSnapshot, field: str, fault: str
) -> None:
    off = {field: None, "mark_price_max": None}
    if field == "volatility_min":
        off["smile_score_max"] = None
    broken = faults.QUOTE_FAULTS[fault](snapshot, near_money(snapshot)[0])
    limits = faults.GATES.model_copy(update=off)
    assert faults.screened(broken, limits).findings == ()
    assert faults.screened(broken).findings


def test_every_gate_has_a_meaning() -> None:
    assert set(GATE_MEANING) == set(Gate.__args__)


def test_ages_are_part_of_the_id_and_survive_storage(snapshot: MarketSnapshot) -> None:
    known = faults.aged(snapshot)
    assert known.id != snapshot.id
    again = snapshot_from_table(snapshot_to_table(known), where="x")
    assert again.id == known.id
    assert again.options.age_seconds is not None
    assert snapshot_from_table(snapshot_to_table(snapshot), where="x").options.age_seconds is None


def test_times_of_quotes_are_read_only_for_the_gates(snapshot: MarketSnapshot) -> None:
    table = snapshot_to_chain(snapshot)
    stamps = [snapshot.time.replace(microsecond=0)] * table.num_rows
    table = table.append_column("timestamp", pa.array(stamps, pa.timestamp("us", "UTC")))
    plain = snapshot_from_chain(table, time=snapshot.time, origin="x", is_synthetic=True)
    assert plain.id == snapshot.id
    gated = snapshot_from_chain(
        table, time=snapshot.time, origin="x", is_synthetic=True, for_gates=True
    )
    assert gated.options.age_seconds is not None
    np.testing.assert_array_equal(gated.options.age_seconds, 0.0)


def test_equal_repeated_rows_count_once_without_a_finding(snapshot: MarketSnapshot) -> None:
    twice = faults.with_quotes(
        faults.listed_twice(snapshot, 7), len(snapshot.options), mark=snapshot.options.mark[7]
    )
    found = faults.screened(twice)
    assert found.findings == ()
    assert found.options.names == snapshot.options.names


@given(st.integers(0, 20), st.floats(0.5, 100.0), st.floats(-5.0, 5.0), st.floats(-5.0, 5.0))
def test_one_outlier_on_a_line_is_the_one_found(
    at: int, size: float, level: float, slope: float
) -> None:
    x = np.linspace(-1.0, 1.0, 21)
    y = level + slope * x
    wrong = y.copy()
    wrong[at] += size
    found, residual, _ = outliers(
        x, wrong, np.ones(21, np.bool_), lambda r, s, _k: (np.abs(r) - s) / 0.1
    )
    assert np.flatnonzero(found).tolist() == [at]
    np.testing.assert_allclose(residual[at], size, atol=1e-9)


def test_predictions_agree_with_their_definition() -> None:
    """Three neighbours on each side, the point itself left out: the median of nine lines."""
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.normal(size=9)), rng.normal(size=9)
    value, _ = predictions(x, y, x)
    lines = [
        y[a] + (y[b] - y[a]) * (x[4] - x[a]) / (x[b] - x[a]) for a in (1, 2, 3) for b in (5, 6, 7)
    ]
    np.testing.assert_allclose(value[4], np.median(lines), rtol=1e-14)


def test_row_medians_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(50, 9))
    values[rng.random(values.shape) < 0.4] = np.nan
    values[0] = np.nan
    expected = [np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan
                for row in values]  # fmt: skip
    np.testing.assert_array_equal(row_medians(values), expected)


def test_a_wrong_index_is_found_on_every_expiry(snapshot: MarketSnapshot) -> None:
    wrong = {**snapshot.index_usd, "BTC": 0.7 * snapshot.index_usd["BTC"]}
    found = faults.screened(replace(snapshot, index_usd=wrong))
    assert {f.gate for f in found.findings} == {"forward_index"}
    assert {e.underlying for e in found.expiries} == {"ETH"}
