"""VaR and ES: laws, values counted by hand, and contributions of positions."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from margin_actors.engine.measures import (
    attribute,
    es_from_tail,
    expected_shortfall,
    tail_count,
    tail_shares,
    tail_size,
    value_at_risk,
    var_from_tail,
    var_interval_from_tail,
)

profits = arrays(np.float64, st.integers(2, 300), elements=st.floats(-1e9, 1e9, width=32))
levels = st.floats(0.5, 0.9995)
seeds = st.none() | st.integers(0, 2**32 - 1)
"""Of the weights of the scenarios; None for equal weights, which are passed as None."""


def weights(seed: int | None, n: int) -> np.ndarray | None:
    """Return n weights of different size, float64 (n,), that sum to 1; None without a seed."""
    if seed is None:
        return None
    weight = np.random.default_rng(seed).uniform(0.1, 1.0, n)
    return weight / weight.sum()


@given(profits, levels, seeds)
def test_expected_shortfall_is_never_below_value_at_risk(
    x: np.ndarray, c: float, seed: int | None
) -> None:
    w = weights(seed, x.size)
    var = value_at_risk(x[None], confidence=c, weight=w)[0]
    es = expected_shortfall(x[None], confidence=c, weight=w)[0]
    assert es >= var - 1e-9 * abs(var)


@given(profits, levels, levels, seeds)
def test_more_confidence_never_lowers_either(
    x: np.ndarray, a: float, b: float, seed: int | None
) -> None:
    low, high = sorted((a, b))
    w = weights(seed, x.size)
    for f in (value_at_risk, expected_shortfall):
        least = f(x[None], confidence=low, weight=w)[0]
        most = f(x[None], confidence=high, weight=w)[0]
        assert most >= least - 1e-7 * max(1.0, abs(least))


@given(profits, levels, st.floats(0.01, 100), seeds)
def test_measures_scale_with_the_portfolio(
    x: np.ndarray, c: float, factor: float, seed: int | None
) -> None:
    w = weights(seed, x.size)
    for f in (value_at_risk, expected_shortfall):
        one = f(x[None], confidence=c, weight=w)[0]
        many = f(x[None] * factor, confidence=c, weight=w)[0]
        assert many == pytest.approx(one * factor, rel=1e-9, abs=1e-6)


@given(profits, levels, st.floats(-1e6, 1e6), seeds)
def test_cash_shifts_the_measures_by_itself(
    x: np.ndarray, c: float, cash: float, seed: int | None
) -> None:
    w = weights(seed, x.size)
    for f in (value_at_risk, expected_shortfall):
        shifted = f(x[None] + cash, confidence=c, weight=w)[0]
        before = f(x[None], confidence=c, weight=w)[0]
        assert shifted == pytest.approx(before - cash, rel=1e-9, abs=1e-4)


@given(profits, levels)
def test_equal_weights_give_what_no_weights_give(x: np.ndarray, c: float) -> None:
    m, _ = tail_count(x.size, c)
    # On the edge the rounding of the cumulative weight decides.
    assume(abs(m - round(m)) >= 1e-6 and m >= 1e-6)
    weight = np.full(x.size, 1 / x.size)
    for f in (value_at_risk, expected_shortfall):
        weighted = f(x[None], confidence=c, weight=weight)[0]
        assert weighted == pytest.approx(f(x[None], confidence=c)[0], rel=1e-6, abs=1e-3)
    rows, share = tail_shares(x, confidence=c, weight=weight)
    assert share.sum() == pytest.approx(1.0)
    assert -x[rows[-1]] == value_at_risk(x[None], confidence=c)[0]


@given(profits, st.sampled_from([0.9, 0.95, 0.99, 0.995]))
def test_the_tail_alone_gives_the_same_bits(x: np.ndarray, c: float) -> None:
    n = x.size
    tail = np.sort(x)[: tail_size(n, c, n)][None]
    assert (
        var_from_tail(tail, n_scenarios=n, confidence=c)[0]
        == value_at_risk(x[None], confidence=c)[0]
    )
    assert (
        es_from_tail(tail, n_scenarios=n, confidence=c)[0]
        == expected_shortfall(x[None], confidence=c)[0]
    )


def test_values_counted_by_hand() -> None:
    x = np.arange(-10.0, 90.0)[None]  # 100 scenarios, worst -10
    assert tail_count(100, 0.95) == (5.0, 5)
    assert value_at_risk(x, confidence=0.95)[0] == 5.0
    assert expected_shortfall(x, confidence=0.95)[0] == 8.0
    assert expected_shortfall(x, confidence=0.975)[0] == (10 + 9 + 0.5 * 8) / 2.5
    assert expected_shortfall(x, confidence=0.999)[0] == 10.0


def test_weights_move_the_tail() -> None:
    x, w = np.array([[-100.0, -1.0, 0.0, 1.0]]), np.array([0.001, 0.049, 0.45, 0.5])
    assert value_at_risk(x, confidence=0.99, weight=w)[0] == 1.0
    assert expected_shortfall(x, confidence=0.99, weight=w)[0] == pytest.approx(10 * 1 + 0.9)


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


def test_the_interval_of_var_widens_where_windows_overlap() -> None:
    tail = np.sort(np.random.default_rng(0).normal(size=2000))[None]
    wide = var_interval_from_tail(tail, n_scenarios=2000, confidence=0.99, effective_size=1000)
    narrow = var_interval_from_tail(tail, n_scenarios=2000, confidence=0.99, effective_size=2000)
    var = var_from_tail(tail, n_scenarios=2000, confidence=0.99)
    assert wide[0] < narrow[0] < var < narrow[1] < wide[1]


@given(
    arrays(
        np.float64, st.tuples(st.integers(1, 6), st.integers(5, 200)), elements=st.floats(-1e6, 1e6)
    ),
    levels,
    seeds,
)
def test_components_add_up_to_the_measures(pnl: np.ndarray, c: float, seed: int | None) -> None:
    w = weights(seed, pnl.shape[1])
    parts = attribute(pnl, np.resize([1.0, 2.0, -3.0], pnl.shape[0]), confidence=c, weight=w)
    total = pnl.sum(axis=0)[None]
    assert parts.component_var.sum() == pytest.approx(
        value_at_risk(total, confidence=c, weight=w)[0], rel=1e-9, abs=1e-5
    )
    assert parts.component_es.sum() == pytest.approx(
        expected_shortfall(total, confidence=c, weight=w)[0], rel=1e-9, abs=1e-5
    )


def test_incremental_var_is_with_less_without() -> None:
    pnl = np.random.default_rng(1).normal(size=(3, 500))
    parts = attribute(pnl, np.array([2.0, 1.0, 0.0]), confidence=0.99)
    without = value_at_risk(pnl[1:].sum(axis=0)[None], confidence=0.99)[0]
    whole = value_at_risk(pnl.sum(axis=0)[None], confidence=0.99)[0]
    assert parts.incremental_var[0] == pytest.approx(whole - without)
    assert parts.marginal_var[0] == pytest.approx(parts.component_var[0] / 2)
    assert parts.marginal_var[2] == 0.0


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_confidence_outside_zero_and_one_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        value_at_risk(np.zeros((1, 10)), confidence=bad)
