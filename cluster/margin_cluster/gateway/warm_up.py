"""Warm-up at the start, so that the first call is not slower than later ones."""

import asyncio

from margin_actors.actors.book_run import run_book
from margin_actors.actors.cluster import Cluster
from margin_actors.actors.jobs import run_beside
from margin_actors.market.books import account_book, book_of_portfolios
from margin_actors.progress import ProgressCallback
from margin_cluster.gateway.threads import GatewayThreads


async def warm_up(cluster: Cluster, threads: GatewayThreads, *, until: float) -> None:
    """Load every kernel in this process and in the cluster's tasks, reducers and jobs.

    A one-position account and a book with one such account per CPU are margined, and a job that
    does nothing is run. `until` is the deadline, a monotonic time in seconds.
    """
    await asyncio.gather(_warm_margins(cluster, threads, until), _warm_jobs(until))


async def _warm_margins(cluster: Cluster, threads: GatewayThreads, until: float) -> None:
    generation = await cluster.generation(until=until)
    contracts = generation.priced.market.contracts
    if len(contracts) == 0:
        return
    held = {contracts.names[0]: float(contracts.lot[0])}
    await threads.compute(generation.priced.margins, account_book("", "", held))
    book = book_of_portfolios((f"warm{i}", "", held) for i in range(int(cluster.cpus)))
    async for _ in run_book(cluster, generation, book, until=until):
        pass


async def _warm_jobs(until: float) -> None:
    async for _ in run_beside(_nothing, until=until):
        pass


def _nothing(_report: ProgressCallback) -> None:
    """Return at once: a job for warming up."""
