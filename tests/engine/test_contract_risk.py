"""Risk of contracts per unit, and the depth of a chain: every number by its definition."""

from dataclasses import replace

import numpy as np
import pytest
from made import model_from
from small_chain import quotes_of

from margin_actors.engine.addons import MarketDepth, contract_risk, market_depth
from margin_actors.engine.margin import prepare_market
from margin_actors.engine.revaluation import Contracts, total_deviations
from margin_actors.market.activity import bucket_activity
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.numerics.black76 import black76_delta, black76_vega

DAY = "6FEB26"
NAMES = (
    "BTC-16JAN26-150000-C",  # settles within half of the margin period of risk
    "BTC-17JAN26-150000-C",  # expires within the margin period of risk
    "BTC-18JAN26-150000-P",  # expires after it
    f"BTC-{DAY}-140000-C",  # both sides quoted, as are those of its put
    f"BTC-{DAY}-150000-C",  # no ask
    f"BTC-{DAY}-150000-P",
    f"BTC-{DAY}-160000-P",  # open interest not reported; that of its call is
    f"BTC-{DAY}-170000-C",  # open interest not reported, nor is that of its put
    f"BTC_USDC-{DAY}-140000-C",  # listed with prices in US dollars
    f"BTC_USDC-{DAY}-150000-P",  # not listed
    "BTC_USDC-17JAN26",
    "BTC-PERPETUAL",
    "BTC_USDC",
    f"ETH-{DAY}-2900-P",
    f"ETH-{DAY}-3000-C",
    "ETH_USDC-PERPETUAL",
)
LINEAR = f"BTC_USDC-{DAY}-140000-C"
SPARE = f"BTC-{DAY}-200000-C"
"""An option of the chain whose row is given to the linear option."""


@pytest.fixture(scope="module")
def contracts(snapshot: MarketSnapshot) -> Contracts:
    rules = model_from("hs-surface", revaluation={"unlisted_options": "surface"})
    return prepare_market(snapshot, rules, names=sorted(NAMES)).contracts


@pytest.fixture(scope="module")
def quoted(snapshot: MarketSnapshot) -> MarketSnapshot:
    """The chain with quotes that are missing, and with one linear option."""
    quotes, row = snapshot.options, snapshot.option_row
    bid, ask, interest = quotes.bid.copy(), quotes.ask.copy(), quotes.open_interest.copy()
    for name in NAMES:
        if name in row and "USDC" not in name:
            bid[row[name]], ask[row[name]] = 0.02, 0.02 + 0.0004 * (1 + NAMES.index(name))
            other = row[name[:-1] + ("P" if name.endswith("C") else "C")]
            bid[other], ask[other] = 0.03, 0.032
    # Spreads of zero, and of less than a US dollar; the other side of the latter two is wide.
    for name, spread in (
        ("BTC-18JAN26-150000-P", 0.0), (f"BTC-{DAY}-140000-P", 0.0), (f"ETH-{DAY}-2900-C", 0.0002),
        (f"BTC-{DAY}-140000-C", 0.02), (f"ETH-{DAY}-2900-P", 0.1), (f"ETH-{DAY}-3000-C", 0.0002),
    ):  # fmt: skip
        ask[row[name]] = bid[row[name]] + spread
    bid[row[f"BTC-{DAY}-160000-C"]] = np.nan
    ask[row[f"BTC-{DAY}-150000-C"]] = np.nan
    for name in ("160000-P", "170000-C", "170000-P"):
        interest[row[f"BTC-{DAY}-{name}"]] = np.nan
    bid[row[SPARE]], ask[row[SPARE]], interest[row[SPARE]] = 500.0, 600.0, 7.0
    names = tuple(LINEAR if name == SPARE else name for name in quotes.names)
    return replace(
        snapshot,
        options=replace(quotes, names=names, bid=bid, ask=ask, open_interest=interest),
    )


