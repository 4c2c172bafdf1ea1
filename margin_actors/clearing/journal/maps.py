"""A persistent map: a change returns a new map that shares all unchanged nodes with the old one.

A node is either a dict of at most 32 keys or a tuple of 32 nodes that five bits of a key's hash
select. A change copies the nodes on one path from the root, at most a few dozen references each,
so that states of the journal can be kept, compared and discarded freely.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

V = TypeVar("V")
D = TypeVar("D")

_WIDTH = 32
_BITS = 5
_DEEPEST = 12
"""Depth at which all 64 bits of a hash are used: keys with equal hashes remain in one dict."""


class PersistentMap(Mapping[str, V]):
    """An immutable map from text to values; it is iterated in the order of the keys."""

    __slots__ = ("_root", "_size")

    def __init__(self, items: Mapping[str, V] | None = None) -> None:
        self._root: dict[str, Any] | tuple[Any, ...] = {}
        self._size = 0
        if items:
            filled = self.with_items(items)
            self._root, self._size = filled._root, filled._size

    def __getitem__(self, key: str) -> V:
        return _leaf(self._root, hash(key))[key]

    @overload
    def get(self, key: str, default: None = None, /) -> V | None: ...
    @overload
    def get(self, key: str, default: V | D, /) -> V | D: ...
    def get(self, key: str, default: Any = None, /) -> Any:
        """Return the value of a key, or the default if the map has no such key."""
        return _leaf(self._root, hash(key)).get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in _leaf(self._root, hash(key))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(_keys(self._root)))

    def __repr__(self) -> str:
        return f"PersistentMap({dict(self)!r})"

    def __reduce__(self) -> tuple[type["PersistentMap[V]"], tuple[dict[str, V]]]:
        """Return the items only: hashes of texts differ from process to process."""
        return type(self), (dict(self),)

    def with_items(self, items: Mapping[str, V]) -> "PersistentMap[V]":
        """Return this map with items added or replaced."""
        root, size = self._root, self._size
        for key, value in items.items():
            root, added = _set(root, key, value)
            size += added
        return PersistentMap._of(root, size) if items else self

    def without(self, keys: Iterable[str]) -> "PersistentMap[V]":
        """Return this map without some keys.

        Raises
        ------
        KeyError
            If the map does not contain one of the keys.
        """
        root, size = self._root, self._size
        for key in keys:
            root, size = _remove(root, hash(key), key), size - 1
        return self if size == self._size else PersistentMap._of(root, size)

    @staticmethod
    def _of(root: dict[str, Any] | tuple[Any, ...], size: int) -> "PersistentMap[Any]":
        made: PersistentMap[Any] = PersistentMap.__new__(PersistentMap)
        made._root, made._size = root, size
        return made


def _leaf(node: Any, code: int) -> dict[str, Any]:
    while type(node) is tuple:
        node, code = node[code & 31], code >> _BITS
    return node


def _keys(node: Any) -> Iterator[str]:
    if type(node) is tuple:
        for child in node:
            yield from _keys(child)
    else:
        yield from node


def _set(root: Any, key: str, value: object) -> tuple[Any, int]:
    """Return the root with an item added or replaced, and the number of keys added."""
    node, code = root, hash(key)
    path: list[tuple[tuple[Any, ...], int]] = []
    while type(node) is tuple:
        path.append((node, code & 31))
        node, code = node[code & 31], code >> _BITS
    leaf = node.copy()
    leaf[key] = value
    added = len(leaf) - len(node)
    if len(leaf) > _WIDTH and len(path) <= _DEEPEST:
        leaf = _split(leaf, _BITS * len(path))
    for parent, at in reversed(path):
        children = list(parent)
        children[at] = leaf
        leaf = tuple(children)
    return leaf, added


def _split(leaf: dict[str, object], shift: int) -> tuple[dict[str, object], ...]:
    """Return the keys of a dict divided by the five bits of their hashes from `shift`."""
    children: list[dict[str, object]] = [{} for _ in range(_WIDTH)]
    for key, value in leaf.items():
        children[(hash(key) >> shift) & 31][key] = value
    return tuple(children)


def _remove(node: Any, code: int, key: str) -> Any:
    if type(node) is tuple:
        at = code & 31
        return (*node[:at], _remove(node[at], code >> _BITS, key), *node[at + 1 :])
    changed = node.copy()
    del changed[key]
    return changed
