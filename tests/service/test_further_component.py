"""A component that a model names passes through client, gateway and actors like a built-in one."""

from collections.abc import Iterator

import pytest
from made import EVERYTHING, model_from, sections
from margin_client import Candidate, MarginClient
from service_world import Running, World, served

from margin_actors.actors.layout import Layout
from margin_actors.engine.margin import calculate_margin
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.synthetic import SyntheticMarket

GAP = {"name": "gap_risk", "parameters": {"usd_per_coin": 250.0}}


@pytest.fixture(scope="module")
def world(market: SyntheticMarket) -> World:
    addons = {**EVERYTHING, "addons": {"liquidity": {"enabled": True}}}
    model = model_from("hs-surface", components=[GAP], **addons)
    book = book_from_table(market.book, where="book")
    expected = calculate_margin(market.snapshot, sections(), book, model)
    return World(market.snapshot, sections(), market.book, book, model, expected)


@pytest.fixture(scope="module")
def running(
    embedded: None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("further")
    with served(world, folder, layout=Layout(shards=2)) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[MarginClient]:
    with MarginClient(running.target) as client:
        yield client


def test_an_account_and_its_explanation_have_the_component(
    client: MarginClient, world: World
) -> None:
    account, margins = world.book.accounts[4], world.expected.margins
    expected = margins.component_usd("gap_risk")[4]
    assert expected > 0.0
    result = client.calculate_margin(account)
    for margin in (result.margin, client.explain_margin(account).margin):
        parts = {p.name: p for p in margin.parts}
        assert margin.parts[-1] == parts["gap_risk"]
        assert parts["gap_risk"].amount_usd == expected
        (figure,) = parts["gap_risk"].inputs
        assert figure.name == "gross_delta_coins"
        assert 250.0 * figure.value == expected
        assert margin.initial_margin_usd == margins.initial_margin_usd[4]
    stored = client.get_calculation(result.calculation_id).margins
    assert stored == (result.margin,)


def test_a_book_and_its_record_have_the_component(client: MarginClient, world: World) -> None:
    book = client.calculate_book()
    assert book.digest == world.expected.digest
    account, amounts = world.book.accounts[5], world.expected.margins.amounts_of(5)
    for margin in (
        book[account],
        client.get_calculation(book.calculation_id, account_ids=[account]).margins[0],
    ):
        found = {p.name: p.amount_usd for p in margin.parts}
        assert found == {name: x for name, x in amounts.items() if x or name == "core"}
        assert list(found)[-1] == "gap_risk"
    frame = book.to_pandas()
    assert frame["gap_risk_usd"].tolist() == (
        world.expected.margins.component_usd("gap_risk").tolist()
    )


def test_a_what_if_counts_the_component(client: MarginClient, world: World) -> None:
    account = world.book.accounts[4]
    found = client.simulate_margin(account, candidates=[Candidate({"BTC_USDC": 2.0})])
    (after,) = found.candidates
    before = {p.name: p.amount_usd for p in found.before.parts}["gap_risk"]
    change = {p.name: p.amount_usd for p in after.after.parts}["gap_risk"] - before
    assert abs(change) == pytest.approx(500.0, rel=1e-9)
