"""Which calls are admitted, in which order they are served, and what rejected callers receive."""

import asyncio
import time
from collections import Counter
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from margin_client import errors as client_errors
from margin_client._status import TABLE as CLIENT_TABLE
from margin_cluster.gateway.admission import (
    COUNTED_PER_CALLER,
    PRESSURE_SECONDS,
    ClassLimits,
    FairQueue,
    PriorityClass,
    Reason,
)
from margin_cluster.gateway.backlog import Backlog
from margin_cluster.gateway.gate import Admission, AdmissionGate, Rejected
from margin_cluster.gateway.status import TABLE, failure_of, rejection

from margin_actors import errors

LIMITS = ClassLimits(active_max=4, waiting_max=48, caller_waiting_max=256, caller_active_max=4)


def ours() -> list[type[errors.MarginError]]:
    found, todo = [], [errors.MarginError]
    while todo:
        below = todo.pop().__subclasses__()
        found += below
        todo += below
    return found


@pytest.mark.parametrize("kind", ours(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_the_client_an_error_for_it(
    kind: type[errors.MarginError],
) -> None:
    row = TABLE[kind]
    assert row.code in CLIENT_TABLE
    error = kind("what happened", [errors.Problem("field", "is wrong", "do better")])
    failure = failure_of(error, request_id="id-1")
    status = Status.FromString(failure.status)
    assert status.code == failure.code.value[0]
    assert {d.type_url.rpartition(".")[2] for d in status.details} >= {"ErrorInfo", "RequestInfo"}


def test_an_unexpected_error_reveals_nothing_but_the_request_id() -> None:
    failure = failure_of(ValueError("secret"), request_id="id-1")
    assert failure.code is grpc.StatusCode.INTERNAL
    assert b"secret" not in failure.status
    assert "id-1" in failure.message


def test_a_rejection_from_the_cache_is_a_complete_status() -> None:
    failure = rejection("too many unary calls", 0.25, request_id="id-7")
    status = Status.FromString(failure.status)
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    retry, request = details.RetryInfo(), details.RequestInfo()
    assert [d.Unpack(retry) for d in status.details].count(True) == 1
    assert [d.Unpack(request) for d in status.details].count(True) == 1
    assert retry.retry_delay.ToMilliseconds() == 250
    assert request.request_id == "id-7"
    assert CLIENT_TABLE[failure.code] is client_errors.BusyError


def filled(queue: FairQueue[Any], callers: int, each: int, now: float = 0.0) -> int:
    """Let callers ask in turn; returns how many calls are admitted and waiting."""
    admitted = 0
    for number in range(each):
        for caller in range(callers):
            if queue.admit(f"caller {caller}", now) is None:
                queue.push(f"caller {caller}", (caller, number))
                admitted += 1
    return admitted


def test_a_burst_of_200_calls_of_one_caller_is_admitted() -> None:
    """Operator's review B, newcomer's review: 200 what-ifs at once from one client."""
    queue: FairQueue[Any] = FairQueue(LIMITS)
    assert filled(queue, 1, 200) == 200
    assert filled(queue, 1, 200) == 56, "the queue of one caller is bounded"
    assert queue.rejected == {Reason.CALLER_LIMIT: 144}
    assert not queue.is_pressed(0.0), "the excess of one caller does not restrict others"
    assert queue.admit("another", 0.0) is None


def test_twenty_callers_with_one_call_each_are_admitted_beside_a_burst() -> None:
    """Operator's review B: of 20 mixed clients half of the calls were rejected."""
    queue: FairQueue[Any] = FairQueue(LIMITS)
    assert filled(queue, 1, 200) == 200
    assert [queue.admit(f"client {i}", 0.0) for i in range(20)] == [None] * 20


@pytest.mark.parametrize("callers", [4, 8, 16, 64])
def test_an_overload_by_many_callers_is_rejected_soon_and_keeps_a_short_queue(
    callers: int,
) -> None:
    queue: FairQueue[Any] = FairQueue(LIMITS)
    admitted = filled(queue, callers, 100)
    assert admitted <= 64 * 4
    if callers >= 16:
        assert admitted <= LIMITS.waiting_max + callers
    assert queue.is_pressed(0.0)
    while queue.pop() is not None:
        queue.release(next(iter(queue._callers)))
    assert filled(queue, callers, 100, now=0.1) <= LIMITS.active_max
    assert not queue.is_pressed(0.11 + PRESSURE_SECONDS)


def test_the_callers_are_served_in_turn() -> None:
    queue: FairQueue[Any] = FairQueue(LIMITS)
    filled(queue, 1, 100)
    for name in ("late", "later"):
        queue.admit(name, 0.0)
        queue.push(name, name)
    served = []
    for _ in range(5):
        served.append(queue.pop())
        queue.release("caller 0" if isinstance(served[-1], tuple) else served[-1])
    assert served == [(0, 0), "late", "later", (0, 1), (0, 2)]


def test_a_caller_with_its_share_of_places_leaves_the_others_free() -> None:
    queue: FairQueue[Any] = FairQueue(ClassLimits(4, 48, 256, caller_active_max=2))
    filled(queue, 1, 10)
    queue.admit("late", 0.0)
    queue.push("late", "late")
    assert [queue.pop() for _ in range(4)] == [(0, 0), "late", (0, 1), None]
    assert not queue.can_pop()
    queue.release("caller 0")
    assert queue.pop() == (0, 2)


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "serve", "end", "leave", "give up"]), st.integers(0, 9)),
    max_size=300,
)


