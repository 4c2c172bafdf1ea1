"""Resources in cents, against the margin calculation's floating-point equity."""

from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import model_from

from margin_actors.clearing.amounts import ASSETS, USD, Asset, units_of
from margin_actors.clearing.journal.deficits import (
    AccountExcess,
    AccountType,
    NetExcess,
    net_excesses,
)
from margin_actors.clearing.journal.resources import (
    CollateralRules,
    Valuation,
    collateral_rules,
    resources,
    withdrawable_units,
)
from margin_actors.engine.margin.collateral import collateral_equity
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidRequest, MissingMarketData
from margin_actors.market.books import book_of_portfolios
from margin_actors.market.portfolios import Collateral
from margin_actors.market.snapshots import MarketSnapshot

D = Decimal
USDC, BTC, ETH = ASSETS["USDC"], ASSETS["BTC"], ASSETS["ETH"]
PRICES = {"BTC": 60_123.45, "ETH": 2_345.67}
EXACT_PRICES = {asset: D(repr(price)) for asset, price in PRICES.items()}
HAIRCUTS = {"USD": 0.0, "USDC": 0.01, "BTC": 0.15, "*": 0.4}
OPTIONS = {"BTC_USDC-26JUN26-60000-C": 1_234.56, "BTC-26JUN26-60000-C": 2_222.22}
MODELS = {
    "haircuts": {"haircuts": HAIRCUTS},
    "de-peg": {"haircuts": HAIRCUTS, "depeg": {"USDC": 0.13, "USDT": 0.11}},
    "joint": {"haircuts": HAIRCUTS, "joint_simulation": True},
}


@cache
def model_of(name: str) -> ModelParameters:
    return model_from("hs-surface", collateral=MODELS[name])


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=50)
@given(
    amounts=st.dictionaries(st.sampled_from(sorted(ASSETS)), st.integers(0, 10**12)),
    quantities=st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    unsettled=st.integers(-(10**9), 10**9),
    requirement=st.integers(0, 10**9),
)
def test_resources_are_the_equity_of_the_margin_calculation(
    name: str,
    amounts: dict[str, int],
    quantities: tuple[int, int],
    unsettled: int,
    requirement: int,
) -> None:
    model = model_of(name)
    positions = dict(zip(OPTIONS, map(float, quantities), strict=True))
    book = book_of_portfolios([("A", "M", {k: q for k, q in positions.items() if q} or positions)])
    coins = {a: units / 10 ** ASSETS[a].decimals for a, units in amounts.items()}
    held = Collateral(("A",) * len(coins), tuple(coins), np.array(list(coins.values()), float))
    snapshot = cast("MarketSnapshot", SimpleNamespace(index_usd=PRICES))
    equity = collateral_equity(held, snapshot, book, model, unit_values=OPTIONS)
    values = [q * v for q, v in zip(quantities, OPTIONS.values(), strict=True)]
    excess = equity.excess_usd(
        np.array([sum(values)]), np.array([requirement / 100]), unsettled / 100
    )
    valuation = Valuation(
        collateral_rules(model),
        EXACT_PRICES,
        {
            "USDC": quantities[0] * D("1234.56"),
            "BTC": quantities[1] * D("2222.22"),
        },
        D(unsettled) / 100,
    )
    found = resources({ASSETS[a]: units for a, units in amounts.items()}, valuation)
    # Each of at most seven components is rounded down to a cent.
    exact = float(excess[0]) * 100
    slack = 1e-9 * (abs(exact) + float(equity.market_value_usd[0]) * 100)
    assert exact - 7 - slack <= found.excess_cents(requirement) <= exact + slack


def valuation(**changes: object) -> Valuation:
    rules = CollateralRules({"USD": D(0), "USDC": D("0.01"), "BTC": D("0.15")})
    return Valuation(rules, {"BTC": D(50_000), "ETH": D(2_000)}, **changes)  # type: ignore[arg-type]


def test_each_component_is_rounded_down_and_the_components_sum_to_the_total() -> None:
    held = {BTC: units_of(D("0.00000123"), BTC), USDC: 1_999_999, USD: 100}
    found = resources(
        held, valuation(option_value_usd={"BTC": D("-1.001")}, unsettled_usd=D("0.999"))
    )
    by_asset = {v.asset.name: (v.market_cents, v.counted_cents) for v in found.collateral}
    assert by_asset == {"BTC": (6, 5), "USD": (100, 100), "USDC": (199, 197)}
    assert (found.option_cents, found.unsettled_cents) == (-101, 99)
    assert found.total_cents == 5 + 100 + 197 - 101 + 99
    assert found.settled_cents == found.total_cents - 99
    assert found.excess_cents(301) == -1


