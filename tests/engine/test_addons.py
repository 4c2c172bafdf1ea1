"""Add-ons, recomputed by hand from the inputs that a result reports."""

from dataclasses import replace

import numpy as np
import pytest
from addon_figures import account_book, figures, on, part
from made import made_scenarios, model_from

from margin_actors.engine.addons import bucket_names, contract_risk, market_depth
from margin_actors.engine.margin import (
    calculate_margin,
    collateral_equity,
    prepare_market,
    with_collateral,
)
from margin_actors.engine.measures import value_at_risk
from margin_actors.engine.parameters import AddOnParameters
from margin_actors.errors import InvalidPortfolio
from margin_actors.market.books import Book
from margin_actors.market.portfolios import Collateral
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.numerics.black76 import black76_delta, black76_price, black76_vega

SCENARIOS = made_scenarios(400)


def test_greeks_are_differences_of_black_s_prices() -> None:
    f, k, vol, years = (np.array([x]) for x in (60_000.0, 65_000.0, 0.6, 0.2))
    for is_call in (True, False):
        call = np.array([is_call])
        up, down = (black76_price(f + h, k, vol * np.sqrt(years), call)[0] for h in (1.0, -1.0))
        assert black76_delta(f, k, vol, years, call)[0] == pytest.approx(
            0.5 * (up - down), rel=1e-6
        )
    up, down = (
        black76_price(f, k, (vol + h) * np.sqrt(years), np.array([True]))[0] for h in (1e-4, -1e-4)
    )
    assert black76_vega(f, k, vol, years)[0] == pytest.approx((up - down) / 2e-4, rel=1e-6)


def test_the_depth_of_a_bucket_is_that_of_its_quotes(snapshot: MarketSnapshot) -> None:
    rules = AddOnParameters()
    depth = market_depth(snapshot, rules)
    assert depth.buckets == bucket_names(rules.bucket_days)
    quotes = snapshot.options
    u, b = depth.underlyings.index("ETH"), depth.buckets.index("30-90 d")
    delta = vega = 0.0
    points = []
    for row, name in enumerate(quotes.names):
        item = snapshot.expiries[quotes.expiry_index[row]]
        days = item.tenor_years * 365.0
        if item.underlying != "ETH" or not 30.0 < days <= 90.0 or np.isnan(quotes.mark_vol[row]):
            continue
        args = [np.array([x]) for x in (item.forward_usd, quotes.strike_usd[row],
                                        quotes.mark_vol[row], item.tenor_years)]  # fmt: skip
        delta += quotes.volume[row] * abs(black76_delta(*args, np.array([name.endswith("C")]))[0])
        own = snapshot.index_usd["ETH"] / item.forward_usd * black76_vega(*args)[0]
        vega += quotes.volume[row] * own
        half = 0.5 * (quotes.ask[row] - quotes.bid[row]) * snapshot.index_usd["ETH"]
        if half > 0:
            points.append(half / own)
    assert depth.delta_volume[u, b] == pytest.approx(delta, rel=1e-9)
    assert depth.vega_volume[u, b] == pytest.approx(vega, rel=1e-9)
    assert depth.half_spread_vol[u, b] == pytest.approx(np.median(points), rel=1e-9)


def test_concentration_can_be_recomputed_by_hand(snapshot, book) -> None:
    """d = exposure / (participation ADV); charge = bucket VaR (sqrt(max(1, d / h)) - 1)."""
    big = account_book(book, 0, 5.0)
    result = calculate_margin(snapshot, SCENARIOS, big, on("concentration"))
    given = figures(result, "concentration")
    total = 0.0
    cube, contracts = result.cube, result.market.contracts
    risk = result.risk_inputs.risk
    for label, found in given.items():
        if "bucket_var_usd" in found:
            days = max(found["delta_days_to_close"], found["vega_days_to_close"])
            expected = found["bucket_var_usd"] * (np.sqrt(max(1.0, days / 2.0)) - 1.0)
            own = [
                p for p in range(big.n_positions)
                if risk.depth.bucket_labels[
                    risk.underlying[contracts.place[big.instruments[big.instrument_index[p]]]]
                    * len(risk.depth.buckets)
                    + risk.bucket[contracts.place[big.instruments[big.instrument_index[p]]]]
                ] == label
            ]  # fmt: skip
            pnl = sum(
                big.quantity[p]
                * cube.profits_usd(
                    contracts, contracts.place[big.instruments[big.instrument_index[p]]]
                )
                for p in own
            )
            var = value_at_risk(pnl[None, :], confidence=0.995)[0]
            assert found["bucket_var_usd"] == pytest.approx(max(var, 0.0), rel=1e-6), label
        else:
            steps = [(0.1, 0.05), (0.25, 0.1), (0.5, 0.2)]
            rate = [r for s, r in steps if found["open_interest_share"] >= s][-1]
            assert found["rate"] == rate
            expected = rate * found["strike_var_usd"]
        assert found["charge_usd"] == pytest.approx(expected, rel=1e-9)
        total += expected
    assert any("bucket_var_usd" in f for f in given.values())
    assert any("rate" in f for f in given.values())
    assert part(result, "concentration") == pytest.approx(total, rel=1e-9)
    assert result.margins.initial_margin_usd[0] == pytest.approx(
        result.margins.core_usd[0] + total, rel=1e-12
    )


