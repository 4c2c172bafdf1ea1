"""Leases of run slots."""

from hypothesis import given
from hypothesis import strategies as st

from margin_actors.actors.slots import (
    LEASE_SECONDS,
    RENEW_SECONDS,
    RUNS_REMEMBERED_MAX,
    RunSlots,
)


def test_slots_are_leased_for_seconds_and_free_when_their_holder_is_silent() -> None:
    slots = RunSlots(2)
    assert slots.take("a", now=0.0) == 0.0
    assert slots.take("b", now=1.0) == 0.0
    assert 0.1 <= slots.take("c", now=2.5) <= 1.0
    slots.renew("a", now=4.0)
    assert slots.take("c", now=1.0 + LEASE_SECONDS) == 0.0  # b was never given back
    assert slots.taken(now=1.0 + LEASE_SECONDS) == 2
    slots.give_back("a")
    slots.give_back("a")
    assert slots.taken(now=1.0 + LEASE_SECONDS) == 1


def test_a_slot_is_renewed_often_enough_and_free_within_ten_seconds() -> None:
    assert 2 * RENEW_SECONDS < LEASE_SECONDS < 10.0


def test_a_coordinator_that_was_started_again_learns_of_running_books_by_their_renewals() -> None:
    started_again = RunSlots(1)
    assert started_again.take("new", now=0.0) == 0.0
    started_again.renew("running", now=0.1)
    assert started_again.taken(now=0.2) == 2
    assert started_again.take("newer", now=0.3) > 0.0


def test_late_requests_of_a_run_that_has_ended_take_no_slot() -> None:
    slots = RunSlots(1)
    slots.take("a", now=0.0)
    slots.give_back("a")
    slots.renew("a", now=0.1)
    assert slots.take("a", now=0.2) == 0.0
    assert slots.taken(now=0.3) == 0
    slots.give_back("never taken")
    assert slots.take("never taken", now=0.4) == 0.0
    assert slots.taken(now=0.5) == 0


def test_ended_runs_are_forgotten_beyond_a_limit() -> None:
    slots = RunSlots(1)
    for number in range(RUNS_REMEMBERED_MAX + 5):
        slots.give_back(str(number))
    slots.renew("5", now=0.0)
    assert slots.taken(now=0.1) == 0
    slots.renew("4", now=0.0)
    assert slots.taken(now=0.1) == 1


@given(
    st.integers(1, 4),
    st.lists(
        st.tuples(
            st.sampled_from(["take", "renew", "give_back"]),
            st.sampled_from("abcdef"),
            st.floats(0.0, 4.0),
        ),
        max_size=60,
    ),
)
def test_only_renewals_exceed_the_slots_and_silence_frees_them_all(
    limit: int, steps: list[tuple[str, str, float]]
) -> None:
    slots, now, renewed = RunSlots(limit), 0.0, 0
    for step, run_id, pause in steps:
        now += pause
        if step == "take":
            before = slots.taken(now=now)
            wait = slots.take(run_id, now=now)
            assert slots.taken(now=now) <= max(before, limit)
            assert wait == 0.0 or 0.1 <= wait <= 1.0
        elif step == "renew":
            slots.renew(run_id, now=now)
            renewed += 1
        else:
            slots.give_back(run_id)
    assert slots.taken(now=now) <= limit + renewed
    assert slots.taken(now=now + LEASE_SECONDS) == 0
