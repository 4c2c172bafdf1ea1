"""Moves of the basis of perpetuals: records, proxies, every engine, stress rows, and storage."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import UNDERLYINGS, grids, made_scenarios, model, model_from

from margin_actors.engine.margin import (
    PricedMarket,
    calculate_margin,
    prepare_market,
    price_own_slice,
    require_sections,
)
from margin_actors.engine.measures import value_at_risk
from margin_actors.engine.parameters import (
    MonteCarloParameters,
    PerpetualBasisParameters,
    ScenarioParameters,
)
from margin_actors.engine.scenarios import (
    STRESS,
    BasisProvenance,
    PerpetualBasisHistory,
    PerpetualBasisMoves,
    ScenarioSet,
    basis_from_candles,
    build_historical,
    build_scenarios,
    fit_monte_carlo,
    join_sections,
    scenario_set_from_table,
    scenario_set_to_table,
)
from margin_actors.engine.scenarios.prescribed import basis_rows
from margin_actors.engine.span.basis import BasisRisk, basis_charges
from margin_actors.errors import InvalidMarketData, InvalidScenario, MissingMarketData
from margin_actors.market.books import account_book, book_of_portfolios
from margin_actors.market.candles import Candles
from margin_actors.market.instruments import expiry_label
from margin_actors.market.snapshots import MarketSnapshot

HOUR = np.timedelta64(3_600_000, "ms")
BP = 1e-4
ENGINES = {
    "historical": ("es", "historical"),
    "filtered": ("es", "filtered"),
    "monte_carlo": ("es", "monte_carlo"),
    "var": ("var", "historical"),
    "span": ("span", "historical"),
    "hybrid": ("hybrid", "historical"),
    "venue_grid": ("venue_grid", "historical"),
}


def moved(scenarios: ScenarioSet, size: float = 10 * BP, seed: int = 5) -> ScenarioSet:
    """Return a set with random moves of the basis."""
    rng = np.random.default_rng(seed)
    shape = scenarios.spot_return.shape
    made = np.full(shape, BasisProvenance.OBSERVED, np.uint8)
    return replace(
        scenarios, perpetual_basis=PerpetualBasisMoves(size * rng.standard_t(4, shape), made)
    )


@cache
def recorded(first_day: int = 0, days: int = 700) -> dict[str, PerpetualBasisHistory]:
    """Return a made basis every four hours that starts `first_day` days after the prices."""
    out = {}
    for i, u in enumerate(UNDERLYINGS):
        rng = np.random.default_rng(11 + i)
        time = grids(days)[u].time[first_day] + np.arange(6 * (days - first_day)) * 4 * HOUR
        out[u] = PerpetualBasisHistory(u, time, 6 * BP * rng.standard_t(3, time.size))
    return out


def rules(**section: object) -> ScenarioParameters:
    return ScenarioParameters(
        windows=400,
        perpetual_basis=PerpetualBasisParameters.model_validate({"moves": "history", **section}),
    )


def candles(source: str, close: list[float], missing: tuple[int, ...] = ()) -> Candles:
    keep = [i for i in range(len(close)) if i not in missing]
    price, nothing = np.array(close)[keep], np.full(len(keep), np.nan)
    opened = np.datetime64("2026-01-01", "ms") + np.array(keep) * HOUR
    volume = np.where(price > 0, 1.0, 0.0)
    return Candles(source, "BTC", 3600, opened, nothing, nothing, nothing, price, volume)


def test_the_basis_is_the_logarithm_of_two_closes() -> None:
    spot, perpetual = candles("s", [100.0] * 5), candles("p", [101.0, 102.0, 103.0, 99.0, 98.0])
    found = basis_from_candles("BTC", perpetual, spot, first=np.datetime64("2020-01-01"))
    # The first and the last candle have no neighbour on one side: they may be incomplete.
    np.testing.assert_allclose(found.log_basis, np.log([1.02, 1.03, 0.99]), rtol=1e-15)
    assert found.time[0] == np.datetime64("2026-01-01T02:00")
    late = basis_from_candles("BTC", perpetual, spot, first=np.datetime64("2026-01-01T03:00"))
    assert late.time.size == 2


def test_candles_beside_a_gap_are_not_used() -> None:
    spot = candles("s", [100.0] * 9, missing=(4,))
    found = basis_from_candles("BTC", candles("p", [101.0] * 9), spot, first=np.datetime64(0, "D"))
    hours = (found.time - np.datetime64("2026-01-01", "ms")) / HOUR
    assert hours.tolist() == [2, 3, 7, 8]  # the candles that open at 3, 4 and 5 are left out


def test_candles_of_different_length_have_no_basis() -> None:
    spot = replace(candles("s", [100.0] * 5), interval_seconds=60)
    with pytest.raises(InvalidMarketData, match="BTC perpetual"):
        basis_from_candles("BTC", candles("p", [1.0] * 5), spot, first=np.datetime64(0, "D"))


def test_rows_move_by_the_recorded_basis_known_at_both_ends() -> None:
    prices, history = grids(700), recorded()
    as_of = prices["BTC"].time[-1]
    made = build_historical(
        prices, rules(floor_confidence=None), as_of=as_of, perpetual_basis=history
    )
    basis = made.perpetual_basis
    assert basis is not None
    assert np.all(basis.provenance == BasisProvenance.OBSERVED)
    for i, u in enumerate(UNDERLYINGS):
        at = dict(zip(history[u].time.tolist(), history[u].log_basis, strict=True))
        ends, starts = made.end_time.tolist(), made.start_time.tolist()
        expected = [at[e] - at[s] for e, s in zip(ends, starts, strict=True)]
        np.testing.assert_array_equal(basis.change[:, i], expected)


def test_later_values_of_the_basis_are_not_used() -> None:
    prices, history = grids(700), recorded()
    as_of = prices["BTC"].time[600]
    short = {u: h.until(as_of) for u, h in history.items()}
    first, second = (
        build_historical(prices, rules(), as_of=as_of, perpetual_basis=h).id
        for h in (history, short)
    )
    assert first == second


def test_windows_before_the_records_are_proxied_flagged_and_have_residuals() -> None:
    prices, history = grids(700), recorded(first_day=450)
    as_of = prices["BTC"].time[-1]
    made, calm = (
        build_historical(prices, wanted, as_of=as_of, perpetual_basis=history).perpetual_basis
        for wanted in (
            rules(floor_confidence=None),
            rules(floor_confidence=None).model_copy(update={"proxy_residuals": False}),
        )
    )
    assert made is not None
    assert calm is not None
    proxied = made.provenance == BasisProvenance.PROXIED_BY_SPOT
    assert proxied[:100].all()
    assert not proxied[-100:].any()
    residual = made.change[proxied] - calm.change[proxied]
    assert residual.std() == pytest.approx(made.change[~proxied].std(), rel=0.3)
    assert np.isfinite(made.change).all()


def test_a_missing_basis_is_an_error() -> None:
    prices = grids(700)
    as_of = prices["BTC"].time[-1]
    with pytest.raises(MissingMarketData, match="recorded prices"):
        build_historical(prices, rules(), as_of=as_of)
    with pytest.raises(MissingMarketData, match="recorded over"):
        build_historical(prices, rules(), as_of=as_of, perpetual_basis=recorded(first_day=690))


def test_a_set_without_the_basis_does_not_fit_a_model_that_moves_it() -> None:
    parameters = model_from("hs-surface", scenarios={"perpetual_basis": {"moves": "history"}})
    with pytest.raises(InvalidScenario, match="different model"):
        require_sections(made_scenarios(50), parameters)
    require_sections(moved(made_scenarios(50)), parameters)


def test_the_floor_raises_rows_to_the_quantile_of_all_records() -> None:
    prices, history = grids(700), dict(recorded())
    early = history["BTC"]
    wild = np.where(np.arange(early.time.size) < 600, 5.0, 1.0)  # the first hundred days
    history["BTC"] = replace(early, log_basis=early.log_basis * wild)
    as_of = prices["BTC"].time[-1]
    plain, floored = (
        build_historical(prices, rules(floor_confidence=c), as_of=as_of, perpetual_basis=history)
        for c in (None, 0.99)
    )
    assert plain.perpetual_basis is not None
    assert floored.perpetual_basis is not None
    ratio = floored.perpetual_basis.change[:, 0] / plain.perpetual_basis.change[:, 0]
    assert ratio.min() == pytest.approx(ratio.max(), rel=1e-12)
    assert ratio.min() > 1.5
    target = history["BTC"].until(as_of).quantile(48.0, 0.99)
    change = floored.perpetual_basis.change[:, 0]
    sides = value_at_risk(np.stack([change, -change]), confidence=0.99)
    assert sides.min() == pytest.approx(target, rel=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_asks_for_the_basis_of_a_hedged_perpetual(
    engine: str, snapshot: MarketSnapshot
) -> None:
    core, kind = ENGINES[engine]
    parameters = model_from(
        "plain-hs",
        measure={"core": core},
        scenarios={
            "engine": kind,
            "windows": 400,
            "perpetual_basis": {"moves": "history"},
            "monte_carlo": {"rows": 2000},
        },
        revaluation={"pnl_quantum_usd": 1e-6},
    )
    prices, history = grids(700), recorded()
    as_of = prices["BTC"].time[-1]
    scenarios = build_scenarios(prices, parameters, as_of=as_of, perpetual_basis=history)
    index = snapshot.index_usd["BTC"]
    notional = round(100.0 * index / 10.0) * 10.0
    book = book_of_portfolios(
        (name, "M", positions)
        for name, positions in {
            "linear": {"BTC_USDC": 100.0, "BTC_USDC-PERPETUAL": -100.0},
            "inverse": {"BTC_USDC": 100.0, "BTC-PERPETUAL": -notional},
            "long": {"BTC_USDC": -100.0, "BTC_USDC-PERPETUAL": 100.0},
            "both perpetuals": {"BTC-PERPETUAL": notional, "BTC_USDC-PERPETUAL": -100.0},
        }.items()
    )
    margin = calculate_margin(snapshot, scenarios, book, parameters).margins.initial_margin_usd
    asked = history["BTC"].until(as_of).quantile(48.0, 0.995) * 100.0 * index
    accounts = dict(zip(book.accounts, margin.tolist(), strict=True))
    for name in ("linear", "inverse", "long"):
        # A short coin position loses less than the log move in a falling market.
        assert accounts[name] > 0.97 * asked
    assert accounts["both perpetuals"] < 0.02 * asked


@pytest.mark.parametrize("preset", ["hs-surface", "span", "venue-grid"])
def test_without_basis_moves_perpetuals_are_priced_as_spot(preset: str, snapshot) -> None:
    book = account_book("A", "M", {"BTC_USDC": 100.0, "BTC_USDC-PERPETUAL": -100.0})
    result = calculate_margin(snapshot, made_scenarios(200), book, model_from(preset), surfaces={})
    assert result.margins.initial_margin_usd[0] == 0.0


def test_a_perpetual_is_priced_at_its_own_level_and_moves_with_its_own_basis(snapshot) -> None:
    scenarios, price = moved(made_scenarios(130)), 1.003 * snapshot.index_usd["BTC"]
    changed = replace(snapshot, perpetual_usd={"BTC": price})
    names = ("BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "BTC_USDC", "ETH_USDC-PERPETUAL")
    parameters = model(pnl_quantum_usd=None)
    market = prepare_market(changed, parameters, names=names, surfaces={})
    cube = price_own_slice(market, scenarios, 0).cube
    profit = [cube.profits_usd(market.contracts, i) for i in range(4)]
    basis = scenarios.perpetual_basis
    assert basis is not None
    move = np.exp(scenarios.spot_return + basis.change)
    index = snapshot.index_usd
    np.testing.assert_allclose(profit[0], price * (move[:, 0] - 1), rtol=1e-9)
    np.testing.assert_allclose(profit[1], move[:, 0] - 1, rtol=1e-9)
    spot = np.exp(scenarios.spot_return[:, 0])
    np.testing.assert_allclose(profit[2], index["BTC"] * (spot - 1), rtol=1e-9)
    np.testing.assert_allclose(profit[3], index["ETH"] * (move[:, 1] - 1), rtol=1e-9)


def test_dated_contracts_do_not_move_with_the_perpetual(snapshot) -> None:
    parameters, plain = model(), made_scenarios(70)
    future = next(n for n in snapshot.options.names if n.startswith("BTC-")).rsplit("-", 2)[0]
    names = (future, "BTC_USDC")
    market = prepare_market(snapshot, parameters, names=names, surfaces={})
    cubes = [price_own_slice(market, s, 0).cube.values for s in (plain, moved(plain))]
    np.testing.assert_array_equal(*cubes)


def test_slices_of_a_stored_set_give_the_bits_of_the_whole(snapshot) -> None:
    # What the service does: the set is read from the store, and slices are priced apart.
    parameters = model_from("hs-surface", scenarios={"perpetual_basis": {"moves": "history"}})
    scenarios = moved(made_scenarios(200))
    stored = scenario_set_from_table(scenario_set_to_table(scenarios), where="test")
    book = account_book("A", "M", {"BTC_USDC": 10.0, "BTC-PERPETUAL": -500_000.0})
    whole = calculate_margin(snapshot, scenarios, book, parameters, surfaces={})
    names = ("BTC-PERPETUAL", "BTC_USDC", "BTC_USDC-PERPETUAL", "ETH_USDC")
    market = prepare_market(snapshot, parameters, names=names, surfaces={})
    slices = tuple(
        price_own_slice(market, stored.rows(first, last), first, n_core=200)
        for first, last in ((0, 64), (64, 128), (128, 200))
    )
    apart = PricedMarket(market, stored, slices).margins(book)
    np.testing.assert_array_equal(apart.initial_margin_usd, whole.margins.initial_margin_usd)
    np.testing.assert_array_equal(apart.tail_usd, whole.margins.tail_usd)


def test_the_basis_is_part_of_the_id_and_survives_storage() -> None:
    plain = made_scenarios(40)
    scenarios = moved(plain)
    assert scenarios.id != plain.id
    assert replace(scenarios, perpetual_basis=None).id == plain.id
    table = scenario_set_to_table(plain)
    assert not any("perpetual" in name for name in table.column_names)
    again = scenario_set_from_table(scenario_set_to_table(scenarios), where="test")
    assert again.id == scenarios.id
    assert again.perpetual_basis is not None
    np.testing.assert_array_equal(again.perpetual_basis.change, scenarios.perpetual_basis.change)


def test_joined_sections_without_basis_moves_are_unmoved() -> None:
    first, second = moved(made_scenarios(30)), made_scenarios(20, 1)
    whole = join_sections([("core", first), ("long", second)])
    assert whole.perpetual_basis is not None
    assert np.all(whole.perpetual_basis.change[30:] == 0.0)
    assert np.all(whole.perpetual_basis.provenance[30:] == BasisProvenance.NONE)
    assert whole.core.perpetual_basis is not None
    np.testing.assert_array_equal(whole.core.perpetual_basis.change, first.perpetual_basis.change)
    plain = join_sections([("core", made_scenarios(30)), ("long", second)])
    assert plain.perpetual_basis is None


def test_drawn_rows_keep_the_distribution_of_the_basis_and_its_dependence() -> None:
    history = made_scenarios(1500)
    change = moved(history).perpetual_basis.change - 0.01 * history.spot_return
    made = np.full(change.shape, BasisProvenance.OBSERVED, np.uint8)
    history = replace(history, perpetual_basis=PerpetualBasisMoves(change, made))
    drawn = fit_monte_carlo(history, MonteCarloParameters()).rows(0, 20_000, total=20_000)
    basis = drawn.perpetual_basis
    assert basis is not None
    for q in (0.01, 0.1, 0.5, 0.9, 0.99):
        expected = np.quantile(change[:, 0], q)
        assert np.quantile(basis.change[:, 0], q) == pytest.approx(expected, rel=0.15, abs=0.5 * BP)
    then = np.corrcoef(change[:, 0], history.spot_return[:, 0])[0, 1]
    now = np.corrcoef(basis.change[:, 0], drawn.spot_return[:, 0])[0, 1]
    assert now == pytest.approx(then, abs=0.12)
    part = fit_monte_carlo(history, MonteCarloParameters()).rows(70, 90, total=20_000)
    assert part.perpetual_basis is not None
    np.testing.assert_array_equal(part.perpetual_basis.change, basis.change[70:90])


def test_basis_rows_hold_the_largest_move_and_the_quantile() -> None:
    history, horizon = recorded(), 48.0
    rows = {m.name: m for m in basis_rows(rules(), history["BTC"].time[-1], history, {})}
    assert len(rows) == 4
    for u in UNDERLYINGS:
        moves = np.abs(history[u].moves(horizon))
        top = rows["perpetual basis up, largest recorded move"].perpetual_basis[u]
        low = rows["perpetual basis down, 99.5 % quantile"].perpetual_basis[u]
        assert np.log1p(top) == pytest.approx(moves.max(), rel=1e-12)
        assert -np.log1p(low) == pytest.approx(np.sort(moves)[-1 - int(0.005 * moves.size)])


def test_stress_rows_move_the_basis_of_perpetuals_and_of_forwards(snapshot) -> None:
    move = {"name": "basis", "spot": {}, "perpetual_basis": {"BTC": 0.02},
            "forward_basis": {"BTC": -0.01}}  # fmt: skip
    parameters = model_from(
        "plain-hs",
        scenarios={
            "windows": 400,
            "stress": {"enabled": True, "events": [], "hypothetical": [move], "basis_rows": True},
            "perpetual_basis": {"moves": "history"},
        },
    )
    prices = grids(700)
    as_of = prices["BTC"].time[-1]
    scenarios = build_scenarios(prices, parameters, as_of=as_of, perpetual_basis=recorded())
    section = scenarios.section(STRESS)
    assert section.count == 5
    week = next(e for e in snapshot.expiries if e.underlying == "BTC" and e.tenor_years * 365 > 7)
    future = f"BTC-{expiry_label(week.expiry)}"
    book = book_of_portfolios(
        [("A", "M", {"BTC_USDC": 100.0, "BTC_USDC-PERPETUAL": -100.0}),
         ("B", "M", {future: 100.0})]
    )  # fmt: skip
    result = calculate_margin(snapshot, scenarios, book, parameters, keep_pnl=True)
    assert result.pnl_usd is not None
    loss = -result.pnl_usd[:, section.first]
    assert loss[0] == pytest.approx(100.0 * 0.02 * snapshot.index_usd["BTC"], rel=1e-9)
    assert loss[1] == pytest.approx(1.0, rel=1e-9)  # 1 % of 100 dollars of notional


def test_the_basis_charge_by_hand() -> None:
    risk = BasisRisk(np.array([True, False, False]), np.array([1.0, 1.0, 0.5]), np.array([0.002]))
    start, index = np.array([0, 3]), np.arange(3, dtype=np.int32)
    # P = -10 coins against 4 of spot and 0.5 * 6 of options: 7 coins are matched.
    quantity, u = np.array([-10.0, 4.0, 6.0]), np.zeros(3, np.int32)
    charge = basis_charges(start, index, quantity, risk, u, np.array([50_000.0]))
    assert charge[0, 0] == pytest.approx(7.0 * 0.002 * 50_000.0)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_the_basis_charge_is_symmetric_and_only_for_opposite_deltas(perpetual, other) -> None:
    risk = BasisRisk(np.array([True, False]), np.ones(2), np.array([0.002]))
    start, index, u = np.array([0, 2]), np.arange(2, dtype=np.int32), np.zeros(2, np.int32)
    found = [
        basis_charges(start, index, np.array(q), risk, u, np.array([100.0]))[0, 0]
        for q in ([perpetual, other], [-perpetual, -other], [other, perpetual])
    ]
    assert found[0] == found[1] == found[2] >= 0.0
    if perpetual * other >= 0.0:
        assert found[0] == 0.0
