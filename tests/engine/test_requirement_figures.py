"""Every component of a requirement, recomputed from profits, and the figures that it records."""

from dataclasses import replace

import numpy as np
import pytest
from made import ADD_ONS, EVERYTHING, model_from, sections

from margin_actors.engine.margin import MarginResult, calculate_margin, worst_extended_moves
from margin_actors.engine.measures import (
    es_standard_error_from_tail,
    expected_shortfall,
    value_at_risk,
    var_interval_from_tail,
)
from margin_actors.engine.revaluation import holdings_from_book
from margin_actors.engine.scenarios import CORE, EXTENDED, LONG, STRESS, STRESS_PERIOD
from margin_actors.engine.span import grid_charges, span_charges
from margin_actors.engine.tails import short_minimum
from margin_actors.market.books import Book, book_of_portfolios
from margin_actors.market.snapshots import MarketSnapshot

SET = sections()
RULES = {
    **EVERYTHING,
    "procyclicality": {
        **EVERYTHING["procyclicality"],
        "stressed_weight": {"enabled": True, "weight": 0.6},
    },
    "addons": {**ADD_ONS, "model_risk": {"enabled": True, "share_min": 0.3}, "measure": "core"},
}
OBSERVATIONS = {"enabled": True, "form": "observations", "weight": 0.5}
CASES = {
    "var": {"measure": {"core": "var"}},
    "es": {"measure": {"core": "es"}},
    "observations": {
        "measure": {"core": "var"},
        "procyclicality": {**RULES["procyclicality"], "stressed_weight": OBSERVATIONS},
    },
    "weighted observations of es": {
        "measure": {"core": "es"},
        "procyclicality": {**RULES["procyclicality"], "stressed_weight": OBSERVATIONS},
    },
}

Figures = dict[tuple[str, str], float]


def figures_of(result: MarginResult, component: str) -> list[Figures]:
    """Return, per account, the figures of a component by (label, name of the figure)."""
    out: list[Figures] = [{} for _ in result.margins.positions]
    for a, name, label, figure, value in result.margins.inputs.rows():
        if name == component:
            assert (label, figure) not in out[a]
            out[a][label, figure] = value
    return out


@pytest.fixture(scope="module")
def book(snapshot: MarketSnapshot) -> Book:
    """Accounts in both underlyings or in one, with and without options that expire soon."""
    rng, quotes = np.random.default_rng(4), snapshot.options
    days = np.array([e.tenor_years for e in snapshot.expiries])[quotes.expiry_index] * 365.0
    is_btc = np.array([name.startswith("BTC") for name in quotes.names])
    accounts = []
    for chosen in (
        is_btc & (days < 2.0), is_btc & (days > 5.0), ~is_btc & (days > 5.0), ~is_btc,
        days > 5.0, days < 60.0, days > 0.0, is_btc & (days > 20.0),
    ):  # fmt: skip
        names = [quotes.names[i] for i in rng.choice(np.flatnonzero(chosen), 8, replace=False)]
        accounts.append({name: 0.5 * float(rng.integers(-9, 10) or 5) for name in names})
    accounts[4]["BTC-PERPETUAL"] = -200_000.0
    accounts[7] = {name: abs(q) for name, q in accounts[7].items()}
    # Many options that are worth little: closing them would cost more than their value.
    for cheap in (is_btc & (days < 2.0), ~is_btc & (days > 5.0)):
        near = np.where(cheap & (quotes.mark > 0.0), quotes.mark, np.inf)
        accounts.append({quotes.names[i]: 400.0 for i in np.argsort(near)[:2]})
    return book_of_portfolios((f"A{i}", "M", held) for i, held in enumerate(accounts))


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest, snapshot: MarketSnapshot, book: Book) -> MarginResult:
    scenarios = SET
    if request.param.startswith("weighted"):
        weight = np.ones(len(SET))
        weight[: SET.section(CORE).count] = np.linspace(1.0, 4.0, SET.section(CORE).count)
        weight[: SET.section(CORE).count] /= weight[: SET.section(CORE).count].sum()
        scenarios = replace(SET, weight=weight)
    model = model_from("hs-surface", **{**RULES, **CASES[request.param]})
    return calculate_margin(snapshot, scenarios, book, model, keep_pnl=True)


