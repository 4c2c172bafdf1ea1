"""The admission gate: calls that wait, that are cancelled, or that arrive unseen meanwhile."""

import asyncio
import threading
import time
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from margin_cluster.gateway.admission import (
    ClassLimits,
    PriorityClass,
)
from margin_cluster.gateway.backlog import Backlog
from margin_cluster.gateway.gate import Admission, AdmissionGate, Rejected

LIMITS = ClassLimits(active_max=4, waiting_max=48, caller_waiting_max=256, caller_active_max=4)


def gate_of(limits: ClassLimits, backlog: Backlog | None = None) -> AdmissionGate:
    return AdmissionGate(PriorityClass.UNARY, limits, backlog or Backlog())


async def until(is_true: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


def test_calls_of_one_caller_are_served_in_their_order_within_the_places() -> None:
    async def run() -> None:
        gate = gate_of(ClassLimits(3, 48, 256, 3))
        most, order = 0, list[int]()

        async def call(number: int) -> None:
            nonlocal most
            gate.admit("caller")
            await gate.enter("caller")
            most = max(most, gate.queue.active)
            order.append(number)
            await asyncio.sleep(0.002)
            gate.leave("caller")

        await asyncio.gather(*(call(n) for n in range(20)))
        assert most == 3
        assert order == list(range(20))
        assert (gate.queue.active, gate.queue.pending) == (0, 0)

    asyncio.run(run())


def test_calls_cancelled_while_they_wait_leave_no_place_taken() -> None:
    async def run() -> None:
        gate = gate_of(ClassLimits(1, 48, 256, 1))

        async def call() -> None:
            gate.admit("caller")
            await gate.enter("caller")

        await call()
        waiting = [asyncio.create_task(call()) for _ in range(5)]
        await until(lambda: gate.queue.waiting == 5)
        for task in waiting[:3]:
            task.cancel()
        await until(lambda: gate.queue.waiting == 2)
        gate.leave("caller")
        done, rest = await asyncio.wait(waiting[3:], return_when="FIRST_COMPLETED", timeout=5)
        assert len(done) == 1
        for task in rest:
            task.cancel()
        gate.leave("caller")
        await until(lambda: (gate.queue.active, gate.queue.pending) == (0, 0))

    asyncio.run(run())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_a_call_cancelled_at_any_moment_leaves_no_place_taken(moments: list[int]) -> None:
    async def run() -> None:
        gate = gate_of(ClassLimits(2, 48, 256, 2))

        async def call() -> None:
            gate.admit("caller")
            await gate.enter("caller")
            try:
                await asyncio.sleep(0)
            finally:
                gate.leave("caller")

        async def cancelled(passes: int) -> None:
            task = asyncio.create_task(call())
            for _ in range(passes):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        await asyncio.gather(*(cancelled(m) for m in moments))
        await until(lambda: (gate.queue.active, gate.queue.pending) == (0, 0))
        await asyncio.wait_for(call(), 5.0)

    asyncio.run(run())


def test_work_starts_only_when_the_calls_that_arrived_have_been_handed_over() -> None:
    async def run() -> None:
        backlog = Backlog()
        wait = asyncio.create_task(backlog.drained())
        await asyncio.sleep(0)
        numbers = [backlog.handed_over() for _ in range(3)]
        for number in numbers:
            for _ in range(8):
                await asyncio.sleep(0)
                assert not wait.done()
            backlog.confirm(number)
        await asyncio.wait_for(wait, 1.0)

    asyncio.run(run())


def test_a_call_whose_message_does_not_come_delays_no_other_for_long() -> None:
    async def run() -> None:
        backlog = Backlog()
        backlog.handed_over()
        begin = time.monotonic()
        await asyncio.wait_for(backlog.drained(), 1.0)
        assert time.monotonic() - begin > 4e-3
        clock = iter([0.0, 0.0])
        quick = Backlog(lambda: next(clock))
        await quick.drained()
        assert list(clock) == [], "nothing is waited for when all calls are known"

    asyncio.run(run())


def test_a_flood_of_calls_does_not_stop_all_work() -> None:
    async def run() -> None:
        times = [100.0]
        backlog = Backlog(lambda: times[0])
        wait = asyncio.create_task(backlog.drained())
        calls = 0
        while not wait.done():
            times[0] += 0.1e-3
            backlog.handed_over()
            calls += 1
            await asyncio.sleep(0)
        assert 190 < calls < 220

    asyncio.run(run())


@pytest.mark.slow
def test_calls_that_arrive_behind_a_busy_loop_are_handed_over_before_the_next_is_served() -> None:
    """On a real server: the second handler starts when all calls have been handed over.

    The first handler holds the event loop until the client has started all calls, and then for as
    long as their way to the server may take. The attempt is repeated if they took longer.
    """

    async def run() -> int:
        started = threading.Event()
        backlog, known = Backlog(), list[int]()
        gate = gate_of(ClassLimits(1, 48, 256, 1), backlog)
        handed = 0

        async def slow(_: Any, context: Any) -> bytes:
            nonlocal handed
            handed += 1
            number = backlog.handed_over()
            request = await context.read()
            backlog.confirm(number)
            gate.admit("caller")
            await gate.enter("caller")
            known.append(handed)
            assert started.wait(30.0)  # what a handler must not do for so long
            time.sleep(0.1)
            gate.leave("caller")
            return request

        class Handler(grpc.GenericRpcHandler):
            def service(self, _: Any) -> Any:
                return grpc.stream_unary_rpc_method_handler(slow)

        server = grpc.aio.server()
        server.add_generic_rpc_handlers([Handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()

        def ask() -> None:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = channel.unary_unary("/a/b")
                futures = [call.future(b"x") for _ in range(12)]
                started.set()
                for future in futures:
                    future.result()

        try:
            await asyncio.to_thread(ask)
        finally:
            await server.stop(None)
        return known[1]

    assert any(asyncio.run(run()) == 12 for _ in range(3))


def test_open_streams_of_requests_are_limited_by_caller_and_together() -> None:
    limits = {"uploads_max": 6, "caller_uploads_max": 4, "waiting_bytes_max": 100}
    admission = Admission(LIMITS, LIMITS, **limits)
    held = [admission.upload("one") for _ in range(4)]
    for upload in held:
        upload.__enter__()
    with pytest.raises(Rejected, match="upload limit"), admission.upload("one"):
        pass
    with admission.upload("two"), admission.upload("two"):
        with pytest.raises(Rejected, match="upload limit"), admission.upload("three"):
            pass
    held.pop().__exit__(None, None, None)
    with admission.upload("one"):
        assert admission.uploads == 4
    assert admission.rejected == 2
    assert not admission.streaming.queue.is_pressed(time.monotonic())


def test_requests_that_wait_hold_a_bounded_amount_of_memory() -> None:
    async def run() -> None:
        limits = {"uploads_max": 6, "caller_uploads_max": 4, "waiting_bytes_max": 100}
        admission = Admission(ClassLimits(1, 48, 256, 1), LIMITS, **limits)
        gate = admission.unary

        async def call(size: int) -> None:
            gate.admit("caller")
            await admission.enter(gate, "caller", size)

        await call(1_000)  # one alone may have any size
        waiting = [asyncio.create_task(call(50)) for _ in range(2)]
        await until(lambda: gate.queue.waiting == 2)
        with pytest.raises(Rejected, match="bytes limit"):
            await call(1)
        assert gate.queue.pending == 2
        for _ in range(3):
            gate.leave("caller")
            await until(lambda: gate.queue.active == 1 or not gate.queue.pending)
        await asyncio.gather(*waiting)

    asyncio.run(run())
