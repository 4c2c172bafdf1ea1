"""Scenario engines: filtered historical, prescribed rows, stress days."""

from dataclasses import replace

import numpy as np
import pytest
from made import UNDERLYINGS, grids, indices, made_scenarios, model_from

from margin_actors.engine.margin import needs_of
from margin_actors.engine.parameters import (
    FilterParameters,
    ModelParameters,
    ScenarioParameters,
    SpanParameters,
    StressPeriodParameters,
    VenueGridParameters,
)
from margin_actors.engine.scenarios import (
    AT_MONEY,
    CORE,
    LONG,
    STRESS,
    STRESS_PERIOD,
    ScenarioSet,
    build_historical,
    build_scenarios,
    join_sections,
    scenario_set_from_table,
    scenario_set_to_table,
)
from margin_actors.engine.scenarios.engines.filtered import build_filter, filter_rows
from margin_actors.engine.scenarios.history.volatility import Recursion, ewma, fit_garch, variances
from margin_actors.engine.scenarios.history.windows import all_windows, price_table, spot_returns
from margin_actors.engine.scenarios.prescribed import span_rows, venue_grid_rows
from margin_actors.engine.scenarios.procyclicality.stress_period import choose_stress_period
from margin_actors.market.cleansing import PriceGrid


def parameters(**changes: object) -> ScenarioParameters:
    return ScenarioParameters(**{"windows": 600, **changes})


# -- volatility ------------------------------------------------------------------------------------


def test_ewma_is_the_textbook_recursion() -> None:
    returns = np.random.default_rng(0).normal(size=200) * 0.02
    found = variances(returns, ewma(returns, 0.94, 30))
    expected = [np.mean(returns[:30] ** 2)]
    for r in returns:
        expected.append(0.94 * expected[-1] + 0.06 * r * r)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_a_missing_return_leaves_the_variance() -> None:
    found = variances(np.array([0.01, np.nan, 0.02]), Recursion(1e-6, 0.1, 0.8, 1e-4))
    assert found[2] == found[1]
    assert found[3] == pytest.approx(1e-6 + 0.1 * 0.02**2 + 0.8 * found[2])


def test_garch_is_that_of_arch() -> None:
    """Parameters and conditional volatilities agree with those of the package arch."""
    from arch import arch_model

    rng = np.random.default_rng(4)
    variance, returns = 4e-4, []
    for _ in range(3000):
        returns.append(np.sqrt(variance) * rng.normal())
        variance = 1e-5 + 0.09 * returns[-1] ** 2 + 0.88 * variance
    sample = np.array(returns)
    recursion = fit_garch(sample, 60)
    theirs = arch_model(100.0 * sample, mean="Zero", vol="GARCH", p=1, q=1, rescale=False)
    fitted = theirs.fit(disp="off")
    assert recursion.alpha == pytest.approx(fitted.params["alpha[1]"], rel=1e-6)
    assert recursion.beta == pytest.approx(fitted.params["beta[1]"], rel=1e-6)
    assert recursion.omega == pytest.approx(fitted.params["omega"] * 1e-4, rel=1e-6)
    assert recursion.alpha == pytest.approx(0.09, abs=0.04)
    ours = 100.0 * np.sqrt(variances(sample, recursion)[:-1])
    # The initial variances differ; with persistence 0.97 their effect is gone after 600 steps.
    np.testing.assert_allclose(ours[800:], fitted.conditional_volatility[800:], rtol=1e-4)
    forecast = fitted.forecast(horizon=1).variance.iloc[-1, 0]
    assert 1e4 * variances(sample, recursion)[-1] == pytest.approx(forecast, rel=1e-5)


# -- filtered historical ---------------------------------------------------------------------------


def test_filtered_rows_are_scaled_by_then_and_now() -> None:
    prices, rules = grids(1500), parameters()
    as_of = prices["BTC"].time[-1]
    history = build_historical(prices, rules, as_of=as_of)
    table = price_table(prices, rules, as_of)
    wide = FilterParameters(ratio_min=1e-6, ratio_max=1e6, floor_share=0.0)
    following = build_filter(table, wide)
    found = filter_rows(history, table, following)
    for u in range(2):
        returns = np.diff(table.ln_price[u])
        sigma = [np.mean(returns[:60] ** 2)]
        for r in returns:
            sigma.append(0.97 * sigma[-1] + 0.03 * r * r)
        sigma = np.sqrt(sigma)
        start = np.searchsorted(table.time, history.start_time)
        # sigma[k] is known when price k is known: r* = r sigma_now / sigma_then.
        expected = history.spot_return[:, u] * sigma[-1] / sigma[start]
        np.testing.assert_allclose(found.spot_return[:, u], expected, rtol=1e-10)
    np.testing.assert_array_equal(found.path_return[:, :, -1], found.spot_return)
    assert found.engine == "filtered"


