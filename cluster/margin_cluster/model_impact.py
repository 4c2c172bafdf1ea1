"""Requirements of a book under two models on recorded dates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from margin_actors.engine.backtest import (
    ImpactResponse,
    ModelDate,
    ModelImpact,
    impact_response,
    model_date,
    model_impact,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.parameters.versions import Change, changes_between
from margin_actors.errors import InvalidParameters, InvalidRequest, Problem
from margin_actors.market.books import Book
from margin_actors.market.portfolios import Collateral
from margin_actors.progress import ProgressCallback, no_progress
from margin_cluster.holdings import read_book, with_collateral_file
from margin_cluster.pool import results_of
from margin_cluster.recorded_markets import (
    always_listed,
    daily_times,
    snapshot_times,
    utc,
)
from margin_cluster.settings import Settings
from margin_cluster.sources import ModelRegistry, read_json
from margin_cluster.wiring import (
    Workspace,
    build_scenarios,
    load_market,
    open_workspace,
    stamp_of,
    time_from_text,
)

_CHALLENGE = "margin.challenge/1"


@dataclass(frozen=True)
class ImpactRequest:
    """Arguments of `margin model impact`."""

    old: ModelParameters
    new: ModelParameters
    book: Path
    collateral: Path | None
    snapshots: tuple[str, ...]
    """Times of recorded chains; empty to use the dates from `first` to `last`."""
    first: datetime | None
    last: datetime | None
    hour: int = 0
    processes: int = 1
    challenge_old: Path | None = None
    """JSON document of a challenge of the old model."""
    challenge_new: Path | None = None


@dataclass(frozen=True)
class ImpactStudy:
    """A finished comparison of two models."""

    request: ImpactRequest
    book: Book
    old: tuple[ModelDate, ...]
    new: tuple[ModelDate, ...]
    impact: ModelImpact
    response: ImpactResponse | None
    changes: tuple[Change, ...]
    challenge: tuple[float | None, float | None]
    """Smallest ratio of requirement to plausible loss under the old and new model; None if not
    given."""

    @property
    def has_collateral(self) -> bool:
        """Whether deposits were given."""
        return self.request.collateral is not None

    def verdict(self) -> tuple[str, ...]:
        """Return the result in sentences, for the last date unless stated otherwise."""
        impact, last = self.impact, self.impact.time.size - 1
        old, new = impact.total(last)
        change = impact.change_usd[last]
        known = change[np.isfinite(change)]
        up, down = int((known > 0.005).sum()), int((known < -0.005).sum())
        day = str(impact.time[last].astype("datetime64[m]")).replace("T", " ")
        sentences = [
            f"{self.request.new.name} {self.request.new.version} asks {new / 1e6:,.1f} million US "
            f"dollars instead of {old / 1e6:,.1f} under {self.request.old.name} "
            f"{self.request.old.version} on {day}: {100 * (new / old - 1):+.1f} %.",
            f"{up:,} accounts pay more, {down:,} pay less, {known.size - up - down:,} the same.",
        ]
        causes = sorted(
            impact.component_totals(last).items(), key=lambda i: -abs(i[1][1] - i[1][0])
        )
        shown = [
            f"{name.replace('_', ' ')} {(b - a) / 1e6:+,.1f} million"
            for name, (a, b) in causes[:3]
            if abs(b - a) >= 0.005
        ]
        if shown:
            sentences.append(f"Largest changes of components: {', '.join(shown)}.")
        if self.has_collateral:
            fallen = int(impact.falls_into_deficit()[last].sum())
            short = float(-np.minimum(np.nan_to_num(impact.new_excess_usd[last]), 0.0).sum())
            before = float(-np.minimum(np.nan_to_num(impact.old_excess_usd[last]), 0.0).sum())
            sentences.append(
                f"With the given collateral, {fallen:,} accounts go into deficit; the sum of "
                f"deficits goes from {before / 1e6:,.1f} to {short / 1e6:,.1f} million."
            )
        return tuple(sentences)


def run_model_impact(
    workspace: Workspace, request: ImpactRequest, *, progress: ProgressCallback = no_progress
) -> ImpactStudy:
    """Return the requirements of a book under two models on recorded dates.

    Without snapshots and a first date, the latest recorded chain is used.

    Raises
    ------
    InvalidParameters
        If there is no recorded chain between the dates, or both models have the same parameters.
    InvalidRequest
        If a challenge document cannot be used.
    """
    changes = changes_between(request.old, request.new)
    if not changes:
        raise InvalidParameters(
            "the two models have the same parameters",
            [Problem("OLD, NEW", request.old.id, "give two different models")],
        )
    challenge = (
        _ratio_of(request.challenge_old, request.old),
        _ratio_of(request.challenge_new, request.new),
    )
    for model in (request.old, request.new):
        ModelRegistry(workspace.store.root).use(model)
    times = _times(workspace, request)
    held = read_book(workspace.store, request.book)
    if request.collateral is not None:
        market, _ = load_market(workspace, utc(times[-1]).isoformat())
        held = with_collateral_file(held, request.collateral, market, unknown_accounts="list")
    listed: tuple[str, ...] = ()
    if len(times) > 1:
        progress("Reading the recorded chains", 0, 0)
        listed = always_listed(workspace.data.chains, times)
    work = _Work(
        workspace.settings, workspace.data.root, (request.old, request.new), held.book,
        held.collateral, listed, max(workspace.settings.threads // request.processes, 1),
    )  # fmt: skip
    found: list[tuple[ModelDate, ModelDate]] = []
    progress("Margining dates", 0, len(times))
    for pair in results_of(
        _margin_date, times, begin=partial(_begin, work), processes=request.processes
    ):
        found.append(pair)
        progress("Margining dates", len(found), len(times))
    old, new = tuple(a for a, _ in found), tuple(b for _, b in found)
    response = impact_response(model_impact(old, new, unchanged=True)) if listed else None
    impact = model_impact(old, new)
    return ImpactStudy(request, held.book, old, new, impact, response, changes, challenge)


def _times(workspace: Workspace, request: ImpactRequest) -> list[np.datetime64]:
    if request.snapshots:
        return sorted(stamp_of(time_from_text(s, option="--snapshots")) for s in request.snapshots)
    if request.first is None:
        times = snapshot_times(workspace)[-1:].tolist()
        times = [np.datetime64(t, "ms") for t in times]
    else:
        times = daily_times(workspace, request.first, request.last, hour=request.hour)
    if not times:
        raise InvalidParameters(
            "there is no recorded chain on these dates",
            [Problem("--from, --to", "no chain", "`margin data check` shows what there is")],
        )
    return times


@dataclass(frozen=True)
class _Work:
    """What a process needs to margin dates."""

    settings: Settings
    root: Path
    models: tuple[ModelParameters, ModelParameters]
    book: Book
    collateral: Collateral | None
    listed: tuple[str, ...]
    threads: int


_work: list[tuple[_Work, Workspace]] = []


def _begin(work: _Work) -> None:
    _work[:] = [(work, open_workspace(work.settings, work.root))]


def _margin_date(time: np.datetime64) -> tuple[ModelDate, ModelDate]:
    work, workspace = _work[0]
    now, _ = load_market(workspace, utc(time).isoformat())
    found: list[ModelDate] = []
    for model in work.models:
        scenarios, _ = build_scenarios(workspace, model, now.time)
        found.append(
            model_date(
                now,
                work.book,
                model,
                scenarios,
                collateral=work.collateral,
                always_listed=work.listed,
                threads=work.threads,
            )
        )
    return found[0], found[1]


def _ratio_of(path: Path | None, model: ModelParameters) -> float | None:
    """Return the smallest ratio of requirement to plausible loss in a challenge of a model.

    Raises InvalidRequest if the file is not the JSON document of a challenge of this model.
    """
    if path is None:
        return None
    content = read_json(path, what="challenge")
    found = cast("dict[str, object]", content) if isinstance(content, dict) else {}
    if found.get("schema") != _CHALLENGE:
        raise InvalidRequest(
            "the document of a challenge cannot be used",
            [Problem(str(path), f"its schema is not {_CHALLENGE}", "give a challenge's --json")],
        )
    if found.get("model_id") != model.id:
        raise InvalidRequest(
            f"the challenge is not one of the model {model.name} {model.version}",
            [Problem(str(path), f"model_id is {found.get('model_id')}", f"needed: {model.id}")],
        )
    ratio = found.get("ratio")
    return float(ratio) if isinstance(ratio, int | float) else None


def snapshot_list(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the times of options that may each hold several, separated by commas."""
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
