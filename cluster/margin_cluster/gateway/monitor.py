"""Monitors the state of the cluster, the ledger and the positions, for health and metrics.

A failure of the ledger is reported where it happens and makes the gateway NOT_SERVING at once. From
then on the ledger is checked every second with a small committed write, until one succeeds.
"""

import asyncio
import contextlib
import time

import structlog

from margin_actors.actors.cluster import Cluster
from margin_actors.actors.generation import CoordinatorStatus
from margin_actors.errors import LedgerUnavailable, MarginError
from margin_cluster.gateway.approvals import ModelApprovals
from margin_cluster.gateway.health import HealthMonitor
from margin_cluster.gateway.metrics import Metrics
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.ledger import Ledger
from margin_cluster.positions import Positions

FAILED_CHECK_SECONDS = 1.0
"""Interval of checks while the ledger cannot be used."""
CHECK_SECONDS = 15.0
"""Interval of checks while the ledger can be used."""
GCS_SECONDS_MAX = 2.0
"""Time limit for an answer of Ray's control store (GCS)."""
STATE_SECONDS = 5.0
"""Interval at which run slots and positions are read for the metrics."""


class Monitor:
    """Background tasks that keep `HealthMonitor` and `Metrics` up to date."""

    def __init__(
        self,
        cluster: Cluster,
        ledger: Ledger,
        positions: Positions,
        threads: GatewayThreads,
        health: HealthMonitor,
        metrics: Metrics,
        approvals: ModelApprovals,
    ) -> None:
        self._cluster, self._ledger, self._positions = cluster, ledger, positions
        self._threads, self._health, self._metrics = threads, health, metrics
        self._approvals = approvals
        self._log = structlog.get_logger("gateway")
        self._failed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        health.on_ledger_failure = self._ledger_failed
        self._tasks = [
            asyncio.create_task(self._check_ledger()),
            asyncio.create_task(self._read_state()),
        ]

    async def close(self) -> None:
        """Stop the background tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ledger_failed(self, error: Exception) -> None:
        self._metrics.ledger_failed()
        self._log.error("ledger", fault=str(error))
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._failed.set)

    async def _check_ledger(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._failed.wait(), CHECK_SECONDS)
            if self._failed.is_set():
                await asyncio.sleep(FAILED_CHECK_SECONDS)
            failures = self._health.ledger_failures
            try:
                await self._threads.run_io(self._ledger.check_writable)
            except LedgerUnavailable as error:
                self._health.set_ledger_fault(error.summary)
                self._failed.set()
            except Exception as error:
                self._log.error("ledger check", exc_info=error)
                self._health.set_ledger_fault(str(error))
                self._failed.set()
            else:
                # A check that began before a failure does not prove that the ledger works again.
                if self._health.ledger_failures != failures:
                    self._failed.set()
                    continue
                if self._failed.is_set():
                    self._log.info("ledger", fault=None)
                self._failed.clear()
                self._health.set_ledger_fault(None)

    async def _read_state(self) -> None:
        while True:
            with contextlib.suppress(LedgerUnavailable):  # the check of the ledger reports it
                await self._threads.run_io(self._approvals.refresh)
            await self.read_state()
            await asyncio.sleep(STATE_SECONDS)

    async def read_state(self) -> CoordinatorStatus | None:
        """Update health and metrics; return the coordinator's status, or None without an answer."""
        fault = None
        if not await self._cluster.control_store_answers(seconds=GCS_SECONDS_MAX):
            fault = "Ray's control store (GCS) does not answer; new work may not be started"
        self._health.set_cluster_fault(fault)
        accounts, positions = self._positions.counts()
        self._metrics.set_positions(accounts=accounts, positions=positions)
        try:
            status = await self._cluster.status(until=time.monotonic() + STATE_SECONDS)
        except MarginError:
            return None
        except Exception as error:
            self._log.warning("cluster status", exc_info=error)
            return None
        free = max(status.run_slots - status.run_slots_taken, 0)
        self._metrics.set_run_slots(total=status.run_slots, free=free)
        return status
