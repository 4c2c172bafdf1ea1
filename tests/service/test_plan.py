"""Decisions of the cluster, without a cluster."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from margin_actors.actors.plan import (
    LEASE_SECONDS,
    RENEW_SECONDS,
    RUNS_REMEMBERED_MAX,
    RunSlots,
    account_ranges,
    place_shards,
    shards_wanted,
    spans,
)


@given(st.integers(1, 100_000), st.integers(1, 64), st.sampled_from([1, 64, 256]))
def test_spans_cover_every_scenario_once_and_begin_tiles(n: int, parts: int, tile: int) -> None:
    found = spans(n, parts, tile=tile)
    assert found[0].first == 0
    assert all(a.first + a.count == b.first for a, b in pairwise(found))
    assert sum(s.count for s in found) == n
    assert all(s.first % tile == 0 and s.count > 0 for s in found)
    assert len(found) <= parts
    assert max(s.count for s in found) - min(s.count for s in found) < 2 * tile


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 200), st.integers(1, 9)
)
def test_account_ranges_hold_every_account_once(
    sizes: list[int], positions: int, accounts: int
) -> None:
    start = [0]
    for size in sizes:
        start.append(start[-1] + size)
    ranges = account_ranges(start, positions=positions, accounts=accounts)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(sizes)
    assert all(a[1] == b[0] for a, b in pairwise(ranges))
    for first, last in ranges:
        assert 1 <= last - first <= accounts
        assert last - first == 1 or start[last] - start[first] <= positions


def test_slots_are_leased_for_seconds_and_free_when_their_holder_is_silent() -> None:
    """Operator's review A7."""
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


def test_shards_are_as_configured_or_one_a_processor() -> None:
    assert shards_wanted(3, 16.0) == 3
    assert shards_wanted(0, 16.0) == 16
    assert shards_wanted(0, 0.0) == 1


def test_shards_stay_on_living_nodes_and_go_where_there_is_most_room() -> None:
    cpus = {"a": 2.0, "b": 4.0, "head": 0.0}
    places = place_shards([], cpus, 6)
    assert sorted(places) == ["a", "a", "b", "b", "b", "b"]
    assert place_shards(places, cpus, 6) == places
    assert place_shards(places, cpus, 2) == places[:2]
    assert place_shards(places, {"a": 2.0}, 6) == ["a"] * 6
    joined = place_shards(["a", "a"], {"a": 2.0, "b": 2.0}, 4)
    assert joined == ["a", "a", "b", "b"]
    assert place_shards([], {"head": 0.0}, 1) == ["head"]
