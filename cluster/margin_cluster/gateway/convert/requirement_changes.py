"""Conversions of the messages of ExplainChange."""

from collections.abc import Mapping

from margin_protos.v1 import margin_service_pb2 as pb

from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_cluster.gateway.convert.margin import calculation_to_proto
from margin_cluster.recorded_changes import RecordedChange

_ID_MAX = 64
_ACCOUNT_MAX = 128


def change_request_from_proto(request: pb.ExplainChangeRequest) -> tuple[str, str, str]:
    """Return (id of the calculation before, id of the one after, account id or empty).

    Raises
    ------
    InvalidRequest
        If an id is missing or too long; names every bad field.
    """
    ids = {
        "before_calculation_id": request.before_calculation_id,
        "after_calculation_id": request.after_calculation_id,
    }
    problems = [
        Problem(name, value[:_ID_MAX] or "is missing", "give the id of a recorded calculation")
        for name, value in ids.items()
        if not 0 < len(value) <= _ID_MAX
    ]
    if len(request.account_id) > _ACCOUNT_MAX:
        what = f"{len(request.account_id):,} characters"
        problems.append(Problem("account_id", what, f"at most {_ACCOUNT_MAX}"))
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return request.before_calculation_id, request.after_calculation_id, request.account_id


def requirement_change_to_proto(found: RecordedChange) -> pb.ExplainChangeResponse:
    """Return the response for the causes of a change."""
    change = found.change
    return pb.ExplainChangeResponse(
        before=calculation_to_proto(found.before),
        after=calculation_to_proto(found.after),
        account_id=change.account,
        before_cents=change.before_cents,
        before_components=_components(change.before_components),
        steps=[
            pb.ChangeStep(
                replaced=step.replaced,
                change_cents=step.change_cents,
                components=_components(step.components),
                inputs=[
                    pb.InputChange(name=i.name, before_id=i.before_id, after_id=i.after_id)
                    for i in step.inputs
                ],
            )
            for step in change.steps
        ],
        after_cents=change.after_cents,
        after_components=_components(change.after_components),
    )


def _components(cents: Mapping[str, int]) -> list[pb.ComponentCents]:
    return [pb.ComponentCents(name=n, amount_cents=amount) for n, amount in cents.items()]
