"""Reservations of margin for quoted block trades."""

from dataclasses import replace
from decimal import Decimal
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_world import LIMIT, MARGIN, T0, K, applied, at, opened

from margin_actors.clearing.journal.applying import apply, expire
from margin_actors.clearing.journal.integrity import asset_sums, integrity_findings
from margin_actors.clearing.journal.outcomes import Applied, Refused, Rule
from margin_actors.clearing.journal.positions import PositionEntry
from margin_actors.clearing.journal.reservations import (
    Execution,
    MarginStatus,
    Reservation,
    executed_trade,
    free_margin_cents,
    open_reservations,
    repriced,
    reserved,
)
from margin_actors.clearing.journal.state import JournalState
from margin_actors.clearing.journal.transfers import Group
from margin_actors.errors import InvalidRequest


def status(event: str, excess: int, included: int = 0, owner: str = "fund") -> MarginStatus:
    return MarginStatus(owner, event, excess, included, T0)


def quote(name: str, cents: int, minutes: float = 60) -> Reservation:
    return Reservation(name, cents, at(minutes))


def world(excess: int, *cents: int, owner: str = "fund") -> JournalState:
    """Return a journal with reservations q1, q2, … of one account."""
    state = opened("fund", "maker")
    for number, amount in enumerate(cents, 1):
        step = status(f"s{number}", excess, owner=owner)
        state = applied(state, reserved(state, step, quote(f"q{number}", amount)))
    return state


def names(state: JournalState, owner: str = "fund") -> list[str]:
    return [r.quote for r in open_reservations(state, owner)]


def test_a_reservation_takes_free_margin_until_there_is_none() -> None:
    state = world(100, 60, 40)
    assert open_reservations(state, "fund") == (quote("q1", 60), quote("q2", 40))
    assert free_margin_cents(state, "fund") == 0
    outcome = apply(state, reserved(state, status("s3", 100), quote("q3", 1)), T0)
    assert isinstance(outcome, Refused)
    assert outcome.rule is Rule.INSUFFICIENT_FUNDS
    more = applied(state, reserved(state, status("s3", 101), quote("q3", 1)))
    assert free_margin_cents(more, "fund") == 0
    less = apply(state, reserved(state, status("s3", 99), quote("q3", -50)), T0)
    assert isinstance(less, Refused)
    with pytest.raises(InvalidRequest, match="has an open reservation"):
        reserved(state, status("s3", 500), quote("q2", 1))


def test_a_reduction_of_margin_is_not_credited_before_the_trade() -> None:
    assert open_reservations(world(100, -500), "fund") == (quote("q1", 1),)


def test_a_reservation_lapses_with_its_quote() -> None:
    state = world(100, 60)
    outcome = expire(state, at(60))
    assert isinstance(outcome, Applied)
    assert open_reservations(outcome.state, "fund") == ()
    assert free_margin_cents(outcome.state, "fund") == 100
    trade = executed_trade(state, "t", [Execution("fund", "q1")], [], valid_time=at(60))
    late = apply(state, trade, at(60))
    assert isinstance(late, Refused)
    assert late.rule is Rule.PENDING_EXPIRED


def entries(trade: str) -> list[PositionEntry]:
    price = Decimal(50_000)
    return [
        PositionEntry(trade, "fund", "BTC-PERPETUAL", Decimal(100), price),
        PositionEntry(trade, "maker", "BTC-PERPETUAL", Decimal(-100), price),
    ]


def test_a_trade_posts_both_reservations_and_books_both_positions_or_nothing() -> None:
    state = world(100, 60)
    state = applied(state, reserved(state, status("m", 80, owner="maker"), quote("q1", 70)))
    parties = [Execution("fund", "q1"), Execution("maker", "q1", 50)]
    trade = executed_trade(state, "t1", parties, entries("t1"), valid_time=T0)
    done = applied(state, trade)
    assert [p.quantity for p in done.positions.values()] == [100, -100]
    assert [done.balance(K.RESERVED, MARGIN, o).net for o in ("fund", "maker")] == [60, 50]
    assert [free_margin_cents(done, o) for o in ("fund", "maker")] == [40, 30]
    assert names(done) == names(done, "maker") == []
    broken = replace(trade, id="t2", positions=(*trade.positions, trade.positions[0]))
    assert isinstance(apply(state, broken, T0), Refused)
    with pytest.raises(InvalidRequest, match="no open reservation"):
        executed_trade(done, "t3", parties, entries("t3"), valid_time=T0)