def test_ratios_are_bounded_and_quiet_markets_are_held() -> None:
    prices, rules = grids(1500), parameters()
    as_of = prices["BTC"].time[-1]
    history = build_historical(prices, rules, as_of=as_of)
    table = price_table(prices, rules, as_of)
    tight = FilterParameters(ratio_min=0.8, ratio_max=1.1, floor_share=0.0)
    found = filter_rows(history, table, build_filter(table, tight))
    ratio = found.spot_return / history.spot_return
    assert ratio.min() >= 0.8 - 1e-12
    assert ratio.max() <= 1.1 + 1e-12
    assert any("bounded" in note for note in found.notes)
    held = FilterParameters(ratio_min=1e-6, ratio_max=1e6, floor_share=1.0)
    free = FilterParameters(ratio_min=1e-6, ratio_max=1e6, floor_share=0.0)
    high = filter_rows(history, table, build_filter(table, held))
    low = filter_rows(history, table, build_filter(table, free))
    assert np.all(np.abs(high.spot_return) >= np.abs(low.spot_return) - 1e-15)


def test_correlation_scaling_gives_the_correlation_of_now() -> None:
    rng = np.random.default_rng(8)
    n = 3000
    prices = grids(n)
    # The correlation is 0.95 for most of the time and -0.6 for the last 250 days.
    z = rng.normal(size=(n, 2))
    late = np.arange(n) >= n - 250
    rho = np.where(late, -0.6, 0.95)
    second = rho * z[:, 0] + np.sqrt(1 - rho**2) * z[:, 1]
    for u, moves in zip(UNDERLYINGS, (z[:, 0], second), strict=True):
        prices[u] = replace(prices[u], price_usd=1000 * np.exp(np.cumsum(0.03 * moves)))
    rules = parameters(windows=1825, sampling="overlapping")
    as_of = prices["BTC"].time[-1]
    history = build_historical(prices, rules, as_of=as_of)
    table = price_table(prices, rules, as_of)
    plain = FilterParameters()
    scaled = FilterParameters(correlation_scaling=True)
    before = filter_rows(history, table, build_filter(table, plain))
    after = filter_rows(history, table, build_filter(table, scaled))
    assert np.corrcoef(before.spot_return.T)[0, 1] > 0.6
    assert np.corrcoef(after.spot_return.T)[0, 1] < -0.3
    # The size of each underlying's moves is kept.
    np.testing.assert_allclose(
        after.spot_return.std(axis=0), before.spot_return.std(axis=0), rtol=0.15
    )


def test_volatility_moves_follow_their_own_volatility() -> None:
    rules = parameters(surface_moves="index")
    prices = grids(1500)
    as_of = prices["BTC"].time[-1]
    history = build_historical(prices, rules, as_of=as_of, vol_index=indices(1500))
    table = price_table(prices, rules, as_of)
    own = FilterParameters(surface="own", ratio_min=0.1, ratio_max=10.0)
    none = FilterParameters(surface="none")
    kept = filter_rows(history, table, build_filter(table, none))
    np.testing.assert_array_equal(kept.vol_change, history.vol_change)
    found = filter_rows(history, table, build_filter(table, own))
    ratio = found.vol_change[:, 0] / history.vol_change[:, 0]
    # Each row has one factor for the whole surface.
    assert np.ptp(ratio.reshape(len(found), -1), axis=1).max() < 1e-9
    assert np.ptp(ratio[:, 0, 0]) > 0.01


# -- prescribed rows -------------------------------------------------------------------------------


def test_span_s_sixteen_rows() -> None:
    rows = span_rows(("BTC",), [30.0], {"BTC": 0.12}, {"BTC": 0.3}, SpanParameters())
    assert len(rows) == 16
    move = np.exp(rows.spot_return[:, 0]) - 1.0
    thirds = np.array([0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3]) / 3.0
    np.testing.assert_allclose(move[:14], thirds * 0.12, atol=1e-15)
    np.testing.assert_allclose(move[14:], [0.24, -0.24])
    vol = np.exp(rows.vol_change[:, 0, 0, AT_MONEY]) - 1.0
    np.testing.assert_allclose(vol[:14], [0.3, -0.3] * 7)
    np.testing.assert_allclose(vol[14:], 0.0)
    np.testing.assert_allclose(rows.loss_share, [1.0] * 14 + [0.35] * 2)


