"""Use case of OperationsService: the state of this gateway and of the cluster behind it."""

import asyncio
import time
from dataclasses import dataclass

from margin_actors.actors.cluster import Cluster
from margin_actors.actors.generation import CoordinatorStatus, ResidentGeneration
from margin_actors.clearing.house import HouseState
from margin_actors.errors import MarginError
from margin_cluster.feeds import FeedBoard, FeedReport
from margin_cluster.gateway.clearing import Clearing
from margin_cluster.gateway.health import HealthMonitor
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.ledger import Ledger, LedgerHead
from margin_cluster.ledger.clearing_rows import Committed
from margin_cluster.positions import Positions

CLUSTER_SECONDS_MAX = 3.0
"""Longest wait for the coordinator's part of the status."""
LEDGER_SECONDS_MAX = 3.0
"""Longest wait for the ledger's part of the status."""


@dataclass(frozen=True)
class ServiceState:
    """State of a gateway; a part that could not be read is empty, with a reason in `problems`."""

    is_ready: bool
    uptime_seconds: float
    generation: ResidentGeneration | None
    """The generation in use; None before the first."""
    portfolio_version: int
    accounts: int
    positions: int
    cluster: CoordinatorStatus | None
    ledger: LedgerHead
    feeds: tuple[FeedReport, ...]
    """Sources of market data, by name."""
    feed_margin_factor: float | None
    """Factor on margins that the age of the market data calls for; None without a feed."""
    problems: tuple[str, ...]
    clearing: Committed[HouseState]
    """The clearing house as this gateway has read it."""


class Operations:
    """The use case of operators; belongs to one event loop."""

    def __init__(
        self,
        cluster: Cluster,
        ledger: Ledger,
        positions: Positions,
        health: HealthMonitor,
        threads: GatewayThreads,
        feeds: FeedBoard,
        clearing: Clearing,
    ) -> None:
        self._clearing = clearing
        self._cluster, self._ledger, self._positions = cluster, ledger, positions
        self._health, self._threads, self._feeds = health, threads, feeds
        self._started = time.monotonic()

    async def state(self, *, until: float) -> ServiceState:
        """Return the state; `until` is the deadline, a monotonic time in seconds."""
        problems = self._health.problems()
        status = await self._cluster_status(problems, until)
        head = await self._ledger_head(problems)
        if self._positions.fault:
            problems.append(f"the stored positions cannot be read: {self._positions.fault}")
        if status is not None and status.fault:
            problems.append(f"the market in use cannot be priced: {status.fault}")
        accounts, positions = self._positions.counts()
        decision = self._feeds.decision()
        if decision is not None:
            problems += decision.alarms
        return ServiceState(
            is_ready=self._health.is_ready,
            uptime_seconds=time.monotonic() - self._started,
            generation=self._cluster.current,
            portfolio_version=self._positions.version,
            accounts=accounts,
            positions=positions,
            cluster=status,
            ledger=head,
            feeds=self._feeds.reports(),
            feed_margin_factor=None if decision is None else decision.factor,
            problems=tuple(problems),
            clearing=self._clearing.committed,
        )

    async def _cluster_status(self, problems: list[str], until: float) -> CoordinatorStatus | None:
        until = min(until, time.monotonic() + CLUSTER_SECONDS_MAX)
        try:
            return await self._cluster.status(until=until)
        except MarginError as error:
            problems.append(f"the coordinator of the cluster does not respond: {error.summary}")
            return None

    async def _ledger_head(self, problems: list[str]) -> LedgerHead:
        def read() -> LedgerHead:
            self._positions.follow()
            return self._ledger.head()

        try:
            return await asyncio.wait_for(self._threads.run_io(read), LEDGER_SECONDS_MAX)
        except (MarginError, TimeoutError) as error:
            text = f"the ledger cannot be read: {error or 'no answer'}"
            if text not in problems:
                problems.append(text)
            return LedgerHead(0, "", 0)
