"""A look at a running service from the command line."""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from margin_protos.v1 import operations_service_pb2 as pb
from margin_protos.v1 import operations_service_pb2_grpc as stubs

from margin_actors.errors import SourceUnavailable


def service_status(
    address: str, *, timeout_seconds: float, metadata: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return the state of the service at an address, as GetStatusResponse's fields.

    Raises
    ------
    SourceUnavailable
        If it does not answer.
    """
    with grpc.insecure_channel(address) as channel:
        stub = stubs.OperationsServiceStub(channel)
        try:
            answer = stub.GetStatus(
                pb.GetStatusRequest(), timeout=timeout_seconds, metadata=metadata
            )
        except grpc.RpcError as error:
            code, text = error.code(), error.details()  # pyright: ignore[reportAttributeAccessIssue]
            raise SourceUnavailable(
                f"no service answers at {address}: {code.name}, {text}"
            ) from error
    return MessageToDict(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
