"""The worked account of docs/how-your-margin-is-computed.md.

Two independent checks of every number that the page prints: a recomputation from the page's own
input tables with numpy and scipy.stats.norm alone (`worked_account`), and a calculation by the
engine.
"""

import re
import tomllib
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from margin_cluster.results import CalculationOutput, margin_table, part_inputs_table, pnl_table
from worked_account import (
    CALL,
    COMPONENTS,
    INPUTS,
    INVERSE,
    LINEAR,
    TABLES,
    TEXT,
    TICK,
    Inputs,
    decimals,
    given,
    number,
    numbers_of_the_text,
    recompute,
    row_in_full,
    shocked,
)

from margin_actors.engine.explain import trace_account
from margin_actors.engine.margin import (
    COMPONENT_NAMES,
    Equity,
    MarginResult,
    calculate_margin,
    collateral_equity,
)
from margin_actors.engine.parameters import ModelParameters, parameters_from_mapping
from margin_actors.engine.scenarios import Provenance, ScenarioSet, Section
from margin_actors.engine.scenarios.sets.calibration import calibration_from_values
from margin_actors.market.portfolios import Book, Collateral, book_from_table
from margin_actors.market.snapshots import ExpiryForward, MarketSnapshot, OptionQuotes
from margin_actors.market.surfaces import SviSlice, VolatilitySurface

CENT = 0.0051
"""Half a cent, the precision of the page, and the distance of two sums of rounded profits."""


