"""Who is let in, in which order, and what those turned away are told."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from margin_client import errors as client_errors
from margin_client._status import TABLE as CLIENT_TABLE
from margin_cluster.gateway.admission import PRESSED_SECONDS, Lane
from margin_cluster.gateway.backlog import CHANNELZ, Backlog, server_ids
from margin_cluster.gateway.door import Door
from margin_cluster.gateway.status import TABLE, failure_of, rejection

from margin_actors import errors


def ours() -> list[type[errors.MarginError]]:
    found, todo = [], [errors.MarginError]
    while todo:
        below = todo.pop().__subclasses__()
        found += below
        todo += below
    return found


@pytest.mark.parametrize("kind", ours(), ids=lambda kind: kind.__name__)
def test_every_error_has_its_status_and_the_client_its_own_for_that(
    kind: type[errors.MarginError],
) -> None:
    row = TABLE[kind]
    assert row.code in CLIENT_TABLE
    error = kind("what happened", [errors.Problem("field", "is wrong", "do better")])
    failure = failure_of(error, request_id="id-1")
    status = Status.FromString(failure.status)
    assert status.code == failure.code.value[0]
    assert {d.type_url.rpartition(".")[2] for d in status.details} >= {"ErrorInfo", "RequestInfo"}


def test_what_is_not_ours_tells_no_innards() -> None:
    failure = failure_of(ValueError("secret"), request_id="id-1")
    assert failure.code is grpc.StatusCode.INTERNAL
    assert b"secret" not in failure.status
    assert "id-1" in failure.message


def test_a_rejection_made_of_ready_parts_is_a_whole_message() -> None:
    failure = rejection("quick calls", 0.25, request_id="id-7")
    status = Status.FromString(failure.status)
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    retry, request = details.RetryInfo(), details.RequestInfo()
    assert [d.Unpack(retry) for d in status.details].count(True) == 1
    assert [d.Unpack(request) for d in status.details].count(True) == 1
    assert retry.retry_delay.ToMilliseconds() == 250
    assert request.request_id == "id-7"
    assert CLIENT_TABLE[failure.code] is client_errors.BusyError


def test_a_lane_that_turns_callers_away_keeps_a_shorter_queue() -> None:
    lane = Lane("calls", active_max=4, waiting_max=8)
    lane.active, lane.waiting = 4, 7
    assert not lane.is_full(10.0)
    lane.waiting = 8
    assert lane.is_full(10.0)
    assert 0.05 <= lane.turn_away(10.0) <= 5.0
    lane.active, lane.waiting = 3, 0
    assert lane.is_full(10.1)
    assert not lane.is_full(10.0 + 2 * PRESSED_SECONDS)
    assert lane.rejected == 1


class Counted(Backlog):
    """A backlog of calls that a test makes up."""

    def __init__(self) -> None:
        super().__init__()
        self.come = 0

    def _count(self) -> int:
        return self.come


def test_no_more_are_at_work_than_may_and_all_get_their_turn() -> None:
    async def run() -> None:
        door = Door(Lane("calls", active_max=3, waiting_max=100), Counted())
        most, order = 0, list[int]()

        async def call(number: int) -> None:
            nonlocal most
            await door.enter()
            most = max(most, door.lane.active)
            order.append(number)
            await asyncio.sleep(0.002)
            door.leave()

        await asyncio.gather(*(call(n) for n in range(20)))
        assert most == 3
        assert order == list(range(20))
        assert (door.lane.active, door.lane.waiting) == (0, 0)

    asyncio.run(run())


def test_callers_who_leave_while_they_wait_leave_no_place_taken() -> None:
    async def run() -> None:
        door = Door(Lane("calls", active_max=1, waiting_max=100), Counted())
        await door.enter()
        waiting = [asyncio.create_task(door.enter()) for _ in range(5)]
        await asyncio.sleep(0.01)
        for task in waiting[:3]:
            task.cancel()
        await asyncio.sleep(0.01)
        assert door.lane.waiting == 2
        door.leave()
        done, rest = await asyncio.wait(waiting[3:], return_when="FIRST_COMPLETED", timeout=5)
        assert len(done) == 1
        for task in rest:
            task.cancel()
        door.leave()
        await asyncio.sleep(0.05)
        assert (door.lane.active, door.lane.waiting) == (0, 0)

    asyncio.run(run())


def test_newcomers_are_taken_over_before_the_next_is_let_in() -> None:
    async def run() -> None:
        backlog = Counted()
        door = Door(Lane("calls", active_max=2, waiting_max=100), backlog)
        backlog.come = 5
        first = asyncio.create_task(door.enter())
        for _ in range(5):
            for _ in range(20):
                await asyncio.sleep(0)
                assert not first.done()
            backlog.handed_over()
        await asyncio.wait_for(first, 1.0)

    asyncio.run(run())


def test_newcomers_who_left_hold_nobody_up_for_long() -> None:
    async def run() -> None:
        backlog = Counted()
        door = Door(Lane("calls", active_max=9, waiting_max=100), backlog)
        backlog.come = 3
        for pause in (0.0, 0.6, 0.6):
            await asyncio.sleep(pause)
            await asyncio.wait_for(door.enter(), 1.0)
        assert backlog.known == 3  # nobody waits for them any more
        backlog.handed_over()  # one who comes after all is not counted twice
        assert backlog.arrived() == backlog.known == 3

    asyncio.run(run())


def test_grpc_counts_calls_that_wait_behind_a_busy_loop() -> None:
    async def run() -> None:
        backlog, seen = Backlog(), list[int]()

        class Watch(grpc.aio.ServerInterceptor):
            async def intercept_service(self, continuation: Any, details: Any) -> Any:
                backlog.handed_over()
                return await continuation(details)

        async def slow(request: bytes, _: Any) -> bytes:
            time.sleep(0.2)  # what a loop must not do
            seen.append(backlog.arrived() - backlog.known)
            return request

        class Handler(grpc.GenericRpcHandler):
            def service(self, _: Any) -> Any:
                return grpc.unary_unary_rpc_method_handler(slow)

        before = server_ids()
        server = grpc.aio.server(interceptors=[Watch()], options=[CHANNELZ])
        (own,) = server_ids() - before
        backlog.watch(own)
        server.add_generic_rpc_handlers([Handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()

        def ask() -> None:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = channel.unary_unary("/a/b")
                for future in [call.future(b"x") for _ in range(8)]:
                    future.result()

        await asyncio.to_thread(ask)
        assert max(seen) >= 5
        assert seen[-1] == 0
        await server.stop(None)

    asyncio.run(run())