def measured(result: MarginResult, pnl: np.ndarray, confidence: float, weight=None) -> np.ndarray:
    is_es = result.risk_inputs.model.measure.core == "es"
    return (expected_shortfall if is_es else value_at_risk)(
        pnl, confidence=confidence, weight=weight
    )


def rows_of(result: MarginResult, name: str) -> np.ndarray:
    assert result.pnl_usd is not None
    return result.pnl_usd[:, SET.section(name).rows]


def before(result: MarginResult, component: str) -> np.ndarray:
    """Return the sum of the components before one."""
    m = result.margins
    return m.components_usd[:, : m.components.index(component)].sum(axis=1)


def amount(result: MarginResult, component: str) -> np.ndarray:
    return result.margins.component_usd(component)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


def checked(result: MarginResult, component: str, columns: dict[tuple[str, str], np.ndarray]):
    """Require that each account has the figures of `columns` and no other; NaN for none."""
    for a, found in enumerate(figures_of(result, component)):
        expected = {key: values[a] for key, values in columns.items() if not np.isnan(values[a])}
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-6), (component, a)


def underlyings(book: Book) -> list[set[str]]:
    return [
        {book.instruments[i][:3] for i in book.instrument_index[book.start[a] : book.start[a + 1]]}
        for a in range(len(book.accounts))
    ]


def test_the_core_and_the_limits_of_diversification(case: MarginResult, book: Book) -> None:
    m, weight = case.margins, case.risk_inputs.sample.weight
    measure = measured(case, rows_of(case, CORE), 0.995, weight)
    close(m.core_usd, np.maximum(measure, 0.0))
    close(amount(case, "core"), m.core_usd)
    checked(case, "core", {("", "var_usd"): m.var_usd, ("", "es_usd"): m.es_usd})
    contracts, cube = case.market.contracts, case.cube
    alone = np.full((len(book.accounts), 2), np.nan)
    for a, held in enumerate(underlyings(book)):
        for u, name in enumerate(("BTC", "ETH")):
            if len(held) < 2:
                continue
            pnl = np.zeros(len(SET))
            for p in range(int(book.start[a]), int(book.start[a + 1])):
                instrument = book.instruments[book.instrument_index[p]]
                if instrument.startswith(name):
                    place = contracts.place[instrument]
                    pnl += book.quantity[p] * cube.profits_usd(contracts, place)
            own = measured(case, pnl[None, SET.section(CORE).rows], 0.995, weight)[0]
            alone[a, u] = max(own, 0.0)
    several = ~np.isnan(alone[:, 0])
    assert several.any()
    assert not several.all()
    total = np.where(several, alone.sum(axis=1), np.maximum(measure, 0.0))
    np.testing.assert_allclose(m.undiversified_usd, total, rtol=1e-6, atol=1e-2)
    benefit = np.maximum(m.undiversified_usd - m.core_usd, 0.0)
    close(amount(case, "diversification_cap"), 0.3 * benefit)
    close(amount(case, "correlation_stress"), 0.1 * 0.7 * benefit)
    for a, found in enumerate(figures_of(case, "diversification_cap")):
        expected = {("", "undiversified_usd"): m.undiversified_usd[a]}
        if several[a]:
            names = zip(("BTC", "ETH"), alone[a], strict=True)
            expected |= {(name, "alone_usd"): value for name, value in names}
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-2)
    checked(case, "correlation_stress", {})


