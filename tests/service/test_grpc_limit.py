"""Admission by gRPC's own limit of calls, an option in place of the gateway's queues."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from margin_protos.v1.operations_service_pb2 import GetStatusRequest
from margin_protos.v1.operations_service_pb2_grpc import OperationsServiceStub
from margin_protos.v1.portfolio_service_pb2 import UploadPositionsRequest
from margin_protos.v1.portfolio_service_pb2_grpc import PortfolioServiceStub
from service_world import World, served
from waiting import wait_until

pytestmark = pytest.mark.slow


def test_grpc_rejects_calls_beyond_its_limit_and_accepts_them_again(
    embedded: None, world: World, tmp_path: Path
) -> None:
    end = threading.Event()

    def silence() -> Iterator[UploadPositionsRequest]:
        end.wait(120)
        yield from ()

    folder = tmp_path / "service"
    limits = {"grpc_calls_max": 2, "first_message_seconds_max": 120.0}
    with (
        served(world, folder, **limits) as running,
        grpc.insecure_channel(running.target) as channel,
    ):
        upload, status = PortfolioServiceStub(channel), OperationsServiceStub(channel)
        silent = [upload.UploadPositions.future(silence(), timeout=120) for _ in range(2)]
        wait_until(lambda: running.gateway.admission.uploads == 2)

        def code() -> grpc.StatusCode:
            return status.GetStatus.future(GetStatusRequest(), timeout=30).code()

        assert Counter(code() for _ in range(5)) == {grpc.StatusCode.RESOURCE_EXHAUSTED: 5}
        end.set()
        for call in silent:
            call.cancel()
        wait_until(lambda: code() is grpc.StatusCode.OK)
        assert running.gateway.admission.rejected == 0, "the gateway rejected nothing itself"
