"""Every call through client, gateway and actors gives what the engine gives."""

import asyncio
import dataclasses
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from margin_client import (
    AsyncMarginClient,
    Calculation,
    CalculationKind,
    Candidate,
    ConflictError,
    InvalidRequestError,
    MarginClient,
    NotFoundError,
    NotReadyError,
    Progress,
    RetryPolicy,
    Trade,
)
from service_world import Running, World, wire

from margin_actors.engine.margin import calculate_margin

AMOUNTS = ("value_usd", "var_usd", "es_usd", "worst_usd", "core_usd", "initial_margin_usd")


def test_a_book_has_the_digest_of_the_engine_alone(client: MarginClient, world: World) -> None:
    steps: list[Progress] = []
    book = client.calculate_book(on_progress=steps.append)
    assert book.digest == world.expected.digest
    assert steps[0].done == 0
    assert steps[-1].done == steps[-1].total > 2
    frame = book.to_pandas()
    assert tuple(frame.index) == world.book.accounts
    for name in AMOUNTS:
        assert np.array_equal(frame[name], getattr(world.expected.margins, name)), name
    assert book.initial_margin_usd == pytest.approx(world.expected.margins.initial_margin_usd.sum())
    assert book.inputs.book_id == world.book.id


def test_one_account_is_its_row_of_the_book(client: MarginClient, world: World) -> None:
    place = 3
    account = world.book.accounts[place]
    result = client.calculate_margin(account)
    for name in AMOUNTS:
        assert getattr(result.margin, name) == getattr(world.expected.margins, name)[place], name
    assert sum(p.amount_usd for p in result.margin.parts) == result.margin.initial_margin_usd
    held = client.get_portfolio(account)
    for portfolio in (
        held.positions,
        held.to_pandas(),
        {p.instrument_name: p.quantity for p in held.positions},
    ):
        other = client.calculate_margin(portfolio=portfolio)
        same = dataclasses.replace(other.margin, account_id=account, member_id=held.member_id)
        assert same == result.margin
        assert other.margin.account_id == ""


def test_a_repeated_request_is_the_same_calculation(client: MarginClient, world: World) -> None:
    account = world.book.accounts[0]
    one = {"request_id": "request-1"}
    first = client.calculate_margin(account, idempotency_key="margin-1", **one)
    again = client.calculate_margin(account, idempotency_key="margin-1", request_id="request-3")
    other = client.calculate_margin(account, **one)
    assert first.calculation_id == again.calculation_id != other.calculation_id
    kept = client.get_calculation(first.calculation_id)
    assert kept.margins == (first.margin,)
    assert kept.calculation.request_id == "request-1"
    assert kept.calculation.digest == first.digest


def test_what_if_is_what_then_is(client: MarginClient, world: World) -> None:
    account = world.book.accounts[1]
    trades = {
        "BTC-PERPETUAL": 250_000.0,
        client.get_portfolio(account).positions[0].instrument_name: -3.0,
    }
    before = client.calculate_margin(account).margin
    simulation = client.simulate_margin(
        account, candidates=[Candidate({}, "none"), Candidate(trades, "both")]
    )
    assert simulation.before == before
    nothing, both = simulation.candidates
    assert (nothing.candidate_id, nothing.initial_margin_change_usd) == ("none", 0.0)
    assert (
        both.after.initial_margin_usd - before.initial_margin_usd == both.initial_margin_change_usd
    )
    held = {p.instrument_name: p.quantity for p in client.get_portfolio(account).positions}
    for name, quantity in trades.items():
        held[name] = round(held.get(name, 0.0) + quantity, 10)
    after = client.calculate_margin(portfolio={n: q for n, q in held.items() if q})
    assert after.margin.initial_margin_usd == both.after.initial_margin_usd
    assert list(simulation.to_pandas()["candidate_id"]) == ["none", "both"]


