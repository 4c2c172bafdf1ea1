"""Funding: bounds of the rate, laws of payments, gaps."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settlement_books import DAY, INVERSE, LINEAR, RULES, books, cash, change, cutoff, fewer, sides

from margin_actors.clearing.settlement import (
    ROUNDING_ACCOUNT,
    FundingMinute,
    FundingSession,
    PositionChange,
    contract_from_name,
    folded,
    funding,
    funding_minute,
    funding_rate,
)
from margin_actors.clearing.settlement.parameters import FundingParameters
from margin_actors.errors import (
    InvalidMarketData,
    InvalidPortfolio,
    InvalidRequest,
    MissingMarketData,
)

RULE = FundingParameters()
BOTH = st.sampled_from([INVERSE, LINEAR])
marks = st.decimals(49_000, 51_000, places=1)


def session(name: str, quotes: list[Decimal]) -> list[FundingMinute]:
    """Return one minute per mark, ending at `DAY`; the index is 50,000."""
    contract = contract_from_name(name)
    start = DAY - timedelta(minutes=len(quotes))
    return [
        funding_minute(contract, start + timedelta(minutes=k), mark, Decimal(50_000), RULE)
        for k, mark in enumerate(quotes)
    ]


def minute_by_minute(
    book: list[PositionChange], minutes: list[FundingMinute], account: str
) -> Fraction:
    """Return what an account receives: minus position × accrual, one minute after the other."""
    total = Fraction(0)
    for minute in minutes:
        for c in book:
            if c.account == account and c.time <= minute.start:
                total -= Fraction(minute.accrual) * Fraction(c.quantity)
    return total


@given(marks, st.decimals(1, 100_000, places=2))
def test_the_rate_is_within_its_cap_and_does_not_exceed_the_premium(
    mark: Decimal, index: Decimal
) -> None:
    contract = contract_from_name(INVERSE)
    rate = funding_rate(contract, mark, index, RULE)
    premium = (mark - index) / index
    assert abs(rate) <= RULE.cap
    assert abs(rate) <= abs(premium) + Decimal("1e-12")
    if abs(premium) <= RULE.damper:
        assert rate == 0
    else:
        assert (rate > 0) == (premium > 0) or rate == 0


def test_a_contract_may_have_a_cap_of_its_own() -> None:
    rule = FundingParameters(caps={LINEAR: Decimal("0.02")})
    high, index = Decimal(60_000), Decimal(50_000)
    assert funding_rate(contract_from_name(LINEAR), high, index, rule) == Decimal("0.02")
    assert funding_rate(contract_from_name(INVERSE), high, index, rule) == Decimal("0.005")


@fewer
@given(st.data(), BOTH, st.lists(marks, min_size=1, max_size=40))
def test_payments_and_rounding_sum_to_zero_and_equal_the_sum_by_minute(
    data: st.DataObject, name: str, quotes: list[Decimal]
) -> None:
    book = data.draw(books(name))
    minutes = session(name, quotes)
    events = funding(
        contract_from_name(name), book, FundingSession(minutes[0].start, minutes, RULES), cutoff()
    )
    amounts = dict(cash(events))
    assert sum(amounts.values()) == 0
    rounding = amounts.pop(ROUNDING_ACCOUNT, 0)
    accounts = {c.account for c in book}
    assert abs(rounding) <= len(accounts) / 2
    scale = 10**8 if name == INVERSE else 10**6
    for account in accounts:
        exact = minute_by_minute(book, minutes, account) * scale
        assert abs(amounts.get(account, 0) - exact) <= Fraction(1, 2)


@fewer
@given(st.data(), BOTH, st.lists(marks, min_size=2, max_size=40))
def test_two_sessions_pay_the_same_as_one_except_for_a_unit(
    data: st.DataObject, name: str, quotes: list[Decimal]
) -> None:
    contract = contract_from_name(name)
    book = data.draw(books(name))
    minutes = session(name, quotes)
    k = data.draw(st.integers(1, len(minutes) - 1))
    middle, since = minutes[k].start, minutes[0].start
    once = cash(funding(contract, book, FundingSession(since, minutes, RULES), cutoff()))
    first = funding(contract, book, FundingSession(since, minutes[:k], RULES), cutoff(middle))
    opening = folded(contract, [c for c in book if c.time <= middle], middle)
    later = [c for c in book if c.time > middle]
    second = funding(
        contract, [*opening, *later], FundingSession(middle, minutes[k:], RULES), cutoff()
    )
    twice = cash([*first, *second])
    for account in {c.account for c in book}:
        assert abs(once.get(account, 0) - twice.get(account, 0)) <= 1


@fewer
@given(st.data(), BOTH, st.lists(marks, min_size=1, max_size=10))
def test_events_do_not_depend_on_the_order_of_changes(
    data: st.DataObject, name: str, quotes: list[Decimal]
) -> None:
    contract = contract_from_name(name)
    book = data.draw(books(name))
    minutes = session(name, quotes)
    one = funding(contract, book, FundingSession(minutes[0].start, minutes, RULES), cutoff())
    other = data.draw(st.permutations(book))
    same = funding(contract, other, FundingSession(minutes[0].start, minutes, RULES), cutoff())
    assert [(e.id, e.content_hash) for e in one] == [(e.id, e.content_hash) for e in same]


def test_a_position_pays_from_the_first_whole_minute() -> None:
    minutes = session(LINEAR, [Decimal(50_500)] * 3)
    for seconds, paid in ((0, 3), (1, 2), (60, 2), (61, 1), (120, 1), (121, 0), (180, 0)):
        opened = minutes[0].start + timedelta(seconds=seconds)
        book = sides(LINEAR, 1, 50_000, time=opened)
        contract = contract_from_name(LINEAR)
        amounts = cash(
            funding(contract, book, FundingSession(minutes[0].start, minutes, RULES), cutoff())
        )
        assert amounts.get("long", 0) == -round(paid * 10**6 * Fraction(250, 480))


def test_a_position_closed_within_the_session_pays_for_the_time_it_was_held() -> None:
    minutes = session(LINEAR, [Decimal(50_500)] * 10)
    book = [
        *sides(LINEAR, 1, 50_000, time=minutes[0].start),
        *sides(LINEAR, -1, 50_000, time=minutes[4].start),
    ]
    events = funding(
        contract_from_name(LINEAR), book, FundingSession(minutes[0].start, minutes, RULES), cutoff()
    )
    assert cash(events)["long"] == -round(4 * 10**6 * Fraction(250, 480))


def test_a_rate_refers_to_its_funding_period() -> None:
    contract, start = contract_from_name(LINEAR), DAY - timedelta(minutes=1)
    mark, index = Decimal(50_500), Decimal(48_000)
    eight, four = (
        funding_minute(contract, start, mark, index, FundingParameters(period_hours=hours))
        for hours in (8, 4)
    )
    assert eight.rate == four.rate == Decimal("0.005")
    assert (eight.accrual, four.accrual) == (Decimal("0.5"), Decimal(1))


def test_missing_minutes_are_named() -> None:
    minutes = session(INVERSE, [Decimal(50_500)] * 10)
    kept = [*minutes[1:3], *minutes[5:9]]
    with pytest.raises(MissingMarketData) as caught:
        funding(
            contract_from_name(INVERSE), [], FundingSession(minutes[0].start, kept, RULES), cutoff()
        )
    assert [p.what for p in caught.value.problems] == [
        "has no funding from 2026-03-02T07:50:00Z to 2026-03-02T07:51:00Z",
        "has no funding from 2026-03-02T07:53:00Z to 2026-03-02T07:55:00Z",
        "has no funding from 2026-03-02T07:59:00Z to 2026-03-02T08:00:00Z",
    ]


def test_minutes_that_do_not_belong_to_the_session_are_refused() -> None:
    minutes = session(INVERSE, [Decimal(50_500)] * 3)
    contract = contract_from_name(INVERSE)
    since = minutes[0].start
    for wrong in (
        [minutes[0], *minutes],
        [minutes[1], minutes[0], minutes[2]],
        session(LINEAR, [Decimal(50_500)] * 3),
        [*session(INVERSE, [Decimal(50_500)] * 4)],
    ):
        with pytest.raises(InvalidRequest):
            funding(contract, [], FundingSession(since, wrong, RULES), cutoff())
    for time in (since.replace(tzinfo=None), since + timedelta(seconds=1)):
        with pytest.raises(InvalidRequest, match="since"):
            funding(contract, [], FundingSession(time, minutes, RULES), cutoff())


@pytest.mark.parametrize(
    ("name", "mark", "index"),
    [(INVERSE, "0", "1"), (INVERSE, "1", "-1"), (LINEAR, "1", "0"), (LINEAR, "1", "-5"),
     (LINEAR, "nan", "1"), (LINEAR, "1", "inf")],
)  # fmt: skip
def test_prices_without_a_premium_are_refused(name: str, mark: str, index: str) -> None:
    with pytest.raises(InvalidMarketData):
        funding_rate(contract_from_name(name), Decimal(mark), Decimal(index), RULE)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("BTC-26JUN26", DAY),
        (INVERSE, DAY + timedelta(seconds=1)),
        (INVERSE, DAY.replace(tzinfo=None)),
    ],
)
def test_only_whole_minutes_of_perpetuals_have_funding(name: str, start: datetime) -> None:
    with pytest.raises(InvalidRequest, match="there is no funding"):
        funding_minute(contract_from_name(name), start, Decimal(1), Decimal(1), RULE)


def test_a_book_without_counterparties_is_refused() -> None:
    minutes = session(INVERSE, [Decimal(50_500)])
    contract = contract_from_name(INVERSE)
    since = minutes[0].start
    with pytest.raises(InvalidPortfolio, match="the net quantity is 1"):
        funding(
            contract, [change("a", INVERSE, 1, 1)], FundingSession(since, minutes, RULES), cutoff()
        )
    book = [change("a", INVERSE, 1, 1, since), change("b", INVERSE, -1, 1, DAY)]
    with pytest.raises(InvalidPortfolio, match="not balanced"):
        funding(contract, book, FundingSession(since, minutes, RULES), cutoff())
    with pytest.raises(InvalidPortfolio, match="is in BTC-PERPETUAL"):
        funding(
            contract_from_name(LINEAR),
            book,
            FundingSession(since, session(LINEAR, [Decimal(1)]), RULES),
            cutoff(),
        )
