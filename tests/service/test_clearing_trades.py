"""Cleared trades, reservations, and resources in margin answers, on one or two gateways."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from clearing_desk import LINEAR, PERPETUAL, Desk, desk
from margin_client import (
    AccountPosition,
    Candidate,
    ClearedTrade,
    ConflictError,
    InvalidRequestError,
    MarginClient,
    RefusedError,
    Trade,
)
from margin_client.results import ReservedMargin
from margin_cluster.gateway.bookings import current_price
from service_world import Running, World, beside

from margin_actors.clearing.amounts import requirement_units
from margin_actors.clearing.house.queries import headroom, quantities, quoted_reservations
from margin_actors.clearing.journal import MARGIN, AccountKind, integrity_findings
from margin_actors.errors import MissingMarketData
from margin_actors.market.instruments import expiry_label


@pytest.fixture(scope="module")
def second(service_of_session: Running, world: World) -> Iterator[Running]:
    """Another gateway on the same ledger."""
    with beside(service_of_session, world) as running:
        yield running


@pytest.fixture
def funded(service_of_session: Running, world: World) -> Iterator[Desk]:
    with desk(service_of_session, world, "ab", dollars=1_000_000) as found:
        found.cycle()
        yield found


@pytest.fixture
def client(service_of_session: Running) -> Iterator[MarginClient]:
    with MarginClient(service_of_session.target) as client:
        yield client


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=10)


def held(client: MarginClient, account: str) -> dict[str, float]:
    return {p.instrument_name: p.quantity for p in client.get_portfolio(account).positions}


def test_a_cleared_trade_changes_both_sides_in_the_house_and_the_margin_book(
    funded: Desk, client: MarginClient
) -> None:
    buyer, seller = funded.accounts
    trade = funded.trade(buyer, seller, "1.5", price="50123.5")
    done = client.book_trades([trade], idempotency_key=trade.trade_id)
    assert held(client, buyer) == {LINEAR: 1.5}
    assert held(client, seller) == {LINEAR: -1.5}
    (cleared,) = client.get_resources(buyer).positions
    assert (cleared.quantity, cleared.lots[0].base_price) == ("1.5", "50123.5")
    again = client.book_trades([trade], idempotency_key=trade.trade_id)
    assert again.was_repeated
    assert held(client, buyer) == {LINEAR: 1.5}
    other = funded.trade(buyer, seller, "1.5")
    with pytest.raises(ConflictError):
        client.book_trades([other], idempotency_key=trade.trade_id)
    with pytest.raises(RefusedError, match="known"):
        client.book_trades([trade])
    assert client.get_resources(buyer, as_of=done.position.number).positions == (cleared,)


def test_a_trade_without_a_price_is_booked_at_the_price_of_the_snapshot(
    funded: Desk, client: MarginClient, world: World
) -> None:
    buyer, seller = funded.accounts
    client.book_trades([ClearedTrade(funded.name(), PERPETUAL, buyer, seller, "1000")])
    (position,) = client.get_resources(buyer).positions
    index = world.snapshot.index_usd["BTC"]
    price = world.snapshot.perpetual_usd.get("BTC", index)
    assert float(position.lots[0].base_price) == pytest.approx(price, abs=1e-4)


def test_prices_of_the_snapshot_are_premiums_and_forwards(
    service_of_session: Running, world: World
) -> None:
    until = time.monotonic() + 30
    cluster = service_of_session.gateway.cluster
    market = service_of_session.do(cluster.generation(until=until)).priced.market
    index = world.snapshot.index_usd["BTC"]
    options = [name for name in world.snapshot.options.names if name.startswith("BTC-")][-8:]
    for name in options:
        value = market.with_contracts([name]).unit_values[name]
        assert float(current_price(market, name)) * index == pytest.approx(value, abs=1e-3)
    assert any(current_price(market, name) > 0 for name in options)
    future = f"BTC-{options[0].split('-')[1]}"
    wanted = {
        f"BTC-{expiry_label(e.expiry)}": e.forward_usd
        for e in world.snapshot.expiries
        if e.underlying == "BTC"
    }
    assert float(current_price(market, future)) == pytest.approx(wanted[future], abs=1e-4)
    with pytest.raises(MissingMarketData):
        current_price(market, "BTC-31DEC49")


def test_trades_that_cannot_be_margined_are_booked_nowhere(
    funded: Desk, client: MarginClient
) -> None:
    buyer, seller = funded.accounts
    good = funded.trade(buyer, seller, "1")
    bad = [funded.trade(buyer, seller, "900000000000") for _ in range(2)]
    with pytest.raises(InvalidRequestError) as caught:
        client.book_trades([good, *bad])
    assert {p.field for p in caught.value.problems} == {"trades[2], buyer", "trades[2], seller"}
    assert client.get_resources(buyer).positions == ()
    assert not quantities(funded.state, seller)
    with pytest.raises(InvalidRequestError, match="quantity"):
        client.book_trades([funded.trade(buyer, seller, "1e3")])


def test_positions_of_the_house_cannot_be_changed_around_it(
    funded: Desk, client: MarginClient, world: World
) -> None:
    buyer, seller = funded.accounts
    client.book_trades([funded.trade(buyer, seller, "2")])
    with pytest.raises(InvalidRequestError, match="BookTrades"):
        client.apply_trades([Trade(buyer, LINEAR, 1.0)])
    with pytest.raises(InvalidRequestError, match="records other positions"):
        client.upload_positions(world.table.to_pandas())
    member = client.get_portfolio(buyer).member_id
    whole = [
        AccountPosition(buyer, member, LINEAR, 2.0),
        AccountPosition(seller, member, LINEAR, -2.0),
    ]
    client.upload_positions(whole)
    assert held(client, buyer) == {LINEAR: 2.0}


def test_an_account_with_uploaded_positions_cannot_trade_in_the_house(
    funded: Desk, client: MarginClient
) -> None:
    buyer, seller = funded.accounts
    client.apply_trades([Trade(buyer, LINEAR, 1.0, f"M-{funded.prefix}")])
    with pytest.raises(InvalidRequestError, match="does not record"):
        client.book_trades([funded.trade(buyer, seller, "2")])
    client.apply_trades([Trade(buyer, LINEAR, -1.0)])
    client.book_trades([funded.trade(buyer, seller, "2")])
    assert held(client, buyer) == {LINEAR: 2.0}


def test_margin_answers_state_resources_and_whether_a_trade_can_be_carried(
    funded: Desk, client: MarginClient
) -> None:
    buyer, seller = funded.accounts
    client.book_trades([funded.trade(buyer, seller, "5")])
    found = client.calculate_margin(buyer)
    needed = requirement_units(found.margin.initial_margin_usd)
    assert found.resources is not None
    assert found.resources.requirement_cents == needed
    assert found.resources.resources_cents == headroom(funded.state, buyer).resources_cents
    assert found.resources.excess_cents == found.resources.resources_cents - needed
    candidates = [Candidate({LINEAR: 1.0}, "small"), Candidate({LINEAR: 2_000.0}, "large")]
    simulated = client.simulate_margin(buyer, candidates=candidates)
    small, large = simulated.candidates
    assert (small.can_carry, large.can_carry) == (True, False)
    after = requirement_units(small.after.initial_margin_usd)
    assert small.headroom_cents == found.resources.resources_cents - after
    assert large.headroom_cents is not None
    assert large.headroom_cents < 0
    book = client.calculate_book(account_ids=[buyer, seller])
    assert list(book.columns["has_resources"]) == [True, True]
    row = book.places[buyer]
    assert book.columns["excess_cents"][row] == found.resources.excess_cents


def test_accounts_outside_the_house_have_no_resources(client: MarginClient, world: World) -> None:
    account = world.book.accounts[0]
    assert client.calculate_margin(account).resources is None
    simulated = client.simulate_margin(account, trades={PERPETUAL: 10.0})
    assert simulated.resources is None
    assert simulated.candidates[0].can_carry is None
    assert simulated.candidates[0].headroom_cents is None


def test_the_life_of_a_reservation(funded: Desk, client: MarginClient) -> None:
    buyer, seller = funded.accounts
    first = client.reserve_margin(buyer, "q1", {LINEAR: 2.0}, expire_time=soon())
    assert first.reservation is not None
    assert first.resources is not None
    alone = client.simulate_margin(portfolio={LINEAR: 2.0}, trades={LINEAR: -2.0}).before
    assert first.incremental_cents == requirement_units(alone.initial_margin_usd)
    assert first.resources.free_cents == 100_000_000 - first.incremental_cents
    # The second one is priced on the first: an opposite quote needs no further margin.
    second = client.reserve_margin(buyer, "q2", {LINEAR: -1.0}, expire_time=soon())
    assert second.incremental_cents < 0
    assert second.reservation is not None
    assert second.reservation.reserved_cents == 1
    listed = client.list_reservations(buyer)
    assert [r.quote_id for r in listed.reservations] == ["q1", "q2"]
    assert listed.reservations[0].trades[0].quantity == 2.0
    client.cancel_reservation(buyer, "q2")
    trade = funded.trade(buyer, seller, "2", buyer_quote_id="q1")
    client.book_trades([trade])
    assert client.list_reservations(buyer).reservations == ()
    reserved = funded.state.journal.balance(AccountKind.RESERVED, MARGIN, buyer)
    assert reserved.net == first.reservation.reserved_cents
    # The margin of the trade stays reserved until a cycle includes it, so quotes can go on.
    third = client.reserve_margin(buyer, "q3", {LINEAR: 1.0}, expire_time=soon())
    assert third.resources is not None
    kept = first.reservation.reserved_cents + third.incremental_cents
    assert third.resources.reserved_cents == kept
    client.cancel_reservation(buyer, "q3")
    funded.cycle({buyer: first.incremental_cents // 100 + 1})
    now = client.get_resources(buyer).resources
    assert now is not None
    assert now.reserved_cents == 0


def test_no_margin_is_reserved_before_a_cycle_includes_a_trade(
    funded: Desk, client: MarginClient
) -> None:
    buyer, seller = funded.accounts
    client.book_trades([funded.trade(buyer, seller, "1")])
    with pytest.raises(RefusedError, match="requirement_outdated"):
        client.reserve_margin(buyer, "q1", {LINEAR: 1.0}, expire_time=soon())
    funded.cycle()
    client.reserve_margin(buyer, "q1", {LINEAR: 1.0}, expire_time=soon())


def test_a_reservation_beyond_free_margin_is_refused(funded: Desk, client: MarginClient) -> None:
    buyer = funded.accounts[0]
    with pytest.raises(RefusedError, match="insufficient_funds"):
        client.reserve_margin(buyer, "large", {LINEAR: 1_000.0}, expire_time=soon())
    assert client.list_reservations(buyer).reservations == ()


def test_a_repeated_reservation_is_made_once(funded: Desk, client: MarginClient) -> None:
    buyer, expires = funded.accounts[0], soon()
    key = funded.name()

    def reserve() -> ReservedMargin:
        return client.reserve_margin(
            buyer, "q1", {LINEAR: 1.0}, expire_time=expires, idempotency_key=key
        )

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: reserve(), range(4)))
    assert sorted(a.was_repeated for a in answers) == [False, True, True, True]
    assert len({a.reservation for a in answers}) == 1
    assert len(client.list_reservations(buyer).reservations) == 1
    with pytest.raises(ConflictError):
        client.reserve_margin(buyer, "q1", {LINEAR: 3.0}, expire_time=expires, idempotency_key=key)


def test_a_quote_that_has_lapsed_frees_its_margin_for_the_next(
    funded: Desk, client: MarginClient
) -> None:
    buyer = funded.accounts[0]
    brief = datetime.now(UTC) + timedelta(seconds=0.4)
    first = client.reserve_margin(buyer, "brief", {LINEAR: 2.0}, expire_time=brief)
    while datetime.now(UTC) < brief:
        client.list_reservations(buyer)
    again = client.reserve_margin(buyer, "next", {LINEAR: 2.0}, expire_time=soon())
    assert again.incremental_cents == first.incremental_cents
    assert [r.quote_id for r in client.list_reservations(buyer).reservations] == ["next"]


def test_quotes_made_at_once_through_two_gateways_never_reserve_more_than_is_free(
    funded: Desk, service_of_session: Running, second: Running
) -> None:
    buyer, expires = funded.accounts[0], soon()
    with MarginClient(second.target) as client:
        one = client.simulate_margin(portfolio={LINEAR: 4.0}, trades={LINEAR: 1.0}).before
        each = requirement_units(one.initial_margin_usd)
        # Leaves room for about five of the sixteen quotes.
        funded.cycle({buyer: 1_000_000 - int(5.5 * each) // 100})
    targets = [service_of_session.target, second.target]

    def quote(number: int) -> int | str:
        with MarginClient(targets[number % 2]) as client:
            try:
                made = client.reserve_margin(
                    buyer, f"q{number}", {LINEAR: 4.0}, expire_time=expires
                )
            except RefusedError as error:
                return error.problems[0].field
            return made.incremental_cents

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(quote, range(16)))
    made = [cents for cents in answers if isinstance(cents, int)]
    assert {rule for rule in answers if isinstance(rule, str)} == {"insufficient_funds"}
    assert 4 <= len(made) <= 7
    state = funded.state
    now = headroom(state, buyer)
    assert now.reserved_cents == sum(made) <= now.excess_cents
    opened = quoted_reservations(state, buyer)
    assert len(opened) == len(made)
    # Each was priced on those before it: together they are the margin of all quotes at once.
    with MarginClient(targets[0]) as client:
        whole = client.simulate_margin(
            portfolio={LINEAR: 4.0 * len(made)}, trades={LINEAR: 1.0}
        ).before
    together = requirement_units(whole.initial_margin_usd)
    assert abs(sum(made) - together) <= len(made)
    assert list(integrity_findings(state.journal)) == []
