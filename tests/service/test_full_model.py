"""A model with every add-on, floor, buffer and a component of another package, in a service."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made import ADD_ONS, EVERYTHING, model_from, sections
from margin_client import Candidate, InvalidRequestError, MarginClient, NotFoundError
from margin_cluster.member_files import FILES
from service_world import Running, World, served

from margin_actors.actors.layout import Layout
from margin_actors.engine.margin import calculate_margin, dominant_add_ons
from margin_actors.market.books import account_book, other_accounts
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.synthetic import SyntheticMarket

GAP = {"name": "gap_risk", "parameters": {"usd_per_coin": 250.0}}
BOUNDS = {"members": {"enabled": True}, "hedge": {"enabled": True}, "loss_bound": {"enabled": True},
          "close_out": {"parity": True, "value_bound": True, "settling_share": 1.0}}  # fmt: skip
FULL = {"measure": {"core": "es"}, "revaluation": {"unlisted_options": "surface"}, **EVERYTHING,
        "addons": {**ADD_ONS, **BOUNDS}}  # fmt: skip


def world_of(market: SyntheticMarket, core: str) -> World:
    model = model_from("hs-surface", components=[GAP], **{**FULL, "measure": {"core": core}})
    scenarios = sections()
    book = book_from_table(market.book, where="book")
    expected = calculate_margin(market.snapshot, scenarios, book, model)
    return World(market.snapshot, scenarios, market.book, book, model, expected)


@pytest.fixture(scope="module", params=["hybrid", pytest.param("es", marks=pytest.mark.slow)])
def full(request, market: SyntheticMarket) -> World:
    return world_of(market, request.param)


@pytest.fixture(scope="module")
def running(embedded: None, full: World, tmp_path_factory) -> Iterator[Running]:
    with served(full, tmp_path_factory.mktemp("full"), layout=Layout(shards=3)) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[MarginClient]:
    with MarginClient(running.target) as client:
        yield client


def test_one_account_with_all_its_parts(client: MarginClient, full: World) -> None:
    for place in (0, 7, 13):
        result = client.calculate_margin(full.book.accounts[place])
        expected, margin = full.expected, result.margin
        assert margin.initial_margin_usd == expected.margins.initial_margin_usd[place]
        found = {p.name: p.amount_usd for p in margin.parts}
        for k, name in enumerate(full.expected.margins.components):
            assert found.get(name, 0.0) == expected.margins.components_usd[place, k], name
        assert sum(found.values()) == pytest.approx(margin.initial_margin_usd, rel=1e-12)
        for name in ("undiversified_usd", "long_usd", "stress_period_usd", "stress_usd"):
            assert getattr(margin, name) == getattr(expected.margins, name)[place], name
        assert margin.stress_name == full.scenarios.row_name(
            int(expected.margins.stress_scenario[place])
        )
        given = {(p.name, i.name, i.of): i.value for p in margin.parts for i in p.inputs}
        for _, part, label, figure, value in expected.margins.inputs.of(place).rows():
            assert given[part, figure, label] == value
        assert margin.dominant_add_on == dominant_add_ons(expected.margins)[place]
        if full.model.measure.core == "hybrid":
            assert margin.span_usd == expected.margins.span_usd[place]
            assert ("core", "scan_risk_usd", "BTC") in given
        else:
            assert margin.span_usd is None


def test_the_book_has_the_engine_s_digest(client: MarginClient, full: World) -> None:
    book = client.calculate_book()
    assert book.digest == full.expected.digest
    account = full.book.accounts[5]
    row = {p.name: p.amount_usd for p in book[account].parts}
    for k, name in enumerate(full.expected.margins.components):
        assert row.get(name, 0.0) == full.expected.margins.components_usd[5, k], name
    kept = client.get_calculation(book.calculation_id, account_ids=[account]).margins[0]
    assert kept.initial_margin_usd == book[account].initial_margin_usd
    assert kept.stress_usd == full.expected.margins.stress_usd[5]
    assert {p.name for p in kept.parts} >= {"core", "liquidity", "model_risk"}
    frame = book.to_pandas()
    assert frame.loc[account, "liquidity_usd"] == row["liquidity"]
    assert tuple(frame["dominant_add_on"]) == dominant_add_ons(full.expected.margins)
    assert book[account].dominant_add_on == kept.dominant_add_on


def test_a_what_if_counts_every_part(client: MarginClient, full: World) -> None:
    place = 7
    account = full.book.accounts[place]
    option = next(n for n in full.snapshot.options.names if n.startswith("BTC"))
    odd = f"{option.rsplit('-', 2)[0]}-{int(option.split('-')[2]) + 7}-C"
    found = client.simulate_margin(
        account, candidates=[Candidate({option: 3.0}), Candidate({odd: -4.0})]
    )
    assert found.before.initial_margin_usd == full.expected.margins.initial_margin_usd[place]
    held = {p.instrument_name: p.quantity for p in client.get_portfolio(account).positions}
    for trade, candidate in zip(({option: 3.0}, {odd: -4.0}), found.candidates, strict=True):
        after = dict(held)
        for name, quantity in trade.items():
            after[name] = after.get(name, 0.0) + quantity
        # The other accounts of the member count towards its size after the trade as well.
        direct = calculate_margin(
            full.snapshot,
            full.scenarios,
            account_book(account, full.book.members[place], after),
            full.model,
            others=other_accounts(full.book, [account]),
        ).margins.initial_margin_usd[0]
        assert candidate.after.initial_margin_usd == direct
        assert candidate.initial_margin_change_usd == pytest.approx(
            direct - found.before.initial_margin_usd
        )


def test_some_accounts_are_margined_with_the_size_of_their_whole_member(
    client: MarginClient, full: World
) -> None:
    chosen = [full.book.accounts[place] for place in (2, 7)]
    assert len(set(full.book.members)) < len(full.book.members)
    book = client.calculate_book(account_ids=chosen)
    for account in chosen:
        place = full.book.accounts.index(account)
        expected = full.expected.margins.initial_margin_usd[place]
        assert book[account].initial_margin_usd == expected


def test_explain_adds_up_over_the_core_alone(client: MarginClient, full: World) -> None:
    place = 3
    found = client.explain_margin(full.book.accounts[place])
    assert sum(p.component_var_usd for p in found.positions) == pytest.approx(
        full.expected.margins.var_usd[place], rel=1e-9
    )
    assert sum(p.component_es_usd for p in found.positions) == pytest.approx(
        full.expected.margins.es_usd[place], rel=1e-9
    )
    first = found.scenarios[0]
    assert first.scenario == full.expected.margins.tail_scenario[place, 0]
    assert first.name == full.scenarios.row_name(first.scenario)
    core = full.scenarios.section("core").count
    assert all(s.scenario < core for s in found.scenarios)
    assert found.traced == ()
    traced = client.explain_margin(full.book.accounts[place], traced_scenario=first.scenario).traced
    assert sum(t.profit_usd for t in traced) == pytest.approx(first.profit_usd, rel=1e-9)
    options = [t for t in traced if t.strike_usd is not None]
    assert options
    assert all(t.volatility > 0 and t.scale > 0 for t in options)
    with pytest.raises(InvalidRequestError, match="traced_scenario"):
        client.explain_margin(full.book.accounts[place], traced_scenario=10**6)


def test_the_exported_files_hold_the_margin_of_the_account(
    client: MarginClient, full: World, tmp_path: Path
) -> None:
    place = 7
    account = full.book.accounts[place]
    files = client.export_margin(account)
    assert {f"{item.name}.parquet" for item in FILES} < set(files.content)
    files.write(str(tmp_path / "files"))
    manifest = json.loads((tmp_path / "files" / "manifest.json").read_text())
    assert manifest["accounts"] == [account]
    assert manifest["inputs"]["scenarios_id"] == full.scenarios.id
    assert manifest["components"][-1] == "gap_risk"
    amounts = pq.read_table(tmp_path / "files" / "components.parquet").to_pylist()
    margins = full.expected.margins
    for row in amounts:
        assert row["amount_usd"] == margins.component_usd(row["component"])[place]
    held = {p.instrument_name: p.quantity for p in client.get_portfolio(account).positions}
    other = client.export_margin(portfolio=held)
    assert other.content["profits.parquet"] != b""
    assert other.content["scenarios.parquet"] == files.content["scenarios.parquet"]
    with pytest.raises(NotFoundError):
        client.export_margin("Z-9")


def test_the_model_s_version_is_in_the_answer(client: MarginClient, full: World) -> None:
    generation = client.calculate_margin(full.book.accounts[0]).generation
    assert generation.model_version == full.model.version
    assert generation.scenarios == len(full.scenarios)
    assert np.isfinite(full.expected.margins.initial_margin_usd).all()


# -- the component of another package -----------------------------------------------------------


def test_an_account_and_its_explanation_have_the_component(
    client: MarginClient, full: World
) -> None:
    account, margins = full.book.accounts[4], full.expected.margins
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


def test_a_book_and_its_record_have_the_component(client: MarginClient, full: World) -> None:
    book = client.calculate_book()
    assert book.digest == full.expected.digest
    account, amounts = full.book.accounts[5], full.expected.margins.amounts_of(5)
    for margin in (
        book[account],
        client.get_calculation(book.calculation_id, account_ids=[account]).margins[0],
    ):
        found = {p.name: p.amount_usd for p in margin.parts}
        assert found == {name: x for name, x in amounts.items() if x or name == "core"}
        assert list(found)[-1] == "gap_risk"
    frame = book.to_pandas()
    assert frame["gap_risk_usd"].tolist() == (
        full.expected.margins.component_usd("gap_risk").tolist()
    )


def test_a_what_if_counts_the_component(client: MarginClient, full: World) -> None:
    account = full.book.accounts[4]
    found = client.simulate_margin(account, candidates=[Candidate({"BTC_USDC": 2.0})])
    (after,) = found.candidates
    before = {p.name: p.amount_usd for p in found.before.parts}["gap_risk"]
    change = {p.name: p.amount_usd for p in after.after.parts}["gap_risk"] - before
    assert abs(change) == pytest.approx(500.0, rel=1e-9)