def test_the_tools_against_procyclicality(case: MarginResult, book: Book) -> None:
    m, model = case.margins, case.risk_inputs.model
    share = np.array([0.2 if "BTC" in held else 0.1 for held in underlyings(book)])
    assert set(share) == {0.1, 0.2}
    close(amount(case, "buffer"), share * before(case, "buffer"))
    checked(case, "buffer", {("", "buffer_share"): share})

    stressed = measured(case, rows_of(case, STRESS_PERIOD), 0.95)
    rules = model.procyclicality.stressed_weight
    if rules.form == "blend":
        weighted = 0.4 * before(case, "buffer") + 0.6 * stressed
    else:
        n, k = SET.section(CORE).count, SET.section(STRESS_PERIOD).count
        core = case.risk_inputs.sample.weight
        core = np.full(n, 1.0 / n) if core is None else core
        weight = np.concatenate([0.5 * core, np.full(k, 0.5 / k)])
        pnl = np.hstack([rows_of(case, CORE), rows_of(case, STRESS_PERIOD)])
        weighted = measured(case, pnl, 0.995, weight / weight.sum())
    close(amount(case, "stressed_weight"), np.maximum(weighted - before(case, "buffer"), 0.0))
    checked(
        case,
        "stressed_weight",
        {("", "stress_period_usd"): stressed, ("", "weighted_usd"): weighted},
    )
    close(m.stress_period_usd, stressed)

    long = measured(case, rows_of(case, LONG), 0.995)
    close(m.long_usd, long)
    floor = np.maximum(np.maximum(long, stressed), 0.0)
    close(amount(case, "floor"), np.maximum(floor - before(case, "floor"), 0.0))
    checked(case, "floor", {("", "long_lookback_usd"): long, ("", "stress_period_usd"): stressed})


def test_the_floors_for_large_losses(case: MarginResult, book: Book) -> None:
    m, section, rows = case.margins, SET.section(EXTENDED), case.risk_inputs.extended
    assert rows is not None
    counted = -rows_of(case, EXTENDED) * rows.share
    row = counted.argmax(axis=1)
    worst = counted.max(axis=1)
    close(amount(case, "extended_moves"), np.maximum(worst - before(case, "extended_moves"), 0.0))
    for a, found in enumerate(figures_of(case, "extended_moves")):
        name, share = rows.names[row[a]], rows.share[row[a]]
        assert found == pytest.approx(
            {
                (name, "loss_usd"): -rows_of(case, EXTENDED)[a, row[a]],
                (name, "loss_share"): share,
                (name, "counted_loss_usd"): worst[a],
            },
            rel=1e-9,
        )
    largest = worst_extended_moves(m)
    assert largest is not None
    close(largest[0], np.maximum(worst, 0.0))
    assert list(largest[1]) == [
        rows.names[r] if loss > 0.0 else "" for r, loss in zip(row, worst, strict=True)
    ]
    assert section.count == len(rows.names)

    close(m.stress_usd, np.maximum(-rows_of(case, STRESS).min(axis=1), 0.0))
    first = SET.section(STRESS).first
    assert m.stress_scenario.tolist() == (first + rows_of(case, STRESS).argmin(axis=1)).tolist()

    contracts, model, rates = case.market.contracts, case.risk_inputs.model, case.risk_inputs.short
    assert rates is not None
    holdings = holdings_from_book(contracts, book)
    least = short_minimum(
        holdings.start, holdings.index, book.quantity, rates, model.tails.short_option_minimum
    )
    columns = {("", "minimum_usd"): least.total_usd}
    for u, underlying in enumerate(rates.underlyings):
        for s, side in enumerate(("calls", "puts")):
            is_open = least.uncovered_coins[:, u, s] > 0.0
            for name, values in (
                ("uncovered_coins", least.uncovered_coins),
                ("side_minimum_usd", least.minimum_usd),
            ):
                columns[f"{underlying} {side}", name] = np.where(is_open, values[:, u, s], np.nan)
    checked(case, "short_option_minimum", columns)
    close(
        amount(case, "short_option_minimum"),
        np.maximum(least.total_usd - before(case, "short_option_minimum"), 0.0),
    )


