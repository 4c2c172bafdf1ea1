"""Option prices against 50-digit arithmetic and QuantLib, and the laws that they obey."""

import math

import mpmath as mp
import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st

from margin_actors.numerics.black76 import (
    black76_implied_deviation,
    black76_price,
    black76_vega,
    price_grid,
)
from margin_actors.numerics.elementary import logarithms

prices = st.floats(1e-2, 1e6)
deviations = st.floats(1e-6, 8.0)


def exact(F: float, K: float, s: float, is_call: bool) -> mp.mpf:
    with mp.workdps(50):
        F_, K_, s_ = mp.mpf(F), mp.mpf(K), mp.mpf(s)
        d1 = mp.log(F_ / K_) / s_ + s_ / 2
        d2 = d1 - s_

        def cdf(x: mp.mpf) -> mp.mpf:
            return mp.erfc(-x / mp.sqrt(2)) / 2

        return F_ * cdf(d1) - K_ * cdf(d2) if is_call else K_ * cdf(-d2) - F_ * cdf(-d1)


@given(F=prices, ratio=st.floats(1e-3, 1e3), s=deviations, is_call=st.booleans())
def test_price_is_exact_to_4e_minus_15_of_the_larger_of_forward_and_strike(
    F: float, ratio: float, s: float, is_call: bool
) -> None:
    K = F * ratio
    price = float(black76_price(F, K, s, is_call))
    error = abs(mp.mpf(price) - exact(F, K, s, is_call))
    assert error <= 4e-15 * max(F, K)


@given(z=st.floats(-5.5, 5.5), s=st.floats(1.4e-5, 6.0), is_call=st.booleans())
def test_relative_error_is_below_1e_minus_10_where_the_price_counts(
    z: float, s: float, is_call: bool
) -> None:
    F = 60_822.0
    K = F * math.exp(z * s)
    true = exact(F, K, s, is_call)
    if true > 1e-8 * F:
        assert abs(mp.mpf(float(black76_price(F, K, s, is_call))) / true - 1) <= 1e-10


@given(F=prices, K=prices, s=st.floats(0.0, 50.0))
def test_call_less_put_is_forward_less_strike_and_neither_is_negative(
    F: float, K: float, s: float
) -> None:
    call, put = float(black76_price(F, K, s, True)), float(black76_price(F, K, s, False))
    assert call >= 0
    assert put >= 0
    assert call - put == pytest.approx(F - K, abs=1e-14 * max(F, K))
    assert call <= F * (1 + 1e-15)
    assert put <= K * (1 + 1e-15)


@given(F=prices, K=prices, s=st.floats(1e-4, 4.0), more=st.floats(1e-6, 1.0))
def test_more_volatility_never_makes_an_option_cheaper(
    F: float, K: float, s: float, more: float
) -> None:
    less, greater = (float(black76_price(F, K, x, True)) for x in (s, s + more))
    assert greater >= less - 2e-15 * max(F, K)


def test_quantlib_agrees() -> None:
    rng = np.random.default_rng(3)
    F, K = rng.uniform(1e3, 1e5, 400), rng.uniform(1e3, 1e5, 400)
    s, call = rng.uniform(0.01, 2.0, 400), rng.random(400) < 0.5
    theirs = [
        ql.blackFormula(ql.Option.Call if c else ql.Option.Put, float(k), float(f), float(d))
        for f, k, d, c in zip(F, K, s, call, strict=True)
    ]
    np.testing.assert_allclose(black76_price(F, K, s, call), theirs, rtol=0, atol=1e-9)


def test_without_volatility_or_time_an_option_is_worth_its_intrinsic_value() -> None:
    np.testing.assert_array_equal(
        black76_price(np.array([120.0, 80.0, 100.0]), 100.0, 0.0, True), [20.0, 0.0, 0.0]
    )


def test_grid_kernel_agrees_with_its_readable_twin() -> None:
    F, K = np.linspace(40_000, 90_000, 77), np.linspace(30_000, 120_000, 13)
    sign = np.where(np.arange(13) % 2, 1.0, -1.0)
    s, out = np.linspace(0.02, 1.4, 13), np.empty((13, 77))
    price_grid(F, *logarithms(F), K, *logarithms(K), sign, s, out)
    twin = black76_price(F[None, :], K[:, None], s[:, None], (sign > 0)[:, None])
    np.testing.assert_array_equal(out, twin)


@given(F=prices, z=st.floats(-4, 4), s=st.floats(1e-3, 3.0), is_call=st.booleans())
def test_implied_deviation_gives_the_price_back(
    F: float, z: float, s: float, is_call: bool
) -> None:
    K = F * math.exp(z * s)
    price = black76_price(F, K, s, is_call)
    implied = black76_implied_deviation(price, np.array(F), np.array(K), np.array(is_call))
    again = float(black76_price(F, K, float(implied), is_call))
    assert again == pytest.approx(float(price), abs=3e-15 * max(F, K))


def test_impossible_prices_have_no_volatility() -> None:
    implied = black76_implied_deviation(
        np.array([0.0, 10.0, -1.0, 101.0, 5.0]),
        np.array([90.0, 110.0, 100.0, 100.0, 110.0]),
        np.full(5, 100.0),
        np.full(5, True),
    )
    np.testing.assert_array_equal(implied, [0.0, 0.0, np.nan, np.nan, np.nan])


def test_vega_is_the_slope_of_the_price() -> None:
    F, K, T = np.array([100.0]), np.array([110.0]), np.array([0.5])
    up, down = (black76_price(F, K, (0.6 + h) * np.sqrt(T), True) for h in (1e-5, -1e-5))
    assert black76_vega(F, K, np.array([0.6]), T)[0] == pytest.approx(
        float((up - down)[0]) / 2e-5, rel=1e-8
    )


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_price_that_is_no_price_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="forward must be positive"):
        black76_price(bad, 100.0, 0.2, True)
    with pytest.raises(ValueError, match="strike must be positive"):
        black76_price(100.0, bad, 0.2, True)
