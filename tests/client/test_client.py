"""The client without a service: when it tries again, what its types cover, what it needs."""

import asyncio
import hashlib
import inspect
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from contract_files import FILES, SAME
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from margin_client import AsyncMarginClient, MarginClient, RetryPolicy, Snapshot, _calls, results
from margin_client._read import BookReader, FilesReader, read
from margin_client._retries import Attempts
from margin_client._status import DETAILS_KEY, error_of
from margin_client.errors import (
    BusyError,
    DeadlineError,
    InvalidRequestError,
    MarginClientError,
    NotFoundError,
    UnavailableError,
)
from margin_protos.v1 import margin_service_pb2, margin_types_pb2, operations_service_pb2


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def attempts(clock: Clock, *, chance: float = 1.0, **policy: float) -> Attempts:
    return Attempts(
        RetryPolicy(**policy),  # pyright: ignore[reportArgumentType]
        timeout_seconds=10.0,
        now=clock,
        chance=lambda: chance,
    )


def failure(kind: type[MarginClientError], retry_seconds: float | None = None) -> MarginClientError:
    return kind("m", code="C", request_id="r", retry_seconds=retry_seconds)


def test_waits_double_up_to_the_longest_and_end_with_the_deadline() -> None:
    clock = Clock()
    tried = attempts(clock, first_seconds=0.5, longest_seconds=3.0)
    waits: list[float] = []

    def ask_for_ever() -> None:
        while True:
            waits.append(tried.wait_after(failure(UnavailableError)))
            clock.now += waits[-1]

    with pytest.raises(UnavailableError) as caught:
        ask_for_ever()
    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert caught.value.attempts == 6


@given(st.floats(0, 1), st.floats(0.001, 8))
def test_a_wait_is_never_shorter_than_the_service_asked(chance: float, asked: float) -> None:
    tried = attempts(Clock(), chance=chance)
    assert asked <= tried.wait_after(failure(BusyError, asked)) <= asked + 0.1


@pytest.mark.parametrize("kind", [InvalidRequestError, NotFoundError])
def test_what_cannot_help_is_not_tried_again(kind: type[MarginClientError]) -> None:
    with pytest.raises(kind) as caught:
        attempts(Clock()).wait_after(failure(kind))
    assert caught.value.attempts == 1


def test_a_policy_that_cannot_be_is_refused() -> None:
    for wrong in ({"first_seconds": 0.0}, {"attempts_max": 0}, {"longest_seconds": 0.01}):
        with pytest.raises(ValueError, match="attempts_max"):
            RetryPolicy(**wrong)  # pyright: ignore[reportArgumentType]


class Fault(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, extra: Iterable[Message]) -> None:
        status = Status(code=code.value[0])
        for item in extra:
            status.details.add().Pack(item)
        self._code, self._status = code, status.SerializeToString()

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "what happened"

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return ((DETAILS_KEY, self._status),)


def test_every_detail_of_a_failure_arrives() -> None:
    bad = details.BadRequest()
    bad.field_violations.add(field="portfolio", description="is empty")
    error = error_of(Fault(grpc.StatusCode.INVALID_ARGUMENT, [bad]), request_id="r")
    assert isinstance(error, InvalidRequestError)
    assert [(p.field, p.description) for p in error.problems] == [("portfolio", "is empty")]
    retry = details.RetryInfo()
    retry.retry_delay.FromMilliseconds(250)
    busy = error_of(Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, [retry]), request_id="r")
    assert isinstance(busy, BusyError)
    assert busy.retry_seconds == 0.25
    large = error_of(Fault(grpc.StatusCode.RESOURCE_EXHAUSTED, []), request_id="r")
    assert isinstance(large, InvalidRequestError)