def depth_of(snapshot: MarketSnapshot) -> MarketDepth:
    shape = (len(snapshot.index_usd), 4)
    spread = np.arange(shape[0] * 4).reshape(shape) * 0.001 + 0.001
    item = next(e for e in snapshot.expiries if e.expiry.strftime("%d%b%y").upper() == f"0{DAY}")
    return MarketDepth(
        tuple(sorted(snapshot.index_usd)), ("outrights", "a", "b", "c"),
        np.ones(shape), np.ones(shape), spread, np.ones(shape),
        {("BTC", item.expiry.isoformat(), 140_000.0): 33.0},
    )  # fmt: skip


def half_and_interest(snapshot: MarketSnapshot, name: str, typical: float) -> tuple[float, float]:
    """Return (half spread in US dollars, or the typical one; open interest) of an option."""
    row = snapshot.option_row.get(name)
    if row is None:
        return typical, np.nan
    unit = 1.0 if "USDC" in name else snapshot.index_usd[name[:3]]
    half = 0.5 * (snapshot.options.ask[row] - snapshot.options.bid[row]) * unit
    return half if half > 0.0 else typical, snapshot.options.open_interest[row]


@pytest.mark.parametrize("parity", [False, True])
def test_the_risk_of_one_unit_is_that_of_its_definition(contracts, quoted, parity: bool) -> None:
    tenor = next(c.tenor_years for c in contracts.curves if 0.05 < c.tenor_years < 0.06)
    model = model_from(
        "hs-surface",
        revaluation={"unlisted_options": "surface"},
        addons={
            # The end of a bucket belongs to it.
            "bucket_days": [2.0, tenor * 365.0],
            "liquidity": {"outright_half_spread": 0.0003},
            "close_out": {"parity": parity, "settling_share": 0.5, "value_bound": True},
        },
    )
    depth, value = depth_of(quoted), np.linspace(-50.0, 300.0, len(contracts))
    risk = contract_risk(
        contracts, quoted, model.revaluation, model.addons,
        horizon_hours=48.0, depth=depth, unit_value_usd=value,
    )  # fmt: skip
    deviation = total_deviations(contracts, model.revaluation)
    strikes: list[str] = []
    for i, name in enumerate(contracts.names):
        curve = contracts.curves[contracts.curve[i]]
        u, level = ("BTC", "ETH").index(name[:3]), curve.level_usd
        is_option = name.endswith(("-C", "-P"))
        index = quoted.index_usd[name[:3]]
        bucket = 0 if curve.tenor_years <= 0 else 1 if curve.tenor_years * 365.0 <= 2.0 else 2
        assert (risk.underlying[i], risk.bucket[i]) == (u, bucket), name
        is_near = name[4:9] in ("16JAN", "17JAN")
        assert risk.expires_within[i] == (is_option and is_near), name
        if not is_option:
            assert (risk.delta[i], risk.vega[i]) == (contracts.unit_value[i], 0.0), name
            half = 0.0003 * abs(contracts.unit_value[i]) * level
            assert risk.half_spread[i] == pytest.approx(half, rel=1e-12), name
            assert (risk.strike[i], risk.long_cost_max[i]) == (-1, np.inf), name
            assert np.isnan(risk.open_interest[i])
            continue
        args = [np.array([x]) for x in (level, contracts.strike[i],
                                        deviation[i] / np.sqrt(curve.tenor_years),
                                        curve.tenor_years)]  # fmt: skip
        delta = black76_delta(*args, np.array([name.endswith("C")]))[0]
        scale = index / level if curve.discount is None else curve.discount
        vega = scale * black76_vega(*args)[0]
        assert risk.delta[i] == pytest.approx(delta, rel=1e-9), name
        assert risk.vega[i] == pytest.approx(vega, rel=1e-9), name
        typical = vega * depth.half_spread_vol[u, bucket]
        half, interest = half_and_interest(quoted, name, typical)
        if parity:
            side = "P" if name.endswith("C") else "C"
            other, further = half_and_interest(quoted, name[:-1] + side, typical)
            half = min(half, other + 0.0003 * level)
            known = [x for x in (interest, further) if not np.isnan(x)]
            interest = sum(known) if known else np.nan
        if "16JAN" in name:
            half = 0.0
        assert risk.half_spread[i] == pytest.approx(half, rel=1e-9), name
        assert risk.open_interest[i] == pytest.approx(interest, nan_ok=True), name
        assert risk.long_cost_max[i] == max(value[i], 0.0), name
        key = name[:-2].replace("_USDC", "")
        if key not in strikes:
            strikes.append(key)
        assert risk.strike[i] == strikes.index(key), name
    assert tuple(strikes) == risk.strike_names
    held = [33.0 if key == f"BTC-{DAY}-140000" else 0.0 for key in strikes]
    assert risk.strike_interest.tolist() == held
    types = (risk.underlying, risk.bucket, risk.strike)
    assert [x.dtype for x in types] == [np.int32] * 3
    assert risk.depth is depth


