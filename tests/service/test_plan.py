"""Decisions of the cluster, without a cluster."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from margin_actors.actors.plan import (
    KEYS_KEPT_MAX,
    Heads,
    RunSlots,
    Succession,
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


def test_a_key_brings_about_one_generation() -> None:
    line = Succession(Heads())
    assert line.publish("s1", key="a") == (Heads(1, "s1", ""), True)
    assert not line.heads.is_complete
    assert line.activate("x1", key="b") == (Heads(2, "s1", "x1"), True)
    assert line.heads.is_complete
    assert line.publish("s2", key="a") == (Heads(2, "s1", "x1"), False)
    assert line.publish("s1", key="c") == (Heads(2, "s1", "x1"), False)
    assert [line.number_of(k) for k in "abcd"] == [1, 2, 2, None]


def test_old_keys_are_forgotten() -> None:
    line = Succession(Heads())
    for number in range(KEYS_KEPT_MAX + 5):
        line.publish(f"s{number}", key=str(number))
    assert line.number_of("4") is None
    assert line.number_of("5") == 6


def test_slots_are_leased_renewed_and_end_by_themselves() -> None:
    slots = RunSlots(2)
    assert slots.take("a", now=0.0, until=10.0) == 0.0
    assert slots.take("b", now=1.0, until=3.0) == 0.0
    assert 0.1 <= slots.take("c", now=2.5, until=9.0) <= 1.0
    assert slots.take("a", now=2.6, until=20.0) == 0.0
    assert slots.take("c", now=3.1, until=9.0) == 0.0  # b's holder never gave it back
    assert slots.taken(now=3.2) == 2
    slots.give_back("a")
    slots.give_back("a")
    assert slots.taken(now=3.2) == 1


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
