"""Watches of margin calls: nothing lost, repeated or reordered, whatever is cut or stopped."""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from itertools import islice

import grpc
import pytest
from clearing_desk import Desk, desk
from margin_client import MarginClient
from margin_cluster.gateway.call_feed import KINDS, CallFeed
from margin_protos.v1 import margin_call_service_pb2 as pb
from margin_protos.v1 import margin_call_service_pb2_grpc as stubs
from service_world import Running, World, beside


@pytest.fixture(scope="module")
def second(service_of_session: Running, world: World) -> Iterator[Running]:
    """Another gateway on the same ledger."""
    with beside(service_of_session, world) as running:
        yield running


@pytest.fixture
def funded(service_of_session: Running, world: World) -> Iterator[Desk]:
    with desk(service_of_session, world, "abc", dollars=1_000_000) as found:
        found.cycle()
        yield found


def recorded(found: Desk, after: int) -> list[int]:
    """Numbers of all committed changes of calls after an event."""
    return [e.number for e in found.log.events_after(after, KINDS, limit=10_000).events]


class CutReader(threading.Thread):
    """Watches through several gateways, and ends each stream after a few messages."""

    def __init__(self, targets: list[str], token: str, last: int, seed: int) -> None:
        super().__init__()
        self.targets, self.token, self.last = targets, token, last
        self.chance = random.Random(seed)
        self.numbers: list[int] = []
        self.connections = 0
        self.is_done = threading.Event()

    def run(self) -> None:
        while not self.is_done.is_set() or int(self.token.partition(":")[0]) < self.last:
            self.connections += 1
            with grpc.insecure_channel(self.chance.choice(self.targets)) as channel:
                request = pb.WatchMarginCallsRequest(resume_token=self.token)
                stream = stubs.MarginCallServiceStub(channel).WatchMarginCalls(request, timeout=1)
                for message in islice(stream, self.chance.randint(1, 6)):
                    if message.HasField("change"):
                        self.numbers.append(message.change.log_number)
                    self.token = message.resume_token
                stream.cancel()


def test_streams_that_are_cut_lose_repeat_and_reorder_nothing(
    funded: Desk, service_of_session: Running, second: Running
) -> None:
    start = funded.log.refresh().at
    targets = [service_of_session.target, second.target]
    readers = [CutReader(targets, start.token, 0, seed) for seed in range(2)]
    for reader in readers:
        reader.start()
    with MarginClient(second.target) as client:
        for step in range(14):
            funded.cycle(dict.fromkeys(funded.accounts, 2_000_000 + 500_000 * step))
            for account in funded.accounts:
                if step % 2:
                    funded.deposit(client, account, 400_000)
    expected = recorded(funded, start.number)
    assert len(expected) > 30
    for reader in readers:
        reader.last = expected[-1]
        reader.is_done.set()
    for reader in readers:
        reader.join(60)
        assert not reader.is_alive()
        assert reader.numbers == expected
        assert reader.connections > 5


def test_a_watch_ends_with_ok_when_its_gateway_stops_and_continues_at_another(
    funded: Desk, service_of_session: Running, world: World
) -> None:
    account = funded.accounts[0]
    with beside(service_of_session, world) as other:
        channel = grpc.insecure_channel(other.target)
        token = funded.log.refresh().at.token
        request = pb.WatchMarginCallsRequest(account_id=account, resume_token=token)
        stream = stubs.MarginCallServiceStub(channel).WatchMarginCalls(request, timeout=60)
        funded.cycle({account: 2_000_000})
        message = next(stream)
        assert message.change.call.out_cents > 0
        other.do(other.gateway.drain())
        assert list(stream) == []
        assert stream.code() is grpc.StatusCode.OK
        channel.close()
    with MarginClient(service_of_session.target) as client:
        funded.deposit(client, account, 1_500_000)
        watch = client.watch_margin_calls(
            account_id=account, resume_token=message.resume_token, timeout_seconds=20
        )
        change = next(iter(watch)).change
        assert change is not None
        assert change.call is not None
        assert change.call.out_cents == 0
        assert change.log_number > message.change.log_number


def test_a_watch_ends_with_ok_before_its_deadline_and_shows_that_it_is_alive(
    service_of_session: Running, funded: Desk
) -> None:
    with grpc.insecure_channel(service_of_session.target) as channel:
        at = funded.log.refresh().at
        request = pb.WatchMarginCallsRequest(account_id="nobody", resume_token=at.token)
        stub = stubs.MarginCallServiceStub(channel)
        stream = stub.WatchMarginCalls(request, timeout=1.0)
        assert [m for m in stream if m.HasField("change")] == []
        assert stream.code() is grpc.StatusCode.OK


def test_a_reader_that_is_behind_the_memory_reads_pages_of_the_ledger(
    service_of_session: Running, funded: Desk
) -> None:
    """With room for three changes in memory, the same changes arrive in the same order."""
    start = funded.log.refresh().at
    clearing = service_of_session.gateway.clearing

    async def collect() -> list[int]:
        feed = CallFeed(clearing, kept_max=3, heartbeat_seconds=0.2)
        feed.start()
        numbers: list[int] = []
        try:
            async for one in feed.watch(start.token, "", until=time.monotonic() + 60):
                if one.change is None and numbers:
                    return numbers
                if one.change is not None:
                    numbers.append(one.change.number)
                    if len(numbers) == 2:
                        await asyncio.to_thread(calls)
        finally:
            await feed.close()
        return numbers

    def calls() -> None:
        for step in range(4):
            funded.cycle(dict.fromkeys(funded.accounts, 4_000_000 + 400_000 * step))

    funded.cycle(dict.fromkeys(funded.accounts, 3_000_000))
    found = service_of_session.do(collect())
    assert found == recorded(funded, start.number)
    assert len(found) > 10


def test_too_many_watches_of_one_caller_are_rejected(
    service_of_session: Running, world: World
) -> None:
    with beside(service_of_session, world, caller_watches_max=2) as other:
        with grpc.insecure_channel(other.target) as channel:
            stub = stubs.MarginCallServiceStub(channel)
            open_streams = [
                stub.WatchMarginCalls(pb.WatchMarginCallsRequest(), timeout=30) for _ in range(2)
            ]
            for stream in open_streams:
                next(stream)
            with pytest.raises(grpc.RpcError) as caught:
                next(stub.WatchMarginCalls(pb.WatchMarginCallsRequest(), timeout=30))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "watch limit" in caught.value.details()
            open_streams[0].cancel()