def test_without_rules_of_close_out_a_long_option_has_no_bound(contracts, quoted) -> None:
    model = model_from("hs-surface", revaluation={"unlisted_options": "surface"})
    risk = contract_risk(contracts, quoted, model.revaluation, model.addons, horizon_hours=48.0)
    assert np.all(risk.long_cost_max == np.inf)
    assert risk.half_spread[contracts.place[NAMES[0]]] > 0.0
    assert risk.depth.buckets == market_depth(quoted, model.addons).buckets


def test_the_only_option_of_a_chain_has_its_own_quote(contracts, quoted) -> None:
    name = f"BTC-{DAY}-150000-P"
    row = np.array([quoted.option_row[name]])
    alone = replace(quoted, options=quotes_of(quoted.options, row))
    model = model_from("hs-surface")
    risk = contract_risk(contracts, alone, model.revaluation, model.addons, horizon_hours=48.0)
    half = 0.5 * (quoted.options.ask[row[0]] - quoted.options.bid[row[0]]) * quoted.index_usd["BTC"]
    assert risk.half_spread[contracts.place[name]] == pytest.approx(half, rel=1e-12)
    known = ~np.isnan(risk.open_interest)
    assert np.flatnonzero(known).tolist() == [contracts.place[name]]


def test_the_depth_of_a_chain(quoted: MarketSnapshot) -> None:
    days = [0.01, 30.0, 90.0]
    own = bucket_activity(quoted, days)
    traded = (own.vega_volume / own.typical_vega)[:, 2:]
    floor = float(np.median(traded))
    addons = {
        "bucket_days": days,
        "concentration": {"volume_floor_coins": floor},
        "liquidity": {"vol_half_spread_default": 0.07},
    }
    found = market_depth(quoted, model_from("hs-surface", addons=addons).addons)
    assert (found.underlyings, found.buckets) == (own.underlyings, own.buckets)
    assert found.bucket_labels[:2] == ("BTC outrights", "BTC 0-0.01 d")
    np.testing.assert_array_equal(found.delta_volume, own.delta_volume)
    np.testing.assert_array_equal(found.typical_vol, own.typical_vol)
    floors = np.zeros((2, 5))
    floors[:, 2:] = floor * own.typical_vega[:, 2:]
    np.testing.assert_array_equal(found.vega_volume, np.maximum(own.vega_volume, floors))
    assert np.any(found.vega_volume > own.vega_volume)
    assert np.any(found.vega_volume[:, 2:] == own.vega_volume[:, 2:])
    # There is no option in the first two buckets.
    assert np.all(found.half_spread_vol[:, :2] == 0.07)
    np.testing.assert_array_equal(found.half_spread_vol[:, 2:], own.half_spread_vol[:, 2:])
    interest: dict[tuple[str, str, float], list[float]] = {}
    for row in range(len(quoted.options)):
        item = quoted.expiries[quoted.options.expiry_index[row]]
        key = item.underlying, item.expiry.isoformat(), float(quoted.options.strike_usd[row])
        held = float(quoted.options.open_interest[row])
        interest.setdefault(key, []).append(0.0 if np.isnan(held) else held)
    assert found.strike_interest == {key: sum(held) for key, held in interest.items()}
