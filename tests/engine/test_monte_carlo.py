"""Monte Carlo scenarios."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made_scenarios
from scipy.stats import kendalltau, kstest, norm, t

from margin_actors.engine.parameters import (
    MonteCarloParameters,
)
from margin_actors.engine.scenarios import (
    AT_MONEY,
    MONTH,
    fit_monte_carlo,
)
from margin_actors.errors import InvalidScenario
from margin_actors.numerics.counter_random import normals


@pytest.fixture(scope="module")
def fitted():
    return fit_monte_carlo(made_scenarios(1500, 2), MonteCarloParameters(rows=1000))


@given(cuts=st.lists(st.integers(1, 3999), max_size=6))
@settings(max_examples=15)
def test_rows_are_the_same_however_sliced(fitted, cuts) -> None:
    whole = fitted.rows(0, 4000, total=4000)
    edges = [0, *sorted(set(cuts)), 4000]
    for first, last in pairwise(edges):
        part = fitted.rows(first, last, total=4000)
        np.testing.assert_array_equal(part.spot_return, whole.spot_return[first:last])
        np.testing.assert_array_equal(part.vol_change, whole.vol_change[first:last])
        np.testing.assert_array_equal(part.basis_change, whole.basis_change[first:last])
        np.testing.assert_array_equal(part.path_return, whole.path_return[first:last])


def test_draws_have_the_fitted_marginals_and_dependence() -> None:
    history = made_scenarios(4000, 5)
    rules = MonteCarloParameters(rows=40_000, marginals="empirical", correlation_shrinkage=0.0)
    drawn = fit_monte_carlo(history, rules).rows(0, 40_000, total=40_000)
    for u in range(2):
        for quantile in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
            ours = np.quantile(drawn.spot_return[:, u], quantile)
            theirs = np.quantile(history.spot_return[:, u], quantile)
            assert ours == pytest.approx(theirs, rel=0.06, abs=0.0015), (u, quantile)
    before = kendalltau(history.spot_return[:, 0], history.vol_change[:, 0, MONTH, AT_MONEY])
    after = kendalltau(drawn.spot_return[:4000, 0], drawn.vol_change[:4000, 0, MONTH, AT_MONEY])
    assert after.statistic == pytest.approx(before.statistic, abs=0.05)


def test_student_marginals_are_student() -> None:
    history = made_scenarios(4000, 6)
    scale = 0.03
    spot = t.ppf(norm.cdf(normals(1, 1, 8000).reshape(4000, 2)), 5) * scale
    history = replace(history, spot_return=spot)
    rules = MonteCarloParameters(rows=20_000, marginals="student_t", reach=50.0)
    drawn = fit_monte_carlo(history, rules).rows(0, 20_000, total=20_000)
    own = t.fit(spot[:, 0])
    assert kstest(drawn.spot_return[:, 0], "t", args=own).pvalue > 0.01


def test_the_copula_has_tail_dependence() -> None:
    """Joint extremes are more frequent than under a normal copula of the same correlation."""
    rng = np.random.default_rng(9)
    n = 4000
    z = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], n)
    x = z / np.sqrt(rng.chisquare(3, n) / 3)[:, None]
    history = replace(made_scenarios(n, 7, surface=False), spot_return=0.02 * x)
    model = fit_monte_carlo(history, MonteCarloParameters(correlation_shrinkage=0.0))
    assert 2 <= model.copula_dof <= 8
    drawn = model.rows(0, 60_000, total=60_000).spot_return
    low = np.quantile(drawn, 0.005, axis=0)
    both = np.mean(np.all(drawn < low, axis=1))
    correlation = np.corrcoef(z.T)[0, 1]
    normal = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 400_000)
    edge = norm.ppf(0.005)
    assert both > 1.4 * np.mean(np.all(normal < edge, axis=1))


def test_too_few_windows_are_refused() -> None:
    with pytest.raises(InvalidScenario, match="20 windows"):
        fit_monte_carlo(made_scenarios(20, 2), MonteCarloParameters())


def test_moves_are_held_to_the_reach() -> None:
    history = made_scenarios(1500, 2)
    rules = MonteCarloParameters(rows=50_000, reach=1.0)
    drawn = fit_monte_carlo(history, rules).rows(0, 50_000, total=50_000)
    assert np.all(drawn.spot_return >= history.spot_return.min(axis=0) * (1 + 1e-9) - 1e-12)
    assert np.all(drawn.spot_return <= history.spot_return.max(axis=0) * (1 + 1e-9) + 1e-12)


def test_the_thirty_day_move_is_the_factor_itself(fitted) -> None:
    drawn = fitted.rows(0, 500, total=500)
    assert np.all(np.isnat(drawn.end_time))
    assert drawn.row_name(3) == "row 3"
    level = drawn.vol_change[:, :, MONTH, AT_MONEY]
    assert level.std() > 0.01
    # Other residuals change every other volatility; a factor twice as large doubles this one.
    others = replace(fitted, residuals=fitted.residuals[::-1].copy()).rows(0, 500, total=500)
    np.testing.assert_array_equal(others.vol_change[:, :, MONTH, AT_MONEY], level)
    assert np.all(np.any(others.vol_change != drawn.vol_change, axis=0)[:, 0])
    n = len(fitted.underlyings)
    maps = fitted.maps.copy()
    maps[n:] *= 2.0
    doubled = replace(fitted, maps=maps).rows(0, 500, total=500)
    np.testing.assert_array_equal(doubled.vol_change[:, :, MONTH, AT_MONEY], 2.0 * level)
