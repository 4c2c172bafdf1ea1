"""Margins of single accounts and what-ifs know the other accounts of the member."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from made import made_scenarios, model_from
from margin_cluster.gateway.account_margins import AccountMargins, Held, prepare_account
from margin_cluster.positions import Holding, Positions

from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.margin import PricedMarket, prepare_market, price_own_slice
from margin_actors.engine.scenarios import CORE
from margin_actors.market.books import Book, book_of_portfolios

MODEL = model_from(
    "hs-surface",
    addons={"members": {"enabled": True}, "concentration": {"enabled": True},
            "liquidity": {"enabled": True}},
)  # fmt: skip
SCENARIOS = made_scenarios(100)


@pytest.fixture(scope="module")
def generation(snapshot, book: Book) -> ResidentGeneration:
    market = prepare_market(snapshot, MODEL, names=book.instruments)
    cube = price_own_slice(market, SCENARIOS, 0, n_core=SCENARIOS.section(CORE).count)
    handle = SimpleNamespace(snapshot_id="s", scenarios_id="c", model_id="m")
    return ResidentGeneration(handle, PricedMarket(market, SCENARIOS, (cube,)))  # type: ignore[arg-type]


@pytest.fixture
def positions(book: Book) -> Positions:
    ledger = SimpleNamespace(portfolio_version=lambda: 1)
    held = Positions(SimpleNamespace(ledger=ledger))  # type: ignore[arg-type]
    held.take_in(1, book)
    return held


def subject_of(positions: Positions, account: str) -> Held:
    holding, fellows, version = positions.held_with_fellows(account)
    return Held(holding, version, fellows)


def test_an_account_has_the_margin_that_it_has_in_the_whole_book(
    generation, positions, book
) -> None:
    whole = generation.priced.margins(book)
    for place in (0, 7):
        subject = subject_of(positions, book.accounts[place])
        assert subject.fellows is not None
        account = prepare_account(generation, subject)
        found = generation.priced.prepared_margins(account.market, account.prepared)
        assert found.initial_margin_usd[0] == whole.initial_margin_usd[place]
        assert subject.book_id != subject.holding.book.id
        # Both the other accounts and the prepared account are cached until positions change.
        again = subject_of(positions, book.accounts[place])
        assert again.fellows is subject.fellows
        assert prepare_account(generation, again) is account


def test_a_what_if_equals_the_margin_after_the_trade(generation, positions, book) -> None:
    place = 7
    account, member = book.accounts[place], book.members[place]
    subject = subject_of(positions, account)
    name = book.instruments[0]
    trades = {name: 25.0}
    calls = AccountMargins(*(cast("None", None),) * 5)  # type: ignore[arg-type]
    before, after = calls._simulate(generation, subject, [("more", trades)])
    assert before.initial_margin_usd == generation.priced.margins(book).initial_margin_usd[place]
    held = dict(subject.holding.positions)
    held[name] = held.get(name, 0.0) + 25.0
    traded = Held(Holding(account, member, held), 2, subject.fellows)
    prepared = prepare_account(generation, traded)
    direct = generation.priced.prepared_margins(prepared.market, prepared.prepared)
    assert after.initial_margin_usd == direct.initial_margin_usd[0] != before.initial_margin_usd


def test_a_portfolio_without_a_member_stands_alone(generation, positions, book) -> None:
    subject = subject_of(positions, book.accounts[0])
    alone = prepare_account(generation, Held(Holding("", "", subject.holding.positions), 0))
    found = generation.priced.prepared_margins(alone.market, alone.prepared)
    own = book_of_portfolios([("A", "A", subject.holding.positions)])
    np.testing.assert_array_equal(
        found.initial_margin_usd, generation.priced.margins(own).initial_margin_usd
    )