def test_an_explanation_adds_up(client: MarginClient, world: World) -> None:
    account = world.book.accounts[2]
    why = client.explain_margin(account)
    frame = why.to_pandas()
    assert frame["component_var_usd"].sum() == pytest.approx(why.margin.var_usd, rel=1e-9)
    assert frame["component_es_usd"].sum() == pytest.approx(why.margin.es_usd, rel=1e-9)
    assert why.scenarios[0].scenario == why.margin.worst_scenario
    assert why.scenarios[0].profit_usd == -why.margin.worst_usd
    assert {m.underlying for m in why.scenarios[0].moves} == {"BTC", "ETH"}
    assert len(client.explain_margin(account, scenarios_max=1).scenarios) == 1


def test_calculations_are_listed_in_pages_the_latest_first(
    client: MarginClient, world: World
) -> None:
    account = world.book.accounts[4]
    made = [client.calculate_margin(account).calculation_id for _ in range(5)]
    listed: list[Calculation] = list(client.list_calculations(account_id=account, page_size=2))
    assert [c.calculation_id for c in listed] == made[::-1]
    assert all(c.kind is CalculationKind.ACCOUNT for c in listed)
    book = client.calculate_book(account_ids=[account])
    newest = next(client.list_calculations(kind=CalculationKind.BOOK))
    assert newest.calculation_id == book.calculation_id
    kept = client.get_calculation(book.calculation_id, account_ids=[account])
    assert kept.margins[0] == book[account]


def test_trades_are_added_once_and_change_the_margin(client: MarginClient, world: World) -> None:
    account = world.book.accounts[5]
    before = client.get_portfolio(account)
    trade = Trade(account, "ETH-PERPETUAL", 5_000.0)
    first = client.apply_trades([trade], idempotency_key="order-1")
    again = client.apply_trades([trade], idempotency_key="order-1")
    assert (first.was_repeated, again.was_repeated) == (False, True)
    assert again.version == first.version == before.version + 1
    held = {p.instrument_name: p.quantity for p in before.positions}
    now = {p.instrument_name: p.quantity for p in client.get_portfolio(account).positions}
    assert now == held | {"ETH-PERPETUAL": held.get("ETH-PERPETUAL", 0.0) + 5_000.0}
    with pytest.raises(ConflictError, match="key"):
        client.apply_trades([Trade(account, "ETH-PERPETUAL", 1.0)], idempotency_key="order-1")
    table = pd.DataFrame(
        {"account_id": [account], "instrument_name": ["ETH-PERPETUAL"], "quantity": [-5_000.0]}
    )
    client.apply_trades(table)
    back = {p.instrument_name: p.quantity for p in client.get_portfolio(account).positions}
    assert back == held


def test_a_new_account_needs_a_member(client: MarginClient) -> None:
    with pytest.raises(InvalidRequestError, match="member"):
        client.apply_trades([Trade("NEW", "BTC-PERPETUAL", 10.0)])
    client.apply_trades([Trade("NEW", "BTC-PERPETUAL", 10.0, member_id="M9")])
    assert client.get_portfolio("NEW").member_id == "M9"
    client.apply_trades([Trade("NEW", "BTC-PERPETUAL", -10.0)])
    assert client.get_portfolio("NEW").positions == ()


def test_an_upload_replaces_everything_once(client: MarginClient, world: World) -> None:
    table = world.table.to_pandas()
    small = table[table["account_id"] == world.book.accounts[0]]
    version = client.get_status().portfolio_version
    first = client.upload_positions(small, idempotency_key="upload-1")
    again = client.upload_positions(small, idempotency_key="upload-1")
    assert again == dataclasses.replace(first, was_repeated=True)
    assert (first.version, first.accounts, first.positions) == (version + 1, 1, len(small))
    with pytest.raises(NotFoundError):
        client.get_portfolio(world.book.accounts[1])
    whole = client.upload_positions(table)
    assert whole.book_id == world.book.id
    assert client.calculate_book().digest == world.expected.digest


