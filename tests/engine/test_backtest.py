"""Statistics of exceptions against published tables, and replays of synthetic and real years."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import BEGIN, DAY, grids, indices, made_scenarios, model_from
from scipy.stats import chi2
from small_chain import quotes_of

from margin_actors.engine.backtest import (
    PORTFOLIOS,
    christoffersen,
    join_replays,
    join_series,
    judge,
    kupiec,
    margin_and_outcome,
    replay_dates,
    replay_inputs,
    replay_tools,
    responsiveness,
    summarise,
    tool_margins,
    traffic_light,
)
from margin_actors.engine.backtest.replay import (
    ReplayInputs,
    benchmark_book,
    flat_smile_market,
    market_levels_at,
)
from margin_actors.engine.margin import calculate_margin
from margin_actors.engine.parameters import BufferParameters
from margin_actors.engine.scenarios import Calibration, build_scenarios
from margin_actors.engine.scenarios.procyclicality.buffer import (
    BufferState,
    advance,
    full_buffer,
    replay,
)
from margin_actors.errors import InvalidScenario
from margin_actors.numerics.black76 import black76_price

# Kupiec (1995), table 3: number of failures N that the test does not reject at 5 %, by confidence
# level of VaR and sample size, as reprinted in Jorion, "Value at Risk", 3rd edition, table 6-2.
NOT_REJECTED = {
    (0.99, 252): (None, 7), (0.99, 510): (1, 11), (0.99, 1000): (4, 17),
    (0.975, 252): (2, 12), (0.975, 510): (6, 21), (0.975, 1000): (15, 36),
    (0.95, 252): (6, 20), (0.95, 510): (16, 36), (0.95, 1000): (37, 65),
    (0.925, 252): (11, 28), (0.925, 510): (27, 51), (0.925, 1000): (59, 92),
    (0.90, 252): (16, 36), (0.90, 510): (38, 65), (0.90, 1000): (81, 120),
}  # fmt: skip


@pytest.mark.parametrize(("level", "days"), NOT_REJECTED)
def test_kupiec_s_regions_are_the_published_ones(level: float, days: int) -> None:
    low, high = NOT_REJECTED[level, days]
    passed = [x for x in range(days // 4) if kupiec(x, days, level)[0] < chi2.ppf(0.95, 1)]
    if low is not None:
        assert passed[0] == low + 1
    assert passed[-1] == high - 1


def test_p_values_are_those_of_chi_square() -> None:
    for exceptions in (0, 1, 5, 12, 30):
        ratio, p = kupiec(exceptions, 500, 0.99)
        assert p == pytest.approx(chi2.sf(ratio, 1), rel=1e-12)
    # Worked example: 8 exceptions in 250 days at 99 %.
    p, x, n = 0.01, 8, 250
    by_hand = -2 * np.log(((1 - p) ** (n - x) * p**x) / ((1 - x / n) ** (n - x) * (x / n) ** x))
    assert kupiec(x, n, 0.99)[0] == pytest.approx(by_hand, rel=1e-10)


def test_the_traffic_light_is_basel_s() -> None:
    """Basel 1996, table 2: 250 days at 99 %, green to 4, yellow 5 to 9, red from 10."""
    lights = [traffic_light(x, 250, 0.99) for x in range(13)]
    assert lights == ["green"] * 5 + ["yellow"] * 5 + ["red"] * 3
    for x in range(12):
        chance = sum(comb(777, i) * 0.005**i * 0.995 ** (777 - i) for i in range(x + 1))
        expected = "green" if chance < 0.95 else "yellow" if chance < 0.9999 else "red"
        assert traffic_light(x, 777, 0.995) == expected


def test_christoffersen_s_independence_by_hand() -> None:
    """Christoffersen (1998), eq. 12, on a small table of transitions."""
    hits = np.array([0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], bool)
    n = {(a, b): 0 for a in (0, 1) for b in (0, 1)}
    for a, b in zip(hits[:-1].astype(int), hits[1:].astype(int), strict=True):
        n[a, b] += 1
    p01 = n[0, 1] / (n[0, 0] + n[0, 1])
    p11 = n[1, 1] / (n[1, 0] + n[1, 1])
    p = (n[0, 1] + n[1, 1]) / sum(n.values())
    apart = (1 - p01) ** n[0, 0] * p01 ** n[0, 1] * (1 - p11) ** n[1, 0] * p11 ** n[1, 1]
    together = (1 - p) ** (n[0, 0] + n[1, 0]) * p ** (n[0, 1] + n[1, 1])
    ratio, p_value = christoffersen(hits)
    assert ratio == pytest.approx(-2 * np.log(together / apart), rel=1e-10)
    assert p_value == pytest.approx(chi2.sf(ratio, 1))


def test_the_worked_example_of_the_literature() -> None:
    """Jorion, "Value at Risk", 3rd edition, ch. 6: J.P. Morgan's 20 exceptions of 252 days at 95 %,
    six of which follow another one: LR of coverage 3.91, of independence 9.53."""
    runs = [2] * 6 + [1] * 8
    zeros = [16] * 14 + [233 - 14 * 16]
    hits: list[bool] = []
    for quiet, cluster in zip(zeros, [*runs, 0], strict=True):
        hits += [False] * quiet + [True] * cluster
    series = np.array(hits)
    assert series.sum() == 20
    assert kupiec(20, 252, 0.95)[0] == pytest.approx(3.91, abs=0.005)
    assert christoffersen(series)[0] == pytest.approx(9.53, abs=0.005)


@pytest.mark.parametrize("p", [0.02, 0.05, 0.1, 0.2])
def test_independent_exceptions_are_seldom_rejected(p: float) -> None:
    """The test at 5 % rejects between 1 and 8 % of independent series of 400 days."""
    hits = np.random.default_rng(7).uniform(size=(1_000, 400)) < p
    rejected = [christoffersen(series)[1] < 0.05 for series in hits]
    assert 0.01 < np.mean(rejected) < 0.08


def test_clusters_are_found() -> None:
    hits = np.zeros(500, bool)
    for first in (50, 200, 380):
        hits[first : first + 5] = True
    assert christoffersen(hits)[1] < 1e-6
    found = judge(np.where(hits, -3.0, 1.0), np.full(500, 2.0), 0.99)
    assert (found.exceptions, found.days, found.expected) == (15, 500, pytest.approx(5.0))
    assert found.light == "red"
    assert found.severity_mean == pytest.approx(0.5)
    assert not found.passes
    calm = judge(np.full(500, 1.0), np.full(500, 2.0), 0.99)
    assert (calm.exceptions, calm.severity_max, calm.passes) == (0, 0.0, True)


# -- replays ---------------------------------------------------------------------------------------


def inputs_of(prices=None, n=1500, **scenarios):
    base = {"windows": 400, "surface_moves": "index", **scenarios}
    rules = {"unlisted_options": "surface", "shocked_surfaces": "keep"}
    models = {
        name: model_from("hs-surface", scenarios={**base, **own}, revaluation=rules)
        for name, own in {
            "historical": {"engine": "historical"},
            "filtered": {"engine": "filtered"},
            "GARCH": {"engine": "filtered", "filter": {"volatility": "garch"}},
            "Monte Carlo": {"engine": "monte_carlo", "monte_carlo": {"rows": 500}},
        }.items()
    }
    return replay_inputs(prices or grids(n), indices(n), models, (0.99, 0.995))


def test_nothing_later_is_known_on_a_date() -> None:
    """A jump after a date changes the profit that follows the date and none of its margins."""
    dates = BEGIN + DAY * np.array([1200, 1201, 1202, 1203])
    calm = replay_dates(inputs_of(), dates)
    shocked = replay_dates(inputs_of(grids(1500, jump=(1203, 0.8))), dates)
    # The closes of dates 1200 to 1202 precede the jump; the close of 1203 includes it.
    np.testing.assert_array_equal(calm.var_usd[:3], shocked.var_usd[:3])
    np.testing.assert_array_equal(calm.es_usd[:3], shocked.es_usd[:3])
    assert np.all(shocked.var_usd[3] != calm.var_usd[3])
    np.testing.assert_array_equal(calm.profit_usd[0], shocked.profit_usd[0])
    assert abs(shocked.profit_usd[1, 0]) > 10 * abs(calm.profit_usd[1, 0])


def weighted_inputs() -> ReplayInputs:
    """Return models with weighted windows and with the mean of the two sub-samples."""
    scenarios = {"windows": 400, "surface_moves": "index", "half_life_days": 60.0}
    rules = {"unlisted_options": "surface", "shocked_surfaces": "keep"}
    sub_samples = {"overlap": "mean_of_sub_samples"}
    models = {
        engine: model_from(
            "hs-surface", scenarios={**scenarios, "engine": engine}, revaluation=rules, measure=how
        )
        for engine, how in (("historical", {}), ("filtered", sub_samples))
    }
    return replay_inputs(grids(1500), indices(1500), models, (0.99, 0.995))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_date_s_margin_is_the_one_the_engine_would_have_asked(weighted: bool) -> None:
    """The replayed margin equals `calculate_margin` on the set that `build_scenarios` returns."""
    inputs = weighted_inputs() if weighted else inputs_of()
    date = BEGIN + DAY * 1300
    found = replay_dates(inputs, np.array([date]))
    levels = market_levels_at(inputs, inputs.table.until(date), date)
    book = benchmark_book(levels)
    for e, (name, model) in enumerate(inputs.models.items()):
        scenarios = build_scenarios(grids(1500), model, as_of=date, vol_index=indices(1500))
        market = flat_smile_market(model, levels, book)
        result = calculate_margin(
            market.snapshot, scenarios, book, model, surfaces=dict(market.surfaces)
        )
        np.testing.assert_allclose(
            found.var_usd[0, e, 1], result.margins.var_usd, rtol=1e-9, err_msg=name
        )
        np.testing.assert_allclose(
            found.es_usd[0, e, 1], result.margins.es_usd, rtol=1e-9, err_msg=name
        )


def test_profits_are_what_the_prices_did() -> None:
    inputs = inputs_of()
    dates = BEGIN + DAY * np.arange(1300, 1310)
    found = replay_dates(inputs, dates)
    prices = grids(1500)["BTC"].price_usd
    outright = found.portfolios.index("outright")
    for d in range(10):
        now, then = prices[1300 + d], prices[1302 + d]
        notional = round(now / 10.0) * 10.0
        expected = notional * (then / now - 1.0)
        assert found.profit_usd[d, outright] == pytest.approx(expected, abs=0.01)
    assert set(found.portfolios) == set(PORTFOLIOS)
    parts = [replay_dates(inputs, dates[:4]), replay_dates(inputs, dates[4:])]
    joined = join_replays(parts)
    np.testing.assert_array_equal(joined.var_usd, found.var_usd)
    summary = summarise(found, 2)
    assert len(summary.rows) == 8 * 4 * 2
    assert summary.row("outright", "filtered", 0.99).test.days == 5


def test_dates_beyond_the_data_are_refused() -> None:
    inputs = inputs_of()
    with pytest.raises(InvalidScenario, match="the window that starts at"):
        replay_dates(inputs, np.array([inputs.table.time[-1]]))
    other = model_from("hs-surface", scenarios={"windows": 300, "surface_moves": "index"})
    with pytest.raises(InvalidScenario, match="use different windows"):
        replay_inputs(grids(1500), indices(1500), {**inputs.models, "other": other}, (0.99,))


# -- procyclicality --------------------------------------------------------------------------------

RULES = BufferParameters(enabled=True, share=0.25, fast_rise=0.1, fast_days=3, rebuild_days=10)


def test_the_buffer_gives_way_and_is_rebuilt() -> None:
    state = replay(full_buffer(RULES), [100.0] * 5, RULES)
    assert state.share == 0.25
    # A rise of 15 %: the margin with buffer stays at 125, so a share of 125 / 115 - 1 remains.
    state = advance(state, 115.0, RULES)
    assert state.share == pytest.approx(125.0 / 115.0 - 1.0)
    # Another rise of 20 %: the buffer is used up, and its share is not negative.
    state = advance(state, 138.0, RULES)
    assert state.share == 0.0
    state = replay(state, [138.0] * 3, RULES)
    state_after = replay(state, [138.0] * 20, RULES)
    assert state_after.share == 0.25
    slow = replay(full_buffer(RULES), np.linspace(100, 200, 80).tolist(), RULES)
    assert slow.share == 0.25  # a slow rise releases nothing


@given(st.lists(st.floats(1.0, 1000.0), min_size=1, max_size=60), st.integers(0, 59))
def test_a_kept_state_continues_where_it_was(margins, cut) -> None:
    cut = min(cut, len(margins))
    whole = replay(full_buffer(RULES), margins, RULES)
    kept = replay(full_buffer(RULES), margins[:cut], RULES)
    # The state as it would be stored and read again.
    again = BufferState(float(repr(kept.share)), tuple(float(repr(m)) for m in kept.recent))
    assert replay(again, margins[cut:], RULES) == whole
    assert 0.0 <= whole.share <= RULES.share
    assert len(whole.recent) <= RULES.fast_days


def test_a_reference_margin_must_be_one() -> None:
    with pytest.raises(ValueError, match="positive"):
        advance(full_buffer(RULES), 0.0, RULES)


def test_tools_hold_margin_up_and_calm_its_rises() -> None:
    inputs = inputs_of(n=1500)
    model = model_from(
        "hs-surface",
        scenarios={"windows": 400, "surface_moves": "index", "engine": "filtered"},
        revaluation={"unlisted_options": "surface", "shocked_surfaces": "keep"},
        procyclicality={"long_floor": {"years": 3.0}, "stress_period": {"days": 100}},
    )
    inputs = replace(inputs, models={"filtered": model})
    dates = BEGIN + DAY * np.arange(1150, 1300)
    series = replay_tools(inputs, dates)
    parts = [replay_tools(inputs, dates[:70]), replay_tools(inputs, dates[70:])]
    joined = join_series(parts)
    np.testing.assert_array_equal(joined.core, series.core)
    np.testing.assert_array_equal(joined.reference, series.reference)
    margins = tool_margins(series, model)
    for name, values in margins.items():
        assert np.all(values >= margins["none"] - 1e-15), name
        assert np.all(margins["all"] >= values - 1e-12), name
    assert np.all(margins["buffer"] <= 1.25 * margins["none"] + 1e-12)
    rows = {(r.portfolio, r.tool): r for r in responsiveness(series, margins)}
    assert len(rows) == 8 * 6
    for portfolio in series.portfolios:
        plain = rows[portfolio, "none"]
        assert plain.peak_to_trough >= 1.0
        assert plain.rise_30d >= 0.0
    # Volatility more than doubles between regimes, so a floor lowers the outright's peak to trough.
    assert (
        rows["outright", "stress period floor"].peak_to_trough
        < rows["outright", "none"].peak_to_trough
    )


def test_requirements_use_the_buffer_the_set_carries(snapshot, book) -> None:
    scenarios = made_scenarios(300)
    scenarios = replace(scenarios, calibration=Calibration({"BTC": 0.2, "ETH": 0.05}))
    model = model_from("hs-surface", procyclicality={"buffer": {"enabled": True}})
    result = calculate_margin(snapshot, scenarios, book, model)
    added = result.margins.components_usd[:, 3]
    share = np.divide(
        added, result.margins.core_usd, out=np.zeros_like(added), where=result.margins.core_usd > 0
    )
    holds_btc = np.array(
        [
            any(
                book.instruments[i].startswith("BTC")
                for i in book.instrument_index[int(book.start[a]) : int(book.start[a + 1])]
            )
            for a in range(len(book.accounts))
        ]
    )
    np.testing.assert_allclose(share, np.where(holds_btc, 0.2, 0.05), rtol=1e-9)
    with pytest.raises(InvalidScenario, match="has no calibrated buffer shares"):
        calculate_margin(snapshot, made_scenarios(300), book, model)


# -- books -----------------------------------------------------------------------------------------


def test_a_book_is_margined_and_what_came_of_it(snapshot, book) -> None:
    """Values come from the later chain's marks at the earlier maturities.

    Positions that the later chain does not list are left out.
    """
    gone = snapshot.options.names[5]
    quotes = snapshot.options
    keep = np.array([n != gone for n in quotes.names])
    later = replace(
        snapshot,
        index_usd={u: 0.9 * p for u, p in snapshot.index_usd.items()},
        expiries=tuple(replace(e, forward_usd=0.9 * e.forward_usd) for e in snapshot.expiries),
        options=quotes_of(quotes, np.flatnonzero(keep)),
    )
    vols = 1.2 * later.options.mark_vol
    later = replace(later, options=replace(later.options, mark_vol=vols))
    model = model_from("hs-surface")
    engines = {"a": (model, made_scenarios(200, 1)), "b": (model, made_scenarios(200, 2))}
    found = margin_and_outcome(snapshot, later, book, engines, (0.99, 0.995))
    assert found.var_usd.shape == (2, 2, len(book.accounts))
    assert np.all(found.es_usd >= found.var_usd - 1e-9)
    assert found.held + found.left_out == book.n_positions
    own = (
        int((book.instrument_index == book.instruments.index(gone)).sum())
        if (gone in book.instruments)
        else 0
    )
    assert found.left_out >= own
    account = 4
    expected = 0.0
    for p in range(int(book.start[account]), int(book.start[account + 1])):
        name, quantity = book.instruments[book.instrument_index[p]], book.quantity[p]
        underlying = name.split("-")[0]
        if name.endswith("PERPETUAL"):
            expected += quantity * (0.9 - 1.0)
            continue
        if name not in later.option_row:
            continue
        item = snapshot.expiries[quotes.expiry_index[snapshot.option_row[name]]]
        strike, call = float(name.split("-")[2]), np.array([name.endswith("C")])
        values = []
        for forward, index, vol in (
            (item.forward_usd, snapshot.index_usd[underlying],
             quotes.mark_vol[snapshot.option_row[name]]),
            (0.9 * item.forward_usd, 0.9 * snapshot.index_usd[underlying],
             later.options.mark_vol[later.option_row[name]]),
        ):  # fmt: skip
            price = black76_price(
                np.array([forward]), np.array([strike]),
                np.array([vol * np.sqrt(item.tenor_years)]), call,
            )[0]  # fmt: skip
            values.append(index / forward * price)
        expected += quantity * (values[1] - values[0])
    assert found.profit_usd[account] == pytest.approx(expected, rel=1e-9)
