"""Reference margins, the amounts of the procyclicality tools, and the calibration of a set."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from made import BEGIN, DAY, grids, indices, model_from, sections

from margin_actors.engine.backtest import replay_inputs, replay_tools, tool_margins
from margin_actors.engine.backtest.replay import (
    benchmark_book,
    flat_smile_market,
    market_levels_at,
)
from margin_actors.engine.margin import calculate_margin, needs_of
from margin_actors.engine.measures import value_at_risk
from margin_actors.engine.scenarios import (
    Calibration,
    ScenarioSet,
    build_scenarios,
    scenario_set_from_table,
    scenario_set_to_table,
)
from margin_actors.engine.scenarios.build import scaled_rows
from margin_actors.engine.scenarios.engines.filtered import build_filter
from margin_actors.engine.scenarios.engines.historical import SurfaceSources, historical_rows
from margin_actors.engine.scenarios.history.windows import (
    all_windows,
    price_table,
    recent_windows,
)
from margin_actors.engine.scenarios.procyclicality import outright_var, reference_margins
from margin_actors.errors import InvalidScenario

N_DAYS = 760


def test_the_outright_var_is_the_var_of_a_coin() -> None:
    returns = 0.05 * np.random.default_rng(1).normal(size=(997, 3))
    change = np.expm1(returns.T)
    for confidence in (0.9, 0.99, 0.995, 0.9999):
        found = outright_var(returns, confidence=confidence)
        for side, pnl in zip(found, (change, -change), strict=True):
            expected = value_at_risk(pnl, confidence=confidence)
            np.testing.assert_allclose(side, expected, rtol=1e-14)
    weight = np.linspace(1.0, 3.0, 997)
    weight /= weight.sum()
    long, _ = outright_var(returns, confidence=0.99, weight=weight)
    expected = value_at_risk(change, confidence=0.99, weight=weight)
    np.testing.assert_allclose(long, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("engine", "rules"),
    [
        ("historical", {}),
        ("filtered", {}),
        ("filtered", {"floor_share": 1.0}),
        ("filtered", {"correlation_scaling": True}),
        ("monte_carlo", {"floor_share": 1.0}),
    ],
)
def test_the_reference_margin_of_a_day_is_that_of_the_rows_of_the_day(
    engine: str, rules: dict[str, float]
) -> None:
    """Each day's windows are scaled as the model would have scaled them on that day."""
    model = model_from(
        "hs-surface",
        scenarios={"engine": engine, "filter": rules, "windows": 300, "surface_moves": "none"},
    )
    table = price_table(grids(N_DAYS), model.scenarios, BEGIN + DAY * N_DAYS)
    every = all_windows(table, model.scenarios)

    def filter_of(known):
        return None if engine == "historical" else build_filter(known, model.scenarios.filter)

    index, margins = reference_margins(table, every, model, filter_of(table))
    plain_index, plain = reference_margins(table, every, model, None)
    np.testing.assert_array_equal(index, plain_index)
    assert index[0] == 249
    assert index.size == every.end.size - 249
    assert (engine == "historical") == np.array_equal(margins, plain)
    for d in (120, 330, index.size - 1):
        known = table.until(table.time[every.end[index[d]]])
        windows = recent_windows(known, model.scenarios)
        rows = historical_rows(
            known, windows, model.scenarios, known.time[-1], SurfaceSources({}, {})
        )
        scaled = scaled_rows(rows, known, filter_of(known))
        sides = outright_var(scaled.spot_return, confidence=0.995)
        np.testing.assert_allclose(margins[:, d], np.maximum(*sides), rtol=1e-12)


def test_the_floor_of_the_volatility_holds_the_reference_margin_of_quiet_days() -> None:
    """Without the floor, the buffer would follow another margin than that of the core."""
    found = []
    for floor in (0.0, 1.0):
        rules = {"floor_share": floor}
        model = model_from(
            "hs-surface",
            scenarios={"engine": "filtered", "filter": rules, "windows": 300,
                       "surface_moves": "none"},
        )  # fmt: skip
        table = price_table(grids(N_DAYS), model.scenarios, BEGIN + DAY * N_DAYS)
        following = build_filter(table, model.scenarios.filter)
        windows = all_windows(table, model.scenarios)
        found.append(reference_margins(table, windows, model, following)[1])
    assert np.all(found[1] >= found[0])
    assert np.any(found[1] > 1.2 * found[0])