EXPECTED = recompute()
PRINTED = {
    name: {next(iter(row.values())): row for row in rows}
    for name, rows in TABLES.items()
    if name not in INPUTS
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_printed_number_follows_from_the_printed_inputs(name: str) -> None:
    printed, expected = PRINTED[name], EXPECTED[name]
    assert list(printed) == list(expected)
    wrong: list[str] = []
    for label, row in printed.items():
        cells = {c: v for c, v in list(row.items())[1:] if number(v) is not None}
        assert set(cells) == set(expected[label]), label
        for column, cell in cells.items():
            value, shown = expected[label][column], number(cell)
            assert shown is not None
            if abs(value - shown) > 0.5001 * 10.0 ** -decimals(cell):
                wrong.append(f"{label}, {column}: the page prints {cell}, it is {value:.8f}")
    assert not wrong


def test_no_table_of_results_is_left_out() -> None:
    assert set(PRINTED) == set(EXPECTED)
    assert set(TABLES) == {*INPUTS, *EXPECTED}


def test_every_number_of_the_text_stands_in_a_table_or_follows_from_one() -> None:
    known = [abs(v) for rows in EXPECTED.values() for r in rows.values() for v in r.values()]
    known += [abs(v) for t in INPUTS for row in TABLES[t] for v in map(number, row.values()) if v]
    known += [TICK, *(abs(v) for v in row_in_full())]
    found = numbers_of_the_text()
    assert len(found) > 40
    stray = [
        cell
        for cell in found
        if not any(
            abs(v - (number(cell) or 0.0)) <= 0.5001 * 10.0 ** -decimals(cell) for v in known
        )
    ]
    assert not stray


def model_of(text: str) -> ModelParameters:
    block = re.search(r"```toml\n(.*?)```", text, re.S)
    assert block is not None
    return parameters_from_mapping(tomllib.loads(block.group(1)), where="the page")


def market_of(inputs: Inputs) -> tuple[MarketSnapshot, dict[str, VolatilitySurface]]:
    m, expiry = inputs.market, datetime(2026, 3, 27, 8, tzinfo=UTC)
    forward = ExpiryForward("BTC", expiry, m["F"], m["T"] / 365.0)

    def one(value: float) -> np.ndarray:
        return np.array([value])

    value = float(shocked(inputs)["V now"]) / m["S BTC"]
    quotes = OptionQuotes(
        names=(CALL,),
        expiry_index=np.zeros(1, np.int32),
        strike_usd=one(m["K"]),
        is_call=np.array([True]),
        is_inverse=np.array([True]),
        bid=one(m["bid"]),
        ask=one(m["ask"]),
        mark=one(value),
        mark_vol=one(m["mark volatility"]),
        open_interest=one(m["open interest"]),
        volume=one(m["volume"]),
    )
    snapshot = MarketSnapshot(
        time=datetime(2026, 2, 10, 8, tzinfo=UTC),
        index_usd={"BTC": m["S BTC"], "ETH": m["S ETH"]},
        expiries=(forward,),
        options=quotes,
        is_synthetic=True,
    )
    smile = SviSlice(m["a"], m["b"], m["rho"], m["m"], m["sigma"])
    return snapshot, {"BTC": VolatilitySurface("BTC", "svi", (forward,), (smile,), ())}


def scenarios_of(inputs: Inputs, weight: np.ndarray | None = None) -> ScenarioSet:
    core, n = int(inputs.core.sum()), inputs.core.size
    end = np.datetime64("2026-02-10T08:00", "ms") - np.timedelta64(1, "D") * np.arange(core)[::-1]
    past = np.datetime64("2020-03-14", "ms") + np.timedelta64(30, "D") * np.arange(n - core)
    end = np.concatenate([end, past])
    spot = np.column_stack([inputs.spot["BTC"], inputs.spot["ETH"]])
    still = np.zeros_like
    if weight is None:
        weight = np.full(core, 1.0 / core)
    return ScenarioSet(
        engine="historical",
        underlyings=("BTC", "ETH"),
        horizon_hours=48.0,
        start_time=end - np.timedelta64(2, "D"),
        end_time=end,
        spot_return=spot,
        path_hours=np.array([24.0, 48.0]),
        path_return=np.stack([0.5 * spot, spot], axis=2),
        basis_change=np.stack([inputs.basis, still(inputs.basis)], axis=1),
        vol_change=np.stack([inputs.nodes, still(inputs.nodes)], axis=1),
        weight=np.concatenate([weight, np.full(n - core, 1.0 / (n - core))]),
        provenance=np.full((n, 2), Provenance.OBSERVED, np.uint8),
        is_synthetic=True,
        tenors_days=np.array([30.0, 60.0]),
        sections=(Section("core", 0, core), Section("stress_period", core, n - core)),
        calibration=calibration_from_values(
            {name: value for name, value in given("W2").items() if "." in name}
        ),
    )


def book_of(inputs: Inputs) -> Book:
    rows = {"member_id": "M", "account_id": "A"}
    names = list(inputs.quantity)
    table = {name: [value] * len(names) for name, value in rows.items()}
    return book_from_table(
        pa.table(table | {"instrument_name": names, "quantity": list(inputs.quantity.values())}),
        where="the page",
    )


@pytest.fixture(scope="module")
def result() -> MarginResult:
    inputs = Inputs()
    snapshot, surfaces = market_of(inputs)
    found = calculate_margin(
        snapshot, scenarios_of(inputs), book_of(inputs), model_of(TEXT),
        surfaces=surfaces, keep_pnl=True,
    )  # fmt: skip
    (check,) = found.shock_checks
    assert (check.butterfly, check.calendar) == (0, 0)  # no row is repaired
    return found


def printed(table: str, label: str, column: str) -> float:
    shown = number(PRINTED[table][label][column])
    assert shown is not None
    return shown


def test_the_parameters_of_the_page_are_those_of_the_model() -> None:
    model, shown = model_of(TEXT), given("W2")
    fields = {row["parameter"]: row["field"] for row in TABLES["W2"]}
    tried = 0
    for label, field in fields.items():
        name = field.split("`")[1] if field.startswith("`") else ""
        value: object = model
        for part in name.split(".") if name else ():
            value = getattr(value, part)
        if isinstance(value, float):
            assert value == shown[label]
            tried += 1
    assert tried >= 13
    addons = model.addons.concentration
    assert addons.outright_volume_coins["BTC"] == shown["outright volume BTC"]
    assert (0.10, shown["rate of the step"]) == addons.open_interest_steps[0]


def test_the_engine_prices_the_account_as_the_page_does(result: MarginResult) -> None:
    inputs = Inputs()
    assert result.pnl_usd is not None
    for row, label in enumerate(inputs.label):
        traced = {
            t.instrument: t
            for t in trace_account(result.market, result.book, 0, scenarios_of(inputs), row)
        }
        call = traced[CALL]
        years = call.tenor_years
        assert call.forward_after_usd == pytest.approx(printed("W6", label, "F'"), abs=CENT)
        assert call.vol_after * np.sqrt(years) == pytest.approx(printed("W6", label, "s"), abs=1e-6)
        assert call.unit_value_after_usd == pytest.approx(printed("W6", label, "V"), abs=1e-4)
        scale = printed("W6", label, "S'") / printed("W6", label, "F'")
        assert call.scale_after == pytest.approx(scale, abs=2e-7)
        names = {CALL: "option", LINEAR: "BTC perpetual", INVERSE: "ETH perpetual"}
        for name, column in names.items():
            shown = printed("W7", label, column)
            assert traced[name].profit_usd == pytest.approx(shown, abs=CENT)
        total = printed("W7", label, "account")
        assert result.pnl_usd[0, row] == pytest.approx(total, abs=CENT)


def test_the_engine_measures_the_account_as_the_page_does(result: MarginResult) -> None:
    assert result.risk_inputs.sample.effective_size == given("W2")["n_eff"]
    m = result.margins
    found = {
        "VaR": m.var_usd, "ES": m.es_usd, "worst": m.worst_usd,
        "VaR, low": m.var_low_usd, "VaR, high": m.var_high_usd,
        "ES, standard error": m.es_standard_error_usd, "option value": m.value_usd,
    }  # fmt: skip
    for label, value in found.items():
        assert value[0] == pytest.approx(printed("W8", label, "value"), abs=CENT), label
    bound = printed("W8", "rounding bound", "value")
    assert result.margins.rounding_bound_usd[0] == pytest.approx(bound, abs=5e-8)
    inputs = Inputs()
    snapshot, surfaces = market_of(inputs)
    plain = model_of(TEXT).core_only()
    weighted = scenarios_of(inputs, inputs.weight)
    aged = calculate_margin(snapshot, weighted, book_of(inputs), plain, surfaces=surfaces)
    assert aged.margins.var_usd[0] == pytest.approx(
        printed("W8", "VaR with aged weights", "value"), abs=CENT
    )
    assert aged.margins.es_usd[0] == pytest.approx(
        printed("W8", "ES with aged weights", "value"), abs=CENT
    )


def test_the_engine_charges_the_components_that_the_page_prints(result: MarginResult) -> None:
    assert result.margins.components == COMPONENTS
    for part, value in zip(COMPONENTS, result.margins.components_usd[0], strict=True):
        assert value == pytest.approx(printed("W10", f"`{part}`", "USD"), abs=CENT), part
    shown = printed("W10", "initial margin", "USD")
    assert result.margins.initial_margin_usd[0] == pytest.approx(shown, abs=CENT)
    undiversified = printed("W9", "undiversified sum", "value")
    assert result.margins.undiversified_usd[0] == pytest.approx(undiversified, abs=CENT)
    stressed = printed("W9", "stress-period ES", "value")
    assert result.margins.stress_period_usd[0] == pytest.approx(stressed, abs=CENT)
    figures = {(p, of, f): v for _, p, of, f, v in result.margins.inputs.of(0).rows()}
    cell, strike = "BTC 30-90 d", CALL.rsplit("-", 1)[0]
    for key, label in {
        ("concentration", cell, "delta_days_to_close"): "days to close delta",
        ("concentration", cell, "vega_days_to_close"): "days to close vega",
        ("concentration", cell, "bucket_var_usd"): "bucket and strike VaR",
        ("concentration", cell, "charge_usd"): "bucket charge",
        ("concentration", strike, "open_interest_share"): "share of open interest",
        ("concentration", strike, "charge_usd"): "strike charge",
        ("liquidity", cell, "charge_usd"): "liquidity of the option",
        ("liquidity", "BTC outrights", "charge_usd"): "liquidity of the BTC perpetual",
        ("liquidity", "ETH outrights", "charge_usd"): "liquidity of the ETH perpetual",
        ("model_risk", "svi sticky_strike", "var_usd"): "VaR, sticky strike",
        ("model_risk", "", "least_usd"): "least model risk",
        ("stressed_weight", "", "weighted_usd"): "weighted mean",
        ("diversification_cap", "BTC", "alone_usd"): "ES of BTC alone",
        ("diversification_cap", "ETH", "alone_usd"): "ES of ETH alone",
    }.items():
        cell_shown = PRINTED["W9"][label]["value"]
        half = 0.51 * 10.0 ** -decimals(cell_shown)
        assert figures[key] == pytest.approx(printed("W9", label, "value"), abs=half), key


def test_the_collateral_gives_the_printed_excess(result: MarginResult) -> None:
    deposits = given("W11", "amount")
    collateral = Collateral(
        ("A",) * len(deposits), tuple(deposits), np.array(list(deposits.values()))
    )
    parameters = model_of(TEXT)
    shown = given("W11", "haircut")
    assert {a: parameters.collateral.haircuts[a] for a in shown} == shown
    equity = collateral_equity(collateral, result.market.snapshot, result.book, parameters)
    excess = equity.excess_usd(result.margins.value_usd, result.margins.initial_margin_usd)
    for label, value in {
        "market value of the collateral": equity.market_value_usd,
        "collateral after haircuts": equity.counted_usd,
        "option value": result.margins.value_usd,
        "initial margin": result.margins.initial_margin_usd,
        "excess": excess,
    }.items():
        assert value[0] == pytest.approx(printed("W12", label, "USD"), abs=CENT), label


def test_every_column_of_the_results_is_on_the_page(result: MarginResult) -> None:
    snapshot, surfaces = market_of(Inputs())
    equity = Equity(np.ones(1), np.zeros(1), np.zeros(1))
    scenarios = scenarios_of(Inputs())
    output = CalculationOutput(
        result, model_of(TEXT), snapshot, scenarios, surfaces, (), equity, ()
    )
    inputs, pnl = part_inputs_table(output), pnl_table(output)
    assert inputs is not None
    assert pnl is not None
    names = {*inputs.column_names, *pnl.column_names, *(f"{part}_usd" for part in COMPONENT_NAMES)}
    names |= {*margin_table(output).column_names, *(f"{n}_usd" for n in ("span", "venue_grid"))}
    names |= {"long_usd", "stress_usd", "stress_row", "extended_usd", "extended_row", "binding"}
    assert not [name for name in sorted(names) if f"`{name}`" not in TEXT]
