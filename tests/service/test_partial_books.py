"""A book run margins every account it can and lists the others with reasons."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import grpc
import numpy as np
import pytest
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import Origin, PositionChange, Trade, sqlite_url
from margin_protos.v1 import margin_service_pb2
from service_calls import Service, violations_of
from service_world import Running, World, moved_by

from margin_actors.engine.margin import calculate_margin
from margin_actors.market.books import Book, assemble_book

UNLISTED = "BTC-13MAR31-100000-C"


@pytest.fixture
def service(running: Running) -> Iterator[Service]:
    with Service(running.target) as service:
        yield service


@pytest.fixture(autouse=True)
def _restored(running: Running, world: World) -> Iterator[None]:
    yield
    with Service(running.target) as service:
        service.publish(world.snapshot, allow_older=True)
        service.upload(rows_of(world.book))
        digest = service.book(snapshot_id=world.snapshot.id).summary.digest
        assert digest == world.expected.digest


def rows_of(book: Book) -> list[tuple[str, str, str, float]]:
    account = np.repeat(np.arange(len(book.accounts)), np.diff(book.start))
    return [
        (book.members[a], book.accounts[a], book.instruments[i], float(q))
        for a, i, q in zip(account, book.instrument_index, book.quantity, strict=True)
    ]


def store_unchecked(folder: Path, *trades: Trade) -> None:
    """Record trades as software that validates nothing would have recorded them."""
    archive = StoreArchive(folder, sqlite_url(folder / "ledger.sqlite"))
    archive.ledger.change_positions(
        "trades",
        key=uuid4().hex,
        content=uuid4().hex,
        origin=Origin(),
        now=datetime.now(UTC),
        decide=lambda: PositionChange(accounts=0, positions=0, trades=trades),
    )
    archive.ledger.close()


def test_accounts_that_cannot_be_margined_are_listed_and_the_others_margined(
    running: Running, service: Service, world: World
) -> None:
    """One bad position concerns its own account alone."""
    bad, infinite, odd = world.book.accounts[:3]
    member = dict(zip(world.book.accounts, world.book.members, strict=True))
    store_unchecked(
        running.folder,
        Trade(bad, member[bad], UNLISTED, 1.0),
        Trade(infinite, member[infinite], "BTC-PERPETUAL", 1e308),
        Trade(infinite, member[infinite], "BTC-PERPETUAL", 1e308),
        Trade(odd, member[odd], "BTC-PERPETUAL", 3.0),
    )
    found = service.book()
    assert set(found.failures) == {bad, infinite, odd}
    assert set(found.margins) == set(world.book.accounts[3:])
    expected = dict(
        zip(world.book.accounts, world.expected.margins.initial_margin_usd.tolist(), strict=True)
    )
    assert found.margins == {a: expected[a] for a in world.book.accounts[3:]}
    assert found.failures[bad].problems[0].instrument_name == UNLISTED
    assert "13MAR31" in found.failures[bad].problems[0].description
    summary = found.summary
    assert (summary.accounts, summary.accounts_failed) == (len(expected) - 3, 3)
    assert not summary.is_complete
    # The margin of a bad account is refused with the account and the instrument; others answer.
    with pytest.raises(grpc.RpcError) as caught:
        service.margin_of(bad)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert any(bad in where and UNLISTED in where for where in violations_of(caught.value))
    assert (
        service.margin_of(world.book.accounts[3]).margin.initial_margin_usd
        == expected[world.book.accounts[3]]
    )
    # The record says the same, and the state of the service answers.
    request = margin_service_pb2.GetCalculationRequest(calculation_id=summary.calculation_id)
    kept = service.margin.GetCalculation(request, timeout=30)
    assert kept.calculation.accounts_failed == 3
    assert {f.account_id for f in kept.failures} == {bad, infinite, odd}
    assert service.status().accounts == len(world.book.accounts)
    # A position that cannot be margined can be closed, and then nothing is missing any more.
    service.trade(bad, UNLISTED, -1.0, uuid4().hex)
    service.trade(odd, "BTC-PERPETUAL", -3.0, uuid4().hex)
    assert set(service.book().failures) == {infinite}


def test_the_digest_covers_the_accounts_that_could_not_be_margined(
    running: Running, service: Service, world: World
) -> None:
    """The engine alone gives the same digest, whatever the shards."""
    account, member = world.book.accounts[0], world.book.members[0]
    complete = service.book().summary.digest
    store_unchecked(running.folder, Trade(account, member, UNLISTED, 1.0))
    one = service.book().summary
    positions = {name: q for _, a, name, q in rows_of(world.book) if a == account} | {UNLISTED: 1.0}
    book = assemble_book(world.book, {account: (member, positions)})
    assert book is not None
    alone = calculate_margin(world.snapshot, world.scenarios, book, world.model)
    assert one.digest == alone.digest != complete
    store_unchecked(running.folder, Trade(account, member, "BTC-13MAR32-100000-C", 1.0))
    assert service.book().summary.digest != one.digest


def test_expired_positions_never_block_anything(
    running: Running, service: Service, world: World
) -> None:
    """After an expiry every account is margined on what is left."""
    first = min(e.expiry for e in world.snapshot.expiries)
    later = moved_by(world.snapshot, first - world.snapshot.time + timedelta(minutes=1))
    gone = {n for n in world.book.instruments if expires(n, first)}
    assert gone, "the book holds something that expires first"
    before = service.status()
    service.publish(later)
    found = service.book(snapshot_id=later.id)
    assert not found.failures
    assert found.summary.is_complete
    assert found.summary.expired_positions == sum(n in gone for _, _, n, _ in rows_of(world.book))
    assert sum(found.expired.values()) == found.summary.expired_positions
    live = [row for row in rows_of(world.book) if row[2] not in gone]
    margins = margins_of(later, world, live)
    assert {a: m for a, m in found.margins.items() if a in margins} == margins
    assert all(m == 0.0 for a, m in found.margins.items() if a not in margins)
    account = next(a for _, a, n, _ in rows_of(world.book) if n in gone)
    one = service.margin_of(account)
    assert set(one.margin.expired_instruments) == {
        n for _, a, n, _ in rows_of(world.book) if a == account and n in gone
    }
    assert one.margin.initial_margin_usd == found.margins[account]
    # New positions in what has expired are refused; positions may be uploaded and closed.
    before_trades = service.held(account)
    name = next(n for n in before_trades if n in gone)
    more = 1.0 if before_trades[name] > 0.0 else -1.0
    with pytest.raises(grpc.RpcError) as caught:
        service.trade(account, name, more, uuid4().hex)
    assert "expired" in str(violations_of(caught.value))
    uploaded = service.upload(rows_of(world.book))
    assert uploaded.expired_positions == found.summary.expired_positions
    held = service.held(account)
    closing = next(n for n in held if n in gone)
    service.trade(account, closing, -held[closing], uuid4().hex)
    assert closing not in service.held(account)
    assert service.status().generation.number > before.generation.number


def expires(name: str, expiry: datetime) -> bool:
    from margin_actors.market.instruments import instrument_from_name

    return instrument_from_name(name).expiry == expiry


def margins_of(
    snapshot: object, world: World, rows: list[tuple[str, str, str, float]]
) -> dict[str, float]:
    held: dict[str, tuple[str, dict[str, float]]] = {}
    for member, account, name, quantity in rows:
        held.setdefault(account, (member, {}))[1][name] = quantity
    book = assemble_book(None, held)
    assert book is not None
    result = calculate_margin(snapshot, world.scenarios, book, world.model)  # type: ignore[arg-type]
    return dict(zip(book.accounts, result.margins.initial_margin_usd.tolist(), strict=True))


def test_a_book_none_of_which_can_be_margined_is_an_answer(
    running: Running, service: Service, world: World
) -> None:
    """Even then the caller learns which account and why."""
    service.upload([("M", "ONLY", "BTC-PERPETUAL", 10.0)])
    store_unchecked(running.folder, Trade("ONLY", "M", UNLISTED, 1.0))
    found = service.book()
    assert set(found.failures) == {"ONLY"}
    assert found.summary.accounts == 0
    assert not found.summary.is_complete


def test_a_market_that_cannot_be_priced_leaves_the_last_one_in_use(
    service: Service, world: World
) -> None:
    """A publication that no smile fits is refused and changes nothing."""
    before = service.status().generation
    options = world.snapshot.options
    nothing = np.full(len(options), np.nan)
    blank = replace(
        world.snapshot,
        options=replace(options, bid=nothing, ask=nothing, mark=nothing, mark_vol=nothing),
    )
    with pytest.raises(grpc.RpcError) as caught:
        service.publish(blank)
    assert caught.value.code() in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
    )
    assert service.status().generation == before


def test_every_component_is_a_column_of_full_length(service: Service) -> None:
    """A component that the model does not charge is 0, not missing."""
    request = margin_service_pb2.CalculateBookRequest()
    batches = [
        message.batch
        for message in service.margin.CalculateBook(request, timeout=60)
        if message.WhichOneof("content") == "batch"
    ]
    assert batches
    for batch in batches:
        names = {f.name for f in batch.DESCRIPTOR.fields} - {"other_components"}
        # Empty, because no account is a clearing account.
        of_clearing = {"has_resources", "resources_cents", "excess_cents"}
        assert not any(len(getattr(batch, name)) for name in of_clearing)
        names -= of_clearing
        lengths = {name: len(getattr(batch, name)) for name in names}
        assert not batch.other_components
        assert set(lengths.values()) == {len(batch.account_id)}, lengths
