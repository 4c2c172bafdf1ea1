"""Run slots: leases that limit the number of concurrent book runs in the whole cluster."""

from collections import OrderedDict
from dataclasses import dataclass, field

LEASE_SECONDS = 5.0
"""Duration of a lease of a run slot without renewal."""
RENEW_SECONDS = 1.5
"""Interval at which a run renews its lease."""
RUNS_REMEMBERED_MAX = 1_000
"""Number of ended runs that are remembered, so that their delayed requests have no effect."""


@dataclass
class RunSlots:
    """Leases that limit the number of concurrent book runs in the whole cluster.

    A lease lasts a few seconds and is renewed while its run is in progress, so that the slot of a
    failed holder becomes free soon. A restarted coordinator has no leases; the first renewal of a
    run in progress restores its lease, even if that exceeds the number of slots. In all methods,
    `now` is a time of the monotonic clock, in seconds.
    """

    slots: int
    """Number of slots."""
    leases: dict[str, float] = field(default_factory=dict[str, float])
    """End of the lease of each run, in seconds of the monotonic clock."""
    ended: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])
    """Ids of the runs that have ended, the latest last."""

    def take(self, run_id: str, *, now: float) -> float:
        """Take a slot and return 0, or return the seconds after which to try again.

        A repeated call with the same id renews the lease. For a run that has ended, the call
        returns 0 without taking a slot: the request was repeated or delayed in transit.
        """
        self._drop_expired(now)
        if run_id in self.ended:
            return 0.0
        if run_id not in self.leases and len(self.leases) >= self.slots:
            soonest = min(self.leases.values()) - now
            return min(max(soonest, 0.1), 1.0)
        self.leases[run_id] = now + LEASE_SECONDS
        return 0.0

    def renew(self, run_id: str, *, now: float) -> None:
        """Extend the lease of a run in progress, or restore it if it is missing."""
        self._drop_expired(now)
        if run_id not in self.ended:
            self.leases[run_id] = now + LEASE_SECONDS

    def give_back(self, run_id: str) -> None:
        """Release the lease of a run, and ignore later requests of that run."""
        self.leases.pop(run_id, None)
        remember(self.ended, run_id)

    def taken(self, *, now: float) -> int:
        """Return the number of leases held."""
        return sum(end > now for end in self.leases.values())

    def check_invariants(self) -> None:
        """Assert that no run that has ended holds a lease."""
        assert not self.leases.keys() & self.ended.keys()
        assert len(self.ended) <= RUNS_REMEMBERED_MAX

    def _drop_expired(self, now: float) -> None:
        self.leases = {run: end for run, end in self.leases.items() if end > now}


def remember(ended: OrderedDict[str, None], run_id: str) -> None:
    """Add a run to the ended runs, and drop the oldest beyond RUNS_REMEMBERED_MAX."""
    ended[run_id] = None
    ended.move_to_end(run_id)
    while len(ended) > RUNS_REMEMBERED_MAX:
        ended.popitem(last=False)
