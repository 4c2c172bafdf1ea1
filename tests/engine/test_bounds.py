"""Bounds of add-ons: hedges in neighbouring buckets, put-call parity, the value of long options."""

from dataclasses import replace

import numpy as np
import pytest
from addon_figures import account_book, figures, on, part
from hypothesis import given, settings
from hypothesis import strategies as st
from made import EVERYTHING, made_scenarios, model_from, sections

from margin_actors.engine.addons import contract_risk, hedge_rates, largest_losses, market_depth
from margin_actors.engine.addons.hedging import bucket_tenors
from margin_actors.engine.margin import (
    calculate_margin,
    dominant_add_on,
    dominant_add_ons,
    prepare_market,
)
from margin_actors.engine.revaluation import holdings_from_book
from margin_actors.engine.scenarios import AT_MONEY
from margin_actors.market.books import book_of_portfolios

SCENARIOS = made_scenarios(400)
CHARGED = {"concentration": {"enabled": True, "open_interest_steps": []}}
HEDGED = model_from("hs-surface", addons={**CHARGED, "hedge": {"enabled": True}})
CLOSED = {"parity": True, "value_bound": True, "settling_share": 1.0}
BOUNDED = model_from(
    "hs-surface",
    **{
        **EVERYTHING,
        "addons": {
            **EVERYTHING["addons"],
            "close_out": CLOSED,
            "loss_bound": {"enabled": True},
        },
    },
)


def moves_at(u: int, days: float) -> np.ndarray:
    """Return the at-the-money volatility moves at a tenor, linear in days, by numpy."""
    rows = SCENARIOS.vol_change[:, u, :, AT_MONEY]
    return np.array([np.interp(days, SCENARIOS.tenors_days, row) for row in rows])


def test_the_hedge_bound_can_be_recomputed_by_hand(snapshot, book) -> None:
    big = account_book(book, 0, 8.0)
    result = calculate_margin(snapshot, SCENARIOS, big, HEDGED)
    plain = calculate_margin(snapshot, SCENARIOS, big, model_from("hs-surface", addons=CHARGED))
    given_ = figures(result, "concentration")
    depth, tenors = result.risk_inputs.risk.depth, bucket_tenors(HEDGED.addons.bucket_days)
    k = 2  # floor(400 * 0.005)
    binding = 0
    for u, underlying in enumerate(depth.underlyings):
        vega = {
            b: 100.0 * given_.get(f"{underlying} {name}", {}).get("vega_usd_per_point", 0.0)
            for b, name in enumerate(depth.buckets)
        }
        for b, name in enumerate(depth.buckets):
            found = given_.get(f"{underlying} {name}")
            if found is None or b == 0:
                continue
            days = found["vega_days_to_close"]
            share = 1.0 - 2.0 / max(days, 2.0)
            bounds = []
            for n in (b - 1, b + 1):
                if not 1 <= n < len(depth.buckets):
                    continue
                x, y = moves_at(u, tenors[b - 1]), moves_at(u, tenors[n - 1])
                beta = (x @ y) / (y @ y)
                quantile = np.sort(np.abs(x))[-1 - k]
                basis = np.sort(np.abs(x - beta * y))[-1 - k]
                spread = 2.0 * beta * depth.half_spread_vol[u, n]
                spread /= depth.typical_vol[u, n] * quantile
                hedge = abs(vega[b]) * share * abs(beta)
                hedge *= depth.typical_vol[u, b] / depth.typical_vol[u, n]
                same = max(np.sign(vega[b]) * vega_of(result, u, n) + hedge, 0.0)
                wait = np.sqrt(max(same / (0.2 * depth.vega_volume[u, n]) / 2.0, 1.0)) - 1.0
                cost = spread + basis / quantile * np.sqrt(max(days / 2.0, 1.0))
                bounds.append(share * cost + (wait if hedge > 0 else 0.0))
            delta = np.sqrt(max(found["delta_days_to_close"] / 2.0, 1.0)) - 1.0
            expected = delta + min(bounds)
            assert found["factor_max"] == pytest.approx(expected, rel=1e-6), name
            assert found["charge_usd"] <= found["bucket_var_usd"] * expected * (1 + 1e-6)
            binding += (
                found["charge_usd"]
                < 0.999 * figures(plain, "concentration")[f"{underlying} {name}"]["charge_usd"]
            )
    assert binding > 0
    assert part(result, "concentration") < part(plain, "concentration")