def test_the_add_ons_for_other_prices(case: MarginResult, book: Book) -> None:
    """Alternative rules, and the settlement of options that expire soon."""
    kind = "es" if case.risk_inputs.model.measure.core == "es" else "var"
    own = case.margins.es_usd if kind == "es" else case.margins.var_usd
    labels = ("svi sticky_strike", "svi sticky_delta", "sabr sticky_moneyness")
    least = 0.3 * np.maximum(own, 0.0)
    for a, found in enumerate(figures_of(case, "model_risk")):
        others = {label: found.pop((label, f"{kind}_usd")) for label in labels}
        assert found == pytest.approx({("", "least_usd"): least[a]})
        expected = max(max(others.values()) - own[a], least[a], 0.0)
        assert amount(case, "model_risk")[a] == pytest.approx(expected, rel=1e-9, abs=1e-6)

    names = {figure for found in figures_of(case, "concentration") for _, figure in found}
    assert {f"bucket_{kind}_usd", f"strike_{kind}_usd"} & names

    risk, contracts = case.risk_inputs.risk, case.market.contracts
    assert risk is not None
    near = {n for n in book.instruments if risk.expires_within[contracts.place[n]]}
    n_near = 0
    for a, found in enumerate(figures_of(case, "expiry_risk")):
        held = slice(int(book.start[a]), int(book.start[a + 1]))
        if near.isdisjoint(book.instruments[i] for i in book.instrument_index[held]):
            assert found == {}
            assert amount(case, "expiry_risk")[a] == 0.0
            continue
        assert list(found) == [("", f"{kind}_settled_usd")]
        expected = max(found["", f"{kind}_settled_usd"] - own[a], 0.0)
        assert amount(case, "expiry_risk")[a] == pytest.approx(expected, rel=1e-9, abs=1e-6)
        n_near += 1
    assert 0 < n_near < len(book.accounts)


def test_the_requirement_is_the_sum_in_the_order_of_the_components(case: MarginResult) -> None:
    m, sample = case.margins, case.risk_inputs.sample
    total = np.zeros(m.positions.size)
    for column in range(len(m.components)):
        total += m.components_usd[:, column]
    np.testing.assert_array_equal(m.initial_margin_usd, total)
    pnl = rows_of(case, CORE)
    close(m.worst_usd, -pnl.min(axis=1))
    assert m.worst_scenario.tolist() == pnl.argmin(axis=1).tolist()
    n = m.tail_usd.shape[1]
    np.testing.assert_array_equal(m.tail_usd, np.sort(pnl, axis=1)[:, :n])
    np.testing.assert_array_equal(np.take_along_axis(pnl, m.tail_scenario, axis=1), m.tail_usd)
    rules = {
        "n_scenarios": SET.section(CORE).count,
        "confidence": 0.995,
        "effective_size": sample.effective_size,
    }
    low, high = var_interval_from_tail(m.tail_usd, **rules)
    np.testing.assert_array_equal(m.var_low_usd, low)
    np.testing.assert_array_equal(m.var_high_usd, high)
    error = es_standard_error_from_tail(m.tail_usd, **rules)
    np.testing.assert_array_equal(m.es_standard_error_usd, error)
    assert np.all(m.rounding_bound_usd > 0.0)


