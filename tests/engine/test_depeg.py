"""De-peg scenarios of stablecoins: what of deposits and option values is counted."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import model_from

from margin_actors.engine.margin import Equity, collateral_equity
from margin_actors.errors import InvalidParameters
from margin_actors.market.books import Book, book_of_portfolios
from margin_actors.market.instruments import settlement_asset
from margin_actors.market.portfolios import collateral_from_table
from margin_actors.market.snapshots import MarketSnapshot, OptionQuotes

CALL, INVERSE = "BTC_USDC-26JUN26-100000-C", "BTC-26JUN26-100000-C"
UNITS = {CALL: 5_000.0, INVERSE: 5_000.0, "BTC_USDC-PERPETUAL": 0.0, "BTC_USDC": 80_000.0}
DEPEG = {"USDC": 0.13, "USDT": 0.11}


def market() -> MarketSnapshot:
    none, bits = np.empty(0), np.empty(0, np.bool_)
    quotes = OptionQuotes(
        (), np.empty(0, np.int32), none, bits, bits, none, none, none, none, none, none
    )
    return MarketSnapshot(datetime(2026, 1, 1, tzinfo=UTC), {"BTC": 80_000.0}, (), quotes)


def equity(
    positions: dict[str, float], deposits: dict[str, float], depeg: dict[str, float]
) -> Equity:
    book: Book = book_of_portfolios([("A", "M", positions)])
    table = pa.table(
        {
            "account_id": pa.array(["A"] * len(deposits), pa.string()),
            "asset": pa.array(list(deposits), pa.string()),
            "amount": pa.array(list(deposits.values()), pa.float64()),
        }
    )
    held = collateral_from_table(table, where="test")
    parameters = model_from("plain-hs", collateral={"depeg": depeg})
    return collateral_equity(held, market(), book, parameters, unit_values=UNITS)


def test_the_share_not_counted_is_the_larger_of_haircut_and_depeg() -> None:
    deposits = {"USD": 100.0, "USDC": 1000.0, "USDT": 2000.0, "BTC": 1.0}
    found = equity({"BTC_USDC-PERPETUAL": 1.0}, deposits, DEPEG)
    # Haircuts of the preset: USDC 1 %, USDT 2 %, BTC 15 %.
    expected = 0.13 * 1000 + 0.11 * 2000 + 0.15 * 80_000
    assert found.haircut_usd[0] == pytest.approx(expected)
    small = equity({"BTC_USDC-PERPETUAL": 1.0}, deposits, {"USDT": 0.001})
    assert small.haircut_usd[0] == pytest.approx(0.01 * 1000 + 0.02 * 2000 + 0.15 * 80_000)


def test_without_scenarios_nothing_changes() -> None:
    found = equity({CALL: 10.0}, {"USDC": 1000.0}, {})
    assert found.depeg == ()
    assert found.depeg_equity_usd(np.zeros(1)) is None
    assert found.haircut_usd[0] == pytest.approx(10.0)
    assert found.excess_usd(np.array([5e4]), np.array([1e3]))[0] == pytest.approx(990.0 + 49e3)


def test_long_options_in_the_stablecoin_lose_their_share_and_short_ones_gain_nothing() -> None:
    value = np.array([50_000.0])
    long = equity({CALL: 10.0}, {"USDC": 1000.0}, DEPEG)
    assert long.contract_depeg_usd[0] == pytest.approx(0.13 * 50_000.0)
    counted = 0.87 * 1000.0 + 0.87 * 50_000.0
    assert long.excess_usd(value, np.array([7.0]))[0] == pytest.approx(counted - 7.0)
    in_scenario = long.depeg_equity_usd(value)
    assert in_scenario is not None
    assert in_scenario[0] == pytest.approx(counted)
    short = equity({CALL: -10.0}, {"USDC": 1000.0}, DEPEG)
    assert short.contract_depeg_usd[0] == 0.0
    inverse = equity({INVERSE: 10.0, "BTC_USDC": 1.0}, {"USD": 1.0}, DEPEG)
    assert inverse.contract_depeg_usd[0] == 0.0


@given(
    calls=st.integers(-50, 50).filter(bool),
    deposits=st.dictionaries(st.sampled_from(["USD", "USDC", "USDT", "BTC"]), st.floats(0, 1e6)),
    share=st.floats(0, 1),
)
def test_the_equity_in_every_scenario_is_at_least_the_counted_one(calls, deposits, share) -> None:
    found = equity({CALL: float(calls)}, deposits, {"USDC": share, "USDT": 0.5 * share})
    value = np.array([calls * UNITS[CALL]])
    counted = found.excess_usd(value, np.zeros(1))
    in_scenario = found.depeg_equity_usd(value)
    assert in_scenario is not None
    assert in_scenario[0] >= counted[0] - 1e-6 * (1.0 + abs(counted[0]))


@pytest.mark.parametrize(
    ("name", "asset"),
    [
        (CALL, "USDC"),
        ("ETH_USDT-PERPETUAL", "USDT"),
        ("BTC_USD-26JUN26", "USD"),
        ("BTC-26JUN26", "BTC"),
        ("ETH-PERPETUAL", "ETH"),
        ("BTC_USDC", "BTC"),
        ("BTC-SPOT", "BTC"),
    ],
)
def test_the_settlement_asset_follows_from_the_name(name: str, asset: str) -> None:
    assert settlement_asset(name) == asset


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(InvalidParameters, match=r"collateral\.depeg\.USDC"):
        model_from("plain-hs", collateral={"depeg": {"USDC": 1.5}})