def vega_of(result, u: int, b: int) -> float:
    """Return the account's net vega in a bucket, US dollars per unit of volatility."""
    risk, market = result.risk_inputs.risk, result.market.contracts
    book, total = result.book, 0.0
    for p in range(book.n_positions):
        i = market.place[book.instruments[book.instrument_index[p]]]
        if risk.underlying[i] == u and risk.bucket[i] == b:
            total += book.quantity[p] * risk.vega[i]
    return total


def test_without_volatility_moves_a_hedge_bounds_nothing(snapshot) -> None:
    still = made_scenarios(100, surface=False)
    rates = hedge_rates(still, market_depth(snapshot, HEDGED.addons), HEDGED)
    assert np.all(np.isnan(rates.basis_share))


OTHER = {"C": "P", "P": "C"}


def in_the_money(snapshot, side: str = "C") -> str:
    """Return a quoted call (or put) in the money whose put (or call) is quoted as well."""
    quotes, sign = snapshot.options, 1.0 if side == "C" else -1.0
    for row in np.argsort(-np.nan_to_num(quotes.open_interest)).tolist():
        name = quotes.names[row]
        other = snapshot.option_row.get(name[:-1] + OTHER[side])
        item = snapshot.expiries[quotes.expiry_index[row]]
        deep = name.endswith(side) and (
            sign * quotes.strike_usd[row] < (sign - 0.1) * item.forward_usd
        )
        if deep and other is not None and quotes.bid[other] > 0 and item.tenor_years > 0.03:
            return name
    raise AssertionError("the made market lists such an option")


@pytest.mark.parametrize("side", ["C", "P"])
def test_an_option_in_the_money_is_closed_by_parity(snapshot, side: str) -> None:
    name = in_the_money(snapshot, side)
    own, other = snapshot.option_row[name], snapshot.option_row[name[:-1] + OTHER[side]]
    quotes = snapshot.options
    bid, ask = quotes.bid.copy(), quotes.ask.copy()
    bid[own], ask[own] = 0.5 * quotes.mark[own], 1.5 * quotes.mark[own]
    wide = replace(snapshot, options=replace(quotes, bid=bid, ask=ask))
    item = wide.expiries[quotes.expiry_index[own]]
    short = book_of_portfolios(
        [("A", "M", {name: -0.01}), ("B", "M", {f"{item.underlying}-PERPETUAL": 10.0})]
    )
    parity = model_from(
        "hs-surface", addons={"liquidity": {"enabled": True}, "close_out": {"parity": True}}
    )
    alone = part(calculate_margin(wide, SCENARIOS, short, on("liquidity")), "liquidity")
    found = part(calculate_margin(wide, SCENARIOS, short, parity), "liquidity")
    half = 0.5 * (ask[other] - bid[other]) * wide.index_usd[item.underlying]
    assert found == pytest.approx(0.01 * (half + 0.0002 * item.forward_usd), rel=1e-9)
    assert found < 0.1 * alone


def test_options_that_settle_within_the_period_pay_no_liquidity(snapshot) -> None:
    quotes = snapshot.options
    near = next(
        name for row, name in enumerate(quotes.names)
        if snapshot.expiries[quotes.expiry_index[row]].tenor_years * 365.0 <= 2.0
    )  # fmt: skip
    far = in_the_money(snapshot)
    settled = model_from(
        "hs-surface", addons={"liquidity": {"enabled": True}, "close_out": {"settling_share": 1.0}}
    )
    for name, is_free in ((near, True), (far, False)):
        short = book_of_portfolios([("A", "M", {name: -1.0})])
        found = part(calculate_margin(snapshot, SCENARIOS, short, settled), "liquidity")
        assert (found == 0.0) == is_free, name


def test_closing_a_long_option_costs_at_most_its_value(snapshot) -> None:
    rules = model_from(
        "hs-surface", addons={"liquidity": {"enabled": True}, "close_out": {"value_bound": True}}
    )
    names = snapshot.options.names[::5]
    book = book_of_portfolios((name, "M", {name: 500.0}) for name in names)
    result = calculate_margin(snapshot, SCENARIOS, book, rules)
    liquidity = result.margins.component_usd("liquidity")
    assert np.all(liquidity <= np.maximum(result.margins.value_usd, 0.0) * (1 + 1e-12))
    market = prepare_market(snapshot, rules, names=list(names))
    free = contract_risk(market.contracts, snapshot, rules.revaluation, rules.addons,
                         horizon_hours=48.0, unit_value_usd=market.unit_value_usd)  # fmt: skip
    assert np.all(free.long_cost_max >= 0.0)


