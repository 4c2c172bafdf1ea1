"""What a caller receives for every error."""

import grpc
import pytest
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from margin_client import errors as client_errors
from margin_client._status import TABLE as CLIENT_TABLE
from margin_cluster.gateway.status import TABLE, failure_of, rejection

from margin_actors import errors


def ours() -> list[type[errors.MarginError]]:
    found, todo = [], [errors.MarginError]
    while todo:
        below = todo.pop().__subclasses__()
        found += below
        todo += below
    return found


@pytest.mark.parametrize("kind", ours(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_the_client_an_error_for_it(
    kind: type[errors.MarginError],
) -> None:
    row = TABLE[kind]
    assert row.code in CLIENT_TABLE
    error = kind("what happened", [errors.Problem("field", "is wrong", "do better")])
    failure = failure_of(error, request_id="id-1")
    status = Status.FromString(failure.status)
    assert status.code == failure.code.value[0]
    assert {d.type_url.rpartition(".")[2] for d in status.details} >= {"ErrorInfo", "RequestInfo"}


def test_an_unexpected_error_reveals_nothing_but_the_request_id() -> None:
    failure = failure_of(ValueError("secret"), request_id="id-1")
    assert failure.code is grpc.StatusCode.INTERNAL
    assert b"secret" not in failure.status
    assert "id-1" in failure.message


def test_a_rejection_from_the_cache_is_a_complete_status() -> None:
    failure = rejection("too many unary calls", 0.25, request_id="id-7")
    status = Status.FromString(failure.status)
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    retry, request = details.RetryInfo(), details.RequestInfo()
    assert [d.Unpack(retry) for d in status.details].count(True) == 1
    assert [d.Unpack(request) for d in status.details].count(True) == 1
    assert retry.retry_delay.ToMilliseconds() == 250
    assert request.request_id == "id-7"
    assert CLIENT_TABLE[failure.code] is client_errors.BusyError