def pieces(*files: tuple[str, bytes]) -> list[margin_service_pb2.ExportMarginResponse]:
    listed = [{"name": n, "sha256": hashlib.sha256(b).hexdigest()} for n, b in files]
    manifest = json.dumps({"files": listed}).encode()
    parts = [(n, b[i : i + 2]) for n, b in files for i in range(0, len(b), 2)]
    return [
        *(margin_service_pb2.ExportMarginResponse(file_name=n, content=b) for n, b in parts),
        margin_service_pb2.ExportMarginResponse(
            file_name="manifest.json", content=manifest, is_last=True
        ),
    ]


def test_an_export_is_complete_only_if_every_file_has_its_hash() -> None:
    whole = pieces(("a.parquet", b"abcde"), ("b.parquet", b"xyz"))
    for left_out in range(len(whole)):
        reader = FilesReader()
        for message in whole[:left_out] + whole[left_out + 1 :]:
            reader.add(message)
        assert reader.result() is None
    reader = FilesReader()
    for message in whole:
        reader.add(message)
    found = reader.result()
    assert found is not None
    assert found.content["a.parquet"] == b"abcde"
    assert set(found.content) == {"a.parquet", "b.parquet", "manifest.json"}


@pytest.mark.parametrize(("name", "message"), SAME.items())
def test_a_result_holds_every_field_of_its_message(name: str, message: str) -> None:
    (found,) = (
        f.DESCRIPTOR.message_types_by_name[message]
        for f in FILES
        if message in f.DESCRIPTOR.message_types_by_name
    )
    assert {f.name for f in fields(getattr(results, name))} == {f.name for f in found.fields}


def summary_of_book(**fields: object) -> margin_service_pb2.CalculateBookResponse:
    return margin_service_pb2.CalculateBookResponse(
        summary=margin_service_pb2.BookSummary(**fields)  # pyright: ignore[reportArgumentType]
    )


def test_a_book_has_every_field_of_its_summary_and_lists_the_failures() -> None:
    pb = margin_service_pb2
    names = {f.name for f in pb.BookSummary.DESCRIPTOR.fields} - {"accounts", "accounts_failed"}
    assert names <= {f.name for f in fields(results.BookResult)}
    problem = margin_types_pb2.AccountProblem(instrument_name="X", description="is not listed")
    failure = margin_types_pb2.AccountFailure(
        account_id="B", member_id="M", positions=3, problems=[problem], problems_total=1
    )
    batch = margin_types_pb2.AccountMarginColumns(
        account_id=["A"], member_id=["M"], core_usd=[2.0], floor_usd=[0.0], buffer_usd=[1.0]
    )
    messages = [
        pb.CalculateBookResponse(generation=margin_types_pb2.Generation(number=1)),
        pb.CalculateBookResponse(failures=pb.AccountFailures(failures=[failure])),
        pb.CalculateBookResponse(batch=batch),
        summary_of_book(accounts=1, accounts_failed=1, portfolio_version=7, expired_positions=2),
    ]
    reader = BookReader(None)
    for message in messages:
        assert reader.result() is None
        reader.add(message)
    book = reader.result()
    assert book is not None
    assert (len(book), book.is_complete, book.portfolio_version) == (1, False, 7)
    assert book.expired_positions == 2
    assert book.failures == (
        results.AccountFailure("B", "M", 3, (results.AccountProblem("X", "is not listed"),), 1),
    )
    assert book.failures_to_pandas()["account_id"].tolist() == ["B"]
    cut_off = BookReader(None)
    for message in (messages[0], *messages[2:]):
        cut_off.add(message)
    assert cut_off.result() is None, "a failure that did not arrive is not ignored"


def keys_of(asked: Any) -> list[str]:
    """The idempotency keys of two attempts of a call."""
    attempts = [asked.request(), asked.request()]
    firsts = [a if hasattr(a, "idempotency_key") else next(iter(a)) for a in attempts]
    return [f.idempotency_key for f in firsts]


SNAPSHOT = Snapshot(datetime(2026, 5, 15, tzinfo=UTC), {"BTC": 100_000.0}, ())
KEYED: dict[str, Callable[[str | None], Any]] = {
    "CalculateMargin": lambda key: _calls.calculate_margin("A", None, "", key),
    "PublishSnapshot": lambda key: _calls.publish_snapshot(SNAPSHOT, [], key, allow_older=False),
    "UploadPositions": lambda key: _calls.upload_positions([], key),
    "ApplyTrades": lambda key: _calls.apply_trades([], key),
    "ActivateScenarioSet": lambda key: _calls.activate_scenario_set("s", key),
}