@pytest.mark.parametrize(("form", "weight"), [("blend", 0.2), ("observations", 0.002)])
def test_a_study_s_tools_are_those_of_the_requirement(form: str, weight: float) -> None:
    """The study's margins under all tools are what `calculate_margin` requires on that date."""
    prices, index = grids(N_DAYS), indices(N_DAYS)
    date = BEGIN + DAY * 590  # late in a quiet regime, so that the floors bind
    model = model_from(
        "hs-surface",
        scenarios={"engine": "filtered", "windows": 400, "surface_moves": "index"},
        revaluation={"unlisted_options": "surface", "shocked_surfaces": "keep"},
        procyclicality={
            "buffer": {"enabled": True, "share": 0.05},
            "stressed_weight": {"enabled": True, "form": form, "weight": weight},
            "long_floor": {"enabled": True, "years": 2.0},
            "stress_period": {"floor": True, "days": 60},
        },
    )
    inputs = replay_inputs(prices, index, {"filtered": model.core_only()}, (0.995,))
    series = replay_tools(inputs, np.array([date]))
    needed = needs_of(model).sections
    scenarios = build_scenarios(prices, model, as_of=date, sections=needed, vol_index=index)
    # The buffer of the study is full before its first date.
    full = dict.fromkeys(scenarios.underlyings, 0.05)
    scenarios = replace(scenarios, calibration=replace(scenarios.calibration, buffer_shares=full))
    levels = market_levels_at(inputs, inputs.table.until(date), date)
    book = benchmark_book(levels)
    market = flat_smile_market(model, levels, book)
    result = calculate_margin(
        market.snapshot, scenarios, book, model, surfaces=dict(market.surfaces)
    )
    found = tool_margins(series, model)["all"][0] * levels.index_usd["BTC"]
    np.testing.assert_allclose(found, result.margins.initial_margin_usd, rtol=1e-9)
    assert np.any(result.margins.component_usd("stressed_weight") > 0.0)
    assert np.any(result.margins.component_usd("floor") > 0.0)


# -- calibration -----------------------------------------------------------------------------------


def tiny(calibration: Calibration) -> ScenarioSet:
    zeros = np.zeros
    return ScenarioSet(
        engine="historical",
        underlyings=("BTC",),
        horizon_hours=48.0,
        start_time=np.array(["2026-01-01", "2026-01-02"], "datetime64[ms]"),
        end_time=np.array(["2026-01-03", "2026-01-04"], "datetime64[ms]"),
        spot_return=np.array([[0.25], [-0.5]]),
        path_hours=np.array([48.0]),
        path_return=np.array([[[0.25]], [[-0.5]]]),
        basis_change=zeros((2, 1, 7)),
        vol_change=zeros((2, 1, 7, 7)),
        weight=np.array([0.5, 0.5]),
        provenance=zeros((2, 1), np.uint8),
        calibration=calibration,
    )


def test_the_ids_of_stored_sets_are_those_of_earlier_versions() -> None:
    """The ids were computed by version 0.2.0, which kept the values by name."""
    assert tiny(Calibration()).id == "scenarios-c711e4f2267ea3d7793ce1751589ba32"
    calibrated = tiny(Calibration({"BTC": 0.125, "ETH": 0.25}, 0.975))
    assert calibrated.id == "scenarios-100ef32437d293da784213bcb024fe26"
    table = scenario_set_to_table(calibrated)
    stored = json.loads(table.schema.metadata[b"margin_scenario_set"])
    assert stored["figures"] == {
        "stress_period.confidence": 0.975, "buffer.share.BTC": 0.125, "buffer.share.ETH": 0.25,
    }  # fmt: skip
    again = scenario_set_from_table(table, where="test")
    assert again.calibration == calibrated.calibration


def test_a_stored_set_with_an_unknown_calibrated_value_is_refused() -> None:
    table = scenario_set_to_table(tiny(Calibration()))
    stored = json.loads(table.schema.metadata[b"margin_scenario_set"])
    stored["figures"] = {"bufer.share.BTC": 0.1}
    changed: pa.Table = table.replace_schema_metadata(
        {b"margin_scenario_set": json.dumps(stored).encode()}
    )
    with pytest.raises(InvalidScenario) as error:
        scenario_set_from_table(changed, where="a file")
    assert "unknown calibrated values: bufer.share.BTC" in str(error.value)


@pytest.mark.parametrize(
    ("calibration", "text"),
    [
        (Calibration({"BTC": 0.2, "ETH": 0.1}), "no confidence for the section 'stress_period'"),
        (Calibration({"BTC": 0.2}, 0.95), "no calibrated buffer shares of ETH"),
    ],
)
def test_a_missing_calibrated_value_is_not_zero(snapshot, book, calibration, text) -> None:
    tools = {"buffer": {"enabled": True}, "stress_period": {"floor": True}}
    model = model_from("hs-surface", procyclicality=tools)
    scenarios = replace(sections(), calibration=calibration)
    with pytest.raises(InvalidScenario, match=text):
        calculate_margin(snapshot, scenarios, book, model)


def test_a_buffer_needs_no_share_of_an_underlying_that_no_account_holds(snapshot, book) -> None:
    model = model_from("hs-surface", procyclicality={"buffer": {"enabled": True}})
    listed = replace(snapshot, index_usd={**snapshot.index_usd, "SOL": 150.0})
    plain, found = (
        calculate_margin(s, sections(), book, model).margins for s in (snapshot, listed)
    )
    assert np.all(found.component_usd("buffer") > 0.0)
    np.testing.assert_array_equal(found.component_usd("buffer"), plain.component_usd("buffer"))
