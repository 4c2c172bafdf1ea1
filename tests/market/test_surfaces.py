"""Smiles: absence of arbitrage, fit to the quotes, and values against QuantLib."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st

from margin_actors.errors import MissingMarketData
from margin_actors.market.chains import snapshot_from_chain
from margin_actors.market.surfaces import (
    SabrSlice,
    SviSlice,
    VolatilitySurface,
    fit_surfaces,
    slice_parameters,
    smile_from_parameters,
)
from margin_actors.market.synthetic import SyntheticMarket
from margin_actors.numerics.black76 import black76_price
from margin_actors.numerics.elementary import logarithms

K_GRID = np.linspace(-1.5, 1.5, 301)


@pytest.fixture(scope="module")
def fitted(market: SyntheticMarket) -> dict[str, VolatilitySurface]:
    return fit_surfaces(market.snapshot)


@pytest.mark.parametrize(("model", "least"), [("svi", 0.98), ("sabr", 0.80)])
def test_fits_meet_the_quotes_without_arbitrage(
    market: SyntheticMarket, model: str, least: float
) -> None:
    surfaces = fit_surfaces(market.snapshot, model=model)  # type: ignore[arg-type]
    found = [d for s in surfaces.values() for d in s.diagnostics]
    assert all(d.is_arbitrage_free for d in found)
    assert sum(d.inside for d in found) >= least * sum(d.quotes for d in found)


def test_call_prices_of_a_fitted_slice_are_convex_and_falling_in_strike(
    fitted: dict[str, VolatilitySurface],
) -> None:
    for surface in fitted.values():
        for item, smile in zip(surface.expiries, surface.slices, strict=True):
            K = np.linspace(0.4, 2.0, 400) * item.forward_usd
            w = smile.total_variance(np.log(K / item.forward_usd))
            price = black76_price(item.forward_usd, K, np.sqrt(w), np.full(K.size, True))
            slope = np.diff(price) / np.diff(K)
            assert slope.max() <= 1e-12
            assert slope.min() >= -1 - 1e-12
            assert np.diff(slope).min() >= -1e-9


@given(k=st.floats(-1.2, 1.2), t=st.floats(0.002, 1.2), later=st.floats(1e-4, 0.5))
def test_total_variance_never_falls_with_maturity(
    fitted: dict[str, VolatilitySurface], k: float, t: float, later: float
) -> None:
    for surface in fitted.values():
        near, far = (float(surface.total_variance(np.array([k]), x)[0]) for x in (t, t + later))
        assert far >= near * (1 - 1e-9)


def test_sabr_agrees_with_quantlib() -> None:
    F, T = 61_000.0, 0.35
    for beta, rho, nu in ((1.0, -0.4, 1.7), (0.5, 0.3, 0.9), (0.0, -0.2, 1.2)):
        smile = SabrSlice(0.62, beta, rho, nu, T)
        alpha = 0.62 * F ** (1 - beta)
        for k in (-0.9, -0.3, -1e-6, 0.0, 0.2, 0.8):
            theirs = ql.sabrVolatility(F * np.exp(k), F, T, alpha, beta, nu, rho)
            ours = np.sqrt(smile.total_variance(np.array([k]))[0] / T)
            assert ours == pytest.approx(theirs, rel=2e-9)


def test_svi_agrees_with_quantlib() -> None:
    a, b, rho, m, sigma, T, F = 0.02, 0.11, -0.35, 0.04, 0.18, 0.4, 1000.0
    smile = SviSlice(a, b, rho, m, sigma)
    for k in (-0.8, -0.1, 0.0, 0.5):
        theirs = ql.SviSmileSection(T, F, [a, b, sigma, rho, m]).volatility(F * np.exp(k))
        assert np.sqrt(smile.total_variance(np.array([k]))[0] / T) == pytest.approx(
            theirs, rel=1e-12
        )


def test_density_factor_is_the_second_strike_derivative_of_the_call() -> None:
    smile, F, h = SviSlice(0.02, 0.1, -0.3, 0.02, 0.2), 100.0, 1e-3
    for k in (-0.4, 0.0, 0.3):
        K = F * np.exp(k) + h * np.arange(-1, 2)
        w = smile.total_variance(np.log(K / F))
        price = black76_price(F, K, np.sqrt(w), np.full(3, True))
        density = (price[0] - 2 * price[1] + price[2]) / h**2
        s = np.sqrt(w[1])
        d2 = -k / s - s / 2
        expected = (
            smile.density_factor(np.array([k]))[0]
            * np.exp(-d2 * d2 / 2)
            / (np.sqrt(2 * np.pi) * s * K[1])
        )
        assert density == pytest.approx(expected, rel=2e-4)


def test_parameters_of_a_slice_give_it_back() -> None:
    for model, smile in (
        ("svi", SviSlice(1, 2, 0.3, 4, 5)),
        ("sabr", SabrSlice(1, 0.5, 0.3, 4, 5)),
    ):
        assert smile_from_parameters(model, np.array(slice_parameters(smile))) == smile


def test_an_expiry_without_quotes_or_marks_is_named(market: SyntheticMarket) -> None:
    options = market.snapshot.options
    gone = options.expiry_index == 3
    blind = replace(
        options,
        bid=np.where(gone, np.nan, options.bid),
        mark_vol=np.where(gone, np.nan, options.mark_vol),
    )
    with pytest.raises(MissingMarketData) as caught:
        fit_surfaces(replace(market.snapshot, options=blind))
    assert "BTC 19JAN26: 0 of " in str(caught.value)


def test_an_expiry_with_few_quotes_falls_back_to_its_marks(market: SyntheticMarket) -> None:
    options = market.snapshot.options
    blind = replace(options, bid=np.where(options.expiry_index == 3, np.nan, options.bid))
    found = fit_surfaces(replace(market.snapshot, options=blind))["BTC"].diagnostics
    assert [d.fitted_to for d in found[:5]] == ["quotes", "quotes", "quotes", "marks", "quotes"]


@pytest.mark.data
def test_svi_reprices_97_and_a_half_percent_of_the_real_chain_inside_bid_ask(data_root) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(data_root / "options" / "deribit_chain_2026-05.parquet")
    time = datetime(2026, 5, 15, 11, 27, 31, tzinfo=UTC)
    found = [
        d
        for s in fit_surfaces(snapshot_from_chain(table, time=time, origin="chain")).values()
        for d in s.diagnostics
    ]
    assert len(found) == 24
    assert sum(d.quotes for d in found) == 1245
    assert sum(d.inside for d in found) >= 0.975 * 1245
    assert all(d.is_arbitrage_free for d in found)


@pytest.mark.parametrize("smile", ["svi", "sabr"])
def test_volatilities_at_the_most_extreme_strikes_are_finite(
    market: SyntheticMarket, smile: Literal["svi", "sabr"]
) -> None:
    """Strike ratios of 1e308 and 1e-308 neither overflow nor raise an error."""
    k = logarithms(np.array([5e-324, 1e-308, 1e308]))[0]
    for surface in fit_surfaces(market.snapshot, model=smile).values():
        for item in surface.expiries:
            found = surface.volatility(k, item.tenor_years)
            assert np.all(np.isfinite(found) & (found >= 0.0))
