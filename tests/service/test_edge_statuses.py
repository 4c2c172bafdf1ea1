"""Readiness, health, reflection, audit and the statuses of calls whose caller leaves."""

import asyncio
import gc
import io
import json
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import given
from hypothesis import strategies as st
from margin_client import (
    AsyncMarginClient,
    MarginClient,
    MarginClientError,
    RetryPolicy,
    UnavailableError,
)
from margin_cluster.gateway import GatewayOptions
from margin_cluster.gateway import monitor as gateway_monitor
from margin_cluster.gateway.caller import caller_of
from margin_cluster.gateway.convert.stream import Ending
from margin_cluster.gateway.gate import Admission
from margin_cluster.gateway.health import HealthMonitor
from margin_cluster.gateway.interceptor import CallInterceptor
from margin_cluster.gateway.messages import CallerWaits, Received
from margin_cluster.gateway.metrics import Metrics
from margin_cluster.gateway.monitor import Monitor
from margin_cluster.gateway.paging import page_from_proto
from margin_cluster.service import start_logging
from margin_protos.v1 import margin_service_pb2 as pb
from margin_protos.v1 import margin_service_pb2_grpc as stubs
from margin_protos.v1 import portfolio_service_pb2 as upload_pb
from prometheus_client import generate_latest
from service_world import Running, World, beside, log_to_standard_error, wire
from waiting import wait_until

from margin_actors.errors import InvalidParameters, LedgerUnavailable, Problem

ONCE = RetryPolicy(attempts_max=1)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log of the gateway while a test runs."""
    stream = io.StringIO()
    start_logging(stream)
    yield stream
    structlog.reset_defaults()
    log_to_standard_error()


def test_changes_are_refused_until_the_start_up_is_complete(running: Running, world: World) -> None:
    """A trade that is acknowledged before the start-up is complete could be lost."""
    account = world.book.accounts[0]

    def is_refusing(starting: Running) -> None:
        with MarginClient(starting.target, retries=ONCE) as client:
            changes = (
                lambda: client.apply_trades([]),
                lambda: client.upload_positions([]),
                lambda: client.publish_snapshot(*wire(world.snapshot)),
                lambda: client.activate_scenario_set("s"),
                lambda: client.build_scenario_set(),
                lambda: client.calculate_margin(account),
                lambda: client.calculate_book(),
            )
            for change in changes:
                with pytest.raises(UnavailableError, match="starting") as caught:
                    change()
                assert caught.value.retry_seconds
            status = client.get_status()
            assert not status.is_ready
            assert any("start-up" in problem for problem in status.problems)
            assert client.get_portfolio(account).account_id == account
        assert health_of(starting) == health_pb2.HealthCheckResponse.NOT_SERVING

    with (
        beside(running, world, before_ready=is_refusing) as started,
        MarginClient(started.target) as client,
    ):
        assert client.wait_until_ready(timeout_seconds=10).is_ready
        client.calculate_margin(account)


def health_of(running: Running) -> int:
    with grpc.insecure_channel(f"127.0.0.1:{running.gateway.health_port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status


def test_health_follows_the_ledger(
    running: Running, client: MarginClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health is NOT_SERVING while the ledger cannot be used, and SERVING again afterwards."""
    fault = LedgerUnavailable("database or disk is full")

    def fail() -> None:
        raise fault

    def becomes(status: int) -> None:
        wait_until(lambda: health_of(running) == status, 10)

    becomes(health_pb2.HealthCheckResponse.SERVING)
    with monkeypatch.context() as during:
        during.setattr(running.gateway.archive.ledger, "check_writable", fail)
        running.gateway.health.ledger_failed(fault)
        becomes(health_pb2.HealthCheckResponse.NOT_SERVING)
        status = client.get_status()
        assert not status.is_ready
        assert status.problems == ("the ledger cannot be used: database or disk is full",)
    becomes(health_pb2.HealthCheckResponse.SERVING)


