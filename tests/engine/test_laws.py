"""Laws of measures and requirements, for whatever books hypothesis thinks of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import ADD_ONS, EVERYTHING, made_scenarios, model_from, sections

from margin_actors.engine.margin import PARTS, calculate_margin
from margin_actors.engine.measures import (
    attribute,
    expected_shortfall,
    tail_shares,
    value_at_risk,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.market.portfolios import Book
from margin_actors.market.snapshots import MarketSnapshot

profits = st.integers(0, 2**32 - 1).map(
    lambda seed: np.round(np.random.default_rng(seed).standard_t(3, (3, 400)) * 1000.0, 2)
)
confidences = st.floats(0.9, 0.999)
weights = st.none() | st.integers(0, 2**32 - 1).map(
    lambda seed: (lambda w: w / w.sum())(np.random.default_rng(seed).uniform(0.1, 1.0, 400))
)


def book_of(instruments: tuple[str, ...], accounts: list[dict[str, float]]) -> Book:
    rows = [sorted((instruments.index(n), q) for n, q in held.items()) for held in accounts]
    return Book(
        tuple(f"A{i}" for i in range(len(rows))),
        tuple("M" for _ in rows),
        instruments,
        np.cumsum([0, *(len(r) for r in rows)]).astype(np.int64),
        np.array([i for r in rows for i, _ in r], np.int32),
        np.array([q for r in rows for _, q in r], np.float64),
    )


@pytest.fixture(scope="module")
def names(snapshot: MarketSnapshot, book: Book) -> tuple[str, ...]:
    """A few options of both underlyings, and a perpetual of each."""
    quotes = snapshot.options
    liquid = np.argsort(-np.nan_to_num(quotes.open_interest), kind="stable")
    options: list[str] = []
    for underlying in ("BTC", "ETH"):
        options += [quotes.names[i] for i in liquid if quotes.names[i].startswith(underlying)][:4]
    return tuple(sorted([*options, "BTC-PERPETUAL", "ETH-PERPETUAL"]))


def held(names: tuple[str, ...], seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(names), rng.integers(1, len(names) + 1), replace=False)
    return {
        names[i]: float(rng.integers(1, 400) * rng.choice([-1, 1]))
        * (10.0 if names[i].endswith("PERPETUAL") else 0.1)
        for i in chosen
    }


@given(profits, confidences, weights)
@settings(max_examples=60)
def test_expected_shortfall_is_at_least_var(x, confidence, weight) -> None:
    var = value_at_risk(x, confidence=confidence, weight=weight)
    es = expected_shortfall(x, confidence=confidence, weight=weight)
    assert np.all(es >= var - 1e-9 * np.abs(var))


@given(profits, confidences, weights, st.floats(0.01, 100.0))
@settings(max_examples=60)
def test_measures_are_homogeneous_and_cash_shifts_nothing_else(x, confidence, weight, k) -> None:
    for measure in (value_at_risk, expected_shortfall):
        whole = measure(x, confidence=confidence, weight=weight)
        grown = measure(k * x, confidence=confidence, weight=weight)
        np.testing.assert_allclose(grown, k * whole, rtol=1e-9, atol=1e-6)
        # Cash of c in every scenario takes exactly c off the loss: the shape is untouched.
        shifted = measure(x + 250.0, confidence=confidence, weight=weight)
        np.testing.assert_allclose(shifted, whole - 250.0, rtol=1e-9, atol=1e-6)


@given(profits, weights, st.lists(confidences, min_size=2, max_size=5))
@settings(max_examples=60)
def test_more_confidence_never_lowers_a_measure(x, weight, levels) -> None:
    for measure in (value_at_risk, expected_shortfall):
        found = [measure(x, confidence=c, weight=weight) for c in sorted(levels)]
        assert np.all(np.diff(np.array(found), axis=0) >= -1e-6)


@given(profits, confidences, weights)
@settings(max_examples=60)
def test_components_add_up_with_and_without_weights(x, confidence, weight) -> None:
    parts = attribute(x, np.array([1.0, 2.0, -3.0]), confidence=confidence, weight=weight)
    total = x.sum(axis=0)[None, :]
    var = value_at_risk(total, confidence=confidence, weight=weight)[0]
    es = expected_shortfall(total, confidence=confidence, weight=weight)[0]
    assert parts.component_var.sum() == pytest.approx(var, rel=1e-9, abs=1e-6)
    assert parts.component_es.sum() == pytest.approx(es, rel=1e-9, abs=1e-6)


@given(profits, confidences)
@settings(max_examples=40)
def test_equal_weights_are_no_weights(x, confidence) -> None:
    # A weight apart from a whole number of rows, where both definitions have one answer.
    n = x.shape[1]
    if abs(n * (1 - confidence) - round(n * (1 - confidence))) < 1e-6:
        confidence -= 0.3 / n
    equal = np.full(n, 1.0 / n)
    for measure in (value_at_risk, expected_shortfall):
        plain = measure(x, confidence=confidence)
        np.testing.assert_allclose(
            measure(x, confidence=confidence, weight=equal), plain, rtol=1e-6
        )
    rows, share = tail_shares(x[0], confidence=confidence, weight=equal)
    assert share.sum() == pytest.approx(1.0)
    assert -x[0, rows[-1]] == value_at_risk(x[:1], confidence=confidence)[0]


def test_weights_move_measures_towards_the_rows_that_weigh_more() -> None:
    x = np.arange(-50.0, 50.0)[None, :]
    heavy = np.ones(100)
    heavy[:10] = 5.0
    light = np.ones(100)
    light[:10] = 0.2
    for measure in (value_at_risk, expected_shortfall):
        plain = measure(x, confidence=0.95)[0]
        assert measure(x, confidence=0.95, weight=heavy / heavy.sum())[0] > plain
        assert measure(x, confidence=0.95, weight=light / light.sum())[0] < plain


def margins(snapshot, names, accounts, parameters, seed=0):
    return calculate_margin(snapshot, sections(seed), book_of(names, accounts), parameters)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=12)
def test_parts_are_not_negative_and_add_up(snapshot, names, seed) -> None:
    parameters = model_from("hs-surface", **EVERYTHING)
    result = margins(snapshot, names, [held(names, seed), held(names, seed + 1)], parameters)
    assert np.all(result.parts_usd >= 0.0)
    np.testing.assert_allclose(result.parts_usd.sum(axis=1), result.initial_margin_usd, rtol=1e-12)
    assert np.all(np.isfinite(result.initial_margin_usd))
    assert np.all(result.es_usd >= result.var_usd)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=6)
def test_removing_anything_never_raises_the_total(snapshot, names, seed) -> None:
    accounts = [held(names, seed), held(names, seed + 7)]
    whole = margins(snapshot, names, accounts, model_from("hs-surface", **EVERYTHING))
    for section, below in (
        ("addons", list(ADD_ONS)),
        ("procyclicality", ["buffer", "stressed_weight", "long_floor"]),
    ):
        for name in below:
            less = {**EVERYTHING, section: {**EVERYTHING[section], name: {"enabled": False}}}
            found = margins(snapshot, names, accounts, model_from("hs-surface", **less))
            assert np.all(found.initial_margin_usd <= whole.initial_margin_usd * (1 + 1e-12)), name
    without_floor = {
        **EVERYTHING,
        "procyclicality": {**EVERYTHING["procyclicality"], "stress_period": {"floor": False}},
    }
    found = margins(snapshot, names, accounts, model_from("hs-surface", **without_floor))
    assert np.all(found.initial_margin_usd <= whole.initial_margin_usd * (1 + 1e-12))


@given(seed=st.integers(0, 10_000), k=st.integers(2, 9))
@settings(max_examples=8)
def test_the_core_and_its_floors_are_homogeneous(snapshot, names, seed, k) -> None:
    parameters = model_from("hs-surface", **{**EVERYTHING, "addons": {}})
    one = held(names, seed)
    result = margins(snapshot, names, [one, {n: k * q for n, q in one.items()}], parameters)
    for column in (result.parts_usd, result.var_usd[:, None], result.es_usd[:, None]):
        np.testing.assert_allclose(column[1], k * column[0], rtol=1e-9, atol=1e-4)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=8)
def test_more_confidence_asks_for_more(snapshot, names, seed) -> None:
    accounts = [held(names, seed)]
    found = []
    for confidence in (0.95, 0.99, 0.995):
        parameters = model_from("hs-surface", measure={"confidence": confidence, "core": "es"})
        result = calculate_margin(
            snapshot, made_scenarios(300, seed), book_of(names, accounts), parameters
        )
        found.append((result.var_usd[0], result.es_usd[0], result.initial_margin_usd[0]))
    assert np.all(np.diff(np.array(found), axis=0) >= 0.0)


@given(quantity=st.integers(1, 10_000))
@settings(max_examples=8)
def test_a_spot_holding_against_a_linear_perpetual_has_no_core_margin(snapshot, quantity) -> None:
    """Both follow the index coin by coin, so their profits cancel in every scenario."""
    parameters = model_from("hs-surface", **EVERYTHING)
    pair = ("BTC_USDC", "BTC_USDC-PERPETUAL")
    hedged = {pair[0]: quantity / 100, pair[1]: -quantity / 100}
    result = margins(snapshot, pair, [hedged, {pair[0]: quantity / 100}], parameters)
    assert result.var_usd[0] == result.es_usd[0] == 0.0
    assert result.var_usd[1] > 0.0
    components = dict(zip(PARTS, result.parts_usd[0], strict=True))
    assert components["core"] == 0.0


def test_a_synthetic_forward_against_a_future_has_no_core_margin(snapshot) -> None:
    """Parity: call less put at one strike less the future is cash, whatever the smile does."""
    item = next(e for e in snapshot.expiries if e.underlying == "BTC" and e.tenor_years > 0.2)
    quotes = snapshot.options
    strike = next(
        n[:-2] for n in quotes.names
        if n.endswith("-C") and f"{n[:-1]}P" in snapshot.option_row
        and snapshot.expiries[quotes.expiry_index[snapshot.option_row[n]]] == item
    )  # fmt: skip
    future = strike.rsplit("-", 1)[0].replace("BTC-", "BTC_USDC-")
    linear = strike.replace("BTC-", "BTC_USDC-")
    k = float(strike.rsplit("-", 1)[1])
    assert k > 0
    rules = {"unlisted_options": "surface", "anchor_to_marks": False}
    parameters: ModelParameters = model_from("hs-surface", revaluation=rules)
    accounts = [{f"{linear}-C": 3.0, f"{linear}-P": -3.0, future: -3.0}]
    instruments = tuple(sorted(accounts[0]))
    result = calculate_margin(
        snapshot, made_scenarios(300), book_of(instruments, accounts), parameters
    )
    assert abs(result.worst_usd[0]) < 1e-2  # ticks
    assert result.var_usd[0] == pytest.approx(0.0, abs=1e-2)
