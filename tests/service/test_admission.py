"""Which calls are admitted, and in which order they are served: pure decisions."""

import random
from collections import Counter, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margin_cluster.gateway.admission import (
    COUNTED_PER_CALLER,
    PRESSURE_SECONDS,
    ClassLimits,
    FairQueue,
    Reason,
)

LIMITS = ClassLimits(active_max=4, waiting_max=24, caller_waiting_max=256, caller_active_max=4)


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
    """The queue of one caller holds 256 calls; those beyond are rejected and restrict no other."""
    queue: FairQueue[Any] = FairQueue(LIMITS)
    assert filled(queue, 1, 200) == 200
    assert filled(queue, 1, 200) == 56, "the queue of one caller is bounded"
    assert queue.rejected == {Reason.CALLER_LIMIT: 144}
    assert not queue.is_pressed(0.0), "the excess of one caller does not restrict others"
    assert queue.admit("another", 0.0) is None


def test_twenty_callers_with_one_call_each_are_admitted_beside_a_burst() -> None:
    """The queue of one caller takes no place of another."""
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
    while (item := queue.pop()) is not None:
        assert queue.is_pressed(10.0) == (queue.pending > LIMITS.waiting_max)
        queue.release(f"caller {item[0]}")
    assert filled(queue, callers, 100, now=0.1) <= LIMITS.active_max
    assert not queue.is_pressed(0.11 + PRESSURE_SECONDS)


def simulated_ms(load: float, callers: int, seed: int) -> tuple[list[float], int]:
    """Random arrivals at a multiple of what one processor serves at 2.5 ms a call.

    Returns the sorted times of the accepted calls from arrival to end, and the rejections.
    """
    queue: FairQueue[tuple[str, float]] = FairQueue(LIMITS)
    chance, service = random.Random(seed), 2.5e-3
    arrival = now = 0.0
    working: deque[tuple[str, float]] = deque()
    times: list[float] = []
    while now < 20.0:
        if not working or arrival <= now + service:
            arrival += chance.expovariate(load / service)
            caller = f"caller {chance.randrange(callers)}"
            now = max(now, arrival) if not working else now
            if queue.admit(caller, arrival) is None:
                queue.push(caller, (caller, arrival))
        else:
            caller, arrived = working.popleft()
            now += service
            queue.release(caller)
            times.append(1e3 * (now - arrived))
        while (item := queue.pop()) is not None:
            working.append(item)
    return sorted(times), queue.rejected.total()


@pytest.mark.parametrize("callers", [8, 16, 64, 256])
def test_at_three_times_the_load_the_accepted_take_at_most_three_times_as_long(
    callers: int,
) -> None:
    for seed in range(3):
        half, none = simulated_ms(0.5, callers, seed)
        three, rejected = simulated_ms(3.0, callers, seed)
        assert none == 0
        assert rejected > len(three)
        assert len(three) > 0.95 * 20.0 / 2.5e-3, "all of the capacity is used"
        p99 = [times[int(0.99 * len(times))] for times in (half, three)]
        assert p99[1] <= 3 * p99[0], p99


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
