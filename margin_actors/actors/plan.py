"""Decisions of the cluster as plain data and functions, without Ray, clocks or threads.

They cover the partition of scenarios and accounts, the placement of shards, what is in use, and the
leases of run slots. The actors carry out these decisions. Their separation allows every failure to
be tested synchronously.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

LEASE_SECONDS = 5.0
"""Duration of a lease of a run slot without renewal."""
RENEW_SECONDS = 1.5
"""Interval at which a run renews its lease."""
RUNS_REMEMBERED_MAX = 1_000
"""Number of ended runs that are remembered, so that their delayed requests have no effect."""


@dataclass(frozen=True, slots=True)
class Span:
    """A contiguous slice of the scenarios, starting at the start of a tile."""

    first: int
    """Index of the first scenario."""
    count: int
    """Number of scenarios."""


def spans(n_scenarios: int, parts: int, *, tile: int) -> tuple[Span, ...]:
    """Return at most `parts` contiguous slices of whole tiles that cover all scenarios.

    The numbers of tiles differ by at most one; the last tile may be incomplete.

    Examples
    --------
    >>> spans(200, 2, tile=64)
    (Span(first=0, count=128), Span(first=128, count=72))
    """
    n_tiles = -(-n_scenarios // tile)
    parts = max(1, min(parts, n_tiles))
    edges = [(-(-n_tiles * p // parts)) * tile for p in range(parts + 1)]
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


@dataclass(frozen=True, slots=True)
class Heads:
    """What is in use; stored durably, so that a new coordinator can continue from it."""

    number: int = 0
    """Number of the generation; increases with every change."""
    snapshot_id: str = ""
    """Id of the market snapshot; empty if none is in use."""
    scenarios_id: str = ""
    """Id of the scenario set; empty if none is in use."""

    @property
    def is_complete(self) -> bool:
        """True if both a snapshot and a scenario set are in use."""
        return bool(self.snapshot_id and self.scenarios_id)


@dataclass
class RunSlots:
    """Leases that limit the number of concurrent book runs in the whole cluster.

    A lease lasts a few seconds and is renewed while its run is in progress, so that the slot of a
    failed holder becomes free soon. A restarted coordinator has no leases; the first renewal of a
    run in progress restores its lease, even if that exceeds the number of slots. In all methods,
    `now` is a time of the monotonic clock, in seconds.
    """

    slots: int
    _leases: dict[str, float] = field(default_factory=dict[str, float])
    _ended: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])

    def take(self, run_id: str, *, now: float) -> float:
        """Take a slot and return 0, or return the seconds after which to try again.

        A repeated call with the same id renews the lease. For a run that has ended, the call
        returns 0 without taking a slot: the request was repeated or delayed in transit.
        """
        self._drop_expired(now)
        if run_id in self._ended:
            return 0.0
        if run_id not in self._leases and len(self._leases) >= self.slots:
            soonest = min(self._leases.values()) - now
            return min(max(soonest, 0.1), 1.0)
        self._leases[run_id] = now + LEASE_SECONDS
        return 0.0

    def renew(self, run_id: str, *, now: float) -> None:
        """Extend the lease of a run in progress, or restore it if it is missing."""
        self._drop_expired(now)
        if run_id not in self._ended:
            self._leases[run_id] = now + LEASE_SECONDS

    def give_back(self, run_id: str) -> None:
        """Release the lease of a run, and ignore later requests of that run."""
        self._leases.pop(run_id, None)
        remember(self._ended, run_id)

    def taken(self, *, now: float) -> int:
        """Return the number of leases held."""
        return sum(end > now for end in self._leases.values())

    def _drop_expired(self, now: float) -> None:
        self._leases = {run: end for run, end in self._leases.items() if end > now}


def remember(ended: OrderedDict[str, None], run_id: str) -> None:
    """Add a run to the ended runs, and drop the oldest beyond RUNS_REMEMBERED_MAX."""
    ended[run_id] = None
    ended.move_to_end(run_id)
    while len(ended) > RUNS_REMEMBERED_MAX:
        ended.popitem(last=False)


def place_shards(places: Sequence[str], cpus: Mapping[str, float], wanted: int) -> list[str]:
    """Return the node of each of `wanted` shards.

    A shard stays on its node while the node is live. Each other shard is placed on the node with
    the fewest shards per processor; ties go to the first node by name. Nodes without processors are
    used only if there are no others.

    Parameters
    ----------
    places : sequence of str
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
    kept = [place if place in cpus else "" for place in places[:wanted]]
    kept += [""] * (wanted - len(kept))
    for number, place in enumerate(kept):
        if not place:
            kept[number] = min(sorted(able), key=lambda node: kept.count(node) / able[node])
    return kept


def shards_wanted(configured: int, cpus: float) -> int:
    """Return the number of shards: as configured, or one per processor of the live nodes."""
    return configured if configured > 0 else max(1, int(cpus))


def backoff_seconds(attempt: int) -> float:
    """Return the back-off after failed attempt `attempt`, from 0: 0.1 s, doubling up to 2 s."""
    return min(0.1 * 2.0 ** min(attempt, 10), 2.0)
