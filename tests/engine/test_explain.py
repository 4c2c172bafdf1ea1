"""Explanations of a margin: prices in a scenario, and the causes of a change."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made_scenarios, model_from, sections
from small_chain import quotes_of

from margin_actors.engine.explain import STEPS, State, changes_of_margin, trace_account
from margin_actors.engine.explain.moved_markets import at_prices_of, at_time_of
from margin_actors.engine.margin import calculate_margin, fit_smiles, prepare_market
from margin_actors.errors import InvalidPortfolio
from margin_actors.market.books import Book, other_accounts, select_account
from margin_actors.market.snapshots import tenor_years
from margin_actors.numerics.black76 import black76_implied_deviation, black76_price


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
    """Return two states an hour apart, which differ in all six kinds of input."""
    later = snapshot.time + timedelta(hours=1)
    moved = replace(
        snapshot, time=later, index_usd={u: 1.05 * p for u, p in snapshot.index_usd.items()},
        expiries=tuple(
            replace(e, forward_usd=1.05 * e.forward_usd, tenor_years=tenor_years(later, e.expiry))
            for e in snapshot.expiries
        ),
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


@pytest.mark.parametrize("kind", ["positions", "time", "index", "scenarios", "parameters"])
def test_a_step_in_which_nothing_changed_adds_nothing(snapshot, book, kind) -> None:
    before, after = states(snapshot, book)
    if kind == "time":
        only = replace(before, snapshot=at_time_of(snapshot, after.snapshot))
    elif kind == "index":
        sooner = replace(after.snapshot, time=snapshot.time)
        only = replace(before, snapshot=at_prices_of(snapshot, sooner))
    else:
        field = {"positions": "book", "parameters": "model"}.get(kind, kind)
        only = replace(before, **{field: getattr(after, field)})
    found = changes_of_margin(before, only, book.accounts[3])
    assert found.change_usd[STEPS.index(kind)] != 0.0
    assert np.count_nonzero(found.change_usd) == 1


def volatilities(snapshot, quote) -> dict[str, float]:
    """Return the volatility that a quote of each option implies; NaN if it implies none."""
    options = snapshot.options
    items = [snapshot.expiries[i] for i in options.expiry_index.tolist()]
    forward = np.array([e.forward_usd for e in items])
    unit = np.where(options.is_inverse, forward, 1.0)
    implied = black76_implied_deviation(quote * unit, forward, options.strike_usd, options.is_call)
    tenors = np.array([e.tenor_years for e in items])
    return dict(zip(options.names, (implied / np.sqrt(tenors)).tolist(), strict=True))


def test_a_moved_market_has_the_prices_of_one_snapshot_and_the_volatilities_of_the_other(
    snapshot, book
) -> None:
    _, after = states(snapshot, book)
    target = after.snapshot
    moved = at_prices_of(snapshot, target)
    assert (moved.time, moved.index_usd, moved.expiries) == (
        target.time, target.index_usd, target.expiries
    )  # fmt: skip
    for name in ("bid", "ask"):
        before = volatilities(snapshot, getattr(snapshot.options, name))
        after_move = volatilities(moved, getattr(moved.options, name))
        known = [n for n, vol in before.items() if np.isfinite(vol)]
        assert len(known) > 100
        found = np.array([after_move[n] for n in known])
        wanted = np.array([before[n] for n in known])
        # Prices deep in the money hardly depend on the volatility.
        assert np.median(np.abs(found - wanted)) < 1e-9
        np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert at_prices_of(moved, target).id == moved.id
    assert at_prices_of(snapshot, snapshot) is at_time_of(snapshot, snapshot) is snapshot
    fit_smiles(moved, model_from("hs-surface"))


def test_expiries_that_pass_before_the_later_time_are_dropped(snapshot) -> None:
    first = min(e.expiry for e in snapshot.expiries)
    later = replace(snapshot, time=first, expiries=(), options=quotes_of(snapshot.options, []))
    moved = at_time_of(snapshot, later)
    assert all(e.expiry > first and e.tenor_years > 0 for e in moved.expiries)
    assert 0 < len(moved.expiries) < len(snapshot.expiries)
    for name, row in moved.option_row.items():
        was = snapshot.expiries[snapshot.options.expiry_index[snapshot.option_row[name]]]
        now = moved.expiries[moved.options.expiry_index[row]]
        assert (was.underlying, was.expiry) == (now.underlying, now.expiry)
        assert was.forward_usd == now.forward_usd
    assert set(moved.option_row) == {
        n for n, i in snapshot.option_row.items()
        if snapshot.expiries[snapshot.options.expiry_index[i]].expiry > first
    }  # fmt: skip


def test_other_accounts_of_the_member_count_in_every_step(snapshot, book) -> None:
    sized = {"addons": {"members": {"enabled": True}, "concentration": {"enabled": True}}}
    before, after = states(snapshot, book)
    member = next(m for m in book.members if book.members.count(m) > 1)
    account = book.accounts[book.members.index(member)]
    model = model_from("hs-surface", **sized)
    whole = [replace(s, model=model) for s in (before, after)]
    alone = [
        replace(
            s,
            book=select_account(s.book, s.book.accounts.index(account)),
            others=other_accounts(s.book, [account]),
        )
        for s in whole
    ]
    found, expected = changes_of_margin(*alone, account), changes_of_margin(*whole, account)
    np.testing.assert_array_equal(found.requirement_usd, expected.requirement_usd)
    np.testing.assert_array_equal(found.components_usd, expected.components_usd)
    lone = changes_of_margin(*(replace(s, others=None) for s in alone), account)
    assert np.any(lone.requirement_usd != found.requirement_usd)


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
    assert found.steps[:4] == ("time", "index", "volatility", "positions")
    assert found.change_usd.sum() == pytest.approx(
        found.requirement_usd[-1] - found.requirement_usd[0]
    )


def test_a_tool_that_was_switched_on_brings_its_scenarios_with_it(snapshot, book) -> None:
    before, after = states(snapshot, book)
    floored = model_from("hs-surface", procyclicality={"long_floor": {"enabled": True}})
    found = changes_of_margin(
        before, replace(after, scenarios=sections(), model=floored), book.accounts[3]
    )
    assert found.steps == STEPS
    back = changes_of_margin(
        replace(before, scenarios=sections(), model=floored), after, book.accounts[3]
    )
    assert back.steps == (*STEPS[:4], "scenarios and parameters")
