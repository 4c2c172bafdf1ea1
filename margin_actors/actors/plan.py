"""Decisions of the cluster as plain data and functions: no Ray, no clock, no thread.

Who owns which scenarios, what the current generation is, and how many books may run at once. The
actors carry out what is decided here, so that every failure can be a line in a synchronous test.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

LEASE_SECONDS = 5.0
"""How long a run slot stays taken without a renewal."""
RENEW_SECONDS = 1.5
"""How often a run renews its slot."""
RUNS_REMEMBERED_MAX = 1_000
"""Ended runs that are remembered, so that their late requests have no effect."""


@dataclass(frozen=True, slots=True)
class Span:
    """A contiguous slice of scenarios, beginning a tile."""

    first: int
    count: int


def spans(n_scenarios: int, parts: int, *, tile: int) -> tuple[Span, ...]:
    """Return at most `parts` slices of whole tiles that cover all scenarios, sizes within a tile.

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
    """Return ranges of accounts, each of at most about `positions` positions and `accounts`.

    A range holds at least one account, however large.
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
    """What is in use: kept durably, so that a new coordinator continues where the last stopped."""

    number: int = 0
    """Of the generation; rises with every change."""
    snapshot_id: str = ""
    scenarios_id: str = ""

    @property
    def is_complete(self) -> bool:
        """True if there is both a market and a scenario set."""
        return bool(self.snapshot_id and self.scenarios_id)


@dataclass
class RunSlots:
    """Leases for book runs: a limited number at once in the whole cluster.

    A lease lasts seconds and is renewed while its run lives, so that the slot of a holder that died
    is free soon after. A coordinator that was started again knows no leases; the first renewal of
    a running book takes its lease again, even beyond the number of slots.
    """

    slots: int
    _leases: dict[str, float] = field(default_factory=dict[str, float])
    _ended: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])

    def take(self, run_id: str, *, now: float) -> float:
        """Take a slot and return 0, or return the seconds after which to ask again.

        Asking again under the same id renews the lease. A run that has ended takes nothing: its
        request was repeated or delayed on its way.
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
        """Extend the lease of a run that is alive, or take it again if it is not known."""
        self._drop_expired(now)
        if run_id not in self._ended:
            self._leases[run_id] = now + LEASE_SECONDS

    def give_back(self, run_id: str) -> None:
        """End a lease; ending one that is not held has no effect."""
        self._leases.pop(run_id, None)
        remember(self._ended, run_id)

    def taken(self, *, now: float) -> int:
        """Return the number of leases held."""
        return sum(end > now for end in self._leases.values())

    def _drop_expired(self, now: float) -> None:
        self._leases = {run: end for run, end in self._leases.items() if end > now}


def remember(ended: OrderedDict[str, None], run_id: str) -> None:
    """Add a run to those that have ended, forgetting the oldest beyond a fixed number."""
    ended[run_id] = None
    ended.move_to_end(run_id)
    while len(ended) > RUNS_REMEMBERED_MAX:
        ended.popitem(last=False)


def place_shards(places: Sequence[str], cpus: Mapping[str, float], wanted: int) -> list[str]:
    """Return the node of each of so many shards.

    A shard stays where it is while its node lives; others go where there are fewest shards a
    processor, of equals to the first by name. Nodes without processors are taken only where there
    is no other.

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
    """Return how many shards to run: as configured, or one a processor of the living nodes."""
    return configured if configured > 0 else max(1, int(cpus))


def backoff_seconds(attempt: int) -> float:
    """Return the pause before an attempt: 0.1 s doubling to 2 s."""
    return min(0.1 * 2.0 ** min(attempt, 10), 2.0)
