"""Studies of a model over years: backtests, procyclicality, comparisons of methods, changes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from margin_actors.arrays import TimeArray
from margin_actors.engine.backtest import (
    Backtest,
    Procyclicality,
    ReplayInputs,
    ReplayResult,
    join_replays,
    join_series,
    replay_dates,
    replay_inputs,
    replay_tools,
    summarise,
)
from margin_actors.engine.comparison import Comparison, compare_methods
from margin_actors.engine.parameters import (
    ModelParameters,
    parameters_from_mapping,
)
from margin_actors.errors import InvalidParameters, MissingMarketData, Problem
from margin_cluster.wiring import (
    History,
    RunRequest,
    Stage,
    Workplace,
    build_scenarios,
    load_book,
    load_history,
    load_market,
    load_model,
    load_volatility_indices,
    no_stage,
    require_quality,
)

R = TypeVar("R")
CONFIDENCES = (0.99, 0.995, 0.997)
METHODS = ("span", "venue-grid", "hs-surface", "fhs-surface", "mc-surface", "hybrid")
"""Presets that `margin compare` sets side by side."""
ENGINES: dict[str, dict[str, Any]] = {
    "historical": {"engine": "historical"},
    "filtered EWMA": {"engine": "filtered", "filter": {"volatility": "ewma"}},
    "filtered GARCH": {"engine": "filtered", "filter": {"volatility": "garch"}},
    "Monte Carlo": {"engine": "monte_carlo"},
}
"""What each engine of a backtest changes in the model."""
_DATES_A_PIECE = 30
_DATES_MIN = 3
_DAY_MS = 86_400_000


def _replayed_model(model: ModelParameters) -> ModelParameters:
    """Return the model's core as it can be replayed: no chain was recorded over the years."""
    changes = {
        "name": f"{model.name} replayed",
        "scenarios": {"surface_moves": "index"},
        "revaluation": {
            "smile": "svi",
            "unlisted_options": "surface",
            "shocked_surfaces": "keep",
        },
    }
    dumped = model.core_only().model_dump(mode="json", exclude={"version"})
    for section, fields in changes.items():
        dumped[section] = dumped[section] | fields if isinstance(fields, dict) else fields
    return parameters_from_mapping(dumped, where=f"{model.name} replayed")


def engines_of(model: ModelParameters, names: Sequence[str]) -> dict[str, ModelParameters]:
    """Return the model with each engine named.

    Raises
    ------
    InvalidParameters
        Naming every engine that does not exist.
    """
    unknown = [n for n in names if n not in ENGINES]
    if unknown:
        raise InvalidParameters(
            "there are no such engines",
            [Problem("--engine", name, f"one of: {', '.join(ENGINES)}") for name in unknown],
        )
    base = _replayed_model(model).model_dump(mode="json", exclude={"version"})
    out: dict[str, ModelParameters] = {}
    for name in names:
        scenarios = dict(base["scenarios"])
        for field, value in ENGINES[name].items():
            scenarios[field] = scenarios[field] | value if isinstance(value, dict) else value
        out[name] = parameters_from_mapping(base | {"scenarios": scenarios}, where=name)
    return out


def load_replay(
    place: Workplace,
    models: dict[str, ModelParameters],
    first: datetime,
    last: datetime | None,
    confidences: Sequence[float],
    *,
    tell: Stage = no_stage,
) -> tuple[ReplayInputs, TimeArray]:
    """Return the inputs of a replay and its daily dates; `last` by default as late as data go.

    Raises
    ------
    InvalidParameters
        If the dates are not covered.
    MissingMarketData
        If there is no volatility index.
    """
    lead = next(iter(models.values()))
    found = History({}, [], [])
    indices = load_volatility_indices(place, lead, found)
    missing = [u for u in lead.scenarios.underlyings if u not in indices]
    if missing:
        raise MissingMarketData(
            "a replay needs the volatility index of every underlying",
            [
                Problem(f"volatility index of {u}", ", ".join(lead.scenarios.vol_index_sources))
                for u in missing
            ],
        )
    # The index, which stands for the chains that nobody recorded, is what ends first.
    latest = min(index.time[-1] for index in indices.values())
    horizon = np.timedelta64(round(lead.horizon_hours_total * 3.6e6), "ms")
    until = min(latest, _stamp(last) + horizon) if last is not None else latest
    end = until.astype("datetime64[ms]").astype(datetime).replace(tzinfo=UTC)
    history = load_history(place, lead, end, tell=tell)
    require_quality(history.reports)
    inputs = replay_inputs(history.grids, indices, models, confidences)
    known = inputs.table.time[inputs.table.complete]
    dates = known[(known.astype(np.int64) % _DAY_MS == 0) & (known >= _stamp(first))]
    dates = dates[(dates + horizon <= until) & np.isin(dates + horizon, known)]
    if dates.size < _DATES_MIN:
        raise InvalidParameters(
            f"from {first:%Y-%m-%d} to {end:%Y-%m-%d} {dates.size} dates can be replayed",
            [Problem("--from, --to", "", f"prices run to {known[-1]}, the index to {latest}")],
        )
    return inputs, dates