def test_the_venue_grid_is_the_published_one() -> None:
    tenors = [0.5, 1.0, 7.0, 30.0, 120.0]
    grid = venue_grid_rows(("BTC", "ETH"), tenors, VenueGridParameters())
    assert len(grid) == 24
    spot = np.round(np.exp(grid.spot_return[:, 0]) - 1.0, 12)
    vol = np.exp(grid.vol_change[:, 0, :, AT_MONEY]) - 1.0
    pairs = {(s, np.sign(v)) for s, v in zip(spot[:16], vol[:16, 3], strict=True)}
    assert (-0.16, -1.0) not in pairs
    assert (0.16, -1.0) not in pairs
    assert {
        (-0.16, 1.0),
        (0.16, 1.0),
        (-0.12, -1.0),
        (0.12, -1.0),
        (0.0, 1.0),
        (0.0, -1.0),
    } <= pairs
    up = 0.4 * np.array([30.0, 30.0, 30 / 7, 1.0, 0.25]) ** np.array([0.3, 0.3, 0.3, 0.13, 0.13])
    np.testing.assert_allclose(vol[0], up, rtol=1e-12)
    extremes = dict(zip(spot[16:], grid.loss_share[16:], strict=True))
    assert extremes == {
        -0.66: 0.24, -0.33: 0.48, 0.5: 0.32, 1.0: 0.16,
        2.0: 0.08, 3.0: 0.0533, 4.0: 0.04, 5.0: 0.032,
    }  # fmt: skip
    np.testing.assert_allclose(vol[16:], np.broadcast_to(up, (8, 5)), rtol=1e-12)


# -- whole sets ------------------------------------------------------------------------------------


def full_model(**scenarios: object):
    return model_from(
        "hs-surface",
        scenarios={
            "windows": 600, "surface_moves": "index", "stress": {
                "enabled": True,
                "events": [{"name": "a day", "day": "2020-06-01"},
                           {"name": "too early", "day": "2016-01-01"}],
                "hypothetical": [{"name": "halves", "spot": {"BTC": -0.5}, "vol": {"ETH": 1.0}}],
            }, **scenarios,
        },
        procyclicality={
            "buffer": {"enabled": True}, "long_floor": {"enabled": True, "years": 3.0},
            "stress_period": {"floor": True, "days": 60},
        },
    )  # fmt: skip


def built(
    prices: dict[str, PriceGrid], model: ModelParameters, as_of: np.datetime64
) -> ScenarioSet:
    needed = needs_of(model).sections
    return build_scenarios(prices, model, as_of=as_of, sections=needed, vol_index=indices(1500))


@pytest.mark.parametrize("engine", ["historical", "filtered", "monte_carlo"])
def test_a_model_s_set_has_every_section_it_asks_for(engine: str) -> None:
    prices = grids(1500)
    model = full_model(engine=engine, monte_carlo={"rows": 500})
    as_of = prices["BTC"].time[-1]
    made = built(prices, model, as_of)
    assert made.section_names == (CORE, LONG, STRESS_PERIOD, STRESS)
    assert made.engine == engine
    for name in made.section_names:
        rows = made.section(name).rows
        assert made.weight[rows].sum() == pytest.approx(1.0)
    assert made.section(LONG).count == pytest.approx(3 * 365, abs=3)
    assert made.section(STRESS_PERIOD).count == 60
    stress = made.section(STRESS)
    # Two of the two-day windows contain the day; the third row is the hypothetical one.
    assert stress.count == 3
    assert "too early (2016-01-01)" in " ".join(made.notes)
    halves = stress.first + 2
    assert made.row_name(halves) == "halves"
    np.testing.assert_allclose(np.exp(made.spot_return[halves]), [0.5, 1.0])
    np.testing.assert_allclose(np.exp(made.vol_change[halves, 1]), 2.0)
    assert 0.0 <= made.calibration.buffer_shares["BTC"] <= 0.25
    table = scenario_set_to_table(made)
    again = scenario_set_from_table(table, where="test")
    assert again.id == made.id
    assert again.sections == made.sections
    assert again.notes == made.notes


