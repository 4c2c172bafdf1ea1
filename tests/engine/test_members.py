"""Sizes measured by member: splitting an account does not reduce its charges."""

import numpy as np
import pytest
from addon_figures import account_book, figures
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made_scenarios, model_from

from margin_actors.engine.addons import net_positions, strike_coins
from margin_actors.engine.margin import calculate_margin, price_own_slice
from margin_actors.engine.margin.prepared_market import prepare_market
from margin_actors.engine.margin.priced_market import PricedMarket
from margin_actors.engine.scenarios import CORE
from margin_actors.errors import InvalidParameters
from margin_actors.market.books import Book, book_of_portfolios, other_accounts, select_account

SCENARIOS = made_scenarios(400)
CHARGES = {"concentration": {"enabled": True}, "liquidity": {"enabled": True}}
BY_ACCOUNT = model_from("hs-surface", addons=CHARGES)
BY_MEMBER = model_from("hs-surface", addons={**CHARGES, "members": {"enabled": True}})


def positions_of(book: Book, account: int) -> dict[str, float]:
    held = slice(int(book.start[account]), int(book.start[account + 1]))
    names = [book.instruments[i] for i in book.instrument_index[held].tolist()]
    return dict(zip(names, book.quantity[held].tolist(), strict=True))


def equal_parts(book: Book, n: int) -> tuple[Book, Book]:
    """Return (one account, the same positions in n equal accounts of its member)."""
    part = positions_of(account_book(book, 0, 3.0), 0)
    whole = book_of_portfolios([("A", "M", {name: n * q for name, q in part.items()})])
    return whole, book_of_portfolios([(f"A{i:02}", "M", part) for i in range(n)])


def charges(snapshot, book: Book, model) -> float:
    margins = calculate_margin(snapshot, SCENARIOS, book, model).margins
    return float((margins.initial_margin_usd - margins.core_usd).sum())


def test_ten_accounts_of_one_member_pay_at_least_what_one_pays(snapshot, book) -> None:
    whole, parts = equal_parts(book, 10)
    by_account = charges(snapshot, parts, BY_ACCOUNT) / charges(snapshot, whole, BY_ACCOUNT)
    by_member = charges(snapshot, parts, BY_MEMBER) / charges(snapshot, whole, BY_MEMBER)
    assert by_account < 0.95
    assert by_member >= 1.0 - 1e-9
    assert charges(snapshot, whole, BY_MEMBER) == charges(snapshot, whole, BY_ACCOUNT)


@pytest.fixture(scope="module")
def priced(snapshot, book) -> PricedMarket:
    market = prepare_market(snapshot, BY_MEMBER, names=book.instruments)
    cube = price_own_slice(market, SCENARIOS, 0, n_core=SCENARIOS.section(CORE).count)
    return PricedMarket(market, SCENARIOS, (cube,))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_division_of_an_account_shortens_the_time_to_close(priced, book, data) -> None:
    held = positions_of(account_book(book, 0, 5.0), 0)
    owner = {name: data.draw(st.integers(0, 3), label=name) for name in held}
    whole = book_of_portfolios([("A", "M", held)])
    parts = book_of_portfolios(
        (f"A{i}", "M", {n: q for n, q in held.items() if owner[n] == i}) for i in range(4)
    )
    (_, one), (_, several) = priced.prepare_book(whole), priced.prepare_book(parts)
    assert np.all(several.members.delta == one.members.delta)
    assert np.all(several.members.vega == one.members.vega)
    largest = np.zeros(len(held))
    np.maximum.at(
        largest,
        np.searchsorted(one.holdings.index, several.holdings.index),
        several.members.strike_coins,
    )
    np.testing.assert_array_equal(largest, one.members.strike_coins)


def test_one_account_has_the_bits_of_the_whole_book(priced, book) -> None:
    """Whichever accounts are margined together, an account's margin has the same bits."""
    assert len(set(book.members)) < len(book.members)
    whole = priced.margins(book)
    for place in (0, 5, 11):
        own = select_account(book, place)
        others = other_accounts(book, own.accounts)
        alone = priced.margins(own, others)
        assert alone.initial_margin_usd[0] == whole.initial_margin_usd[place]
        netted = priced.repeated_others(others, [own.members[0]]) if others else None
        again = priced.margins(own, netted)
        assert again.initial_margin_usd[0] == whole.initial_margin_usd[place]
    _, prepared = priced.prepare_book(book)
    market = priced.market
    for first, last in ((0, 4), (4, len(book.accounts))):
        part = priced.prepared_margins(market, prepared.select(first, last))
        np.testing.assert_array_equal(part.initial_margin_usd, whole.initial_margin_usd[first:last])