def test_a_component_adds_at_most_what_remains_below_the_largest_loss(
    snapshot: MarketSnapshot, book: Book
) -> None:
    found = []
    for is_bounded in (False, True):
        addons = {**ADD_ONS, "loss_bound": {"enabled": is_bounded}}
        found.append(calculate_margin(snapshot, SET, book, model_from("hs-surface", addons=addons)))
    free, bounded = found
    left = np.full(len(book.accounts), np.inf)
    long_only = np.array([
        np.all(book.quantity[book.start[a] : book.start[a + 1]] > 0.0)
        for a in range(len(book.accounts))
    ])  # fmt: skip
    assert long_only.any()
    assert not long_only.all()
    left[long_only] = bounded.margins.value_usd[long_only]
    for name in ("core", *ADD_ONS):
        own = amount(free, name)
        expected = np.minimum(own, left)
        close(amount(bounded, name), expected)
        for a, values in enumerate(figures_of(bounded, name)):
            limits = {k[1]: v for k, v in values.items() if k[1] in ("unbounded_usd", "left_usd")}
            given = {"unbounded_usd": own[a], "left_usd": left[a]} if own[a] > left[a] else {}
            assert limits == pytest.approx(given, rel=1e-9, abs=1e-6)
        left = np.maximum(left - expected, 0.0)
    assert np.any(left == 0.0)
    assert np.any((left > 0.0) & long_only)


def test_a_measure_alone_records_no_figures(snapshot: MarketSnapshot, book: Book) -> None:
    core = SET.select(SET.section(CORE).rows)
    result = calculate_margin(snapshot, core, book, model_from("hs-surface"))
    assert list(result.margins.inputs.rows()) == []
    np.testing.assert_array_equal(result.margins.initial_margin_usd, result.margins.core_usd)


@pytest.mark.parametrize("core", ["span", "hybrid", "venue_grid", "blend"])
def test_cores_other_than_one_measure(snapshot: MarketSnapshot, book: Book, core: str) -> None:
    model = model_from(
        "hs-surface",
        measure={"core": core, "blend_var_share": 0.3},
        hybrid={"var_floor": 1.5},
        diversification={"enabled": True},
    )
    result = calculate_margin(snapshot, SET, book, model)
    m, inputs = result.margins, result.risk_inputs
    columns: dict[tuple[str, str], np.ndarray] = {("", "var_usd"): m.var_usd}
    columns["", "es_usd"] = m.es_usd
    holdings = holdings_from_book(result.market.contracts, book)
    expected = 0.3 * m.var_usd + 0.7 * m.stress_period_usd
    if core in ("span", "hybrid"):
        found = span_charges(holdings.start, holdings.index, book.quantity, inputs.span, model.span)
        values = {
            "scan_risk_usd": found.scan_risk,
            "active_row": found.active_row + 1.0,
            "composite_delta_coins": found.net_delta,
            "price_risk_usd": found.price_risk,
            "calendar_charge_usd": found.calendar,
            "inter_commodity_credit_usd": found.credit,
            "short_option_minimum_usd": found.minimum,
        }
        assert found.basis is not None
        values["basis_charge_usd"] = found.basis
        close(m.span_usd, found.total)
        expected = found.total
        if core == "hybrid":
            expected = np.maximum(expected, 1.5 * m.var_usd)
            assert np.any(expected > found.total)
            assert np.any(expected == found.total)
    elif core == "venue_grid":
        worst, row = grid_charges(holdings.start, holdings.index, book.quantity, inputs.grid)
        values = {"grid_loss_usd": worst, "active_row": row + 1.0}
        expected = worst.sum(axis=1)
        close(m.venue_grid_usd, expected)
    else:
        values = {}
        assert np.all(np.isnan(m.span_usd))
        assert np.all(np.isnan(m.venue_grid_usd))
    for name, value in values.items():
        columns |= {(u, name): value[:, k] for k, u in enumerate(("BTC", "ETH"))}
    checked(result, "core", columns)
    close(m.core_usd, np.maximum(expected, 0.0))
    # Limits of diversification apply to VaR and expected shortfall alone.
    for name in ("diversification_cap", "correlation_stress"):
        assert np.all(amount(result, name) == 0.0)
    labels = {key for found in figures_of(result, "diversification_cap") for key in found}
    assert labels == {("BTC", "alone_usd"), ("ETH", "alone_usd")}
