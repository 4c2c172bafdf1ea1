"""Callers that open a call and then send or read nothing."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from margin_client import AccountPosition, MarginClient, RetryPolicy
from margin_protos.v1 import margin_types_pb2, portfolio_service_pb2, portfolio_service_pb2_grpc
from service_world import Running, World, beside
from waiting import wait_until

ONCE = RetryPolicy(attempts_max=1)
UPLOADS = 40
FIRST, STALL = 1.0, 20.0


@pytest.fixture(scope="module")
def running(service_of_session: Running, world: World) -> Iterator[Running]:
    with beside(
        service_of_session, world, first_message_seconds_max=FIRST, stall_seconds_max=STALL
    ) as running:
        yield running


def message() -> portfolio_service_pb2.UploadPositionsRequest:
    columns = margin_types_pb2.PositionColumns(
        account_ids=["A"],
        member_ids=["M"],
        instrument_names=["BTC-PERPETUAL"],
        account=[0],
        instrument=[0],
        quantity=[10.0],
    )
    return portfolio_service_pb2.UploadPositionsRequest(positions=columns)


@contextmanager
def silent_uploads(target: str, count: int, *, messages: int) -> Iterator[list[grpc.Future]]:
    """Open uploads on one connection that send some messages and then nothing."""
    end = threading.Event()

    def silence() -> Iterator[portfolio_service_pb2.UploadPositionsRequest]:
        yield from [message()] * messages
        end.wait(60)

    with grpc.insecure_channel(target) as channel:
        stub = portfolio_service_pb2_grpc.PortfolioServiceStub(channel)
        calls = [stub.UploadPositions.future(silence(), timeout=60) for _ in range(count)]
        try:
            yield calls
        finally:
            end.set()
            for call in calls:
                call.cancel()


def test_uploads_that_fall_silent_hold_no_place(running: Running, world: World) -> None:
    """Open uploads have limits of their own and take no place of books or of other uploads."""
    admission = running.gateway.admission
    with silent_uploads(running.target, UPLOADS, messages=1) as calls:
        wait_until(lambda: sum(call.done() for call in calls) == UPLOADS - 4)
        codes = {call.code() for call in calls if call.done()}
        assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        wait_until(lambda: admission.active == 0)
        assert admission.uploads == 4
        begin = time.monotonic()
        with MarginClient(running.target, retries=ONCE) as client:
            assert client.calculate_book().digest == world.expected.digest
            rows = [
                AccountPosition(a, m, "BTC-PERPETUAL", 10.0)
                for a, m in zip(world.book.accounts, world.book.members, strict=True)
            ]
            assert client.upload_positions(rows).accounts == len(world.book.accounts)
            client.upload_positions(world.table.to_pandas())
        assert time.monotonic() - begin < 10, "and long before the silent uploads end"
        assert admission.uploads == 4
    wait_until(lambda: admission.uploads == 0)


@pytest.mark.parametrize("method", ["UploadPositions", "CalculateBook"])
def test_a_call_without_a_first_message_is_ended_soon(running: Running, method: str) -> None:
    service = "Portfolio" if method == "UploadPositions" else "Margin"
    end = threading.Event()

    def silence() -> Iterator[bytes]:
        end.wait(30)
        yield from ()

    with grpc.insecure_channel(running.target) as channel:
        call = channel.stream_unary(f"/margin_protos.v1.{service}Service/{method}").future(
            silence(), timeout=30
        )
        begin = time.monotonic()
        assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "stalled" in call.details()
        assert FIRST * 0.9 < time.monotonic() - begin < FIRST + 5
        end.set()


def test_a_stalled_upload_does_not_delay_the_end_of_the_gateway(
    service_of_session: Running, world: World
) -> None:
    """A gateway that stops ends open uploads with UNAVAILABLE and does not wait for them."""
    service = beside(service_of_session, world, stall_seconds_max=STALL)
    with ExitStack() as stack:
        running = stack.enter_context(service)
        admission = running.gateway.admission
        # Entered last and left last: the upload is open while the gateway stops.
        with silent_uploads(running.target, 1, messages=1) as calls:
            wait_until(lambda: admission.uploads == 1 and admission.active == 0)
            begin = time.monotonic()
            stack.close()
            assert time.monotonic() - begin < 10
            assert calls[0].code() is grpc.StatusCode.UNAVAILABLE
            assert "stopping" in calls[0].details()
