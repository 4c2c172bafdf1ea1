"""The partition of scenarios and accounts, and the placement of shards."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from margin_actors.actors.plan import account_ranges, place_shards, shards_wanted, spans


@given(st.integers(1, 100_000), st.integers(1, 64), st.sampled_from([1, 64, 256]))
def test_spans_cover_every_scenario_once_and_begin_tiles(n: int, slices: int, tile: int) -> None:
    found = spans(n, slices, tile=tile)
    assert found[0].first == 0
    assert all(a.first + a.count == b.first for a, b in pairwise(found))
    assert sum(s.count for s in found) == n
    assert all(s.first % tile == 0 and s.count > 0 for s in found)
    assert len(found) <= slices
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


def test_account_ranges_are_as_large_as_they_may_be() -> None:
    start = [0, 3, 6, 9, 12, 24, 25]
    assert account_ranges(start, positions=6, accounts=9) == [(0, 2), (2, 4), (4, 5), (5, 6)]
    assert account_ranges(start, positions=100, accounts=4) == [(0, 4), (4, 6)]
    assert account_ranges(start, positions=12, accounts=9) == [(0, 4), (4, 5), (5, 6)]


def test_one_configured_shard_and_a_node_of_half_a_processor_count() -> None:
    assert shards_wanted(1, 16.0) == 1
    assert set(place_shards([], {"a": 1.0, "b": 0.5}, 12)) == {"a", "b"}
