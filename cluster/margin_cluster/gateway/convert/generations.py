"""Conversions of generations and of the ids of inputs, which many responses contain."""

from margin_protos.v1 import margin_types_pb2 as pb

from margin_actors.actors.generation import ResidentGeneration
from margin_cluster.gateway.convert.margin_types import timestamp_from_time
from margin_cluster.ledger import GenerationSummary, InputIds


def summary_of_generation(generation: ResidentGeneration) -> GenerationSummary:
    """Return the summary of a generation, without the approval of its model."""
    handle, market = generation.handle, generation.priced.market
    scenarios = generation.priced.scenarios
    return GenerationSummary(
        number=handle.number,
        snapshot_id=handle.snapshot_id,
        snapshot_time=market.snapshot.time,
        scenarios_id=handle.scenarios_id,
        scenarios=len(scenarios),
        model_id=handle.model_id,
        model_name=market.model.name,
        model_version=market.model.version,
        instruments=handle.n_contracts,
        is_synthetic=bool(market.snapshot.is_synthetic or scenarios.is_synthetic),
        quarantined_expiries=market.quarantined_expiries,
    )


def input_ids(generation: ResidentGeneration, book_id: str) -> InputIds:
    """Return the ids of all inputs of a calculation on a generation."""
    handle = generation.handle
    return InputIds(
        snapshot_id=handle.snapshot_id,
        scenarios_id=handle.scenarios_id,
        model_id=handle.model_id,
        book_id=book_id,
        surface_ids=tuple(generation.priced.market.surface_ids),
    )


def generation_to_proto(generation: GenerationSummary) -> pb.Generation:
    """Return the wire form of a generation."""
    time = generation.snapshot_time
    return pb.Generation(
        number=generation.number,
        snapshot_id=generation.snapshot_id,
        snapshot_time=None if time is None else timestamp_from_time(time),
        scenarios_id=generation.scenarios_id,
        scenarios=generation.scenarios,
        model_id=generation.model_id,
        model_name=generation.model_name,
        model_version=generation.model_version,
        instruments=generation.instruments,
        is_synthetic=generation.is_synthetic,
        quarantined_expiries=generation.quarantined_expiries,
        model_approved_by=generation.model_approved_by,
    )


def inputs_to_proto(inputs: InputIds) -> pb.InputIds:
    """Return the wire form of the ids of inputs."""
    return pb.InputIds(
        snapshot_id=inputs.snapshot_id,
        scenarios_id=inputs.scenarios_id,
        model_id=inputs.model_id,
        book_id=inputs.book_id,
        surface_ids=inputs.surface_ids,
    )