def test_no_long_option_costs_more_than_its_value(snapshot) -> None:
    names = snapshot.options.names
    book = book_of_portfolios((name, "M", {name: 40.0}) for name in names)
    result = calculate_margin(snapshot, sections(), book, BOUNDED)
    margins = result.margins
    limit = np.maximum(margins.value_usd, 0.0)
    assert np.all(margins.initial_margin_usd <= limit * (1 + 1e-12))
    np.testing.assert_allclose(
        margins.components_usd.sum(axis=1), margins.initial_margin_usd, rtol=1e-12
    )
    assert np.all(margins.components_usd >= 0.0)
    free = calculate_margin(snapshot, sections(), book, model_from("hs-surface", **EVERYTHING))
    over = free.margins.initial_margin_usd > limit * (1 + 1e-12)
    assert over.any()
    assert np.any(~over)
    assert np.all(margins.initial_margin_usd <= free.margins.initial_margin_usd * (1 + 1e-12))


@pytest.fixture(scope="module")
def listed(snapshot):
    """Return (prepared market of one expiry, name of the expiry, its strikes)."""
    stem, strikes, _ = chain_of(snapshot)
    names = [n for n in snapshot.options.names if n.startswith(f"{stem}-")]
    return prepare_market(snapshot, model_from("hs-surface"), names=names), stem, strikes


def chain_of(snapshot) -> tuple[str, list[float], float]:
    """Return (name of an expiry without strike, its strikes, its forward)."""
    item = next(e for e in snapshot.expiries if e.underlying == "BTC" and e.tenor_years > 0.1)
    of = snapshot.expiries.index(item)
    rows = [r for r in range(len(snapshot.options)) if snapshot.options.expiry_index[r] == of]
    stem = snapshot.options.names[rows[0]].rsplit("-", 2)[0]
    return stem, sorted({float(snapshot.options.strike_usd[r]) for r in rows}), item.forward_usd


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_an_account_is_bounded_exactly_if_it_owes_nothing_at_any_price(listed, data) -> None:
    market, stem, strikes = listed
    chosen = data.draw(st.lists(st.sampled_from(strikes), min_size=2, max_size=4, unique=True))
    held = {
        f"{stem}-{k:g}-{side}": float(data.draw(st.integers(-2, 3)))
        for k in chosen
        for side in "CP"
    }
    book = book_of_portfolios([("A", "M", held)])
    holdings = holdings_from_book(market.contracts, book)
    value = data.draw(st.floats(-1e6, 1e6))
    bound = largest_losses(market.contracts, holdings, book.quantity, np.array([value]))[0]
    prices = np.array([0.0, *strikes, 2.0 * strikes[-1], 1e9])
    payoff = np.zeros(prices.size)
    for name, q in held.items():
        strike = float(name.split("-")[2])
        gain = prices - strike if name.endswith("C") else strike - prices
        payoff += q * np.maximum(gain, 0.0)
    assert bound == (np.inf if payoff.min() < 0.0 else max(value, 0.0))


def test_an_option_covers_those_of_its_underlying_and_expiry_alone(snapshot) -> None:
    """Linear and inverse options of one expiry settle at one price; a long coin owes nothing."""
    stem, strikes, _ = chain_of(snapshot)
    low, high = (f"{stem}-{k:g}-C" for k in strikes[:2])
    other = {
        u: next(n for n in snapshot.options.names if n.startswith(f"{u}-") and n.endswith("-C")
                and not n.startswith(stem)) for u in ("BTC", "ETH")
    }  # fmt: skip
    linear, spread = low.replace("BTC-", "BTC_USDC-"), {low: 1.0, high: -1.0}
    accounts = [
        {other["BTC"]: 1.0, high: -1.0},
        {other["ETH"]: 1.0, low: -1.0},
        {linear: 1.0, low: -1.0},
        {low: 1.0, linear: -1.0},
        {"BTC_USDC": 2.0, **spread},
        {"BTC_USDC": -2.0, **spread},
        {"BTC_USDC": 2.0},
        {"BTC_USDC": 2.0, **{name: -q for name, q in spread.items()}},
    ]
    book = book_of_portfolios((f"A{i}", "M", held) for i, held in enumerate(accounts))
    rules = model_from("hs-surface", revaluation={"unlisted_options": "surface"})
    contracts = prepare_market(snapshot, rules, names=book.instruments).contracts
    value = np.array([50.0, 60.0, 70.0, -80.0, 90.0, 100.0, 110.0, 120.0])
    found = largest_losses(contracts, holdings_from_book(contracts, book), book.quantity, value)
    expected = [np.inf, np.inf, 70.0, 0.0, 90.0, np.inf, 110.0, np.inf]
    assert found.tolist() == expected


