"""Conversions for scenario_service.proto."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from margin_protos.v1 import scenario_service_pb2 as pb

from margin_cluster.gateway.convert.margin_types import timestamp_from_time
from margin_cluster.ledger import ScenarioSetRecord


def _if_any(time: datetime | None) -> Timestamp | None:
    return None if time is None else timestamp_from_time(time)


def scenario_set_to_proto(record: ScenarioSetRecord, active: str) -> pb.ScenarioSetSummary:
    """Return the wire form of a stored scenario set; `active` is the id of the one in use."""
    return pb.ScenarioSetSummary(
        scenarios_id=record.scenarios_id,
        engine=record.engine,
        underlyings=record.underlyings,
        scenarios=record.scenarios,
        horizon_hours=record.horizon_hours,
        first_window_end=_if_any(record.first_window_end),
        last_window_end=_if_any(record.last_window_end),
        is_synthetic=record.is_synthetic,
        create_time=timestamp_from_time(record.create_time),
        is_active=record.scenarios_id == active,
    )