def test_sections_that_a_further_component_needs_are_built() -> None:
    """The parameters of the model enable none of them."""
    prices = grids(1500)
    model = model_from("hs-surface", scenarios={"windows": 600, "surface_moves": "none"})
    wanted = (LONG, STRESS_PERIOD, STRESS)
    made = build_scenarios(prices, model, as_of=prices["BTC"].time[-1], sections=wanted)
    assert made.section_names == (CORE, *wanted)
    assert made.calibration.stress_confidence is not None


def test_the_core_of_a_larger_set_is_the_set_without_sections() -> None:
    prices = grids(1500)
    as_of = prices["BTC"].time[-1]
    plain = model_from("hs-surface", scenarios={"windows": 600})
    plain = plain.model_copy(
        update={"scenarios": plain.scenarios.model_copy(update={"surface_moves": "none"})}
    )
    larger = plain.model_copy(update={"procyclicality": full_model().procyclicality})
    small = built(prices, plain, as_of)
    large = built(prices, larger, as_of)
    np.testing.assert_array_equal(large.core.spot_return, small.spot_return)
    np.testing.assert_array_equal(large.core.path_return, small.path_return)
    assert small.sections == ()
    direct = build_historical(prices, plain.scenarios, as_of=as_of)
    assert direct.id == small.id


def test_nothing_later_is_used() -> None:
    """A jump after the date does not change the set of any engine."""
    calm, shocked = grids(1500), grids(1500, jump=(1401, 0.9))
    as_of = calm["BTC"].time[1400]
    for engine in ("historical", "filtered", "monte_carlo"):
        for volatility in ("ewma", "garch"):
            model = full_model(
                engine=engine, monte_carlo={"rows": 200}, filter={"volatility": volatility}
            )
            before = built(calm, model, as_of)
            after = built(shocked, model, as_of)
            assert before.id == after.id, engine
            later = calm["BTC"].time[1402]
            moved = built(shocked, model, later)
            assert moved.id != before.id


def test_the_half_life_halves_weights() -> None:
    prices = grids(1500)
    model = model_from(
        "hs-surface", scenarios={"windows": 600, "half_life_days": 100.0, "surface_moves": "none"}
    )
    made = built(prices, model, prices["BTC"].time[-1])
    assert made.weight.sum() == pytest.approx(1.0)
    assert made.weight[-1] / made.weight[-101] == pytest.approx(2.0, rel=1e-9)


def test_the_stress_period_is_calibrated_to_the_long_run() -> None:
    prices, rules = grids(2500), parameters()
    table = price_table(prices, rules, prices["BTC"].time[-1])
    every = all_windows(table, rules)
    chosen = choose_stress_period(
        table, every, StressPeriodParameters(days=250), confidence=0.99, long_years=5.0
    )
    assert chosen.windows.end.size == 250
    assert table.time[chosen.windows.end].max() <= chosen.known_until
    assert str(chosen.known_until)[5:10] == "01-01"
    assert np.mean(list(chosen.ratio.values())) == pytest.approx(1.0, abs=0.1)
    assert chosen.confidence < 0.99
    # The chosen windows have larger moves than the others.
    known = every.chosen(table.time[every.end] <= chosen.known_until)
    returns = np.abs(spot_returns(table, known) / spot_returns(table, known).std(axis=0))
    inside = np.isin(known.end, chosen.windows.end)
    assert returns[inside].max(axis=1).min() >= returns[~inside].max(axis=1).max() * 0.95
    # The period is chosen once a year, so 19 days earlier it is the same.
    earlier = table.until(table.time[-20])
    again = choose_stress_period(
        earlier, all_windows(earlier, rules), StressPeriodParameters(days=250),
        confidence=0.99, long_years=5.0,
    )  # fmt: skip
    assert again.confidence == chosen.confidence
    np.testing.assert_array_equal(earlier.time[again.windows.end], table.time[chosen.windows.end])


def test_sections_join_in_order() -> None:
    a, b = made_scenarios(10, 1), made_scenarios(4, 2)
    joined = join_sections([(CORE, a), (STRESS, b)])
    np.testing.assert_array_equal(joined.spot_return[10:], b.spot_return)
    assert joined.core.id == replace(a, notes=joined.notes).id
    assert joined.section(STRESS).rows == slice(10, 14)
    with pytest.raises(KeyError, match="no section 'long'"):
        joined.section(LONG)
