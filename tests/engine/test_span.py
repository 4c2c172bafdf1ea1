"""SPAN, the venue's grid and the hybrid against values calculated by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made_scenarios, model_from

from margin_actors.engine.margin import calculate_margin, prepare_market, span_arrays
from margin_actors.engine.measures import value_at_risk
from margin_actors.engine.parameters import SpanParameters
from margin_actors.engine.parameters.requirement import CalendarSpread, InterCommoditySpread
from margin_actors.engine.span import (
    RiskArrays,
    grid_charges,
    risk_arrays_to_table,
    scan_ranges,
    span_charges,
)
from margin_actors.market.books import account_book
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.numerics.black76 import black76_delta

SCAN = {"BTC": 0.12, "ETH": 0.16}
PLAIN = SpanParameters()
GIVEN = {"price_scan": SCAN, "vol_scan": {"BTC": 0.3, "ETH": 0.35}}


def one(snapshot, positions, parameters, n=300):
    """Return the result for one account with some positions."""
    book = account_book("A", "M", positions)
    return calculate_margin(snapshot, made_scenarios(n), book, parameters)


def inputs(result) -> dict[tuple[str, str], float]:
    return {
        (figure, label): value for _, _, label, figure, value in result.margins.inputs.of(0).rows()
    }


def test_the_scan_risk_of_an_outright_is_its_scan_range(snapshot: MarketSnapshot) -> None:
    coins = 10.0
    for side in (1.0, -1.0):
        result = one(snapshot, {"BTC_USDC-PERPETUAL": side * coins}, model_from("span", span=GIVEN))
        found = inputs(result)
        # An extreme row moves by twice the range and counts 35 % of the loss, which is 0.7 of the
        # range and so never the largest loss.
        expected = coins * SCAN["BTC"] * snapshot.index_usd["BTC"]
        assert found["scan_risk_usd", "BTC"] == pytest.approx(expected, rel=1e-9)
        assert found["composite_delta_coins", "BTC"] == pytest.approx(side * coins, rel=1e-6)
        assert result.margins.initial_margin_usd[0] == pytest.approx(expected, rel=1e-9)
        assert found["active_row", "BTC"] == (11.0 if side < 0 else 13.0)


def test_calibrated_scan_ranges_ask_of_outrights_what_var_does(snapshot) -> None:
    parameters = model_from("span", measure={"core": "span", "confidence": 0.99})
    scenarios = made_scenarios(300)
    for u in ("BTC", "ETH"):
        name, found = f"{u}_USDC-PERPETUAL", []
        for side in (10.0, -10.0):
            result = one(snapshot, {name: side}, parameters)
            found.append((result.margins.var_usd[0], result.margins.initial_margin_usd[0]))
        worse = max(found)
        assert worse[1] == pytest.approx(worse[0], rel=1e-6)
        change = np.exp(scenarios.spot_return[:, scenarios.underlyings.index(u)]) - 1
        var = value_at_risk(np.stack([change, -change]), confidence=0.99).max()
        assert worse[1] == pytest.approx(10.0 * var * snapshot.index_usd[u], rel=1e-6)


@given(
    quantity=st.integers(-50, 50).filter(bool),
    narrow=st.floats(0.01, 0.2),
    more=st.floats(1.0, 2.0),
)
@settings(max_examples=15)
def test_a_wider_scan_range_never_lowers_the_scan_risk_of_an_outright(
    snapshot, quantity, narrow, more
) -> None:
    found = []
    for scan in (narrow, narrow * more):
        span = {**GIVEN, "price_scan": {"BTC": scan, "ETH": scan}}
        result = one(
            snapshot, {"BTC_USDC-PERPETUAL": float(quantity)}, model_from("span", span=span)
        )
        found.append(inputs(result)["scan_risk_usd", "BTC"])
    assert found[1] >= found[0] * (1 - 1e-12)


def made_arrays(n: int, seed: int) -> RiskArrays:
    rng = np.random.default_rng(seed)
    return RiskArrays(
        names=tuple(f"C{i}" for i in range(n)),
        row_names=tuple(f"row {i}" for i in range(16)),
        underlyings=("BTC", "ETH"),
        underlying=rng.integers(0, 2, n).astype(np.int32),
        loss=rng.normal(size=(n, 16)) * 100,
        delta=rng.normal(size=n),
        tier=np.zeros(n, np.int32),
        expiry=rng.integers(-1, 4, n).astype(np.int32),
        option=rng.integers(-1, 2, n).astype(np.int32),
        index_usd=np.array([60_000.0, 2_000.0]),
        price_scan=np.array([0.1, 0.15]),
    )


def charges(arrays, quantities, parameters=PLAIN):
    n = len(arrays.names)
    start = np.arange(0, n * len(quantities) + 1, n)
    index = np.tile(np.arange(n, dtype=np.int32), len(quantities))
    return span_charges(start, index, np.concatenate(quantities), arrays, parameters)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40)
def test_risk_arrays_add_up(seed) -> None:
    """A portfolio's array is the sum of its positions' arrays; scan risk is its maximum."""
    arrays = made_arrays(12, seed)
    rng = np.random.default_rng(seed + 1)
    a, b = rng.normal(size=12), rng.normal(size=12)
    found = charges(arrays, [a, b, a + b])
    for u in range(2):
        own = arrays.underlying == u
        for k, q in enumerate((a, b, a + b)):
            sums = (q[own, None] * arrays.loss[own]).sum(axis=0)
            assert found.scan_risk[k, u] == pytest.approx(max(sums.max(), 0.0), rel=1e-9, abs=1e-9)
            if sums.max() > 0:
                assert sums[found.active_row[k, u]] == pytest.approx(sums.max())
        assert found.scan_risk[2, u] <= found.scan_risk[0, u] + found.scan_risk[1, u] + 1e-9
    np.testing.assert_allclose(found.net_delta[2], found.net_delta[0] + found.net_delta[1])


def spread_arrays(deltas: list[float], tiers: list[int], underlyings: list[int]) -> RiskArrays:
    n = len(deltas)
    loss = np.zeros((n, 16))
    price = np.array([0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3, 6, -6]) / 3.0 * 0.1
    index = np.array([60_000.0, 2_000.0])
    for i, (delta, u) in enumerate(zip(deltas, underlyings, strict=True)):
        loss[i] = -delta * price * index[u]
        loss[i, 14:] *= 0.35
    return RiskArrays(
        tuple(f"C{i}" for i in range(n)), tuple(map(str, range(16))), ("BTC", "ETH"),
        np.array(underlyings, np.int32), loss, np.array(deltas), np.array(tiers, np.int32),
        np.arange(n, dtype=np.int32), np.zeros(n, np.int32), index, np.array([0.1, 0.1]),
    )  # fmt: skip


def test_calendar_spreads_are_formed_in_order_and_use_deltas_once() -> None:
    arrays = spread_arrays([1.0, 1.0, 1.0], [0, 0, 1], [0, 0, 0])
    rules = SpanParameters(
        tier_days=(30.0,),
        calendar_spreads=(CalendarSpread(tiers=(0, 0), rate=0.01),
                          CalendarSpread(tiers=(0, 1), rate=0.02)),
        inter_commodity=(), short_option_minimum=0.0,
    )  # fmt: skip
    # Long 5 and short 2 within the first tier form 2 spreads. The remaining 3 long form 3 spreads
    # with the 4 short in the second tier.
    found = charges(arrays, [np.array([5.0, -2.0, -4.0])], rules)
    assert found.calendar[0, 0] == pytest.approx((2 * 0.01 + 3 * 0.02) * 60_000.0)
    assert found.net_delta[0, 0] == pytest.approx(-1.0)
    assert found.total[0] == pytest.approx(0.1 * 60_000.0 + found.calendar[0, 0])
    # With all signs reversed the charge is the same.
    turned = charges(arrays, [-np.array([5.0, -2.0, -4.0])], rules)
    assert turned.calendar[0, 0] == pytest.approx(found.calendar[0, 0])


def test_the_inter_commodity_credit_is_a_share_of_both_legs_price_risk() -> None:
    arrays = spread_arrays([1.0, 1.0], [0, 0], [0, 1])
    rules = SpanParameters(
        calendar_spreads=(), short_option_minimum=0.0,
        inter_commodity=(InterCommoditySpread(underlyings=("BTC", "ETH"), credit=0.6),),
    )  # fmt: skip
    # Long 1 BTC (60,000 USD) against short 15 ETH (30,000 USD) is a spread of 30,000 USD.
    found = charges(arrays, [np.array([1.0, -15.0]), np.array([1.0, 15.0])], rules)
    np.testing.assert_allclose(found.scan_risk[0], [6_000.0, 3_000.0])
    np.testing.assert_allclose(found.price_risk[0], [6_000.0, 3_000.0])
    np.testing.assert_allclose(found.credit[0], [0.6 * 0.5 * 6_000.0, 0.6 * 1.0 * 3_000.0])
    assert found.total[0] == pytest.approx(9_000.0 - 1_800.0 - 1_800.0)
    np.testing.assert_allclose(found.credit[1], 0.0)  # the same side: no spread


def test_short_options_ask_for_a_minimum(snapshot) -> None:
    quotes = snapshot.options
    far = max(
        (n for n in quotes.names if n.startswith("BTC") and n.endswith("-C")),
        key=lambda n: float(n.split("-")[2]),
    )
    for count, expected in (("sum", 150.0), ("larger_side", 100.0)):
        span = {**GIVEN, "short_option_minimum": 0.02, "short_option_count": count}
        put = f"{far[:-1]}P"
        result = one(snapshot, {far: -100.0, put: -50.0}, model_from("span", span=span))
        found = inputs(result)
        minimum = expected * 0.02 * snapshot.index_usd["BTC"]
        assert found["short_option_minimum_usd", "BTC"] == pytest.approx(minimum)
        assert result.margins.initial_margin_usd[0] >= minimum


def test_the_composite_delta_of_a_narrow_range_is_black_s(snapshot) -> None:
    tiny = {"price_scan": {"BTC": 1e-4, "ETH": 1e-4}, "vol_scan": {"BTC": 0.3, "ETH": 0.3}}
    parameters = model_from("span", span=tiny, revaluation={"dynamics": "sticky_strike",
                                                            "smile": "mark"},
                            scenarios={"surface_moves": "none"})  # fmt: skip
    market = prepare_market(snapshot, parameters)
    arrays, _ = span_arrays(
        snapshot, market.contracts, made_scenarios(50), parameters, market.value_today
    )
    contracts, checked = market.contracts, 0
    for i, name in enumerate(contracts.names):
        if name.count("-") != 3 or not name.startswith("BTC"):
            continue
        curve = contracts.curves[contracts.curve[i]]
        vol = contracts.mark_deviation[i] / np.sqrt(curve.tenor_years)
        delta = black76_delta(
            np.array([curve.level_usd]), contracts.strike[i : i + 1], np.array([vol]),
            np.array([curve.tenor_years]), np.array([contracts.sign[i] > 0]),
        )[0]  # fmt: skip
        # The value of the coin-settled option in dollars is S / F times Black's price. A parallel
        # move keeps that ratio, so dV/dS is N(d1).
        if contracts.mark_deviation[i] > 0.02:
            assert arrays.delta[i] == pytest.approx(delta, abs=2e-4), name
            checked += 1
    assert checked > 100


def test_the_table_of_arrays_says_what_its_rows_are(snapshot) -> None:
    parameters = model_from("span", span=GIVEN)
    market = prepare_market(snapshot, parameters)
    arrays, notes = span_arrays(
        snapshot, market.contracts, made_scenarios(50), parameters, market.value_today
    )
    table = risk_arrays_to_table(arrays)
    assert table.num_rows == len(market.contracts)
    assert [c for c in table.column_names if c.startswith("row_")] == [
        f"row_{i:02d}" for i in range(1, 17)
    ]
    assert table.schema.metadata[b"row_15"] == b"price up, extreme"
    assert len(notes) == 2


def test_the_hybrid_is_span_with_a_floor_at_a_share_of_var(snapshot) -> None:
    straddle = {}
    quotes = snapshot.options
    call = quotes.names[int(np.nanargmax(np.where(quotes.is_call, quotes.open_interest, -1)))]
    straddle = {call: -40.0, f"{call[:-1]}P": 25.0}
    span = one(snapshot, straddle, model_from("span"))
    for floor in (0.0, 0.8, 5.0):
        changed = {"span": {"vol_scan_share": 1.0}, "hybrid": {"var_floor": floor}}
        hybrid = one(snapshot, straddle, model_from("hybrid", **changed))
        expected = max(span.margins.initial_margin_usd[0], floor * span.margins.var_usd[0])
        assert hybrid.margins.initial_margin_usd[0] == pytest.approx(expected, rel=1e-12)


def test_the_volatility_range_is_a_share_of_the_quantile() -> None:
    scenarios = made_scenarios(200)
    whole = scan_ranges(scenarios, model_from("span"))
    part = scan_ranges(scenarios, model_from("span", span={"vol_scan_share": 0.35}))
    assert part.price == whole.price
    for u, vol in whole.vol.items():
        assert 0.01 < vol < 0.95
        assert part.vol[u] == pytest.approx(0.35 * vol, rel=1e-12)


def test_the_grid_takes_the_worst_row_of_each_underlying(snapshot) -> None:
    result = one(
        snapshot,
        {"BTC_USDC-PERPETUAL": 2.0, "ETH_USDC-PERPETUAL": -30.0},
        model_from("venue-grid"),
    )
    index = snapshot.index_usd
    # 16 % of the price; the extreme rows count 24 % of 66 % and 3.2 % of 500 %, which is not more.
    long, short = 0.16 * 2.0 * index["BTC"], 0.16 * 30.0 * index["ETH"]
    assert result.margins.initial_margin_usd[0] == pytest.approx(long + short, rel=1e-9)


def test_grid_sums_are_of_positions() -> None:
    arrays = made_arrays(6, 3)
    q = np.random.default_rng(2).normal(size=6)
    worst, row = grid_charges(np.array([0, 6]), np.arange(6, dtype=np.int32), q, arrays)
    for u in range(2):
        own = arrays.underlying == u
        sums = (q[own, None] * arrays.loss[own]).sum(axis=0)
        assert worst[0, u] == pytest.approx(max(sums.max(), 0.0))
        assert row[0, u] == sums.argmax()
