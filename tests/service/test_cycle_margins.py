"""Cycles on a cluster: the same margins, marks and prices of quotes as in one process."""

import asyncio

import pytest
from actor_world import SharedActors, SmallWorld, make_small_world
from margin_cluster.operations.clustered import ClusterMargining
from margin_cluster.operations.embedded import EmbeddedMargining
from margin_cluster.operations.margining import MarginRequest, MarginRun, QuotedPositions


@pytest.fixture(scope="module")
def small() -> SmallWorld:
    return make_small_world()


def test_a_cluster_and_one_process_give_the_same_cycle(
    small: SmallWorld, actors: SharedActors
) -> None:
    account, name = small.book.accounts[3], small.book.instruments[5]
    quotes = {account: (QuotedPositions("q1", {name: 2.0}), QuotedPositions("q2", {name: -2.0}))}
    expired = "BTC_USDC-3JAN25-20000-C"
    request = MarginRequest(small.snapshot, small.book, quotes, ("BTC-PERPETUAL", expired))

    async def clustered() -> tuple[MarginRun, MarginRun, str]:
        async with actors.connected() as cluster:
            margining = ClusterMargining(cluster)
            found = await margining.calculate(request)
            return found, await margining.calculate(request), margining.scenarios_id

    first, again, scenarios_id = asyncio.run(clustered())
    alone = asyncio.run(
        EmbeddedMargining(small.model, small.scenarios, threads=2).calculate(request)
    )
    assert scenarios_id == small.scenarios.id == alone.scenarios_id
    assert first.accounts == alone.accounts == again.accounts
    assert first.requirement_usd.tolist() == alone.requirement_usd.tolist()
    assert first.calculation_id == again.calculation_id
    assert first.generation_id == alone.generation_id
    assert dict(first.marks) == dict(alone.marks)
    assert "BTC-PERPETUAL" in first.marks
    assert expired not in first.marks
    assert first.cumulative_usd == alone.cumulative_usd
    assert len(first.cumulative_usd[account]) == 2
