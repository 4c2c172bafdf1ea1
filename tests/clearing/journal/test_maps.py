"""Persistent maps."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin_actors.clearing.journal.maps import PersistentMap


class SameHash(str):
    """Text whose hash is that of all others of its kind."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7


KEYS = st.one_of(st.text(max_size=3), st.integers(0, 300).map(str))


@settings(max_examples=50)
@given(st.lists(st.tuples(KEYS, st.one_of(st.none(), st.integers()))))
def test_a_map_agrees_with_a_dict_and_earlier_maps_do_not_change(
    changes: list[tuple[str, int | None]],
) -> None:
    plain: dict[str, int] = {}
    kept: PersistentMap[int] = PersistentMap()
    versions = [(dict(plain), kept)]
    for key, value in changes:
        if value is not None:
            plain[key], kept = value, kept.with_items({key: value})
        elif key in plain:
            del plain[key]
            kept = kept.without([key])
        assert key not in plain or kept[key] == plain[key]
        assert kept.get(key, -1) == plain.get(key, -1)
        versions.append((dict(plain), kept))
    for expected, version in versions:
        assert version == expected
        assert len(version) == len(expected)
        assert list(version) == sorted(expected)


@pytest.mark.parametrize("kind", [str, SameHash])
def test_a_map_holds_many_keys_also_with_equal_hashes(kind: type[str]) -> None:
    count = 3_000 if kind is str else 100
    items = {kind(f"key-{number}"): number for number in range(count)}
    whole = PersistentMap(items)
    assert len(whole) == count
    assert dict(whole) == items
    half = whole.without(list(items)[::2])
    assert list(half.items()) == sorted(list(items.items())[1::2])
    assert len(whole.with_items(items)) == count
    assert pickle.loads(pickle.dumps(half)) == half


def test_a_missing_key_is_an_error() -> None:
    kept = PersistentMap({"a": 1})
    for act in (lambda: kept["b"], lambda: kept.without(["b"])):
        with pytest.raises(KeyError):
            act()
    assert "b" not in kept
    assert kept.get("b") is None
    assert kept.with_items({}) is kept
