"""OperationsService."""

from datetime import UTC, datetime
from importlib.metadata import version

from margin_protos.v1 import operations_service_pb2 as pb
from margin_protos.v1 import operations_service_pb2_grpc as stubs

from margin_actors.actors.generation import CoordinatorStatus
from margin_cluster.feeds import FeedReport
from margin_cluster.gateway.call import current
from margin_cluster.gateway.convert.chain_findings import findings_to_proto
from margin_cluster.gateway.convert.clearing_types import position_to_proto
from margin_cluster.gateway.convert.generations import generation_to_proto, summary_of_generation
from margin_cluster.gateway.convert.margin_calls import call_to_proto
from margin_cluster.gateway.gate import Admission
from margin_cluster.gateway.margin_calls import CallQuery, listed_calls
from margin_cluster.gateway.operations import Operations

OPEN_CALLS_MAX = 1_000
"""Most open calls in one answer."""


class OperationsService(stubs.OperationsServiceServicer):
    """See operations_service.proto."""

    def __init__(self, operations: Operations, admission: Admission) -> None:
        self._operations, self._admission = operations, admission

    async def GetStatus(
        self, request: pb.GetStatusRequest, context: object
    ) -> pb.GetStatusResponse:
        """Return the state of this gateway and of the cluster behind it.

        Fields that cannot be read are left unset, and the reason is added to `problems`.
        """
        state = await self._operations.state(until=current.get().until)
        now = state.generation
        answer = pb.GetStatusResponse(
            version=version("margin-cluster"),
            uptime_seconds=state.uptime_seconds,
            generation=generation_to_proto(summary_of_generation(now)) if now else None,
            requests_active=self._admission.active,
            requests_rejected=self._admission.rejected,
            portfolio_version=state.portfolio_version,
            accounts=state.accounts,
            positions=state.positions,
            is_ready=state.is_ready,
            ledger_sequence=state.ledger.sequence,
            ledger_hash=state.ledger.hash,
            problems=state.problems,
        )
        if now is not None:
            age = datetime.now(UTC) - now.priced.market.snapshot.time
            answer.snapshot_age_seconds = age.total_seconds()
            answer.chain_findings.extend(findings_to_proto(now.priced.market.findings))
        answer.feeds.extend(map(_feed, state.feeds))
        if state.feed_margin_factor is not None:
            answer.feed_margin_factor = state.feed_margin_factor
        opened = listed_calls(state.clearing.state, CallQuery(is_open_only=True))
        answer.open_calls.extend(map(call_to_proto, opened[:OPEN_CALLS_MAX]))
        answer.open_calls_total = len(opened)
        answer.clearing_position.CopyFrom(position_to_proto(state.clearing.at))
        if state.cluster is not None:
            answer.MergeFrom(_cluster_fields(state.cluster))
        return answer


def _feed(report: FeedReport) -> pb.FeedStatus:
    return pb.FeedStatus(
        source=report.source,
        is_connected=report.is_connected,
        is_stopped=report.is_stopped,
        age_seconds=report.age_seconds,
        snapshot_age_seconds=report.snapshot_age_seconds,
        messages=report.messages,
        snapshots_accepted=report.accepted,
        snapshots_rejected=report.rejected,
        faults=report.faults,
        last_problem=report.last_problem,
    )


def _cluster_fields(status: CoordinatorStatus) -> pb.GetStatusResponse:
    return pb.GetStatusResponse(
        generation_pending=status.pending,
        shards=[
            pb.ShardStatus(
                shard=s.shard,
                first_scenario=s.span.first,
                scenarios=s.span.count,
                node_id=s.node_id,
                slabs_priced=s.slices_priced,
            )
            for s in status.shards
        ],
        nodes=status.nodes,
        last_fault=status.fault,
        run_slots=status.run_slots,
        run_slots_taken=status.run_slots_taken,
    )