def test_a_published_snapshot_is_what_answers_come_from(client: MarginClient, world: World) -> None:
    prices = {u: 1.002 * price for u, price in world.snapshot.index_usd.items()}
    changed = dataclasses.replace(world.snapshot, discount_annual=0.03, perpetual_usd=prices)
    published = client.publish_snapshot(*wire(changed))
    assert published.snapshot_id == changed.id
    expected = calculate_margin(changed, world.scenarios, world.book, world.model)
    assert client.calculate_book(snapshot_id=changed.id).digest == expected.digest
    newest = next(client.list_snapshots())
    assert (newest.snapshot_id, newest.is_current) == (changed.id, True)
    with pytest.raises(NotReadyError, match="requested snapshot is not in use"):
        client.calculate_margin(world.book.accounts[0], snapshot_id=world.snapshot.id)
    client.publish_snapshot(*wire(world.snapshot))
    assert client.calculate_book(snapshot_id=world.snapshot.id).digest == world.expected.digest


def test_a_surface_is_the_fitted_one(client: MarginClient, world: World) -> None:
    surface = client.get_surface("BTC", strike_over_forward=[0.9, 1.0, 1.1])
    assert surface.smile == "svi"
    assert surface.surface_id in client.calculate_margin(world.book.accounts[0]).inputs.surface_ids
    assert surface.surface_id in world.expected.surface_ids
    assert all(len(s.volatility) == 3 and min(s.volatility) > 0 for s in surface.slices)
    with pytest.raises(InvalidRequestError, match="no surface of this underlying"):
        client.get_surface("DOGE")


def test_the_status_tells_what_is_served(client: MarginClient, world: World) -> None:
    status = client.wait_until_ready()
    assert status.generation is not None
    assert status.generation.scenarios == len(world.scenarios)
    assert [s.scenarios for s in status.shards] == [256, 244]
    assert status.nodes == 1


def test_every_bad_field_is_named_at_once(client: MarginClient) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client.calculate_margin(portfolio={"BTC-PERP": 1.0, "ETH-PERPETUAL": float("nan")})
    fields = [p.field for p in caught.value.problems]
    assert fields == ["portfolio.positions[0].instrument_name", "portfolio.positions[1].quantity"]
    assert caught.value.request_id
    assert str(caught.value).count("\n") == 2


def test_the_asyncio_client_asks_the_same(running: Running, world: World) -> None:
    async def ask() -> None:
        async with AsyncMarginClient(running.target, compression="gzip") as client:
            book, one = await asyncio.gather(
                client.calculate_book(), client.calculate_margin(world.book.accounts[0])
            )
            assert book.digest == world.expected.digest
            assert one.margin.var_usd == world.expected.margins.var_usd[0]
            listed = [c async for c in client.list_calculations(page_size=1)]
            assert {book.calculation_id, one.calculation_id} <= {c.calculation_id for c in listed}
            with pytest.raises(NotFoundError, match="no such account"):
                await client.calculate_margin("nobody")
            with pytest.raises(NotReadyError, match="no usable price"):
                await client.build_scenario_set(as_of=datetime(1900, 1, 1, tzinfo=UTC))

    asyncio.run(ask())


def test_scenario_sets_are_listed_and_put_to_use(
    client: MarginClient, running: Running, world: World
) -> None:
    (only,) = (s for s in client.list_scenario_sets() if s.is_active)
    assert only.scenarios_id == world.scenarios.id
    number = client.activate_scenario_set(only.scenarios_id).generation
    status = client.get_status()
    assert status.generation is not None
    assert status.generation.number == number
    policy = RetryPolicy(attempts_max=1)
    with MarginClient(running.target, retries=policy) as other, pytest.raises(NotFoundError):
        other.activate_scenario_set("scenarios-" + "0" * 32)