@pytest.mark.parametrize("make", KEYED.values(), ids=KEYED)
def test_all_attempts_of_a_call_have_one_key_and_every_call_its_own(
    make: Callable[[str | None], Any],
) -> None:
    one, again = keys_of(make(None))
    other, _ = keys_of(make(None))
    assert one == again != ""
    assert one != other
    assert keys_of(make("mine")) == ["mine", "mine"]


def test_a_book_has_one_key_for_all_attempts() -> None:
    asked = _calls.calculate_book((), (), "", None, None)
    assert asked.request.idempotency_key
    assert _calls.calculate_book((), (), "", "mine", None).request.idempotency_key == "mine"


def test_an_older_snapshot_is_published_only_on_request() -> None:
    for allow in (False, True):
        asked = _calls.publish_snapshot(SNAPSHOT, [], None, allow_older=allow)
        assert next(iter(asked.request())).allow_older is allow


def test_a_service_that_is_not_ready_says_why() -> None:
    status = read(
        results.ServiceStatus, operations_service_pb2.GetStatusResponse(problems=["is starting"])
    )
    assert not _calls.is_ready(status)
    assert "is starting" in str(_calls.not_ready(status))


def test_calls_wait_for_their_place_in_order_and_within_their_time() -> None:
    async def run() -> None:
        client = AsyncMarginClient("127.0.0.1:1", in_flight_max=2)
        tried = Attempts(RetryPolicy(), timeout_seconds=5.0)
        order: list[int] = []
        most = now = 0

        async def call(number: int) -> None:
            nonlocal most, now
            async with client._transport.in_flight(tried):
                now += 1
                most = max(most, now)
                order.append(number)
                await asyncio.sleep(0.001)
                now -= 1

        await asyncio.gather(*(call(n) for n in range(20)))
        assert (most, order) == (2, list(range(20)))
        async with client._transport.in_flight(tried), client._transport.in_flight(tried):
            begin = time.monotonic()
            with pytest.raises(DeadlineError):
                await client.get_status(timeout_seconds=0.05)
            assert time.monotonic() - begin < 2.0
        await client.close()

    asyncio.run(run())
    with pytest.raises(ValueError, match="in_flight_max"):
        AsyncMarginClient("127.0.0.1:1", in_flight_max=0)


def test_every_method_of_the_contract_has_its_call_in_both_clients() -> None:
    def public(kind: type) -> dict[str, inspect.Signature]:
        return {
            name: inspect.signature(member)
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") and name not in {"close", "aclose"}
        }

    sync, asyncio_ = public(MarginClient), public(AsyncMarginClient)
    assert {n: s.parameters for n, s in sync.items()} == {
        n: s.parameters for n, s in asyncio_.items()
    }
    methods = {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in method.name).lstrip("_")
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert methods <= set(sync)


def test_a_million_rows_leave_a_bare_client_in_messages_below_the_limit() -> None:
    """Without pandas loaded by the client itself; sixteen megabytes are the service's limit."""
    code = """
import pandas as pd
from margin_client._write import uploads
n = 1_000_000
frame = pd.DataFrame({
    "account_id": [f"A{i // 100}" for i in range(n)],
    "member_id": [f"M{i // 10_000}" for i in range(n)],
    "instrument_name": [f"BTC-27MAR26-{50_000 + 500 * (i % 100)}-C" for i in range(n)],
    "quantity": 1.0,
})
rows = largest = 0
last = []
for message in uploads(frame, "key")():
    rows += len(message.positions.quantity)
    largest = max(largest, message.ByteSize())
    last.append(message.is_last)
assert rows == n
assert largest < 4 * 2**20, largest
assert last[-1] and not any(last[:-1])
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