def test_reserved_margin_is_released_once_when_a_requirement_includes_the_trade() -> None:
    state = world(100, 60, 30)
    for trade, name in (("t1", "q1"), ("t2", "q2")):
        before = state
        state = applied(
            state, executed_trade(state, trade, [Execution("fund", name)], [], valid_time=T0)
        )
    included = before.balance(K.RESERVED, MARGIN, "fund").credits_posted
    # The requirement includes the first trade only: its 60 cents moved from reserved to required.
    one = repriced(state, status("c1", 45, included), [], now=T0)
    assert one.group is not None
    after = applied(state, one.group)
    assert after.balance(K.RESERVED, MARGIN, "fund").net == 30
    assert free_margin_cents(after, "fund") == 15
    # A slower calculation on the same positions releases nothing again.
    two = repriced(after, status("c2", 50, included), [], now=T0)
    assert two.group is not None
    after = applied(after, two.group)
    assert after.balance(K.RESERVED, MARGIN, "fund").net == 30
    assert free_margin_cents(after, "fund") == 20
    both = state.balance(K.RESERVED, MARGIN, "fund").credits_posted
    three = repriced(after, status("c3", 20, both), [], now=T0)
    assert three.group is not None
    after = applied(after, three.group)
    assert after.balance(K.RESERVED, MARGIN, "fund").net == 0
    assert free_margin_cents(after, "fund") == 20
    assert asset_sums(after)["MARGIN"] == (0, 0)


def test_nothing_changes_if_nothing_changed() -> None:
    state = world(100, 60, 30)
    same = repriced(state, status("c", 100), open_reservations(state, "fund"), now=T0)
    assert same.group is None
    assert same.kept == open_reservations(state, "fund")


def test_a_cancelled_quote_is_voided_and_later_ones_are_priced_without_it() -> None:
    state = world(100, 20, 30, 10)
    found = repriced(state, status("c", 100), [quote("q1", 20), quote("q3", 45)], now=T0)
    assert found.group is not None
    assert found.withdrawn == ()
    after = applied(state, found.group)
    assert open_reservations(after, "fund") == (quote("q1", 20), quote("q3", 45))
    assert free_margin_cents(after, "fund") == 35


def test_all_reservations_of_an_account_in_default_are_voided() -> None:
    state = world(100, 20, 30)
    found = repriced(state, status("default", -5_000), [], now=T0)
    assert found.group is not None
    after = applied(state, found.group)
    assert names(after) == []
    assert free_margin_cents(after, "fund") == 0
    assert after.balance(K.FREE_MARGIN, MARGIN, "fund").net == 0


@pytest.mark.parametrize("order", [["q2", "q1"], ["q1", "q9"], ["q1", "q1"]])
def test_reservations_are_repriced_in_their_order(order: list[str]) -> None:
    state = world(100, 20, 30)
    with pytest.raises(InvalidRequest, match="not open in this order"):
        repriced(state, status("c", 100), [quote(q, 5) for q in order], now=T0)


CENTS = st.integers(-20, 60)


@settings(max_examples=50)
@given(st.lists(CENTS, max_size=6), st.integers(-50, 300), st.data())
def test_the_newest_reservations_are_withdrawn_first(
    cents: list[int], excess: int, data: st.DataObject
) -> None:
    state = world(1_000, *cents)
    prices = {f"q{n}": data.draw(st.one_of(st.just(c), CENTS)) for n, c in enumerate(cents, 1)}
    keep = [q for q in prices if data.draw(st.integers(0, 3))]
    expired = data.draw(st.booleans())
    now = at(60) if expired else T0
    priced = [quote(q, prices[q]) for q in keep]
    found = repriced(state, status("c", excess), priced, now=now)
    after = state if found.group is None else applied(state, found.group, now)

    limit = max(0, excess)
    sums = list(accumulate(max(1, prices[q]) for q in keep))
    count = 0 if expired else sum(total <= limit for total in sums)
    assert names(after) == [r.quote for r in found.kept] == keep[:count]
    assert [r.incremental_cents for r in open_reservations(after, "fund")] == [
        max(1, prices[q]) for q in keep[:count]
    ]
    assert list(found.withdrawn) == ([] if expired else keep[count:][::-1])
    assert free_margin_cents(after, "fund") == limit - (sums[count - 1] if count else 0)
    assert integrity_findings(after) == ()
    assert expire(after, now) is None


@settings(max_examples=50)
@given(
    st.lists(st.text(alphabet=":1a ", min_size=1, max_size=6), min_size=2, max_size=4, unique=True)
)
def test_quotes_and_accounts_of_any_name_are_distinguished(texts: list[str]) -> None:
    state = opened(*texts)
    for owner in texts:
        for number, name in enumerate(texts):
            step = status(f"{name}:{number}", 100, owner=owner)
            state = applied(state, reserved(state, step, quote(name, 1)))
    for owner in texts:
        assert names(state, owner) == texts


def test_the_limit_is_booked_against_the_counter_account() -> None:
    state = world(100, 60)
    assert state.balances[LIMIT.id].net == -100
    assert isinstance(apply(state, Group("again", accounts=(LIMIT,)), T0), Applied)


def test_the_example_of_the_documentation() -> None:
    state = world(100, 60, 30, 10)
    prices = [quote("q1", 60), quote("q2", 20), quote("q3", 5)]
    found = repriced(state, status("c", 70), prices, now=T0)
    assert found.group is not None
    assert found.withdrawn == ("q3", "q2")
    assert repriced(state, status("c", 80), prices, now=T0).withdrawn == ("q3",)
    assert free_margin_cents(applied(state, found.group), "fund") == 10
