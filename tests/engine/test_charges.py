"""Concentration and liquidity charges of a small made-up book, position by position."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import model_from

from margin_actors.engine.addons import (
    AccountGroups,
    BucketExposures,
    Charge,
    ContractRisk,
    GroupKind,
    GroupMeasures,
    HedgeRates,
    MarketDepth,
    MemberSizes,
    account_groups,
    bucket_exposures,
    concentration_charges,
    days_to_close,
    liquidity_charges,
)
from margin_actors.engine.addons.groups import strike_shares
from margin_actors.engine.addons.hedging import hedged_factors
from margin_actors.engine.revaluation import Holdings

STEPS = [[0.1, 0.05], [0.5, 0.2]]
MODEL = model_from(
    "hs-surface",
    addons={
        "bucket_days": [30],
        "concentration": {
            "participation": 0.25,
            "outright_volume_coins": {"BTC": 8.0},
            "volume_floor_coins": 0.5,
            "open_interest_steps": STEPS,
        },
        "liquidity": {"offset_share": 0.4, "size_share": 0.1, "size_factor_max": 3.0},
    },
)
HORIZON_DAYS = MODEL.horizon_hours_total / 24.0
DEPTH = MarketDepth(
    ("BTC", "ETH"),
    ("outrights", "0-30 d", "over 30 d"),
    np.array([[0.0, 3.0, 0.0], [0.0, 0.1, 6.0]]),
    np.array([[0.0, 50.0, 4.0], [0.0, 0.0, 7.0]]),
    np.full((2, 3), 0.02),
    np.full((2, 3), 0.6),
    {},
)
RISK = ContractRisk(
    depth=DEPTH,
    underlying=np.array([0, 0, 0, 0, 1, 1], np.int32),
    bucket=np.array([0, 1, 1, 2, 1, 0], np.int32),
    strike=np.array([-1, 0, 0, 1, 2, -1], np.int32),
    strike_names=("BTC-1", "BTC-2", "ETH-1"),
    strike_interest=np.array([40.0, 0.0, 100.0]),
    delta=np.array([1.0, 0.6, -0.4, 0.5, 0.5, 2.0]),
    vega=np.array([0.0, 0.01, 0.01, 30.0, 5.0, 0.0]),
    half_spread=np.array([0.5, 3.0, 4.0, 5.0, 2.0, 0.1]),
    long_cost_max=np.array([np.inf, 3.5, 1.0, np.inf, np.inf, np.inf]),
    open_interest=np.array([np.nan, 30.0, 10.0, 0.0, np.nan, np.nan]),
    expires_within=np.zeros(6, np.bool_),
)
N_CONTRACTS = 6


@dataclass
class Made:
    """A book of random whole quantities, what the engine finds in it, and a measure by group."""

    holdings: Holdings
    quantity: np.ndarray
    account: np.ndarray
    members: MemberSizes | None
    exposures: BucketExposures
    groups: AccountGroups
    measure: np.ndarray


def made(seed: int, *, with_members: bool = False) -> Made:
    rng = np.random.default_rng(seed)
    held = rng.integers(-12, 13, (5, N_CONTRACTS)) * (rng.random((5, N_CONTRACTS)) < 0.7)
    held[0] = 0  # an account without positions
    account, index = np.nonzero(held)
    quantity = held[account, index].astype(np.float64)
    start = np.searchsorted(account, np.arange(6))
    holdings = Holdings(start, index.astype(np.int32), quantity, 1.0, is_exact=False)
    members = None
    if with_members:
        members = MemberSizes(
            rng.normal(0.0, 20.0, (5, 2, 3)),
            rng.normal(0.0, 300.0, (5, 2, 3)),
            np.abs(quantity) + rng.integers(-2, 9, quantity.size),
            np.where(RISK.strike[index] >= 0, rng.integers(0, 60, quantity.size), 0).astype(float),
        )
    exposures = bucket_exposures(holdings, quantity, RISK, MODEL, members)
    groups = account_groups(holdings, quantity, RISK, MODEL, list(GroupKind), members)
    measure = rng.normal(50.0, 60.0, groups.owner.size)
    return Made(holdings, quantity, account, members, exposures, groups, measure)


def positions(book: Made) -> list[tuple[int, int, int, float]]:
    """Return (position, account, contract, quantity) of every position."""
    return [
        (p, int(a), int(i), float(q))
        for p, (a, i, q) in enumerate(
            zip(book.account, book.holdings.index, book.quantity, strict=True)
        )
    ]


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), with_members=st.booleans())
def test_exposures_are_sums_over_positions(seed: int, with_members: bool) -> None:
    book = made(seed, with_members=with_members)
    delta, vega, long, short, cost, quoted = np.zeros((6, 5, 2, 3))
    for p, a, i, q in positions(book):
        cell = a, RISK.underlying[i], RISK.bucket[i]
        delta[cell] += q * RISK.delta[i]
        vega[cell] += q * RISK.vega[i]
        long[cell] += max(q * RISK.vega[i], 0.0)
        short[cell] -= min(q * RISK.vega[i], 0.0)
        size = abs(q) if book.members is None else max(abs(q), book.members.quantity[p])
        usual, grown = 0.1 * RISK.open_interest[i], 1.0
        if RISK.vega[i] > 0.0:
            grown = min(max(size / usual, 1.0) ** 0.5, 3.0) if usual > 0.0 else 3.0
        own = abs(q) * RISK.half_spread[i]
        quoted[cell] += own
        cost[cell] += min(own * grown, q * RISK.long_cost_max[i] if q > 0.0 else np.inf)
    found = book.exposures
    for name, expected in (
        ("delta", delta), ("vega", vega), ("vega_long", long), ("vega_short", short),
        ("cost", cost), ("quoted", quoted),
    ):  # fmt: skip
        np.testing.assert_allclose(
            getattr(found, name), expected, rtol=1e-12, atol=1e-12, err_msg=name
        )


def days_of(book: Made) -> tuple[np.ndarray, np.ndarray]:
    """Return the days to close (delta, vega) of each account, underlying and bucket."""
    volume = np.array([[8.0, 11.0, 8.0], [0.5, 0.5, 6.0]])  # with outrights, at least half a coin
    delta, vega = np.abs(book.exposures.delta), np.abs(book.exposures.vega)
    if book.members is not None:
        delta = np.maximum(delta, np.abs(book.members.delta))
        vega = np.maximum(vega, np.abs(book.members.vega))
    return delta / (0.25 * volume), vega / (0.25 * np.maximum(DEPTH.vega_volume, 1e-12))


def strikes_of(book: Made) -> dict[tuple[int, int], tuple[float, float]]:
    """Return (coins, share of the open interest) by account and strike."""
    coins: dict[tuple[int, int], float] = {}
    member: dict[tuple[int, int], float] = {}
    for p, a, i, q in positions(book):
        key = a, int(RISK.strike[i])
        if key[1] >= 0:
            coins[key] = coins.get(key, 0.0) + abs(q)
            of = 0.0 if book.members is None else float(book.members.strike_coins[p])
            member[key] = max(member.get(key, 0.0), of)
    out = {}
    for key, own in coins.items():
        size, interest = max(own, member[key]), RISK.strike_interest[key[1]]
        out[key] = size, min(size / interest, 1.0) if interest > 0.0 else 1.0
    return out


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), with_members=st.booleans())
def test_groups_are_those_that_can_change_a_requirement(seed: int, with_members: bool) -> None:
    book = made(seed, with_members=with_members)
    slow = np.maximum(*days_of(book)) > HORIZON_DAYS
    shares = strikes_of(book)
    expected: dict[tuple[int, int, int], list[int]] = {}
    for p, a, i, _ in positions(book):
        u, b, k = int(RISK.underlying[i]), int(RISK.bucket[i]), int(RISK.strike[i])
        if len({int(RISK.underlying[j]) for _, c, j, _ in positions(book) if c == a}) > 1:
            expected.setdefault((a, GroupKind.UNDERLYING, u), []).append(p)
        if slow[a, u, b]:
            expected.setdefault((a, GroupKind.BUCKET, 3 * u + b), []).append(p)
        if k >= 0 and shares[a, k][1] >= 0.1:
            expected.setdefault((a, GroupKind.STRIKE, k), []).append(p)
    groups, found = book.groups, book.groups.holdings
    order = sorted(expected)
    assert list(zip(groups.owner, groups.kind, groups.key, strict=True)) == order
    ends = np.cumsum([0, *(len(expected[key]) for key in order)])
    assert found.start.tolist() == ends.tolist()
    rows = [p for key in order for p in expected[key]]
    assert found.index.tolist() == book.holdings.index[rows].tolist()
    assert found.lots.tolist() == book.holdings.lots[rows].tolist()
    types = (groups.owner, groups.kind, groups.key, found.start, found.index)
    assert [x.dtype for x in types] == [np.int64, np.int32, np.int32, np.int64, np.int32]
    for first, last in ((0, 5), (1, 3), (2, 2), (4, 5)):
        part = groups.select(first, last)
        own = [k for k, key in enumerate(order) if first <= key[0] < last]
        assert part.owner.tolist() == [order[k][0] - first for k in own]
        assert part.kind.tolist() == [order[k][1] for k in own]
        assert part.key.tolist() == [order[k][2] for k in own]
        assert np.diff(part.holdings.start).tolist() == [len(expected[order[k]]) for k in own]


def figures_of(charge: Charge) -> dict[tuple[int, str], dict[str, float]]:
    """Return the figures of a charge by account and label, then by name."""
    out: dict[tuple[int, str], dict[str, float]] = {}
    for item in charge.figures:
        for a, of, value in zip(item.account, item.of, item.value, strict=True):
            out.setdefault((int(a), item.labels[of]), {})[item.name] = float(value)
    return out


RATES = HedgeRates(*(np.full((2, 3, 2), x) for x in (0.8, 0.3, 0.2)))


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), with_members=st.booleans(), hedged=st.booleans())
def test_the_concentration_charge_and_all_its_figures(
    seed: int, with_members: bool, hedged: bool
) -> None:
    book = made(seed, with_members=with_members)
    hedge = RATES if hedged else None
    charge = concentration_charges(
        book.holdings, book.quantity, RISK, book.exposures,
        GroupMeasures(book.groups, book.measure, "es"), MODEL, book.members, hedge,
    )  # fmt: skip
    delta_days, vega_days = days_of(book)
    phi = hedged_factors(book.exposures.vega, RATES, DEPTH, MODEL)
    if book.members is not None:
        phi = np.maximum(phi, hedged_factors(book.members.vega, RATES, DEPTH, MODEL))
    shares, total = strikes_of(book), np.zeros(5)
    expected: dict[tuple[int, str], dict[str, float]] = {}
    for g, (a, kind, key) in enumerate(
        zip(book.groups.owner, book.groups.kind, book.groups.key, strict=True)
    ):
        measure = max(book.measure[g], 0.0)
        if kind == GroupKind.BUCKET:
            cell = a, key // 3, key % 3
            days = np.array([delta_days[cell], vega_days[cell]])
            waiting = np.sqrt(np.maximum(1.0, days / HORIZON_DAYS))
            factor = waiting.max() - 1.0
            given_ = {
                "delta_coins": book.exposures.delta[cell],
                "vega_usd_per_point": book.exposures.vega[cell] / 100.0,
                "delta_days_to_close": delta_days[cell],
                "vega_days_to_close": vega_days[cell],
                "bucket_es_usd": measure,
            }
            if book.members is not None:
                given_["member_delta_coins"] = book.members.delta[cell]
                given_["member_vega_usd_per_point"] = book.members.vega[cell] / 100.0
            if hedged:
                given_["factor_max"] = waiting[0] - 1.0 + phi[cell]
                factor = min(factor, given_["factor_max"])
            label = DEPTH.bucket_labels[key]
        elif kind == GroupKind.STRIKE:
            coins, share = shares[a, key]
            factor = max(rate for least, rate in STEPS if share >= least)
            given_ = {
                "held_coins": coins,
                "open_interest_share": share,
                "rate": factor,
                "strike_es_usd": measure,
            }
            label = RISK.strike_names[key]
        else:
            continue
        expected[int(a), label] = {**given_, "charge_usd": factor * measure}
        total[a] += factor * measure
    found = figures_of(charge)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-9, abs=1e-12), key
    np.testing.assert_allclose(charge.amount, total, rtol=1e-12, atol=1e-12)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_the_liquidity_charge_and_all_its_figures(seed: int) -> None:
    book = made(seed)
    charge = liquidity_charges(book.exposures, RISK, MODEL)
    found, total = figures_of(charge), np.zeros(5)
    cells = [tuple(x) for x in np.argwhere(book.exposures.cost).tolist()]
    assert set(found) == {(a, DEPTH.bucket_labels[3 * u + b]) for a, u, b in cells}
    for a, u, b in cells:
        long, short = (x[a, u, b] for x in (book.exposures.vega_long, book.exposures.vega_short))
        offset = 2.0 * min(long, short) / (long + short) if long + short > 0.0 else 0.0
        cost = book.exposures.cost[a, u, b]
        assert found[a, DEPTH.bucket_labels[3 * u + b]] == pytest.approx(
            {
                "vega_long_usd_per_point": long / 100.0,
                "vega_short_usd_per_point": short / 100.0,
                "half_spread_usd": book.exposures.quoted[a, u, b],
                "half_spread_grown_usd": cost,
                "offset_share": offset,
                "charge_usd": cost * (1.0 - 0.4 * offset),
            },
            rel=1e-12,
            abs=1e-15,
        )
        total[a] += cost * (1.0 - 0.4 * offset)
    np.testing.assert_allclose(charge.amount, total, rtol=1e-12)


def test_figures_are_named_after_var_and_have_no_strikes_without_steps() -> None:
    rules = MODEL.addons.concentration.model_copy(update={"open_interest_steps": ()})
    addons = MODEL.addons.model_copy(update={"concentration": rules})
    without = MODEL.model_copy(update={"addons": addons})
    book = made(3)
    groups = account_groups(book.holdings, book.quantity, RISK, without, list(GroupKind))
    assert GroupKind.STRIKE not in groups.kind
    measure = np.ones(groups.owner.size)
    for model in (without, MODEL):
        charge = concentration_charges(
            book.holdings,
            book.quantity,
            RISK,
            book.exposures,
            GroupMeasures(groups, measure),
            model,
        )
        names = {item.name for item in charge.figures}
        assert "bucket_var_usd" in names
        assert "rate" not in names


def test_a_figure_is_stored_as_floats() -> None:
    charge = Charge(np.zeros(1))
    charge.note("rows", np.zeros(1, np.int64), ("",), np.zeros(1, np.int64), np.array([3]))
    assert charge.figures[0].value.dtype == np.float64


def with_one_strike(interest: float) -> ContractRisk:
    strike = np.where(RISK.strike == 0, 0, -1).astype(np.int32)
    return replace(
        RISK, strike=strike, strike_names=("BTC-1",), strike_interest=np.array([interest])
    )


def test_the_key_of_a_single_strike_is_the_account() -> None:
    account, strike = np.array([0, 2, 2, 2]), np.array([0, 0, -1, 0])
    quantity = np.array([1.0, -4.0, 9.0, 8.0])
    key, coins, share = strike_shares(account, strike, quantity, with_one_strike(8.0))
    assert (key.tolist(), key.dtype) == ([0, 2], np.int64)
    assert coins.tolist() == [1.0, 12.0]
    assert share.tolist() == [0.125, 1.0]


@pytest.mark.parametrize(("interest", "expected"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.25)])
def test_a_strike_without_open_interest_is_held_entirely(interest: float, expected: float) -> None:
    risk, zero = with_one_strike(interest), np.zeros(1, np.int64)
    _, coins, share = strike_shares(zero, zero, np.array([0.25]), risk)
    assert (coins.tolist(), share.tolist()) == ([0.25], [expected])


def test_the_charge_of_a_single_strike() -> None:
    book, risk = made(5), with_one_strike(20.0)
    groups = account_groups(book.holdings, book.quantity, risk, MODEL, [GroupKind.STRIKE])
    charge = concentration_charges(
        book.holdings, book.quantity, risk, book.exposures,
        GroupMeasures(groups, np.ones(groups.owner.size)), MODEL,
    )  # fmt: skip
    held = np.zeros(5)
    for _, a, i, q in positions(book):
        held[a] += abs(q) * (risk.strike[i] == 0)
    owners = np.flatnonzero(held >= 2.0)
    assert owners.size > 2
    assert groups.owner.tolist() == owners.tolist()
    coins = next(item for item in charge.figures if item.name == "held_coins")
    assert coins.value.tolist() == held[owners].tolist()


def test_without_kinds_there_are_no_groups() -> None:
    book = made(5)
    groups = account_groups(book.holdings, book.quantity, RISK, MODEL, [])
    assert groups.owner.size == groups.kind.size == groups.key.size == 0
    assert groups.holdings.start.tolist() == [0]


def test_days_to_close_a_vega_without_any_volume_are_very_many() -> None:
    book = made(1)
    found = days_to_close(book.exposures, RISK, MODEL)
    delta, vega = days_of(book)
    np.testing.assert_allclose(found.delta, delta, rtol=1e-12)
    np.testing.assert_allclose(found.vega, vega, rtol=1e-12)
    np.testing.assert_array_equal(found.days, np.maximum(found.delta, found.vega))
    assert found.vega.max() > 1e12
    one = days_to_close(replace(book.exposures, vega=np.ones((5, 2, 3))), RISK, MODEL)
    np.testing.assert_allclose(one.vega[0, 0, 1:], [1.0 / 12.5, 1.0])
