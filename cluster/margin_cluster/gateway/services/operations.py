"""OperationsService."""

import asyncio
import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from margin_protos.v1 import operations_service_pb2 as pb
from margin_protos.v1 import operations_service_pb2_grpc as stubs

from margin_actors.actors.generation import CoordinatorStatus
from margin_actors.errors import MarginError
from margin_cluster.gateway.call import current
from margin_cluster.gateway.convert.margin_types import (
    generation_to_mapping,
    generation_to_proto,
)
from margin_cluster.gateway.desk import Desk
from margin_cluster.gateway.gate import Admission
from margin_cluster.gateway.health import HealthMonitor
from margin_cluster.ledger import LedgerHead

CLUSTER_SECONDS_MAX = 3.0
"""Longest wait for the coordinator's part of the status."""
LEDGER_SECONDS_MAX = 3.0
"""Longest wait for the ledger's part of the status."""


class OperationsService(stubs.OperationsServiceServicer):
    """See operations_service.proto."""

    def __init__(self, desk: Desk, admission: Admission, health: HealthMonitor) -> None:
        self._desk, self._admission, self._health = desk, admission, health
        self._started = time.monotonic()

    async def GetStatus(self, request: Any, context: Any) -> Any:
        """Return the state of this gateway and of the cluster behind it.

        Fields that cannot be read are left unset, and the reason is added to `problems`.
        """
        desk, problems = self._desk, self._health.problems()
        status = await self._cluster_status(problems)
        head = await self._ledger_head(problems)
        if desk.positions.fault:
            problems.append(f"the stored positions cannot be read: {desk.positions.fault}")
        now = desk.cluster.current
        accounts, positions = desk.positions.counts()
        answer = pb.GetStatusResponse(
            version=version("margin-cluster"),
            uptime_seconds=time.monotonic() - self._started,
            generation=generation_to_proto(generation_to_mapping(now)) if now else None,
            requests_active=self._admission.active,
            requests_rejected=self._admission.rejected,
            portfolio_version=desk.positions.version,
            accounts=accounts,
            positions=positions,
            is_ready=self._health.is_ready,
            ledger_sequence=head.sequence,
            ledger_hash=head.hash,
        )
        if now is not None:
            age = datetime.now(UTC) - now.priced.market.snapshot.time
            answer.snapshot_age_seconds = age.total_seconds()
        if status is not None:
            answer.MergeFrom(_cluster_fields(status))
            if status.fault:
                problems.append(f"the market in use cannot be priced: {status.fault}")
        answer.problems.extend(problems)
        return answer

    async def _cluster_status(self, problems: list[str]) -> CoordinatorStatus | None:
        until = min(current.get().until, time.monotonic() + CLUSTER_SECONDS_MAX)
        try:
            return await self._desk.cluster.status(until=until)
        except MarginError as error:
            problems.append(f"the coordinator of the cluster does not respond: {error.summary}")
            return None

    async def _ledger_head(self, problems: list[str]) -> LedgerHead:
        desk = self._desk

        def read() -> LedgerHead:
            desk.positions.follow()
            return desk.archive.ledger.head()

        try:
            return await asyncio.wait_for(desk.store(read), LEDGER_SECONDS_MAX)
        except (MarginError, TimeoutError) as error:
            text = f"the ledger cannot be read: {error or 'no answer'}"
            if text not in problems:
                problems.append(text)
            return LedgerHead(0, "", 0)


def _cluster_fields(status: CoordinatorStatus) -> pb.GetStatusResponse:
    return pb.GetStatusResponse(
        generation_pending=status.pending,
        shards=[
            pb.ShardStatus(
                shard=s.shard,
                first_scenario=s.span.first,
                scenarios=s.span.count,
                node_id=s.node_id,
                slabs_priced=s.slabs_priced,
            )
            for s in status.shards
        ],
        nodes=status.nodes,
        last_fault=status.fault,
        run_slots=status.run_slots,
        run_slots_taken=status.run_slots_taken,
    )
