"""The whole requirement against realised losses: outcomes, coverage, cover-2, responsiveness."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import EVERYTHING, made_scenarios, model_from
from small_chain import quotes_of

from margin_actors.engine.backtest import (
    BENCHMARK,
    IndexPath,
    RecordedBook,
    RequirementDate,
    RequirementHistory,
    benchmark_on,
    coverage,
    covers,
    exceeded_requirements,
    group_days,
    group_of,
    impact_response,
    kupiec,
    largest_rise,
    listed_levels,
    member_days,
    model_date,
    model_impact,
    path_statistics,
    pooled_coverage,
    realised_profits,
    rejected_from,
    requirement_date,
    responsiveness_of,
    separate_rows,
)
from margin_actors.engine.margin import calculate_margin
from margin_actors.errors import MissingMarketData
from margin_actors.market.books import book_of_portfolios
from margin_actors.market.portfolios import Collateral
from margin_actors.market.snapshots import MarketSnapshot, tenor_years
from margin_actors.numerics.black76 import black76_price

DAY = np.timedelta64(1, "D")
MOVE = 0.9


def later_market(snapshot: MarketSnapshot, days: float = 2.0) -> MarketSnapshot:
    """The chain `days` later: prices times `MOVE`, mark volatilities times 1.2."""
    time = snapshot.time + timedelta(days=days)
    kept = [i for i, e in enumerate(snapshot.expiries) if e.expiry > time]
    place = {old: new for new, old in enumerate(kept)}
    rows = [r for r, e in enumerate(snapshot.options.expiry_index.tolist()) if e in place]
    quotes = snapshot.options
    options = quotes_of(quotes, np.array(rows))
    options = replace(
        options,
        expiry_index=np.array([place[e] for e in options.expiry_index.tolist()], np.int32),
        mark_vol=1.2 * options.mark_vol,
    )
    return replace(
        snapshot,
        time=time,
        index_usd={u: MOVE * p for u, p in snapshot.index_usd.items()},
        expiries=tuple(
            replace(
                snapshot.expiries[i],
                forward_usd=MOVE * snapshot.expiries[i].forward_usd,
                tenor_years=tenor_years(time, snapshot.expiries[i].expiry),
            )
            for i in kept
        ),
        options=options,
    )


def index_between(snapshot: MarketSnapshot, then: MarketSnapshot) -> dict[str, IndexPath]:
    ends = [np.datetime64(m.time.replace(tzinfo=None), "ms") for m in (snapshot, then)]
    step = (ends[1] - ends[0]) // 8
    time = ends[0] + step * np.arange(9)
    return {u: IndexPath(time, np.linspace(p, MOVE * p, 9)) for u, p in snapshot.index_usd.items()}


def test_a_delivery_price_is_the_mean_of_the_interpolated_index() -> None:
    time = np.array(["2026-01-03T02:00", "2026-01-03T08:00", "2026-01-03T12:00"], "datetime64[ms]")
    path = IndexPath(time, np.array([100.0, 700.0, 700.0]))
    expiry = datetime(2026, 1, 3, 8, tzinfo=UTC)
    # 100 per hour: from 650 at 07:30 to 700 at 08:00.
    assert path.delivery_usd(expiry) == pytest.approx(675.0)
    assert path.delivery_usd(expiry + timedelta(minutes=15)) == 700.0
    assert np.isnan(path.delivery_usd(expiry + timedelta(days=1)))
    assert np.isnan(path.delivery_usd(expiry - timedelta(days=1)))
    far = IndexPath(
        time[[0, 2]] + np.array([0, 8 * 3_600_000], "timedelta64[ms]"), path.index_usd[:2]
    )
    assert np.isnan(far.delivery_usd(expiry))


def test_outcomes_are_differences_of_each_chain_s_own_marks(snapshot: MarketSnapshot) -> None:
    then = later_market(snapshot)
    index = index_between(snapshot, then)
    row = next(
        r for r, n in enumerate(snapshot.options.names) if n in then.option_row and r % 7 == 3
    )
    option = snapshot.options.names[row]
    ending = next(
        n for r, n in enumerate(snapshot.options.names)
        if n not in then.option_row and n.startswith("BTC") and n.endswith("-P")
        and float(n.split("-")[2]) > snapshot.index_usd["BTC"]
    )  # fmt: skip
    future = option.rsplit("-", 2)[0]
    names = [option, ending, "BTC-PERPETUAL", "BTC_USDC", future, "BTC-1JAN20-100-C", "garbage"]
    found = realised_profits(names, snapshot, then, index)
    u = option.split("-")[0]

    def value(market: MarketSnapshot) -> float:
        r = market.option_row[option]
        item = market.expiries[market.options.expiry_index[r]]
        price = black76_price(
            np.array([item.forward_usd]),
            np.array([market.options.strike_usd[r]]),
            np.array([market.options.mark_vol[r] * np.sqrt(item.tenor_years)]),
            np.array([option.endswith("C")]),
        )[0]
        return float(price) * market.index_usd[u] / item.forward_usd

    assert found[0] == pytest.approx(value(then) - value(snapshot), rel=1e-9)
    assert found[2] == pytest.approx(MOVE - 1.0, rel=1e-12)  # one dollar of notional
    assert found[3] == pytest.approx((MOVE - 1.0) * snapshot.index_usd["BTC"], rel=1e-12)
    assert found[4] == pytest.approx(MOVE - 1.0, rel=1e-12)
    assert np.isnan(found[5:]).all()
    # The put expires in the money: its payoff at the interpolated index, less its value today.
    parts = ending.split("-")
    item = next(
        e for e in snapshot.expiries
        if e.underlying == "BTC" and ending in {snapshot.options.names[r] for r in np.flatnonzero(
            snapshot.options.expiry_index == snapshot.expiry_row["BTC", e.expiry])}
    )  # fmt: skip
    delivered = index["BTC"].delivery_usd(item.expiry)
    today = snapshot.options.mark[snapshot.option_row[ending]] * snapshot.index_usd["BTC"]
    assert found[1] == pytest.approx(float(parts[2]) - delivered - today, abs=2e-3 * today)
    assert np.isnan(realised_profits([ending], snapshot, then, {})).all()


def test_benchmarks_are_formed_in_listed_contracts(snapshot: MarketSnapshot) -> None:
    book = benchmark_on(snapshot)
    assert len(book.accounts) == 8
    assert book.members == book.accounts  # a member of its own each: no charge couples them
    assert all(n in snapshot.option_row for n in book.instruments if not n.endswith("PERPETUAL"))
    levels = listed_levels(snapshot)
    assert abs((levels.near - snapshot.time).days - 30) <= 16
    with pytest.raises(MissingMarketData, match="cannot be formed"):
        listed_levels(replace(snapshot, expiries=snapshot.expiries[:1]))


@pytest.fixture(scope="module")
def model():
    return model_from("fhs-surface", scenarios={"windows": 200}, **{
        k: v for k, v in EVERYTHING.items() if k == "addons"
    })  # fmt: skip


@pytest.fixture(scope="module")
def date(snapshot_and_book, model) -> RequirementDate:
    snapshot, book, deposits = snapshot_and_book
    then = later_market(snapshot)
    items = [RecordedBook("first", book, deposits), RecordedBook("second", book)]
    return requirement_date(
        snapshot, then, items, model, made_scenarios(200), index_between(snapshot, then),
        always_listed=snapshot.options.names[::2],
    )  # fmt: skip


@pytest.fixture(scope="module")
def snapshot_and_book(market):
    names = market.snapshot.options.names
    accounts = [
        (f"M{a % 2}-C{a}", f"M{a % 2}", {names[(17 * a + k) % len(names)]: (-1.0) ** k * 0.5
         for k in range(6)} | {"BTC-PERPETUAL": 1000.0 * (a - 2)})
        for a in range(5)
    ]  # fmt: skip
    book = book_of_portfolios(accounts)
    n = len(book.accounts)
    deposits = Collateral(book.accounts, ("BTC",) * n, np.full(n, 0.01))
    return market.snapshot, book, deposits


def test_groups_do_not_affect_each_other(date, snapshot_and_book, model) -> None:
    """Two books with the same accounts have the requirements that each has alone."""
    snapshot, book, _ = snapshot_and_book
    rows = {
        g: [i for i, a in enumerate(date.accounts) if group_of(a)[0] == g]
        for g in ("first", "second", BENCHMARK, "unchanged first")
    }
    assert len(rows["first"]) == len(rows["second"]) == len(book.accounts)
    assert len(rows[BENCHMARK]) == 8
    np.testing.assert_array_equal(
        date.requirement_usd[rows["first"]], date.requirement_usd[rows["second"]]
    )
    if date.left_out["first"] == 0:
        alone = calculate_margin(snapshot, made_scenarios(200), book, model)
        np.testing.assert_array_equal(
            alone.margins.initial_margin_usd, date.requirement_usd[rows["first"]]
        )
    np.testing.assert_allclose(date.components_usd.sum(axis=1), date.requirement_usd, rtol=1e-12)


def test_a_shortfall_is_the_loss_beyond_deposits_and_options(date, snapshot_and_book) -> None:
    snapshot, _, _ = snapshot_and_book
    price = MOVE * snapshot.index_usd["BTC"]  # deposits are worth what they are worth at the end
    own = [i for i, a in enumerate(date.accounts) if group_of(a)[0] == "first"]
    left = 0.01 * price + date.value_usd[own] + date.profit_usd[own]
    np.testing.assert_allclose(date.shortfall_usd[own], np.maximum(-left, 0.0), rtol=1e-9)
    other = [i for i, a in enumerate(date.accounts) if group_of(a)[0] == "second"]
    assert np.isnan(date.shortfall_usd[other]).all()


# -- histories made by hand ------------------------------------------------------------------------


def made_date(
    day: int, loss: list[float], required: list[float], **more: object
) -> RequirementDate:
    n = len(loss)
    time = np.datetime64("2026-01-01", "ms") + day * DAY
    values = {
        "time": time, "end": time + 2 * DAY, "snapshot_id": "s", "end_snapshot_id": "t",
        "scenarios_id": "x", "model_id": "m", "digest": "d", "index_usd": 100.0,
        "accounts": tuple(f"book/A{i}" for i in range(n)),
        "members": tuple(f"book/M{i // 2}" for i in range(n)),
        "positions": np.ones(n, np.int64), "core_usd": 0.5 * np.array(required),
        "requirement_usd": np.array(required), "components": ("core", "liquidity"),
        "components_usd": 0.5 * np.array([required, required]).T, "value_usd": np.zeros(n),
        "profit_usd": -np.array(loss), "shortfall_usd": np.full(n, np.nan),
        "groups": ("book",), "stress_cover_usd": np.array([[5.0 + day, 8.0 + day]]),
        "left_out": {"book": 0}, "failures": (),
    }  # fmt: skip
    return RequirementDate(**(values | more))


def test_coverage_counts_losses_beyond_each_measure() -> None:
    dates = [made_date(d, [3.0, -1.0, 12.0 if d == 3 else 4.0, 1.0], [10.0] * 4) for d in range(8)]
    history = RequirementHistory(tuple(dates))
    rows = {(r.scope, r.name, r.measure): r for r in coverage(history, 0.99)}
    whole, core = rows["account", "A2", "requirement"], rows["account", "A2", "core"]
    assert (whole.exceptions, core.exceptions, whole.observations) == (1, 1, 8)
    assert whole.severity_max == pytest.approx(0.2, rel=0.01)
    assert core.severity_max == pytest.approx(1.4, rel=0.01)
    # Windows of two days on daily dates: 0, 2, 4, 6. The exception is on day 3.
    assert (whole.test.days, whole.test.exceptions) == (4, 0)
    member = rows["member", "M1", "requirement"]
    assert (member.observations, member.exceptions) == (8, 0)  # 13 of loss against 20
    pooled = {p.measure: p for p in pooled_coverage(history)}
    assert pooled["requirement"].covered == pytest.approx(31 / 32)
    assert (pooled["requirement"].dates_with_exceptions, pooled["requirement"].windows) == (1, 4)
    (found,) = exceeded_requirements(history)
    assert (found.account, found.member, found.above_usd) == ("A2", "M1", 2.0)


def test_a_rounding_is_not_an_exception() -> None:
    history = RequirementHistory((made_date(0, [10.000001, 10.5], [10.0, 10.0]),))
    assert [e.account for e in exceeded_requirements(history)] == ["A1"]
    assert [p.exceptions for p in pooled_coverage(history)] == [2, 1]  # both exceed the core
    assert group_days(history, "book")[0].above_margin_usd == pytest.approx(0.5)


def test_covers_sum_losses_by_member_without_netting() -> None:
    """M0 loses 4 and 6 above margin, M1 loses 3 on one account and gains on the other."""
    history = RequirementHistory(
        (made_date(0, [14.0, 16.0, 13.0, -50.0, 11.0, 0.0], [10.0] * 6),
         made_date(1, [0.0] * 6, [10.0] * 6), made_date(45, [0.0] * 6, [10.0] * 6))
    )  # fmt: skip
    days = group_days(history, "book")
    assert days[0].above_margin_usd == pytest.approx(4.0 + 6.0 + 3.0 + 1.0)
    assert (days[0].cover_1_usd, days[0].cover_1_member) == (10.0, "M0")
    assert days[0].cover_2_usd == 13.0
    assert (days[1].cover_1_usd, days[1].cover_1_member) == (0.0, "")
    assert [d.default_fund_usd for d in days] == [8.0, 9.0, 53.0]  # 30 days back at most
    assert [(m.member, m.above_margin_usd) for m in member_days(history)] == [
        ("M0", 10.0), ("M1", 3.0), ("M2", 1.0),
    ]  # fmt: skip


@given(st.lists(st.lists(st.floats(0, 1e9), min_size=3, max_size=3), min_size=1, max_size=9))
def test_cover_2_lies_between_cover_1_and_twice_cover_1(losses: list[list[float]]) -> None:
    one, two = covers(np.array(losses))
    assert one == np.max(losses)
    assert one <= two <= 2 * one


@given(st.sets(st.integers(0, 400), min_size=1, max_size=60), st.integers(1, 90))
def test_chosen_windows_do_not_overlap_and_none_could_be_added(hours, length) -> None:
    time = np.array(sorted(hours), "datetime64[h]").astype("datetime64[ms]")
    end = time + np.timedelta64(length, "h")
    rows = separate_rows(time, end)
    assert np.all(time[rows[1:]] >= end[rows[:-1]])
    for row in range(time.size):
        overlaps = (time[rows] < end[row]) & (time[row] < end[rows])
        assert overlaps.any()


def test_the_least_rejected_number_is_at_the_edge() -> None:
    for days in (20, 75, 252, 1000):
        least = rejected_from(days, 0.995)
        assert kupiec(least, days, 0.995)[1] < 0.05 <= kupiec(least - 1, days, 0.995)[1]


def test_rises_are_measured_in_days_and_not_in_dates() -> None:
    time = np.datetime64("2026-01-01", "ms") + DAY * np.array([0, 1, 2, 5, 6, 7])
    path = np.array([10.0, 11.0, 11.0, 22.0, 11.0, 11.0])
    found = path_statistics(time, path)
    assert found.rise_1d == pytest.approx(0.1)  # 11 to 22 took three days
    assert found.rise_5d == pytest.approx(1.2)
    assert found.rise_30d == 0.0
    assert found.peak_to_trough == pytest.approx(2.2)
    np.testing.assert_allclose(found.change_95, np.quantile([0.1, 0.0, 0.5, 0.0], 0.95))
    assert largest_rise(time, path[::-1], 1) == pytest.approx(1.0)


def test_responsiveness_compares_the_whole_with_the_core() -> None:
    required = (10.0, 12.0, 9.0)
    dates = [
        made_date(d, [0.0], [r], accounts=("unchanged book/A",), members=("unchanged book/M",),
                  core_usd=np.array([5.0 + 0.1 * d]))
        for d, r in enumerate(required)
    ]  # fmt: skip
    found = responsiveness_of(RequirementHistory(tuple(dates)))
    assert found.changes == 2
    assert found.requirement_change_95 == pytest.approx(np.quantile([0.2, 0.25], 0.95))
    assert found.ratio == pytest.approx(found.requirement_change_95 / found.core_change_95)
    assert found.component_change_95["liquidity"] == pytest.approx(np.quantile([0.1, 0.125], 0.95))
    assert pooled_coverage(RequirementHistory(tuple(dates))) == ()  # not tested twice


# -- impact ----------------------------------------------------------------------------------------


def test_changes_of_components_add_up_to_the_change(snapshot_and_book, model) -> None:
    snapshot, book, deposits = snapshot_and_book
    new = model_from("fhs-surface", scenarios={"windows": 200}, measure={"confidence": 0.95},
                     collateral={"depeg": {"USDC": 0.13}})  # fmt: skip
    listed = snapshot.options.names[::2]
    old_dates, new_dates = (
        [model_date(m, book, own, made_scenarios(200), collateral=deposits, always_listed=listed)
         for m in (snapshot, later_market(snapshot, 1.0))]
        for own in (model, new)
    )  # fmt: skip
    found = model_impact(old_dates, new_dates)
    assert found.accounts == tuple(sorted(book.accounts))
    change = found.new_components_usd - found.old_components_usd
    np.testing.assert_allclose(change.sum(axis=2), found.change_usd, rtol=1e-9, atol=1e-6)
    known = np.isfinite(found.old_usd)
    assert known[0].all()  # a day later, all positions of an account may have expired
    assert np.all(found.change_usd[known] < 0.0)  # no add-ons and a lower confidence
    assert not found.falls_into_deficit().any()
    back = model_impact(new_dates, old_dates)
    fallen = back.falls_into_deficit()
    np.testing.assert_array_equal(
        fallen, (back.old_excess_usd >= 0.0) & (back.old_excess_usd - back.change_usd < 0.0)
    )
    name, amount = found.cause(0, 0)
    assert abs(amount) == pytest.approx(np.abs(change[0, 0]).max())
    assert name in found.components
    response = impact_response(model_impact(old_dates, new_dates, unchanged=True))
    assert response is not None
    assert response.old_peak_to_trough >= 1.0
