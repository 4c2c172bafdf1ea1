"""OperationsService."""

import time
from importlib.metadata import version
from typing import Any

from margin_protos.v1 import operations_service_pb2 as pb
from margin_protos.v1 import operations_service_pb2_grpc as stubs

from margin_cluster.gateway.call import current
from margin_cluster.gateway.convert.margin_types import (
    generation_to_mapping,
    generation_to_proto,
)
from margin_cluster.gateway.desk import Desk
from margin_cluster.gateway.gate import Admission
from margin_cluster.gateway.health import HealthMonitor


class OperationsService(stubs.OperationsServiceServicer):
    """See operations_service.proto."""

    def __init__(self, desk: Desk, admission: Admission, health: HealthMonitor) -> None:
        self._desk, self._admission, self._health = desk, admission, health
        self._started = time.monotonic()

    async def GetStatus(self, request: Any, context: Any) -> Any:
        """Return the state of this gateway and of the cluster behind it."""
        status = await self._desk.cluster.status(until=current.get().until)
        book = await self._desk.store(self._desk.positions.book)
        now = self._desk.cluster.current
        return pb.GetStatusResponse(
            version=version("margin-cluster"),
            uptime_seconds=time.monotonic() - self._started,
            generation=generation_to_proto(generation_to_mapping(now)) if now else None,
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
            requests_active=self._admission.active,
            requests_rejected=self._admission.rejected,
            portfolio_version=self._desk.positions.version,
            accounts=len(book.accounts) if book else 0,
            positions=book.n_positions if book else 0,
            last_fault=status.fault,
            is_ready=self._health.is_ready,
            problems=self._health.problems(),
        )
