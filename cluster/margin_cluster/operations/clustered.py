"""Margining by the actors of a Ray cluster, as CalculateBook does it."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal

from margin_actors.actors.book_run import Completed, run_book
from margin_actors.actors.cluster import Cluster
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.margin import (
    PricedMarket,
    model_faults,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import has_expired
from margin_cluster.operations.margining import MarginRequest, MarginRun
from margin_cluster.operations.marks import marks_of
from margin_cluster.operations.quoted import cumulative_margins

CALLER = "loop"


class ClusterMargining:
    """Margins books on a cluster; every cycle has the generation of its snapshot.

    Parameters
    ----------
    cluster : Cluster
        Its archive stores scenario sets under their ids before they are activated.
    deadline_seconds : float
        Longest time of one run.
    """

    def __init__(self, cluster: Cluster, *, deadline_seconds: float = 120.0) -> None:
        self._cluster, self._deadline_seconds = cluster, deadline_seconds

    @property
    def model(self) -> ModelParameters:
        """The model that the cluster runs."""
        return self._cluster.model

    @property
    def scenarios_id(self) -> str:
        """Id of the scenario set in use; empty before the first generation."""
        current = self._cluster.current
        return "" if current is None else current.handle.scenarios_id

    async def activate(self, scenarios: ScenarioSet) -> None:
        """Put a stored scenario set in use; see `Margining.activate`.

        Raises
        ------
        UnknownScenarioSet
            If the cluster's archive does not hold it.
        """
        until = time.monotonic() + self._deadline_seconds
        key = f"loop:{scenarios.id}"
        await self._cluster.activate(scenarios.id, until=until, key=key, caller=CALLER)

    async def calculate(self, request: MarginRequest) -> MarginRun:
        """Return the margins of a book; see `Margining.calculate`.

        Raises
        ------
        OutdatedSnapshot
            If a later snapshot is in use.
        """
        until = time.monotonic() + self._deadline_seconds
        began = time.perf_counter()
        generation = await self._generation(request, until)
        priced_at = time.perf_counter()
        book = request.book
        done: Completed | None = None
        async for event in run_book(self._cluster, generation, book, until=until):
            if isinstance(event, Completed):
                done = event
        assert done is not None, "a run ends with its result or raises"
        stages = {"generation": priced_at - began, "margins": time.perf_counter() - priced_at}
        return await asyncio.to_thread(_run, request, generation, done, stages)

    async def _generation(self, request: MarginRequest, until: float) -> ResidentGeneration:
        snapshot = request.snapshot
        current = self._cluster.current
        if current is not None and current.handle.snapshot_id == snapshot.id:
            return current
        published = await self._cluster.publish(
            snapshot, until=until, key=f"loop:{snapshot.id}", caller=CALLER
        )
        return await self._cluster.generation(
            until=until, snapshot_id=snapshot.id, number_min=published.number
        )


def _run(
    request: MarginRequest,
    generation: ResidentGeneration,
    done: Completed,
    stages: dict[str, float],
) -> MarginRun:
    priced, handle = generation.priced, generation.handle
    book = done.assessment.book
    began = time.perf_counter()
    cumulative = cumulative_margins(priced.market, priced.scenarios, book, request.quotes)
    stages["reservations"] = time.perf_counter() - began
    inputs = {"snapshot": handle.snapshot_id, "scenarios": handle.scenarios_id}
    return MarginRun(
        calculation_id=content_id("calculation", {"digest": done.digest}),
        snapshot_id=handle.snapshot_id,
        generation_id=content_id("generation", inputs),
        scenarios_id=handle.scenarios_id,
        model_id=handle.model_id,
        accounts=book.accounts,
        requirement_usd=done.margins.initial_margin_usd,
        failures=done.assessment.failures,
        marks=_marks(priced, book.instruments, request.marked),
        cumulative_usd=cumulative,
        stages=stages,
    )


def _marks(priced: PricedMarket, held: Sequence[str], marked: Sequence[str]) -> dict[str, Decimal]:
    """Return marks of listed contracts, and of unlisted ones that can be priced."""
    market = priced.market
    names = {*held, *marked}
    found = marks_of(market, names)
    time = market.snapshot.time
    missing = names - market.contracts.place.keys()
    unlisted = sorted(name for name in missing if not has_expired(name, time))
    faults = model_faults(unlisted, market.snapshot, market.model, market.other_surfaces)
    rest = [name for name in unlisted if name not in faults]
    return found | marks_of(market.with_contracts(rest), rest) if rest else found


__all__ = ["ClusterMargining"]
