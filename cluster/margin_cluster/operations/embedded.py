"""Margining in this process, as `margin run` does it, with what can be kept between cycles."""

import asyncio
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from margin_actors.engine.margin import (
    TOO_LARGE,
    BookAssessment,
    CubeSlice,
    MarginResult,
    PreparedMarket,
    assess_unpriced_book,
    fit_smiles,
    margin_from_slice,
    prepare_market,
    price_own_slice,
    require_sections,
    screened_snapshot,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import listed_names
from margin_actors.engine.scenarios import CORE, ScenarioSet
from margin_actors.errors import InvalidPortfolio, NotReady, Problem
from margin_actors.market.identity import content_id
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface
from margin_cluster.operations.margining import MarginRequest, MarginRun, QuotedPositions
from margin_cluster.operations.marks import marks_of
from margin_cluster.operations.quoted import cumulative_margins

Smiles = Mapping[str, Mapping[str, VolatilitySurface]]


@dataclass
class _Kept:
    """What the last run computed, for a further run on the same snapshot."""

    snapshot_id: str = ""
    scenarios_id: str = ""
    screened: MarketSnapshot | None = None
    smiles: Smiles = field(default_factory=dict[str, Mapping[str, VolatilitySurface]])
    names: tuple[str, ...] = ()
    priced: tuple[PreparedMarket, CubeSlice] | None = None


class EmbeddedMargining:
    """Margins books in this process.

    Surfaces and prices are kept for further cycles on the same snapshot, for example after a
    trade; the scenario set stays prepared until it is replaced.

    Parameters
    ----------
    model : ModelParameters
    scenarios : ScenarioSet, optional
        The set in use at first.
    threads : int
        Compute threads; results do not depend on it.
    """

    def __init__(
        self, model: ModelParameters, scenarios: ScenarioSet | None = None, *, threads: int = 1
    ) -> None:
        self._model, self._threads = model, threads
        self._scenarios = scenarios
        self._kept = _Kept()
        self._running = asyncio.Lock()
        if scenarios is not None:
            require_sections(scenarios, model)

    @property
    def model(self) -> ModelParameters:
        """The model."""
        return self._model

    @property
    def scenarios_id(self) -> str:
        """Id of the scenario set in use; empty if there is none."""
        return "" if self._scenarios is None else self._scenarios.id

    async def activate(self, scenarios: ScenarioSet) -> None:
        """Put a scenario set in use; see `Margining.activate`."""
        require_sections(scenarios, self._model)
        async with self._running:
            self._scenarios = scenarios

    async def calculate(self, request: MarginRequest) -> MarginRun:
        """Return the margins of a book; see `Margining.calculate`."""
        async with self._running:
            if self._scenarios is None:
                problem = Problem("scenario set", "none is in use", "activate one")
                raise NotReady("nothing can be margined", [problem])
            return await asyncio.to_thread(self._calculate, request, self._scenarios)

    def _calculate(self, request: MarginRequest, scenarios: ScenarioSet) -> MarginRun:
        stages: dict[str, float] = {}
        with _timed(stages, "surfaces"):
            screened, smiles = self._surfaces(request.snapshot, scenarios)
        with _timed(stages, "assessment"):
            days = self._model.quality.expired_days_max
            assessment = assess_unpriced_book(
                request.book, screened, scenarios, self._model, smiles, expired_days_max=days
            )
        market, priced = self._cube(assessment, request.marked, scenarios, stages)
        with _timed(stages, "margins"):
            result = self._margins(market, priced, scenarios, assessment)
        cumulative: dict[str, tuple[float, ...]] = {}
        if request.quotes:
            with _timed(stages, "reservations"):
                cumulative = self._quoted(market, scenarios, result, request.quotes)
        return self._run(result, market, cumulative, stages, request)

    def _run(
        self,
        result: MarginResult,
        market: PreparedMarket,
        cumulative: Mapping[str, tuple[float, ...]],
        stages: Mapping[str, float],
        request: MarginRequest,
    ) -> MarginRun:
        names = (*result.book.instruments, *request.marked)
        inputs = {"snapshot": request.snapshot.id, "scenarios": result.scenarios_id}
        return MarginRun(
            calculation_id=content_id("calculation", {"digest": result.digest}),
            snapshot_id=request.snapshot.id,
            generation_id=content_id("generation", inputs),
            scenarios_id=result.scenarios_id,
            model_id=result.model_id,
            accounts=result.book.accounts,
            requirement_usd=result.margins.initial_margin_usd,
            failures=result.failures,
            marks=marks_of(market, names),
            cumulative_usd=cumulative,
            stages=stages,
        )

    def _surfaces(
        self, snapshot: MarketSnapshot, scenarios: ScenarioSet
    ) -> tuple[MarketSnapshot, Smiles]:
        kept = self._kept
        if (kept.snapshot_id, kept.scenarios_id) != (snapshot.id, scenarios.id):
            screened = screened_snapshot(snapshot, self._model)
            smiles = fit_smiles(screened, self._model)
            self._kept = _Kept(snapshot.id, scenarios.id, screened, smiles)
            return screened, smiles
        assert kept.screened is not None
        return kept.screened, kept.smiles

    def _cube(
        self,
        assessment: BookAssessment,
        marked: Sequence[str],
        scenarios: ScenarioSet,
        stages: dict[str, float],
    ) -> tuple[PreparedMarket, CubeSlice]:
        """Return the market of the book's contracts and its prices; kept while both are the same.

        A contract that is only to be marked is left out if it cannot be priced.
        """
        kept, model = self._kept, self._model
        assert kept.screened is not None
        names = assessment.book.instruments
        listed = set(listed_names(kept.screened, kept.smiles[model.revaluation.smile],
                                  model.revaluation))  # fmt: skip
        names = (*names, *sorted((set(marked) & listed) - set(names)))
        if kept.priced is None or kept.names != names:
            with _timed(stages, "contracts"):
                # If every position has expired, the market still needs at least one contract.
                some = names or tuple(sorted(listed)[:1])
                market = prepare_market(kept.screened, model, names=some, smiles=kept.smiles)
            with _timed(stages, "cube"):
                n_core = scenarios.section(CORE).count
                priced = price_own_slice(market, scenarios, 0, n_core=n_core, threads=self._threads)
            kept.names, kept.priced = names, (market, priced)
        return kept.priced

    def _margins(
        self,
        market: PreparedMarket,
        priced: CubeSlice,
        scenarios: ScenarioSet,
        assessment: BookAssessment,
    ) -> MarginResult:
        """Return the margins, without accounts that turn out to be too large to be summed."""
        while True:
            try:
                return margin_from_slice(
                    market, priced, scenarios, assessment, threads=self._threads
                )
            except InvalidPortfolio as error:
                if not error.too_large:
                    raise
                assessment = assessment.excluding(error.too_large, TOO_LARGE)

    def _quoted(
        self,
        market: PreparedMarket,
        scenarios: ScenarioSet,
        result: MarginResult,
        quotes: Mapping[str, Sequence[QuotedPositions]],
    ) -> dict[str, tuple[float, ...]]:
        return cumulative_margins(market, scenarios, result, quotes, threads=self._threads)


@contextmanager
def _timed(stages: dict[str, float], name: str) -> Generator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        stages[name] = stages.get(name, 0.0) + time.perf_counter() - began


__all__ = ["EmbeddedMargining"]
