"""The risk cube against a simple reference implementation, and the laws of aggregation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made_scenarios, model

from margin_actors.engine.margin import (
    attribute_account,
    calculate_margin,
    fit_model_surfaces,
)
from margin_actors.engine.measures import expected_shortfall, value_at_risk
from margin_actors.engine.parameters import RevaluationParameters, parameters_from_mapping
from margin_actors.engine.revaluation import (
    TailRows,
    build_cube,
    contracts_from_names,
    holdings_from_book,
    join_profits,
    slice_profits,
    unit_values,
    values_today,
)
from margin_actors.engine.scenarios import MONEYNESS, TENORS_DAYS, ScenarioSet
from margin_actors.errors import InvalidPortfolio, InvalidScenario, MissingMarketData
from margin_actors.market.books import Book, account_book
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface
from margin_actors.numerics.black76 import black76_price


def book_of(positions: dict[str, float]) -> Book:
    return account_book("A", "M", positions)


def twin(
    snapshot: MarketSnapshot,
    surface: VolatilitySurface,
    scenarios: ScenarioSet,
    name: str,
    parameters: RevaluationParameters,
) -> np.ndarray:
    """Return the profit of one inverse option, US dollars per coin, float64 (n_scenarios,).

    A reference implementation, scenario by scenario, written for readability.
    """
    row = snapshot.option_row[name]
    item = snapshot.expiries[snapshot.options.expiry_index[row]]
    u = scenarios.underlyings.index(item.underlying)
    S, F, T = snapshot.index_usd[item.underlying], item.forward_usd, item.tenor_years
    K, call = snapshot.options.strike_usd[row], snapshot.options.is_call[row]
    mark = snapshot.options.mark_vol[row]
    smile = surface.slices[[e.expiry for e in surface.expiries].index(item.expiry)]
    root = np.sqrt(smile.total_variance(np.zeros(1))[0])
    anchor = mark * np.sqrt(T) / np.sqrt(smile.total_variance(np.array([np.log(K / F)]))[0])
    ln_tenors, days = np.log(TENORS_DAYS), T * 365
    hours = T * 8760
    today = S / F * float(black76_price(F, K, mark * np.sqrt(T), call))
    out = []
    for s in range(len(scenarios)):
        if parameters.time == "horizon" and hours <= scenarios.horizon_hours:
            r = np.interp(hours, [0, 24, 48], [0, *scenarios.path_return[s, u]])
            end = S * np.exp(r)
            out.append(max(end - K, 0) if call else max(K - end, 0))
            continue
        at = [
            np.interp(np.log(days), ln_tenors, scenarios.vol_change[s, u, :, z]) for z in range(7)
        ]
        basis = np.interp(np.log(days), ln_tenors, scenarios.basis_change[s, u]) * min(days / 7, 1)
        S1 = S * np.exp(scenarios.spot_return[s, u])
        F1 = F * np.exp(scenarios.spot_return[s, u] + basis)
        k = {
            "sticky_moneyness": np.log(K / F1),
            "sticky_strike": np.log(K / F),
            "sticky_delta": np.log(K / F1) * np.exp(-at[3]),
        }[parameters.dynamics]
        factor = np.interp(k / root, MONEYNESS, np.exp(at))
        left = 1.0
        if parameters.time == "horizon":
            left = np.sqrt((hours - scenarios.horizon_hours) / hours)
        deviation = anchor * left * factor * np.sqrt(smile.total_variance(np.array([k]))[0])
        out.append(S1 / F1 * float(black76_price(F1, K, deviation, call)))
    return np.array(out) - today


@pytest.mark.parametrize("dynamics", ["sticky_moneyness", "sticky_strike", "sticky_delta"])
@pytest.mark.parametrize("smile", ["svi", "sabr"])
@pytest.mark.parametrize("time", ["instantaneous", "horizon"])
def test_the_cube_agrees_with_its_readable_twin(
    snapshot: MarketSnapshot, dynamics: str, smile: str, time: str
) -> None:
    chosen = model(dynamics=dynamics, smile=smile, time=time, pnl_quantum_usd=None)
    names = tuple(sorted(snapshot.options.names)[::61])
    scenarios = made_scenarios(70)
    surfaces = fit_model_surfaces(snapshot, chosen)
    contracts = contracts_from_names(names, snapshot, surfaces, chosen.revaluation)
    cube = build_cube(contracts, snapshot, scenarios, chosen.revaluation)
    for i, name in enumerate(names):
        expected = twin(snapshot, surfaces[name[:3]], scenarios, name, chosen.revaluation)
        scale = snapshot.index_usd[name[:3]]
        np.testing.assert_allclose(
            cube.profits_usd(contracts, i), expected, rtol=0, atol=1e-11 * scale
        )


def test_frozen_volatility_ignores_the_surface_moves(snapshot: MarketSnapshot, book: Book) -> None:
    frozen = model(dynamics="frozen")
    with_moves = calculate_margin(snapshot, made_scenarios(100), book, frozen)
    twin_set = made_scenarios(100)
    without = replace(
        twin_set,
        vol_change=np.zeros_like(twin_set.vol_change),
    )
    np.testing.assert_array_equal(
        with_moves.margins.var_usd,
        calculate_margin(snapshot, without, book, frozen).margins.var_usd,
    )


def test_a_scenario_in_which_nothing_moves_has_no_profit_at_all(
    snapshot: MarketSnapshot, book: Book
) -> None:
    still = made_scenarios(64, scale=0.0)
    for dynamics in ("sticky_moneyness", "sticky_strike", "sticky_delta"):
        result = calculate_margin(snapshot, still, book, model(dynamics=dynamics), keep_pnl=True)
        assert result.pnl_usd is not None
        assert not result.pnl_usd.any()


def test_linear_contracts_have_their_textbook_profits(snapshot: MarketSnapshot) -> None:
    scenarios = made_scenarios(80)
    names = ("BTC-PERPETUAL", "BTC_USDC", "BTC_USDC-PERPETUAL", "BTC-23JAN26")
    chosen = model(pnl_quantum_usd=None)
    contracts = contracts_from_names(
        names, snapshot, fit_model_surfaces(snapshot, chosen), chosen.revaluation
    )
    cube = build_cube(contracts, snapshot, scenarios, chosen.revaluation)
    growth = np.exp(scenarios.spot_return[:, 0])
    S = snapshot.index_usd["BTC"]
    np.testing.assert_allclose(cube.profits_usd(contracts, 0), growth - 1, atol=1e-14)
    np.testing.assert_allclose(
        cube.profits_usd(contracts, 1), S * (growth - 1), rtol=1e-11, atol=1e-8
    )
    np.testing.assert_allclose(
        cube.profits_usd(contracts, 2), S * (growth - 1), rtol=1e-11, atol=1e-8
    )
    basis = scenarios.basis_change[:, 0, 0] * 1.0  # 7.3 days, just beyond the first tenor
    ratio = cube.profits_usd(contracts, 3) / (np.exp(scenarios.spot_return[:, 0] + basis) - 1)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.01)
    value = unit_values(contracts, values_today(contracts, snapshot, chosen.revaluation))
    np.testing.assert_array_equal(value, [0.0, S, 0.0, 0.0])


def test_put_and_call_differ_by_the_forward_in_every_scenario(snapshot: MarketSnapshot) -> None:
    call = next(
        n for n in snapshot.options.names if n.startswith("BTC-27MAR26") and n.endswith("C")
    )
    put, future = call[:-1] + "P", "BTC-27MAR26"
    chosen = model(pnl_quantum_usd=None, anchor_to_marks=False)
    contracts = contracts_from_names(
        (call, put, future), snapshot, fit_model_surfaces(snapshot, chosen), chosen.revaluation
    )
    scenarios = made_scenarios(64, surface=False)
    cube = build_cube(contracts, snapshot, scenarios, chosen.revaluation)
    S, F = snapshot.index_usd["BTC"], contracts.curves[0].level_usd
    # C - P = S'/F' (F' - K), and S'/F' does not change if spot and forward move together.
    expected = S / F * F * cube.profits_usd(contracts, 2)
    np.testing.assert_allclose(
        cube.profits_usd(contracts, 0) - cube.profits_usd(contracts, 1), expected, atol=1e-8 * S
    )


@pytest.mark.parametrize("quantum", [1e-6, None])
def test_bits_depend_neither_on_threads_nor_on_how_scenarios_are_cut(
    snapshot: MarketSnapshot, book: Book, quantum: float | None
) -> None:
    chosen, scenarios = model(pnl_quantum_usd=quantum), made_scenarios(333)
    one = calculate_margin(snapshot, scenarios, book, chosen, threads=1, keep_pnl=True)
    many = calculate_margin(snapshot, scenarios, book, chosen, threads=5, keep_pnl=True)
    assert one.pnl_usd is not None
    np.testing.assert_array_equal(one.pnl_usd, many.pnl_usd)
    assert one.digest == many.digest
    for cut in (64, 100, 192):
        parts = [
            calculate_margin(snapshot, scenarios.rows(a, b), book, chosen, keep_pnl=True).pnl_usd
            for a, b in ((0, cut), (cut, 333))
        ]
        np.testing.assert_array_equal(np.hstack(parts), one.pnl_usd)


def test_with_rounding_the_order_of_summation_does_not_matter(
    snapshot: MarketSnapshot, book: Book
) -> None:
    chosen, scenarios = model(), made_scenarios(128)
    contracts = contracts_from_names(
        book.instruments, snapshot, fit_model_surfaces(snapshot, chosen), chosen.revaluation
    )
    cube = build_cube(contracts, snapshot, scenarios, chosen.revaluation)
    holdings = holdings_from_book(contracts, book)
    tails = [TailRows(0, 128, 5)]
    whole = slice_profits(
        cube.values,
        holdings,
        n_scenarios=128,
        tails=tails,
        largest_move=cube.largest_move,
        keep_pnl=True,
    )
    kept = join_profits([whole], holdings, tails=tails, accounts=book.accounts).pnl_usd
    assert kept is not None
    dense = cube.values.transpose(1, 0, 2).reshape(len(contracts), -1)[:, :128]
    assert np.array_equal(dense, np.round(dense))
    rng = np.random.default_rng(0)
    for a in range(len(book.accounts)):
        rows = np.arange(book.start[a], book.start[a + 1])
        rng.shuffle(rows)
        index = book.instrument_index[rows]
        lots = np.round(book.quantity[rows] / contracts.lot[index])
        np.testing.assert_array_equal(kept[a], (lots @ dense[index]) * 1e-6)


def test_accounts_beyond_exact_doubles_are_summed_in_integers(snapshot: MarketSnapshot) -> None:
    names = sorted(n for n in snapshot.options.names if n.startswith("BTC"))[:40]
    huge = book_of({n: (-1.0) ** i * (2.5e6 + i) for i, n in enumerate(names)})
    chosen, scenarios = model(), made_scenarios(100)
    result = calculate_margin(snapshot, scenarios, huge, chosen, keep_pnl=True)
    cube = result.cube
    dense = cube.values.transpose(1, 0, 2).reshape(40, -1)[:, :100]
    exact = [
        sum(
            int(q / 0.01 + 0.5 * np.sign(q)) * int(x)
            for q, x in zip(huge.quantity, column, strict=True)
        )
        for column in dense.T
    ]
    assert max(abs(e) for e in exact) > 2**53
    np.testing.assert_array_equal(result.pnl_usd, np.array([[float(e) for e in exact]]) * 1e-6)


def test_rounding_stays_within_its_reported_bound(snapshot: MarketSnapshot, book: Book) -> None:
    scenarios = made_scenarios(100)
    rounded = calculate_margin(snapshot, scenarios, book, model(), keep_pnl=True)
    plain = calculate_margin(snapshot, scenarios, book, model(pnl_quantum_usd=None), keep_pnl=True)
    assert rounded.pnl_usd is not None
    assert plain.pnl_usd is not None
    off = np.abs(rounded.pnl_usd - plain.pnl_usd).max(axis=1)
    assert np.all(off <= rounded.margins.rounding_bound_usd + 1e-4)
    assert np.all(rounded.margins.rounding_bound_usd < 1e-4 * rounded.margins.worst_usd + 1)


def test_margins_are_the_measures_of_the_profits(snapshot: MarketSnapshot, book: Book) -> None:
    result = calculate_margin(snapshot, made_scenarios(700), book, model(), keep_pnl=True)
    assert result.pnl_usd is not None
    np.testing.assert_array_equal(
        result.margins.var_usd, value_at_risk(result.pnl_usd, confidence=0.995)
    )
    np.testing.assert_array_equal(
        result.margins.es_usd, expected_shortfall(result.pnl_usd, confidence=0.995)
    )
    np.testing.assert_array_equal(result.margins.worst_usd, -result.pnl_usd.min(axis=1))
    np.testing.assert_array_equal(result.margins.worst_scenario, result.pnl_usd.argmin(axis=1))


@given(quantity=st.integers(1, 10_000))
@settings(max_examples=15)
def test_an_offset_position_needs_no_margin(snapshot: MarketSnapshot, quantity: int) -> None:
    name = snapshot.options.names[200]
    names = (name,)
    both = Book(
        ("A",), ("M",), names, np.array([0, 2]), np.zeros(2, np.int32),
        np.array([quantity * 0.01, -quantity * 0.01]),
    )  # fmt: skip
    result = calculate_margin(snapshot, made_scenarios(64), both, model())
    assert result.margins.initial_margin_usd[0] == 0.0


def test_options_that_expire_within_the_horizon_settle_on_the_path(
    snapshot: MarketSnapshot,
) -> None:
    name = next(n for n in snapshot.options.names if n.startswith("BTC-17JAN26"))  # 32 hours
    chosen = model(time="horizon", pnl_quantum_usd=None)
    scenarios = made_scenarios(64)
    surfaces = fit_model_surfaces(snapshot, chosen)
    contracts = contracts_from_names((name,), snapshot, surfaces, chosen.revaluation)
    cube = build_cube(contracts, snapshot, scenarios, chosen.revaluation)
    path = scenarios.path_return[:, 0, :]
    at_expiry = path[:, 0] + (32 - 24) / 24 * (path[:, 1] - path[:, 0])
    K = snapshot.options.strike_usd[snapshot.option_row[name]]
    intrinsic = np.maximum(snapshot.index_usd["BTC"] * np.exp(at_expiry) - K, 0)
    value = unit_values(contracts, values_today(contracts, snapshot, chosen.revaluation))
    after = cube.profits_usd(contracts, 0) + value[0]
    np.testing.assert_allclose(after, intrinsic, atol=1e-6)


def test_in_the_last_half_hour_only_the_open_share_of_the_average_moves(
    snapshot: MarketSnapshot,
) -> None:
    from margin_actors.engine.revaluation.states import remaining_share

    assert remaining_share(1.0, 30.0) == 1.0
    assert remaining_share(15 / 525_600, 30.0) == pytest.approx(0.5)
    assert remaining_share(15 / 525_600, 0.0) == 1.0


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("BTC-27MAR26-1-C", InvalidPortfolio, "not in the snapshot's chain"),
        ("nonsense", InvalidPortfolio, "unknown instrument"),
        ("BTC-3JUL26-90000-C", MissingMarketData, "BTC 3JUL26 has no forward and no quotes"),
        ("BTC-3JUL26", MissingMarketData, "no forward"),
        ("SOL-PERPETUAL", MissingMarketData, "SOL has no index price"),
    ],
)
def test_what_cannot_be_margined_is_named(
    snapshot: MarketSnapshot, name: str, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        calculate_margin(snapshot, made_scenarios(64), book_of({name: 1.0}), model())
    assert text in str(caught.value)


def test_all_that_is_wrong_with_a_book_s_instruments_is_named_at_once(
    snapshot: MarketSnapshot,
) -> None:
    names = ["nonsense", "BTC-2JAN26-90000-C", "BTC-27MAR26-1-C", "BTC-3JUL26", "SOL-PERPETUAL"]
    with pytest.raises(InvalidPortfolio, match="4 problems") as caught:
        calculate_margin(snapshot, made_scenarios(64), book_of(dict.fromkeys(names, 10.0)), model())
    assert "BTC-2JAN26-90000-C" not in str(caught.value)  # expired: awaits settlement
    for name in ("nonsense", "BTC-27MAR26-1-C", "BTC 3JUL26", "SOL has no index"):
        assert name in str(caught.value)


def test_unlisted_options_are_priced_on_the_surface_where_the_model_allows_it(
    snapshot: MarketSnapshot,
) -> None:
    listed = next(n for n in snapshot.options.names if n.startswith("BTC-27MAR26"))
    parts = listed.split("-")
    bespoke = f"{parts[0]}-{parts[1]}-{int(parts[2]) + 7}-{parts[3]}"
    chosen = model(unlisted_options="surface", anchor_to_marks=False)
    results = [
        calculate_margin(snapshot, made_scenarios(64), book_of({n: 10.0}), chosen).margins.es_usd[0]
        for n in (listed, bespoke)
    ]
    assert results[1] == pytest.approx(results[0], rel=1e-2)


def test_broken_lots_and_sets_without_an_underlying_are_refused(snapshot: MarketSnapshot) -> None:
    name = snapshot.options.names[0]
    with pytest.raises(InvalidPortfolio, match="no account of the book can be margined") as caught:
        calculate_margin(snapshot, made_scenarios(64), book_of({name: 0.015}), model())
    assert "0.015 of" in str(caught.value)
    only_btc = replace(made_scenarios(64), underlyings=("SOL", "ETH"))
    with pytest.raises(InvalidScenario, match="do not move BTC"):
        calculate_margin(snapshot, only_btc, book_of({"BTC-PERPETUAL": 10.0}), model())


def test_weights_of_scenarios_are_honoured(snapshot: MarketSnapshot, book: Book) -> None:
    scenarios = made_scenarios(200)
    weight = np.linspace(1, 3, 200)
    weighted = replace(scenarios, weight=weight / weight.sum())
    result = calculate_margin(snapshot, weighted, book, model(), keep_pnl=True)
    assert result.pnl_usd is not None
    for found, measure in (
        (result.margins.var_usd, value_at_risk),
        (result.margins.es_usd, expected_shortfall),
    ):
        expected = measure(result.pnl_usd, confidence=0.995, weight=weighted.weight)
        np.testing.assert_array_equal(found, expected)
    assert calculate_margin(snapshot, weighted, book, model()).pnl_usd is None


def test_contributions_of_an_account_add_up_to_its_measures(
    snapshot: MarketSnapshot, book: Book
) -> None:
    result = calculate_margin(snapshot, made_scenarios(300), book, model())
    for account in (0, 3):
        parts = attribute_account(result, account)
        assert parts.component_var.sum() == pytest.approx(result.margins.var_usd[account], rel=1e-9)
        assert parts.component_es.sum() == pytest.approx(result.margins.es_usd[account], rel=1e-9)


def test_the_mean_over_sub_samples_is_the_mean_of_their_measures(
    snapshot: MarketSnapshot, book: Book
) -> None:
    changes = {"extends": "hs-surface", "measure": {"overlap": "mean_of_sub_samples"}}
    chosen = parameters_from_mapping(changes, where="test")
    result = calculate_margin(snapshot, made_scenarios(801), book, chosen, keep_pnl=True)
    assert result.pnl_usd is not None
    halves = [result.pnl_usd[:, 0::2], result.pnl_usd[:, 1::2]]
    expected = sum(value_at_risk(h, confidence=0.995) / 2 for h in halves)
    np.testing.assert_array_equal(result.margins.var_usd, expected)
    pooled = calculate_margin(snapshot, made_scenarios(801), book, model())
    assert not np.array_equal(pooled.margins.var_usd, result.margins.var_usd)