def test_other_accounts_never_make_an_account_smaller(snapshot, priced, book) -> None:
    """Positions of clients do not net: an opposite account of the member changes nothing."""
    held = positions_of(account_book(book, 0, 5.0), 0)
    alone = book_of_portfolios([("A", "M", held)])
    opposite = book_of_portfolios([("B", "M", {name: -q for name, q in held.items()})])
    same = book_of_portfolios([("B", "M", held)])
    before = priced.margins(alone).initial_margin_usd[0]
    assert priced.margins(alone, opposite).initial_margin_usd[0] == before
    assert priced.margins(alone, same).initial_margin_usd[0] > before


def test_accounts_without_a_member_are_members_of_their_own(priced, book) -> None:
    held = positions_of(account_book(book, 0, 5.0), 0)
    apart = priced.margins(book_of_portfolios([("A", "", held), ("B", "", held)]))
    alone = priced.margins(book_of_portfolios([("A", "M", held)]))
    assert set(apart.initial_margin_usd) == {alone.initial_margin_usd[0]}


def test_the_figures_name_the_size_of_the_member(snapshot, book) -> None:
    _, parts = equal_parts(book, 10)
    result = calculate_margin(snapshot, SCENARIOS, parts, BY_MEMBER)
    for label, found in figures(result, "concentration").items():
        if "member_delta_coins" in found:
            assert found["member_delta_coins"] == pytest.approx(10.0 * found["delta_coins"]), label


def test_net_positions_are_sums_by_member_and_name(priced, book) -> None:
    contracts = priced.market.contracts
    first, second = [name for name in book.instruments if name.endswith("0-C")][:2]
    perpetual = next(name for name in book.instruments if name.endswith("-PERPETUAL"))
    found = net_positions(
        contracts,
        book_of_portfolios(
            [
                ("A", "M", {first: 0.05, perpetual: 30.0}),
                ("B", "N", {first: -0.01}),
                ("C", "M", {first: 0.3, second: -0.2}),
            ]
        ),
        book_of_portfolios([("D", "M", {second: 0.2})]),
    )
    order = sorted([first, second, perpetual])
    net = {first: 0.35, second: 0.0, perpetual: 30.0}
    holdings = found.holdings
    assert holdings.start.tolist() == [0, 3, 4]
    assert holdings.index.tolist() == [contracts.place[n] for n in (*order, first)]
    assert holdings.index.dtype == np.int32
    # The decimal number itself: 35 lots of 0.01 are 0.35, although 35 * 0.01 is not.
    assert found.quantity.tolist() == [*(net[n] for n in order), -0.01]
    np.testing.assert_array_equal(
        holdings.lots, np.round(found.quantity / contracts.lot[holdings.index])
    )
    assert (holdings.quantum_usd, holdings.is_exact) == (contracts.quantum_usd, True)
    assert found.member.tolist() == [0, 1, 0]
    rows = [*sorted((order.index(first), order.index(perpetual))), 3]
    assert found.row.tolist() == [*rows, *sorted((order.index(first), order.index(second)))]


def test_members_of_one_instrument_or_of_none_have_net_positions(priced, book) -> None:
    name, contracts = book.instruments[0], priced.market.contracts
    two = book_of_portfolios([("A", "M", {name: 1.0}), ("B", "N", {name: 2.0})])
    found = net_positions(contracts, two)
    assert found.holdings.index.tolist() == [contracts.place[name]] * 2
    assert found.quantity.tolist() == [1.0, 2.0]
    assert net_positions(contracts, book_of_portfolios([])).holdings.start.tolist() == [0]


def test_coins_at_a_strike_are_the_gross_quantity_of_one_owner() -> None:
    """Also with more owners than strikes; contracts other than options have no strike."""
    strike, owner = np.array([1, 0, -1, 1, 1], np.int32), np.array([0, 3, 0, 0, 3])
    found = strike_coins(strike, owner, np.array([2.0, -5.0, 7.0, -3.0, 1.0]), 3)
    np.testing.assert_array_equal(found, [5.0, 5.0, 0.0, 5.0, 1.0])


def test_sizes_of_members_need_whole_lots() -> None:
    with pytest.raises(InvalidParameters, match="pnl_quantum_usd"):
        model_from("plain-hs", addons={"members": {"enabled": True}})
