"""Nothing unusable is stored: what a service accepts it can margin, now and after a restart."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from margin_protos.v1 import margin_types_pb2, market_data_service_pb2, portfolio_service_pb2
from service_calls import Service, snapshot_messages, violations_of
from service_world import Running, World, moved_by

CODE = grpc.StatusCode


@pytest.fixture
def service(running: Running) -> Iterator[Service]:
    with Service(running.target) as service:
        yield service


@pytest.fixture(autouse=True)
def _nothing_was_changed(running: Running, world: World) -> Iterator[None]:
    """Whatever a test sent, the service has the same positions and market afterwards."""
    yield
    with Service(running.target) as service:
        assert service.book().summary.digest == world.expected.digest
        status = service.status()
        assert not status.last_fault
        assert not status.problems


def refused(code: grpc.StatusCode, call: object, *args: object, **kwargs: object) -> dict[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    assert caught.value.code() is code, caught.value.details()
    return violations_of(caught.value)


def test_quantities_that_add_up_to_infinity_are_refused(service: Service, world: World) -> None:
    account, version = world.book.accounts[0], service.status().portfolio_version
    for _ in range(2):
        found = refused(
            CODE.INVALID_ARGUMENT, service.trade, account, "BTC-PERPETUAL", 1e308, uuid4().hex
        )
        assert "trades[0].quantity" in found
    account = f"NEW-{uuid4().hex[:6]}"
    at_limit = service.trade(account, "BTC-PERPETUAL", 1e12, uuid4().hex, "M")
    found = refused(
        CODE.INVALID_ARGUMENT, service.trade, account, "BTC-PERPETUAL", 10.0, uuid4().hex
    )
    assert "1e+12" in found["trades[0].quantity"]
    both = [(account, "BTC-PERPETUAL", 1e12)] * 3
    assert refused(CODE.INVALID_ARGUMENT, service.trades, both, uuid4().hex)
    back = service.trade(account, "BTC-PERPETUAL", -1e12, uuid4().hex)
    assert (at_limit.version, back.version) == (version + 1, version + 2)


@pytest.mark.parametrize(
    ("instrument", "quantity", "reason"),
    [
        ("XRP-PERPETUAL", 10.0, "XRP"),
        ("BTC-1JAN20-10000-C", 1.0, "expired"),
        ("BTC-26MAR27-77777-C-X", 1.0, "instrument"),
        ("BTC-13MAR31-100000-C", 1.0, "13MAR31"),
        ("BTC-PERPETUAL", 3.0, "lot"),
        ("BTC_USDC", 1e-7, "lot"),
    ],
)
def test_trades_in_what_cannot_be_margined_are_refused(
    service: Service, world: World, instrument: str, quantity: float, reason: str
) -> None:
    """The fault names the trade, the account and the instrument."""
    account = world.book.accounts[0]
    fine = (account, "BTC-PERPETUAL", 10.0)
    found = refused(
        CODE.INVALID_ARGUMENT,
        service.trades,
        [fine, (account, instrument, quantity)],
        uuid4().hex,
    )
    (field,) = found
    assert field.startswith("trades[1].")
    assert reason in found[field]


def test_an_upload_names_the_account_and_the_instrument_that_cannot_be_margined(
    service: Service, world: World
) -> None:
    rows = [
        ("M", "GOOD", "BTC-PERPETUAL", 10.0),
        ("M", "BAD", "BTC-13MAR31-100000-C", 1.0),
        ("M", "ODD", "BTC-PERPETUAL", 3.0),
    ]
    found = refused(CODE.INVALID_ARGUMENT, service.upload, rows)
    text = str(found)
    assert "BAD" in text
    assert "BTC-13MAR31-100000-C" in text
    assert "ODD" in text
    assert "GOOD" not in text
    huge = [("M", "BIG", "BTC-PERPETUAL", 1e13)]
    assert "1e+12" in str(refused(CODE.INVALID_ARGUMENT, service.upload, huge))


def test_an_upload_that_repeats_a_name_is_refused(service: Service) -> None:
    """Names in the dictionaries of a message are unique, since a stored book must be readable."""
    columns = {"account": [0, 1], "instrument": [0, 0], "quantity": [10.0, 20.0]}
    texts = {"account_ids": ["U-1", "U-1"], "member_ids": ["U", "U"]}
    names = {"instrument_names": ["BTC-PERPETUAL"]}
    found = refused_upload(service, columns | texts | names)
    assert set(found) == {"message 0.account_ids[1]"}
    texts = {"account_ids": ["U-1", "U-2"], "member_ids": ["U", "U"]}
    names = {"instrument_names": ["BTC-PERPETUAL", "BTC-PERPETUAL"]}
    found = refused_upload(service, columns | texts | names | {"instrument": [0, 1]})
    assert set(found) == {"message 0.instrument_names[1]"}


def refused_upload(service: Service, columns: dict[str, object]) -> dict[str, str]:
    request = portfolio_service_pb2.UploadPositionsRequest(
        positions=margin_types_pb2.PositionColumns(**columns),  # type: ignore[arg-type]
        is_last=True,
    )
    upload = service.portfolio.UploadPositions
    return refused(CODE.INVALID_ARGUMENT, upload, iter([request]), timeout=30)


@pytest.mark.parametrize("quantity", [5e-324, 1e-10, 1e-9, 1e-7])
def test_dust_is_not_a_whole_number_of_lots(service: Service, quantity: float) -> None:
    refused(
        CODE.INVALID_ARGUMENT, service.trade, "DUST", "BTC-PERPETUAL", quantity, uuid4().hex, "M"
    )
    refused(CODE.INVALID_ARGUMENT, service.trade, " ", "BTC-PERPETUAL", 10.0, uuid4().hex, "M")


def test_a_snapshot_without_time_index_or_options_is_refused(
    service: Service, world: World
) -> None:
    """Everything that is missing is named at once."""
    pb = market_data_service_pb2
    publish = service.market.PublishSnapshot
    empty = pb.PublishSnapshotRequest(header=pb.SnapshotHeader(), is_last=True)
    found = refused(CODE.INVALID_ARGUMENT, publish, iter([empty]), timeout=30)
    assert {"header.time", "header.index_prices"} <= set(found)
    no_options = pb.PublishSnapshotRequest()
    no_options.CopyFrom(snapshot_messages(world.snapshot)[0])
    no_options.is_last = True
    assert refused(CODE.INVALID_ARGUMENT, publish, iter([no_options]), timeout=30)
    future = replace_time(snapshot_messages(world.snapshot), Timestamp(seconds=4_000_000_000))
    found = refused(CODE.INVALID_ARGUMENT, publish, iter(future), timeout=30)
    assert found


def replace_time(messages: list[object], time: Timestamp) -> list[object]:
    messages[0].header.time.CopyFrom(time)  # type: ignore[attr-defined]
    return messages


def test_every_bad_field_of_a_header_is_named_at_once(service: Service, world: World) -> None:
    """One refusal names every field that is wrong, so that one correction suffices."""
    messages = snapshot_messages(world.snapshot)
    header = messages[0].header
    header.discount_annual = float("nan")
    header.index_prices[0].price_usd = -1.0
    header.expiries[0].forward_usd = float("inf")
    header.expiries[1].expiry.seconds = 10**15
    found = refused(
        CODE.INVALID_ARGUMENT, service.market.PublishSnapshot, iter(messages), timeout=30
    )
    fields = {
        "header.discount_annual",
        "header.index_prices[0].price_usd",
        "header.expiries[0].forward_usd",
        "header.expiries[1].expiry",
    }
    assert fields <= set(found)


def test_an_older_snapshot_is_refused_unless_it_is_allowed(service: Service, world: World) -> None:
    """The market does not go back by accident."""
    older = moved_by(world.snapshot, timedelta(hours=-1))
    before = service.status().generation.number
    refused(CODE.FAILED_PRECONDITION, service.publish, older)
    assert service.status().generation.number == before
    assert service.publish(world.snapshot).generation == before  # the current one again: no change
    allowed = service.publish(older, allow_older=True)
    assert allowed.generation == before + 1
    assert service.margin_of(world.book.accounts[0], snapshot_id=older.id).generation
    service.publish(world.snapshot)
    service.margin_of(world.book.accounts[0], snapshot_id=world.snapshot.id)


def test_a_reused_request_id_does_not_suppress_a_change(service: Service, world: World) -> None:
    """x-request-id only correlates logs."""
    same = {"metadata": (("x-request-id", "mesh-1"),)}
    account = world.book.accounts[0]
    first = replace(world.snapshot, discount_annual=0.011)
    second = replace(world.snapshot, discount_annual=0.012)
    for snapshot in (first, second):
        service.publish(snapshot, **same)
        answer = service.margin_of(account, snapshot_id=snapshot.id, **same)
        assert answer.inputs.snapshot_id == snapshot.id
    calls = [service.margin_of(account, **same).calculation_id for _ in range(2)]
    assert calls[0] != calls[1], "two calls without a key are two calculations"
    keyed = [service.margin_of(account, key="k-1", **same).calculation_id for _ in range(2)]
    assert keyed[0] == keyed[1]
    service.publish(world.snapshot)
    service.margin_of(account, snapshot_id=world.snapshot.id)


def test_a_repeated_publication_changes_nothing_even_after_another(
    service: Service, world: World
) -> None:
    """A retry is recognised by its key and content, also when it is late."""
    first = replace(world.snapshot, discount_annual=0.021)
    second = replace(world.snapshot, discount_annual=0.022)
    key = uuid4().hex
    published = service.publish(first, key=key)
    assert not published.was_repeated
    service.publish(second)
    again = service.publish(first, key=key)
    assert again.was_repeated
    assert again.generation == published.generation
    account = world.book.accounts[0]
    assert service.margin_of(account, snapshot_id=second.id).inputs.snapshot_id == second.id
    refused(CODE.ALREADY_EXISTS, service.publish, second, key=key)
    # The same key for another method is another key.
    scenarios = service.activate(world.scenarios.id, key=key)
    assert not scenarios.was_repeated
    assert service.activate(world.scenarios.id, key=key).was_repeated
    service.publish(world.snapshot)
    service.margin_of(account, snapshot_id=world.snapshot.id)


def test_equal_positions_have_equal_ids_however_they_came_about(
    service: Service, world: World
) -> None:
    """The id and the digest of a book follow from the positions, not from the trades made."""
    before = service.book().summary
    account, other = world.book.accounts[3], world.book.accounts[0]
    moves = [(account, "BTC-PERPETUAL", 10.0), (other, "ETH-PERPETUAL", -20.0)]
    service.trades(moves, uuid4().hex)
    service.trade("ZZZ-NEW", "BTC-PERPETUAL", 10.0, uuid4().hex, "M")
    changed = service.book().summary
    assert changed.inputs.book_id != before.inputs.book_id
    service.trades([(a, i, -q) for a, i, q in moves], uuid4().hex)
    service.trade("ZZZ-NEW", "BTC-PERPETUAL", -10.0, uuid4().hex)
    after = service.book().summary
    assert after.inputs.book_id == before.inputs.book_id == world.book.id
    assert after.digest == before.digest
    assert after.portfolio_version == before.portfolio_version + 4


def test_answers_name_the_version_of_the_positions(service: Service, world: World) -> None:
    account, version = world.book.accounts[1], service.status().portfolio_version
    margin = service.margin_of(account)
    assert margin.portfolio_version == version
    request = portfolio_service_pb2.GetPortfolioRequest(account_id=account)
    held = service.portfolio.GetPortfolio(request, timeout=30)
    assert held.book_id == margin.inputs.book_id
    assert service.book().summary.portfolio_version == version


def test_an_unknown_scenario_set_is_not_found(service: Service) -> None:
    """Unknown ids are NOT_FOUND for every kind of thing."""
    refused(CODE.NOT_FOUND, service.activate, "scenarios-" + "0" * 32)
    refused(CODE.NOT_FOUND, service.activate, "../../etc/passwd")


def test_all_violations_of_a_listing_are_named_at_once(service: Service) -> None:
    from margin_protos.v1 import margin_service_pb2

    request = margin_service_pb2.ListCalculationsRequest(
        page_size=-1,
        page_token="abc",
        kind=77,  # pyright: ignore[reportArgumentType]
    )
    found = refused(CODE.INVALID_ARGUMENT, service.margin.ListCalculations, request, timeout=30)
    assert set(found) == {"page_size", "page_token", "kind"}


@pytest.mark.parametrize("token", ["99999999999999999999999999", "-1", "1e3", "٣", "0x10", " 5"])
def test_a_forged_page_token_is_an_invalid_argument(service: Service, token: str) -> None:
    from margin_protos.v1 import margin_service_pb2, scenario_service_pb2

    asked = [
        (service.margin.ListCalculations, margin_service_pb2.ListCalculationsRequest),
        (service.market.ListSnapshots, market_data_service_pb2.ListSnapshotsRequest),
        (service.scenario.ListScenarioSets, scenario_service_pb2.ListScenarioSetsRequest),
    ]
    for call, request in asked:
        found = refused(CODE.INVALID_ARGUMENT, call, request(page_token=token), timeout=30)
        assert "page_token" in found


def test_extreme_strikes_are_no_internal_error(service: Service) -> None:
    request = market_data_service_pb2.GetSurfaceRequest(
        underlying="BTC", strike_over_forward=[1e308, 1e-308, 1.0]
    )
    answer = service.market.GetSurface(request, timeout=30)
    assert all(0.0 < v < 1e3 for s in answer.slices for v in s.volatility)