def test_a_small_account_is_not_concentrated(snapshot, book) -> None:
    rules = {"open_interest_steps": []}
    small = account_book(book, 0, 0.01)
    result = calculate_margin(snapshot, SCENARIOS, small, on("concentration", **rules))
    assert part(result, "concentration") == 0.0
    assert figures(result, "concentration") == {}


def test_liquidity_can_be_recomputed_by_hand(snapshot, book) -> None:
    result = calculate_margin(snapshot, SCENARIOS, account_book(book, 0), on("liquidity"))
    given = figures(result, "liquidity")
    for found in given.values():
        long, short = found["vega_long_usd_per_point"], found["vega_short_usd_per_point"]
        offset = 2.0 * min(long, short) / (long + short) if long + short else 0.0
        assert found["offset_share"] == pytest.approx(offset, abs=1e-12)
        expected = found["half_spread_grown_usd"] * (1.0 - 0.5 * offset)
        assert found["charge_usd"] == pytest.approx(expected, rel=1e-12)
        assert found["half_spread_grown_usd"] >= found["half_spread_usd"] > 0.0
    total = sum(f["charge_usd"] for f in given.values())
    assert part(result, "liquidity") == pytest.approx(total, rel=1e-12)


def test_the_spread_of_one_option_is_its_quote_s_and_grows_with_size(snapshot) -> None:
    quotes = snapshot.options
    row = int(np.nanargmax(np.where(quotes.bid > 0, quotes.open_interest, -1.0)))
    name = quotes.names[row]
    half = 0.5 * (quotes.ask[row] - quotes.bid[row])
    half *= snapshot.index_usd[name.split("-")[0]]
    usual = 0.05 * quotes.open_interest[row]
    costs = []
    for quantity in (np.floor(usual), np.floor(4.0 * usual), np.floor(1000.0 * usual)):
        alone = Book(("A",), ("M",), (name,), np.array([0, 1]), np.array([0], np.int32),
                     np.array([-quantity]))  # fmt: skip
        result = calculate_margin(snapshot, SCENARIOS, alone, on("liquidity"))
        grown = np.clip(np.sqrt(quantity / usual), 1.0, 5.0)
        assert part(result, "liquidity") == pytest.approx(quantity * half * grown, rel=1e-9)
        costs.append(part(result, "liquidity") / quantity)
    assert costs[0] == pytest.approx(half)
    assert costs == sorted(costs)


def test_a_missing_side_takes_the_bucket_s_spread_in_volatility(snapshot) -> None:
    quotes = snapshot.options
    bid = quotes.bid.copy()
    row = int(np.nanargmax(np.where(quotes.bid > 0, quotes.open_interest, -1.0)))
    bid[row] = np.nan
    one_sided = replace(snapshot, options=replace(quotes, bid=bid))
    parameters = on("liquidity", size_power=0.0)
    market = prepare_market(one_sided, parameters, names=[quotes.names[row]])
    risk = contract_risk(market.contracts, one_sided, parameters.revaluation, parameters.addons,
                         horizon_hours=48.0)  # fmt: skip
    u, b = risk.underlying[0], risk.bucket[0]
    assert risk.half_spread[0] == pytest.approx(risk.vega[0] * risk.depth.half_spread_vol[u, b])


