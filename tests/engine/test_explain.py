"""Explanations of a margin: prices in a scenario, and the causes of a change."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made_scenarios, model_from, sections
from small_chain import quotes_of

from margin_actors.engine.explain import STEPS, State, changes_of_margin, trace_account
from margin_actors.engine.margin import calculate_margin, prepare_market
from margin_actors.errors import InvalidPortfolio
from margin_actors.market.books import Book
from margin_actors.numerics.black76 import black76_price


@given(row=st.integers(0, 299), account=st.integers(0, 15))
@settings(max_examples=10)
def test_traced_prices_make_the_account_s_profit(snapshot, book, row, account) -> None:
    scenarios, parameters = made_scenarios(300), model_from("hs-surface")
    result = calculate_margin(snapshot, scenarios, book, parameters, keep_pnl=True)
    market = prepare_market(snapshot, parameters, names=book.instruments)
    trace = trace_account(market, book, account, scenarios, row)
    assert sum(t.profit_usd for t in trace) == pytest.approx(
        result.pnl_usd[account, row], rel=1e-9, abs=1e-4
    )
    for t in trace:
        assert t.profit_usd == pytest.approx(
            t.quantity * (t.unit_value_after_usd - t.unit_value_usd), rel=1e-9, abs=1e-4
        )
        if np.isnan(t.strike_usd):
            continue
        call = np.array([t.instrument.endswith("C")])
        for forward, vol, scale, value in (
            (t.forward_usd, t.vol, t.scale, t.unit_value_usd),
            (t.forward_after_usd, t.vol_after, t.scale_after, t.unit_value_after_usd),
        ):
            if np.isnan(vol):
                continue
            price = black76_price(
                np.array([forward]), np.array([t.strike_usd]),
                np.array([vol * np.sqrt(t.tenor_years)]), call,
            )[0]  # fmt: skip
            assert scale * price == pytest.approx(value, rel=1e-6, abs=2e-3), t.instrument


def states(snapshot, book) -> tuple[State, State]:
    """Return yesterday's and today's state, which differ in all four kinds of input."""
    moved = replace(
        snapshot, index_usd={u: 1.05 * p for u, p in snapshot.index_usd.items()},
        expiries=tuple(replace(e, forward_usd=1.05 * e.forward_usd) for e in snapshot.expiries),
    )  # fmt: skip
    traded = Book(
        book.accounts, book.members, book.instruments, book.start, book.instrument_index,
        book.quantity * np.where(np.arange(book.n_positions) % 3 == 0, 2.0, 1.0),
    )  # fmt: skip
    return (
        State(snapshot, made_scenarios(300, 1), book, model_from("hs-surface")),
        State(moved, made_scenarios(320, 2), traded,
              model_from("hs-surface", measure={"confidence": 0.99})),
    )  # fmt: skip


def test_the_waterfall_adds_up(snapshot, book) -> None:
    before, after = states(snapshot, book)
    account = book.accounts[3]
    found = changes_of_margin(before, after, account)
    assert found.steps == STEPS
    ends = []
    for state in (before, after):
        whole = calculate_margin(state.snapshot, state.scenarios, state.book, state.model)
        ends.append(whole.margins.initial_margin_usd[3])
    assert found.requirement_usd[0] == pytest.approx(ends[0], rel=1e-12)
    assert found.requirement_usd[-1] == pytest.approx(ends[1], rel=1e-12)
    assert found.change_usd.sum() == pytest.approx(ends[1] - ends[0], rel=1e-9)
    assert np.all(found.change_usd != 0.0)
    np.testing.assert_allclose(found.components_usd.sum(axis=1), found.requirement_usd, rtol=1e-12)


@pytest.mark.parametrize("kind", ["positions", "market", "scenarios", "parameters"])
def test_a_step_in_which_nothing_changed_adds_nothing(snapshot, book, kind) -> None:
    before, after = states(snapshot, book)
    names = {"positions": "book", "market": "snapshot", "parameters": "model"}
    field = names.get(kind, kind)
    only = replace(before, **{field: getattr(after, field)})
    found = changes_of_margin(before, only, book.accounts[3])
    assert found.change_usd[STEPS.index(kind)] != 0.0
    assert np.count_nonzero(found.change_usd) == 1


def test_an_account_may_be_new_or_gone(snapshot, book) -> None:
    before, after = states(snapshot, book)
    last = book.accounts[-1]
    cut = int(book.start[-2])
    smaller = Book(
        book.accounts[:-1], book.members[:-1], book.instruments, book.start[:-1],
        book.instrument_index[:cut], book.quantity[:cut],
    )  # fmt: skip
    opened = changes_of_margin(replace(before, book=smaller), after, last)
    assert opened.requirement_usd[0] == 0.0
    assert opened.requirement_usd[-1] > 0.0
    closed = changes_of_margin(after, replace(before, book=smaller), last)
    assert closed.requirement_usd[-1] == 0.0
    with pytest.raises(InvalidPortfolio, match="has no positions in either"):
        changes_of_margin(before, after, "nobody")


def test_positions_that_the_old_market_does_not_list_come_after_the_market(snapshot, book) -> None:
    before, after = states(snapshot, book)
    gone = snapshot.expiries[-1]
    keep = snapshot.options.expiry_index != len(snapshot.expiries) - 1
    quotes = snapshot.options
    fewer = replace(
        snapshot,
        expiries=snapshot.expiries[:-1],
        options=quotes_of(quotes, np.flatnonzero(keep)),
    )
    account = next(
        a for a in range(len(book.accounts))
        if any(snapshot.option_row.get(book.instruments[i], -1) >= 0
               and snapshot.expiries[quotes.expiry_index[
                   snapshot.option_row[book.instruments[i]]]] == gone
               for i in book.instrument_index[int(book.start[a]) : int(book.start[a + 1])])
    )  # fmt: skip
    old = [
        i for i in range(int(book.start[account]), int(book.start[account + 1]))
        if not (book.instruments[book.instrument_index[i]] in snapshot.option_row
                and snapshot.expiries[quotes.expiry_index[snapshot.option_row[
                    book.instruments[book.instrument_index[i]]]]] == gone)
        and book.instruments[book.instrument_index[i]].count("-") == 3
    ]  # fmt: skip
    smaller = Book((book.accounts[account],), ("M",), book.instruments, np.array([0, len(old)]),
                   book.instrument_index[old], book.quantity[old])  # fmt: skip
    found = changes_of_margin(
        replace(before, snapshot=fewer, book=smaller), after, book.accounts[account]
    )
    assert found.steps[:2] == ("market", "positions")
    assert found.change_usd.sum() == pytest.approx(
        found.requirement_usd[-1] - found.requirement_usd[0]
    )


def test_a_tool_that_was_switched_on_brings_its_scenarios_with_it(snapshot, book) -> None:
    before, after = states(snapshot, book)
    floored = model_from("hs-surface", procyclicality={"long_floor": {"enabled": True}})
    found = changes_of_margin(
        before, replace(after, scenarios=sections(), model=floored), book.accounts[3]
    )
    assert found.steps == (*STEPS[:3], "parameters")
    back = changes_of_margin(
        replace(before, scenarios=sections(), model=floored), after, book.accounts[3]
    )
    assert back.steps == ("positions", "market", "scenarios and parameters")