@given(STEPS, st.integers(1, 5), st.integers(1, 20), st.integers(1, 40), st.integers(1, 5))
def test_no_more_calls_are_active_or_waiting_than_allowed_and_none_starves(
    steps: list[tuple[str, int]], active: int, waiting: int, own: int, own_active: int
) -> None:
    limits = ClassLimits(active, waiting, own, min(own_active, active))
    queue: FairQueue[tuple[str, int]] = FairQueue(limits)
    working: list[str] = []
    in_line: list[tuple[str, int]] = []
    pending: Counter[str] = Counter()
    for number, (step, who) in enumerate(steps):
        caller = f"caller {who}"
        if step == "ask" and queue.admit(caller, number / 100) is None:
            queue.push(caller, (caller, number))
            in_line.append((caller, number))
            pending[caller] += 1
        elif step == "serve" and (item := queue.pop()) is not None:
            assert item == min(i for i in in_line if i[0] == item[0]), "first come, first served"
            in_line.remove(item)
            pending[item[0]] -= 1
            working.append(item[0])
        elif step == "end" and working:
            queue.release(working.pop(who % len(working)))
        elif step == "leave" and in_line:
            item = in_line.pop(who % len(in_line))
            queue.withdraw(item[0], item)
            pending[item[0]] -= 1
        elif step == "give up" and queue.admit(caller, number / 100) is None:
            queue.give_up(caller)
        assert queue.active == len(working) <= limits.active_max
        assert max(Counter(working).values(), default=0) <= limits.caller_active_max
        assert queue.pending == queue.waiting == len(in_line)
        assert max(pending.values(), default=0) <= own
        assert sum(min(n, COUNTED_PER_CALLER) for n in pending.values()) <= waiting
    while working:
        queue.release(working.pop())
    rounds: list[str] = []
    while in_line:
        item = queue.pop()
        assert item is not None, "a call that waits is served as soon as there is a place"
        in_line.remove(item)
        queue.release(item[0])
        rounds.append(item[0])
    for caller in set(rounds):
        places = [i for i, name in enumerate(rounds) if name == caller]
        gaps = [b - a for a, b in zip([-1, *places], places, strict=False)]
        assert max(gaps) <= len(set(rounds)), "no caller waits for more than one call of each other"
    assert not queue._callers, "nothing is kept of callers without calls"


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


def test_calls_that_arrive_behind_a_busy_loop_are_handed_over_before_the_next_is_served() -> None:
    """On a real server: the second handler starts when all calls have been handed over."""

    async def run() -> None:
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
            time.sleep(0.1)  # what a handler must not do for so long
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
                for future in [call.future(b"x") for _ in range(12)]:
                    future.result()

        try:
            await asyncio.to_thread(ask)
        finally:
            await server.stop(None)
        assert known[1] == 12

    asyncio.run(run())


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