def test_model_risk_is_the_largest_change_and_at_least_a_share(snapshot, book) -> None:
    alone = account_book(book, 0)
    result = calculate_margin(snapshot, SCENARIOS, alone, on("model_risk"))
    given = figures(result, "model_risk")
    var = result.margins.var_usd[0]
    others = {label: f["var_usd"] for label, f in given.items() if label}
    assert set(others) == {"svi sticky_strike", "svi sticky_delta", "sabr sticky_moneyness"}
    for label, found in others.items():
        smile, dynamics = label.split()
        direct = calculate_margin(
            snapshot, SCENARIOS, alone,
            model_from("hs-surface", revaluation={"smile": smile, "dynamics": dynamics}),
        )  # fmt: skip
        assert found == pytest.approx(direct.margins.var_usd[0], rel=1e-12), label
    expected = max(max(others.values()) - var, 0.02 * max(var, 0.0))
    assert part(result, "model_risk") == pytest.approx(expected, rel=1e-12)
    high = calculate_margin(snapshot, SCENARIOS, alone, on("model_risk", share_min=3.0))
    assert part(high, "model_risk") == pytest.approx(3.0 * var)


def test_expiry_risk_settles_what_expires_on_the_way(snapshot, book) -> None:
    quotes = snapshot.options
    soon = [e for e in snapshot.expiries if e.tenor_years * 365.0 <= 2.0 and e.underlying == "BTC"]
    assert soon, "the made market lists an expiry within two days"
    near = snapshot.expiries.index(soon[-1])
    row = next(
        i for i in np.argsort(-np.nan_to_num(quotes.open_interest))
        if quotes.expiry_index[i] == near and quotes.is_call[i]
    )  # fmt: skip
    name = quotes.names[row]
    names = tuple(sorted([name, "BTC_USDC-PERPETUAL"]))
    quantity = {name: -20.0, "BTC_USDC-PERPETUAL": 10.0}
    hedged = Book(("A",), ("M",), names, np.array([0, 2]), np.arange(2, dtype=np.int32),
                  np.array([quantity[n] for n in names]))  # fmt: skip
    result = calculate_margin(snapshot, SCENARIOS, hedged, on("expiry_risk"))
    settled = calculate_margin(
        snapshot, SCENARIOS, hedged,
        model_from("hs-surface", revaluation={"time": "settle_expiring"}),
    )  # fmt: skip
    found = figures(result, "expiry_risk")[""]
    assert found["var_settled_usd"] == pytest.approx(settled.margins.var_usd[0], rel=1e-12)
    expected = max(settled.margins.var_usd[0] - result.margins.var_usd[0], 0.0)
    assert part(result, "expiry_risk") == pytest.approx(expected, rel=1e-12)
    # By hand in one scenario: the option's value is its intrinsic value at the path's price.
    s = 7
    expiry_hours = soon[-1].tenor_years * 8760.0
    path = np.interp(expiry_hours, [0.0, 24.0, 48.0], [0.0, *SCENARIOS.path_return[s, 0]])
    price = snapshot.index_usd["BTC"] * np.exp(path)
    strike = float(name.split("-")[2])
    market = settled.market
    place = market.contracts.place[name]
    after = settled.cube.profits_usd(market.contracts, place)[s] + market.unit_value_usd[place]
    assert after == pytest.approx(max(price - strike, 0.0), abs=0.01)


def test_an_account_that_holds_nothing_near_pays_no_expiry_risk(snapshot) -> None:
    far = next(n for n in snapshot.options.names if n.startswith("ETH")
               and snapshot.expiries[snapshot.options.expiry_index[
                   snapshot.option_row[n]]].tenor_years > 0.3)  # fmt: skip
    alone = Book(("A",), ("M",), (far,), np.array([0, 1]), np.array([0], np.int32),
                 np.array([-5.0]))  # fmt: skip
    result = calculate_margin(snapshot, SCENARIOS, alone, on("expiry_risk"))
    assert part(result, "expiry_risk") == 0.0


def test_diversification_reports_all_three_and_takes_back_its_share(snapshot, book) -> None:
    rules = {"enabled": True, "reduction_max": 0.8, "correlation_stress": 0.25}
    parameters = model_from("hs-surface", diversification=rules)
    result = calculate_margin(snapshot, SCENARIOS, book, parameters)
    for a in range(0, len(book.accounts), 5):
        own = list(range(int(book.start[a]), int(book.start[a + 1])))
        total = 0.0
        for u in ("BTC", "ETH"):
            pnl = np.zeros(len(SCENARIOS))
            for p in own:
                name = book.instruments[book.instrument_index[p]]
                if name.startswith(u):
                    pnl += book.quantity[p] * result.cube.profits_usd(
                        result.market.contracts, int(book.instrument_index[p])
                    )
            ordered = np.sort(pnl)
            m = 400 * 0.005
            total += max(-(ordered[:2].sum()) / m, 0.0)
        assert result.margins.undiversified_usd[a] == pytest.approx(total, rel=1e-6)
        help_given = max(total - result.margins.core_usd[a], 0.0)
        cap = part(result, "diversification_cap", a)
        assert cap == pytest.approx(0.2 * help_given, rel=1e-6, abs=1e-3)
        stress = part(result, "correlation_stress", a)
        assert stress == pytest.approx(0.25 * 0.8 * help_given, rel=1e-6, abs=1e-3)