def test_what_is_owed_counts_in_full_and_unsettled_losses_cannot_be_withdrawn() -> None:
    found = resources({BTC: -100_000_000, USD: 10_000_000}, valuation(unsettled_usd=D(-7)))
    assert [v.counted_cents for v in found.collateral] == [-5_000_000, 10_000_000]
    assert found.settled_cents == found.total_cents == 5_000_000 - 700


def test_an_asset_without_a_haircut_of_its_own_does_not_count() -> None:
    assert resources({ETH: 10**8}, valuation()).total_cents == 0
    others = Valuation(CollateralRules({"*": D("0.4")}), {"ETH": D(2_000)})
    assert resources({ETH: 10**8}, others).total_cents == 120_000


def test_prices_that_are_missing_or_impossible_are_refused() -> None:
    with pytest.raises(MissingMarketData, match="SOL: it has no price"):
        resources({Asset("SOL", 9): 1}, valuation())
    for price in ("0", "-1", "NaN", "Infinity", "1E+18"):
        with pytest.raises(MissingMarketData, match="price of BTC"):
            Valuation(CollateralRules({}), {"BTC": D(price)})
    with pytest.raises(MissingMarketData, match="unsettled variation"):
        valuation(unsettled_usd=D("NaN"))


AMOUNTS = st.dictionaries(
    st.sampled_from([USD, USDC, BTC, ETH]), st.integers(-(10**9), 10**10), min_size=1
)


@settings(max_examples=50)
@given(AMOUNTS, st.sampled_from([USD, USDC, BTC, ETH]), st.integers(0, 10**8), st.booleans())
def test_the_withdrawable_amount_is_the_largest_that_keeps_what_is_needed_covered(
    held: dict[Asset, int], asset: Asset, needed: int, is_simulated: bool
) -> None:
    rules = CollateralRules(
        {"USD": D(0), "USDC": D("0.01"), "BTC": D("0.15")},
        simulated=frozenset({"BTC"} if is_simulated else ()),
        simulated_lot=D("0.01"),
    )
    values = Valuation(rules, {"BTC": D(50_000), "ETH": D(2_000)}, unsettled_usd=D(300))

    def settled(units: int) -> int:
        return resources({**held, asset: held.get(asset, 0) - units}, values).settled_cents

    units = withdrawable_units(held, asset, values, needed_cents=needed)
    assert 0 <= units <= max(0, held.get(asset, 0))
    if units:
        assert settled(units) >= needed
    if settled(0) < needed:
        assert units == 0
    elif held.get(asset, 0) > units:
        assert settled(units + 1) < needed


HOUSE, CLIENT = AccountType.HOUSE, AccountType.CLIENT
ACCOUNTS = [
    AccountExcess("h1", "m", HOUSE, 100),
    AccountExcess("h2", "m", HOUSE, -130),
    AccountExcess("c1", "m", CLIENT, -50),
    AccountExcess("c2", "m", CLIENT, 500),
    AccountExcess("h3", "n", HOUSE, -10),
    AccountExcess("h4", "n", HOUSE, 40),
]


def test_only_house_accounts_of_a_member_that_may_net_are_netted() -> None:
    found = {net.accounts: net.deficit_cents for net in net_excesses(ACCOUNTS)}
    assert found == {
        ("c1",): 50, ("c2",): 0, ("h1",): 0, ("h2",): 130, ("h3",): 10, ("h4",): 0
    }  # fmt: skip
    netted = net_excesses(reversed(ACCOUNTS), netting_members={"m"})
    assert netted == (
        NetExcess("m", ("c1",), -50),
        NetExcess("m", ("c2",), 500),
        NetExcess("m", ("h1", "h2"), -30),
        NetExcess("n", ("h3",), -10),
        NetExcess("n", ("h4",), 40),
    )
    assert sum(net.deficit_cents for net in netted) == 90
    with pytest.raises(InvalidRequest, match="more than once"):
        net_excesses([*ACCOUNTS, ACCOUNTS[0]])
