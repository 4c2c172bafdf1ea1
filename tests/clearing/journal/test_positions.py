"""Positions as the fold of position entries."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_world import applied, at, opened

from margin_actors.clearing.journal.integrity import position_sums
from margin_actors.clearing.journal.positions import (
    Lot,
    Position,
    PositionEntry,
    rebased,
)
from margin_actors.clearing.journal.state import positions_of
from margin_actors.clearing.journal.transfers import Group
from margin_actors.errors import InvalidRequest

D = Decimal
QUANTITY = st.decimals(-1000, 1000, places=3).filter(bool)
PRICE = st.one_of(st.none(), st.sampled_from([D(-37), D("37.10"), D(100), D("1E+2")]))
TRADES = st.lists(st.tuples(QUANTITY, PRICE), max_size=12)


def entry(event: str, quantity: D | int, price: D | int | None, owner: str = "a") -> PositionEntry:
    return PositionEntry(event, owner, "PERP", D(quantity), None if price is None else D(price))


@settings(max_examples=50)
@given(TRADES)
def test_a_position_is_the_sum_of_its_entries_by_base_price(
    trades: list[tuple[Decimal, Decimal | None]],
) -> None:
    position = Position("a", "PERP")
    for number, (quantity, price) in enumerate(trades):
        position = position.after(PositionEntry(f"t{number}", "a", "PERP", quantity, price))
    assert position.quantity == sum(q for q, _ in trades)
    for price in {price for _, price in trades}:
        total = sum(q for q, p in trades if p == price)
        found = [lot.quantity for lot in position.lots if lot.base_price == price]
        assert found == ([total] if total else [])
    prices = [lot.base_price for lot in position.lots]
    assert prices == sorted(prices, key=lambda p: (p is not None, p or 0))


@settings(max_examples=50)
@given(TRADES, st.sampled_from([D(100), D("99.5")]))
def test_rebasing_keeps_the_quantity_and_leaves_one_priced_lot(
    trades: list[tuple[Decimal, Decimal | None]], price: Decimal
) -> None:
    position = Position("a", "PERP")
    for number, (quantity, base) in enumerate(trades):
        position = position.after(PositionEntry(f"t{number}", "a", "PERP", quantity, base))
    after = position
    for one in rebased(position, "settlement-1", price):
        after = after.after(one)
    assert after.quantity == position.quantity
    assert {lot.base_price for lot in after.lots} <= {None, price}
    assert rebased(after, "settlement-2", price) == ()


def test_a_position_closed_within_a_day_keeps_its_lots_until_settlement() -> None:
    state = opened("a", "b")
    trades = [entry("t1", 5, 100), entry("t1", -5, 100, "b")]
    state = applied(state, Group("t1", positions=tuple(trades)))
    state = applied(state, Group("t2", positions=(entry("t2", -5, 110), entry("t2", 5, 110, "b"))))
    held = state.position("a", "PERP")
    assert held.quantity == 0
    assert held.lots == (Lot(D(100), D(5)), Lot(D(110), D(-5)))
    assert position_sums(state) == {"PERP": 0}
    settlement = rebased(held, "s1", D(120))
    after = applied(state, Group("s1", positions=settlement), at(1))
    assert after.position("a", "PERP").lots == ()
    assert [p.account for p in after.positions.values()] == ["b"]
    assert list(positions_of(after, "a")) == []
    assert [p.quantity for p in positions_of(after, "b")] == [0]
    assert list(state.positions) == ["PERP\na", "PERP\nb"]


def test_equal_numbers_have_equal_content() -> None:
    one = PositionEntry("e", "a", "PERP", D("1.50"), D("1E+2"))
    other = PositionEntry("e", "a", "PERP", D("1.5"), D("100.0"))
    assert (one.id, one.content()) == (other.id, other.content())
    assert PositionEntry("e", "a", "PERP", D(1), D("-0.0")).content()[-1] == "0"
    assert one.id != PositionEntry("e", "a", "PERP", D("1.5")).id


@pytest.mark.parametrize(
    ("event", "quantity", "price"),
    [
        ("", "1", "1"),
        ("e", "0", "1"),
        ("e", "NaN", "1"),
        ("e", "1", "Infinity"),
        ("e", "1E+18", "1"),
        ("e", "1E-19", "1"),
        ("e\n", "1", "1"),
    ],
)
def test_entries_that_are_not_valid_are_refused(event: str, quantity: str, price: str) -> None:
    with pytest.raises(InvalidRequest, match="the position entry is not valid"):
        PositionEntry(event, "a", "PERP", D(quantity), D(price))
