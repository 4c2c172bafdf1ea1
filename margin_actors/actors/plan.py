"""The partition of scenarios and accounts, and the placement of shards, as plain functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from margin_actors.backoff import Backoff

RETRY = Backoff(0.1, 2.0)
"""Delays after a loss of a process, a node or an object."""


@dataclass(frozen=True, slots=True)
class Span:
    """A contiguous slice of the scenarios, starting at the start of a tile."""

    first: int
    """Index of the first scenario."""
    count: int
    """Number of scenarios."""


def spans(n_scenarios: int, n_slices: int, *, tile: int) -> tuple[Span, ...]:
    """Return at most `n_slices` contiguous slices of whole tiles that cover all scenarios.

    The numbers of tiles differ by at most one; the last tile may be incomplete.

    Examples
    --------
    >>> spans(200, 2, tile=64)
    (Span(first=0, count=128), Span(first=128, count=72))
    """
    n_tiles = -(-n_scenarios // tile)
    n_slices = max(1, min(n_slices, n_tiles))
    edges = [(-(-n_tiles * s // n_slices)) * tile for s in range(n_slices + 1)]
    return tuple(Span(begin, min(end, n_scenarios) - begin) for begin, end in pairwise(edges))


def account_ranges(start: Sequence[int], *, positions: int, accounts: int) -> list[tuple[int, int]]:
    """Return ranges [first, last) of accounts, of at most `positions` and `accounts` each.

    Parameters
    ----------
    start : sequence of int, of length n_accounts + 1
        Account a owns positions start[a] to start[a + 1].
    positions : int
        Maximum number of positions; exceeded only by a range of a single account.
    accounts : int
        Maximum number of accounts, at least 1.
    """
    n = len(start) - 1
    ranges: list[tuple[int, int]] = []
    begin = 0
    for a in range(1, n + 1):
        is_full = a - begin >= accounts or (a < n and start[a + 1] - start[begin] > positions)
        if is_full or a == n:
            ranges.append((begin, a))
            begin = a
    return ranges


def place_shards(nodes: Sequence[str], cpus: Mapping[str, float], wanted: int) -> list[str]:
    """Return the node of each of `wanted` shards.

    A shard stays on its node while the node is live. Each other shard is placed on the node with
    the fewest shards per processor; ties go to the first node by name. Nodes without processors are
    used only if there are no others.

    Parameters
    ----------
    nodes : sequence of str
        Current node of each existing shard.
    cpus : mapping of str to float
        Number of processors of each live node.
    wanted : int
        Number of shards required.

    Examples
    --------
    >>> place_shards(["a", "gone"], {"a": 2.0, "b": 2.0}, 3)
    ['a', 'b', 'a']
    """
    able = {node: count for node, count in cpus.items() if count > 0.0} or dict.fromkeys(cpus, 1.0)
    kept = [node if node in cpus else "" for node in nodes[:wanted]]
    kept += [""] * (wanted - len(kept))
    for number, node in enumerate(kept):
        if not node:
            kept[number] = min(sorted(able), key=lambda name: kept.count(name) / able[name])
    return kept


def shards_wanted(configured: int, cpus: float) -> int:
    """Return the number of shards: as configured, or one per processor of the live nodes."""
    return configured if configured > 0 else max(1, int(cpus))