def _stamp(time: datetime) -> np.datetime64:
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "ms")


_inputs: list[ReplayInputs] = []


def _begin(inputs: ReplayInputs) -> None:
    _inputs[:] = [inputs]


def _replay_piece(dates: TimeArray) -> ReplayResult:
    return replay_dates(_inputs[0], dates)


def _tools_piece(dates: TimeArray) -> Procyclicality:
    return replay_tools(_inputs[0], dates)


def _in_pieces(
    work: Callable[[TimeArray], R],
    inputs: ReplayInputs,
    dates: TimeArray,
    *,
    processes: int,
    tell: Stage,
    what: str,
) -> list[R]:
    """Return the work of every stretch of dates, in their order, done by several processes."""
    pieces = [dates[i : i + _DATES_A_PIECE] for i in range(0, dates.size, _DATES_A_PIECE)]
    done: list[R] = []
    tell(what, 0, dates.size)
    if processes <= 1 or len(pieces) == 1:
        _begin(inputs)
        for number, piece in enumerate(pieces):
            done.append(work(piece))
            tell(what, min((number + 1) * _DATES_A_PIECE, dates.size), dates.size)
        return done
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(inputs,)
    ) as pool:
        for number, result in enumerate(pool.map(work, pieces)):
            done.append(result)
            tell(what, min((number + 1) * _DATES_A_PIECE, dates.size), dates.size)
    return done


def run_backtest(
    place: Workplace,
    model: ModelParameters,
    *,
    engines: Sequence[str] = tuple(ENGINES),
    first: datetime,
    last: datetime | None,
    confidences: Sequence[float] = CONFIDENCES,
    tell: Stage = no_stage,
) -> Backtest:
    """Return the backtest of the benchmark portfolios, daily between two dates."""
    models = engines_of(model, engines)
    inputs, dates = load_replay(place, models, first, last, confidences, tell=tell)
    processes = place.settings.threads
    pieces = _in_pieces(
        _replay_piece, inputs, dates, processes=processes, tell=tell, what="Replaying dates"
    )
    replay = join_replays(pieces)
    return summarise(replay, -(-inputs.table.length // inputs.table.step))


def run_procyclicality(
    place: Workplace,
    model: ModelParameters,
    *,
    first: datetime,
    last: datetime | None,
    tell: Stage = no_stage,
) -> tuple[Procyclicality, ModelParameters]:
    """Return the daily series of a model's margin and of its tools, and the replayed model."""
    replayed = _replayed_model(model)
    models = {model.name: replayed}
    confidences = (model.measure.confidence,)
    inputs, dates = load_replay(place, models, first, last, confidences, tell=tell)
    processes = place.settings.threads
    pieces = _in_pieces(
        _tools_piece, inputs, dates, processes=processes, tell=tell, what="Replaying dates"
    )
    return join_series(pieces), replayed


def run_comparison(
    place: Workplace,
    *,
    snapshot: str | None,
    book: Path | None,
    methods: Sequence[str] = METHODS,
    tell: Stage = no_stage,
) -> Comparison:
    """Return the requirements of every account by several presets or model files."""
    market, _ = load_market(place, snapshot)
    models = {name: load_model(name) for name in methods}
    lead = next(iter(models.values()))
    held, _, _ = load_book(place, RunRequest(snapshot, book, None, lead), market.time)
    sets: dict[str, tuple[ModelParameters, Any]] = {}
    built: dict[str, Any] = {}
    for name, model in models.items():
        key = repr((model.history, model.scenarios, model.quality, model.procyclicality))
        if key not in built:
            built[key] = build_scenarios(place, model, market.time, tell=tell)[0]
        sets[name] = (model, built[key])
    return compare_methods(market, held, sets, threads=place.settings.threads, tell=tell)


__all__ = [
    "CONFIDENCES",
    "ENGINES",
    "METHODS",
    "Backtest",
    "engines_of",
    "run_backtest",
    "run_comparison",
    "run_procyclicality",
]