# -- collateral ------------------------------------------------------------------------------------


def deposits(*rows: tuple[str, str, float]) -> Collateral:
    return Collateral(
        tuple(r[0] for r in rows), tuple(r[1] for r in rows), np.array([r[2] for r in rows])
    )


def test_haircuts_by_asset(snapshot, book) -> None:
    parameters = model_from(
        "hs-surface", collateral={"haircuts": {"USD": 0.0, "BTC": 0.15, "*": 0.4}}
    )
    a, b = book.accounts[:2]
    held = deposits((a, "USD", 1_000.0), (a, "BTC", 2.0), (b, "ETH", 10.0))
    equity = collateral_equity(held, snapshot, book, parameters)
    btc, eth = snapshot.index_usd["BTC"], snapshot.index_usd["ETH"]
    np.testing.assert_allclose(equity.market_value_usd[:2], [1_000 + 2 * btc, 10 * eth])
    np.testing.assert_allclose(equity.counted_usd[:2], [1_000 + 1.7 * btc, 6 * eth])
    assert np.all(equity.counted_usd[2:] == 0.0)
    excess = equity.excess_usd(np.full(len(book.accounts), 50.0), np.full(len(book.accounts), 80.0))
    assert excess[0] == pytest.approx(1_000 + 1.7 * btc - 30.0)
    with pytest.raises(InvalidPortfolio, match="DOGE has no index price"):
        collateral_equity(deposits((a, "DOGE", 1.0)), snapshot, book, parameters)


def test_collateral_of_an_unknown_account_is_refused(snapshot, book) -> None:
    parameters = model_from("hs-surface")
    a = book.accounts[0]
    held = deposits((a, "USD", 1_000.0), ("NOBODY", "BTC", 5.0), ("NOBODY", "USD", 1.0))
    with pytest.raises(InvalidPortfolio, match="row 1 and 1 more: account NOBODY is not in"):
        collateral_equity(held, snapshot, book, parameters)
    # A known account without positions has neither a requirement nor a row.
    equity = collateral_equity(held, snapshot, book, parameters, other_accounts=["NOBODY"])
    assert equity.market_value_usd.sum() == 1_000.0


def test_coins_simulated_with_the_account_offset_its_short(snapshot) -> None:
    """Ten coins are pledged against ten sold; losses of the one are gains of the other."""
    name = "BTC_USDC-PERPETUAL"
    short = Book(("A",), ("M",), (name,), np.array([0, 1]), np.array([0], np.int32),
                 np.array([-10.0]))  # fmt: skip
    held = deposits(("A", "BTC", 10.004))
    cut = model_from("hs-surface", collateral={"haircuts": {"BTC": 0.15}})
    joint = model_from(
        "hs-surface", collateral={"haircuts": {"BTC": 0.15}, "joint_simulation": True}
    )
    assert with_collateral(short, held, cut) is short
    cash = deposits(("A", "USD", 1e6), ("A", "USDC", 1e6))
    assert with_collateral(short, cash, joint) is short  # cash has no risk
    both = with_collateral(short, held, joint)
    assert both.instruments == ("BTC_USDC", name)
    assert both.quantity.tolist() == [10.0, -10.0]
    apart = calculate_margin(snapshot, SCENARIOS, short, cut)
    together = calculate_margin(snapshot, SCENARIOS, both, joint)
    assert together.margins.initial_margin_usd[0] == pytest.approx(0.0, abs=1e-3)
    assert apart.margins.initial_margin_usd[0] > 1_000.0
    price = snapshot.index_usd["BTC"]
    equity = collateral_equity(held, snapshot, short, joint)
    # The fraction of a lot that remains keeps its haircut; the value of the coins is counted once.
    assert equity.counted_usd[0] == pytest.approx((10.0 + 0.85 * 0.004) * price)
    assert together.margins.value_usd[0] - equity.simulated_usd[0] == pytest.approx(0.0, abs=1e-6)