def test_a_debit_spread_pays_at_most_its_value_and_a_credit_spread_is_not_bounded(snapshot) -> None:
    stem, strikes, forward = chain_of(snapshot)
    low, high = (min(strikes, key=lambda k: abs(k - x * forward)) for x in (1.0, 1.1))
    spread = {f"{stem}-{low:g}-C": 1.0, f"{stem}-{high:g}-C": -1.0}
    book = book_of_portfolios(
        [("debit", "M", spread), ("credit", "M", {name: -q for name, q in spread.items()})]
    )
    rules = {
        "procyclicality": {"long_floor": {"enabled": True}},
        "addons": {"liquidity": {"enabled": True}, "loss_bound": {"enabled": True}},
    }
    found = calculate_margin(snapshot, sections(), book, model_from("hs-surface", **rules)).margins
    debit, credit = found.initial_margin_usd
    assert debit <= found.value_usd[0] * (1 + 1e-12)
    assert credit > 0.0 > found.value_usd[1]


@pytest.mark.parametrize("further", ["BTC_USDC-PERPETUAL", "BTC-PERPETUAL"])
def test_an_account_with_a_perpetual_has_no_bound(snapshot, further: str) -> None:
    stem, strikes, _ = chain_of(snapshot)
    held = {f"{stem}-{strikes[-1]:g}-C": 1.0, further: 100_000.0}
    book = book_of_portfolios([("A", "M", held)])
    rules = model_from("hs-surface", addons={"loss_bound": {"enabled": True}})
    found = calculate_margin(snapshot, SCENARIOS, book, rules).margins
    free = calculate_margin(snapshot, SCENARIOS, book, model_from("hs-surface")).margins
    assert found.initial_margin_usd[0] == free.initial_margin_usd[0] > found.value_usd[0]


def test_the_flag_names_the_add_on_above_half_of_the_requirement(snapshot, book) -> None:
    result = calculate_margin(snapshot, sections(), book, model_from("hs-surface", **EVERYTHING))
    flags = dominant_add_ons(result.margins)
    add_ons = ("concentration", "liquidity", "model_risk", "expiry_risk")
    for a, flag in enumerate(flags):
        total = result.margins.initial_margin_usd[a]
        amounts = {name: part(result, name, a) for name in add_ons}
        expected = [name for name, amount in amounts.items() if amount > 0.5 * total]
        assert expected == ([flag] if flag else [])
    assert not any(dominant_add_ons(
        calculate_margin(snapshot, SCENARIOS, book, model_from("hs-surface")).margins
    ))  # fmt: skip
    illiquid = on("liquidity", size_power=3.0, size_factor_max=1e6)
    large = calculate_margin(snapshot, SCENARIOS, account_book(book, 0, 50.0), illiquid)
    assert dominant_add_ons(large.margins) == ("liquidity",)


def test_an_add_on_of_exactly_half_is_not_dominant(snapshot, book) -> None:
    margins = calculate_margin(snapshot, SCENARIOS, book, on("liquidity")).margins
    amounts, n = margins.component_usd("liquidity"), len(book.accounts)
    for factor, flag in ((2.0, ""), (1.99, "liquidity")):
        changed = replace(margins, initial_margin_usd=factor * amounts)
        assert dominant_add_ons(changed) == (flag,) * n
        of_one = changed.amounts_of(0)
        assert dominant_add_on(of_one, float(changed.initial_margin_usd[0])) == flag
    none = replace(
        margins,
        initial_margin_usd=np.zeros(n),
        components_usd=np.zeros_like(margins.components_usd),
    )
    assert dominant_add_ons(none) == ("",) * n