def test_a_check_that_began_before_a_failure_does_not_end_the_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ledger is checked again until a check that began after the last failure succeeds."""
    monkeypatch.setattr(gateway_monitor, "FAILED_CHECK_SECONDS", 0.0)
    health = HealthMonitor()
    checks: list[list[str]] = []
    health.accept_writes()

    class Failing:
        """A ledger on which an operation fails while its first check succeeds."""

        def check_writable(self) -> None:
            checks.append(health.problems())
            if len(checks) == 1:
                health.ledger_failed(LedgerUnavailable("the disk is full"))

    class Quiet:
        """Everything else that the monitor reads."""

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: asyncio.Future() if name == "control_store_answers" else None

        async def run_io(self, work: Callable[[], None]) -> None:
            work()

    async def watch() -> None:
        quiet: Any = Quiet()
        ledger: Any = Failing()
        monitor = Monitor(quiet, ledger, quiet, quiet, health, quiet, quiet)
        health.ledger_failed(LedgerUnavailable("the disk is full"))
        async with asyncio.timeout(30):
            while health.problems()[1:]:
                await asyncio.sleep(0.01)
        await monitor.close()

    asyncio.run(watch())
    assert len(checks) == 2
    assert all("the disk is full" in problems[-1] for problems in checks)


def test_every_condition_of_health_is_listed() -> None:
    monitor = HealthMonitor()
    assert len(monitor.problems()) == 2
    monitor.accept_writes()
    assert (monitor.is_ready, monitor.is_serving) == (True, False)
    monitor.set_generation(is_resident=True)
    assert (monitor.is_serving, monitor.problems()) == (True, [])
    monitor.set_stopping()
    assert (monitor.is_ready, monitor.is_serving) == (False, False)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_and_describes_the_services(running: Running, version: str) -> None:
    """Tools use version 1 or the older v1alpha; both list and describe every service."""
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    with grpc.insecure_channel(running.target) as channel:
        call = channel.stream_stream(
            path,
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        own = f"grpc.reflection.{version}.ServerReflection"
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=own),
        ]
        names, described = call(iter(asked), timeout=5)
    services = {service.name for service in names.list_services_response.service}
    assert {"margin_protos.v1.MarginService", "grpc.health.v1.Health", own} <= services
    (file,) = described.file_descriptor_response.file_descriptor_proto
    assert f"grpc.reflection.{version}".encode() in file


class LeftContext:
    """The context of a call whose caller has left while it sent a stream of requests.

    gRPC reports the end of the stream, and fails to send a status; it cancels the call later.
    """

    def __init__(self, *messages: object, is_gone: bool) -> None:
        self._messages, self._is_gone = list(messages), is_gone

    def peer(self) -> str:
        return "ipv4:127.0.0.1:4711"

    def time_remaining(self) -> float | None:
        return None

    def invocation_metadata(self) -> None:
        return None

    async def read(self) -> object:
        return self._messages.pop(0) if self._messages else grpc.aio.EOF

    async def abort(self, code: grpc.StatusCode, *_: object) -> NoReturn:
        if self._is_gone:
            raise grpc.aio.InternalError("the batch cannot be executed")
        raise grpc.aio.AbortError(code.name)


@pytest.mark.parametrize(("is_gone", "code"), [(True, "CANCELLED"), (False, "INVALID_ARGUMENT")])
def test_the_input_of_a_caller_that_has_left_is_not_judged(
    log: io.StringIO, is_gone: bool, code: str
) -> None:
    """An incomplete stream is an error of a caller that waits for its status, and no other."""
    options, metrics = GatewayOptions(), Metrics()

    async def incomplete(requests: Any, _context: object) -> None:
        ending = Ending()
        async for request in requests:
            ending.note(request)
        ending.require()

    async def call() -> None:
        interceptor = CallInterceptor(
            Admission(
                options.unary_limits,
                options.streaming_limits,
                uploads_max=1,
                caller_uploads_max=1,
                waiting_bytes_max=1_000,
            ),
            CallerWaits(first_seconds_max=9.0, stall_seconds_max=9.0, unread_seconds_max=9.0),
            HealthMonitor(),
            metrics,
            unary_seconds_max=9.0,
            streaming_seconds_max=9.0,
            has_certificates=False,
        )
        details = SimpleNamespace(method="/margin_protos.v1.ScenarioService/Incomplete")
        handler = grpc.stream_unary_rpc_method_handler(
            incomplete, upload_pb.UploadPositionsRequest.FromString
        )

        async def continuation(_details: object) -> Any:
            return handler

        wrapped: Any = await interceptor.intercept_service(continuation, details)
        message = Received(upload_pb.UploadPositionsRequest(), 0)
        with pytest.raises(asyncio.CancelledError if is_gone else grpc.aio.AbortError):
            await wrapped.stream_unary(None, LeftContext(message, is_gone=is_gone))

    asyncio.run(call())
    events = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [event["code"] for event in events if event["event"] == "call"] == [code]
    assert f'code="{code}"' in generate_latest(metrics.registry).decode()


def test_a_caller_that_leaves_is_logged_as_cancelled(
    running: Running, world: World, log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    """A call whose caller has left is CANCELLED in the log, with no error and no traceback."""

    async def leave() -> None:
        for seconds in (0.0, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.1):
            client = AsyncMarginClient(running.target, retries=ONCE)
            calls = [
                asyncio.ensure_future(client.calculate_book()),
                asyncio.ensure_future(client.explain_margin(world.book.accounts[0])),
                asyncio.ensure_future(client.publish_snapshot(*wire(world.snapshot))),
            ]
            await asyncio.sleep(seconds)
            await client.close()
            for call in calls:
                try:
                    await call
                except (MarginClientError, asyncio.CancelledError):
                    continue

    asyncio.run(leave())
    admission = running.gateway.admission
    wait_until(lambda: not (admission.active or admission.waiting or admission.uploads))
    gc.collect()
    events = [json.loads(line) for line in log.getvalue().splitlines()]
    codes = {event["code"] for event in events if event["event"] == "call"}
    assert "CANCELLED" in codes
    assert codes <= {"CANCELLED", "OK"}
    assert not [event for event in events if event["level"] == "error"]
    printed = "".join(capfd.readouterr())
    assert "Traceback" not in printed
    assert "Task was destroyed" not in printed


def test_a_deadline_that_passes_while_an_answer_is_read_is_no_internal_error(
    running: Running, log: io.StringIO
) -> None:
    def read_slowly(answers: Iterator[pb.CalculateBookResponse]) -> None:
        for _ in answers:
            time.sleep(0.03)

    with grpc.insecure_channel(running.target) as channel:
        stub = stubs.MarginServiceStub(channel)
        for seconds in (0.001, 0.005, 0.02, 0.05):
            with pytest.raises(grpc.RpcError) as caught:
                read_slowly(stub.CalculateBook(pb.CalculateBookRequest(), timeout=seconds))
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert '"code": "INTERNAL"' not in log.getvalue()
    assert "Traceback" not in log.getvalue()


@given(st.integers(-(2**31), 2**31 - 1), st.text(max_size=30))
def test_any_page_is_valid_or_every_violation_is_listed(size: int, token: str) -> None:
    """Size and token are checked together; no token, however long, is an internal error."""
    problems: list[Problem] = []
    request = pb.ListCalculationsRequest(page_size=size, page_token=token)
    rows, start = page_from_proto(request, problems)
    fields = {problem.where for problem in problems}
    assert ("page_size" in fields) == (not 0 <= size <= 1_000)
    assert ("page_token" in fields) == (token != "" and start == "")
    assert 1 <= rows <= 1_000
    assert start == "" or 0 <= int(start) < 2**63


@pytest.mark.parametrize("token", ["9" * 26, "-1", "1.5", "abc", "٣", " 1"])
def test_a_token_that_the_service_never_returned_is_a_violation(token: str) -> None:
    problems: list[Problem] = []
    page_from_proto(pb.ListCalculationsRequest(page_size=-1, page_token=token), problems)
    assert [problem.where for problem in problems] == ["page_size", "page_token"]


class Connection:
    """What gRPC knows of a connection."""

    def __init__(self, peer: str, properties: dict[str, list[bytes]]) -> None:
        self._peer, self._properties = peer, properties

    def peer(self) -> str:
        return self._peer

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._properties


def test_a_caller_is_its_certificate_or_its_address() -> None:
    plain = caller_of(Connection("ipv6:%5B::1%5D:4711", {}), has_certificates=False)
    assert (plain.key, plain.name) == ("ipv6:%5B::1%5D:4711", "ipv6:[::1]")
    named = {"x509_common_name": [b"member-a\n" + b"x" * 300]}
    known = caller_of(Connection("ipv4:127.0.0.1:1", named), has_certificates=True)
    assert known.name == "member-a?" + "x" * 119
    other = {"x509_common_name": [b""], "x509_subject_alternative_name": [b"a.example"]}
    assert caller_of(Connection("ipv4:1", other), has_certificates=True).name == "a.example"
    forged = caller_of(Connection("ipv4:127.0.0.1:1", named), has_certificates=False)
    assert forged.name == "ipv4:127.0.0.1"


def test_settings_out_of_their_range_are_refused_together() -> None:
    with pytest.raises(InvalidParameters) as caught:
        GatewayOptions(unary_active_max=0, drain_seconds_max=-1.0, port=70_000, uploads_max=0)
    assert {p.where for p in caught.value.problems} == {
        "unary_active_max",
        "drain_seconds_max",
        "port",
        "uploads_max",
    }


def test_the_metrics_that_an_operator_watches_are_there(running: Running) -> None:
    """Free slots, positions, ledger failures, queues, readiness and the age of the snapshot."""
    metrics = running.gateway.metrics
    failures = metrics.registry.get_sample_value("margin_ledger_failures_total") or 0.0
    metrics.set_run_slots(total=4, free=3)
    metrics.set_positions(accounts=2, positions=5)
    metrics.ledger_failed()
    found = generate_latest(metrics.registry).decode()
    for line in (
        "margin_run_slots_free 3.0",
        "margin_positions 5.0",
        f"margin_ledger_failures_total {failures + 1.0}",
        'margin_calls_waiting{class="unary"} 0.0',
        'margin_calls_waiting{class="streaming"} 0.0',
        "margin_ready 1.0",
    ):
        assert line in found
    (age,) = (li for li in found.splitlines() if li.startswith("margin_snapshot_age_seconds "))
    assert float(age.split()[1]) > 0
    assert "nan" in generate_latest(Metrics().registry).decode().lower()
