"""Studies of a model over several years: backtests and procyclicality."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from margin_actors.arrays import DAY_MS, TimeArray
from margin_actors.engine.backtest import (
    FIRST_DATE,
    Backtest,
    BookDate,
    Procyclicality,
    ReplayInputs,
    ReplayResult,
    dates_with_history,
    join_replays,
    join_series,
    margin_and_outcome,
    replay_dates,
    replay_inputs,
    replay_tools,
    summarise,
)
from margin_actors.engine.margin import needs_of
from margin_actors.engine.parameters import (
    ModelParameters,
    parameters_from_mapping,
)
from margin_actors.engine.scenarios import build_scenarios as build_scenario_set
from margin_actors.errors import InvalidParameters, MissingMarketData, Problem, named_input
from margin_actors.market.snapshots import TIME_MIN, MarketSnapshot
from margin_actors.progress import ProgressCallback, no_progress
from margin_cluster.pool import results_of
from margin_cluster.recorded_markets import snapshot_pairs
from margin_cluster.runs import RunRequest, load_book
from margin_cluster.sources import load_snapshot, load_surface_histories
from margin_cluster.wiring import (
    History,
    Workspace,
    load_history,
    load_volatility_indices,
    require_quality,
    stamp_of,
)

R = TypeVar("R")
CONFIDENCES = (0.99, 0.995, 0.997)
ENGINES: Mapping[str, Mapping[str, str | Mapping[str, str]]] = {
    "historical": {"engine": "historical"},
    "filtered EWMA": {"engine": "filtered", "filter": {"volatility": "ewma"}},
    "filtered GARCH": {"engine": "filtered", "filter": {"volatility": "garch"}},
    "Monte Carlo": {"engine": "monte_carlo"},
}
"""Changes of the model's scenario section for each engine of a backtest."""
_DATES_A_PIECE = 30
_DATES_MIN = 3


def _replayed_model(model: ModelParameters) -> ModelParameters:
    """Return the model's core with settings that need no history of option chains.

    Perpetuals in the portfolios of a replay stand for the index, so that their basis does not move.
    """
    changes: dict[str, str | dict[str, str | dict[str, str]]] = {
        "name": f"{model.name} replayed",
        "scenarios": {"surface_moves": "index", "perpetual_basis": {"moves": "none"}},
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


def replayed_engine_models(
    model: ModelParameters, names: Sequence[str]
) -> dict[str, ModelParameters]:
    """Return the model's core with each of the named engines, by name, for a replay of dates.

    Its settings need no history of option chains. Errors as `engine_models`.
    """
    return engine_models(_replayed_model(model), names)


def engine_models(model: ModelParameters, names: Sequence[str]) -> dict[str, ModelParameters]:
    """Return the model's core with each of the named engines, by name.

    Raises
    ------
    InvalidParameters
        With every name that is not a key of `ENGINES`.
    """
    unknown = [n for n in names if n not in ENGINES]
    if unknown:
        raise InvalidParameters(
            "unknown engines",
            [Problem("--engine", name, f"one of: {', '.join(ENGINES)}") for name in unknown],
        )
    base = model.core_only().model_dump(mode="json", exclude={"version"})
    out: dict[str, ModelParameters] = {}
    for name in names:
        scenarios = dict(base["scenarios"])
        for field, value in ENGINES[name].items():
            scenarios[field] = scenarios[field] | value if isinstance(value, dict) else value
        out[name] = parameters_from_mapping(base | {"scenarios": scenarios}, where=name)
    return out


def load_replay(
    workspace: Workspace,
    models: dict[str, ModelParameters],
    first: datetime | None,
    last: datetime | None,
    confidences: Sequence[float],
    *,
    progress: ProgressCallback = no_progress,
) -> tuple[ReplayInputs, TimeArray]:
    """Return the inputs of a replay and its dates, datetime64[ms] (n_dates,).

    The dates are all days from `first` to `last` (None for the earliest or latest possible), at
    00:00 UTC, for which prices at that time and at the end of the horizon are known.

    Raises
    ------
    InvalidParameters
        If fewer than three dates can be replayed, or the history does not suffice for the first.
    MissingMarketData
        If an underlying has no volatility index.
    """
    lead = next(iter(models.values()))
    found = History({}, [], [])
    indices = load_volatility_indices(workspace, lead, found)
    missing = [u for u in lead.scenarios.underlyings if u not in indices]
    if missing:
        raise MissingMarketData(
            "a replay requires the volatility index of every underlying",
            [
                Problem(f"volatility index of {u}", ", ".join(lead.scenarios.vol_index_sources))
                for u in missing
            ],
        )
    # The volatility index replaces the option chains, which were not recorded; it ends first.
    latest = min(index.time[-1] for index in indices.values())
    horizon = np.timedelta64(round(lead.horizon_hours_total * 3.6e6), "ms")
    until = min(latest, stamp_of(last) + horizon) if last is not None else latest
    end = until.astype("datetime64[ms]").astype(datetime).replace(tzinfo=UTC)
    history = load_history(workspace, lead, end, progress=progress)
    require_quality(history.reports)
    inputs = replay_inputs(history.grids, indices, models, confidences)
    known = inputs.table.time[inputs.table.complete]
    every = known[known.astype(np.int64) % DAY_MS == 0]
    every = every[(every + horizon <= until) & np.isin(every + horizon, known)]
    with named_input(FIRST_DATE, "--from"):
        dates = dates_with_history(inputs, every, None if first is None else stamp_of(first))
    if dates.size < _DATES_MIN:
        begin = (known[0] if first is None else stamp_of(first)).astype("datetime64[D]")
        what = f"prices run to {known[-1]}, the volatility index to {latest}"
        raise InvalidParameters(
            f"{dates.size} dates from {begin} to {end:%Y-%m-%d} can be replayed, and a study needs "
            f"at least {_DATES_MIN}",
            [Problem("--from, --to", what, "choose a longer period within them")],
        )
    return inputs, dates


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
    progress: ProgressCallback,
) -> list[R]:
    """Return the results of all chunks of dates, in their order, computed by several processes."""
    pieces = [dates[i : i + _DATES_A_PIECE] for i in range(0, dates.size, _DATES_A_PIECE)]
    done: list[R] = []
    what = "Replaying dates"
    progress(what, 0, dates.size)
    for result in results_of(work, pieces, begin=partial(_begin, inputs), processes=processes):
        done.append(result)
        progress(what, min(len(done) * _DATES_A_PIECE, dates.size), dates.size)
    return done


def run_backtest(
    workspace: Workspace,
    model: ModelParameters,
    *,
    engines: Sequence[str] = tuple(ENGINES),
    first: datetime | None,
    last: datetime | None,
    confidences: Sequence[float] = CONFIDENCES,
    progress: ProgressCallback = no_progress,
) -> Backtest:
    """Return the backtest of the benchmark portfolios on every day from `first` to `last`."""
    models = replayed_engine_models(model, engines)
    inputs, dates = load_replay(workspace, models, first, last, confidences, progress=progress)
    pieces = _in_pieces(
        _replay_piece, inputs, dates, processes=workspace.settings.threads, progress=progress
    )
    replay = join_replays(pieces)
    return summarise(replay, -(-inputs.table.length // inputs.table.step))


def run_book_backtest(
    workspace: Workspace,
    model: ModelParameters,
    *,
    book: Path | None,
    engines: Sequence[str],
    first: datetime | None,
    last: datetime | None,
    confidences: Sequence[float] = CONFIDENCES,
    progress: ProgressCallback = no_progress,
) -> tuple[Backtest, str]:
    """Return the backtest of a book over the recorded option chains, and a remark.

    Each account is one portfolio. There is at most one date per day: a day is used if a snapshot
    near midnight UTC and another one margin period of risk later were recorded. The remark states
    the share of positions that are left out.

    Raises
    ------
    InvalidParameters
        If an engine does not exist, or the chains give fewer than three dates.
    """
    models = engine_models(model, engines)
    lead = next(iter(models.values()))
    pairs = snapshot_pairs(workspace, first := first or TIME_MIN, last, lead.horizon_hours_total)
    _require_pairs(len(pairs), first)
    until = pairs[-1][0].astype(datetime).replace(tzinfo=UTC)
    history = load_history(workspace, lead, until, progress=progress)
    require_quality(history.reports)
    surfaces, _ = load_surface_histories(
        workspace.data.chains, lead.scenarios.underlyings, until=until, store=workspace.store,
        threads=workspace.settings.threads, limits=lead.chain_quality,
        advance=lambda done, total: progress("Fitting past surfaces", done, total),
    )  # fmt: skip
    indices = load_volatility_indices(workspace, lead, history)
    held, _, _ = load_book(workspace, RunRequest(None, book, None, lead), first)
    dates: list[BookDate] = []
    for number, (now, then) in enumerate(pairs):
        progress("Replaying dates", number, len(pairs))
        sets = {
            name: (m, build_scenario_set(history.grids, m, as_of=now, surfaces=surfaces,
                                         sections=needs_of(m).sections, vol_index=indices))
            for name, m in models.items()
        }  # fmt: skip
        markets = [_snapshot_at(workspace, lead, time) for time in (now, then)]
        dates.append(margin_and_outcome(markets[0], markets[1], held, sets, tuple(confidences)))
    replay = ReplayResult(
        held.accounts,
        tuple(models),
        tuple(confidences),
        np.array([now for now, _ in pairs], "datetime64[ms]"),
        np.array([d.var_usd for d in dates]),
        np.array([d.es_usd for d in dates]),
        np.array([d.profit_usd for d in dates]),
    )
    remark = _left_out(dates)
    return summarise(replay, max(1, round(lead.horizon_hours_total / 24.0))), remark


def _left_out(dates: Sequence[BookDate]) -> str:
    share = sum(d.left_out for d in dates) / max(sum(d.held + d.left_out for d in dates), 1)
    return f"{100 * share:.1f} % of the positions expired on the way or were not listed at an end"


def _require_pairs(count: int, first: datetime) -> None:
    if count < _DATES_MIN:
        raise InvalidParameters(
            f"the chains give {count} dates from {first:%Y-%m-%d} on, and a backtest needs at "
            f"least {_DATES_MIN}",
            [
                Problem(
                    "--from, --to",
                    "a date needs a snapshot and another one a margin period later",
                    "choose a longer period, or add chains to the data folder",
                )
            ],
        )


def _snapshot_at(
    workspace: Workspace, model: ModelParameters, time: np.datetime64
) -> MarketSnapshot:
    moment = time.astype("datetime64[ms]").astype(datetime).replace(tzinfo=UTC)
    files, root = workspace.data.chains, workspace.data.root
    return load_snapshot(files, moment, root, for_gates=model.chain_quality.enabled)


def run_procyclicality(
    workspace: Workspace,
    model: ModelParameters,
    *,
    first: datetime | None,
    last: datetime | None,
    progress: ProgressCallback = no_progress,
) -> tuple[Procyclicality, ModelParameters]:
    """Return the daily series of a model's margins and of its tools, and the model as replayed."""
    replayed = _replayed_model(model)
    models = {model.name: replayed}
    confidences = (model.measure.confidence,)
    inputs, dates = load_replay(workspace, models, first, last, confidences, progress=progress)
    pieces = _in_pieces(
        _tools_piece, inputs, dates, processes=workspace.settings.threads, progress=progress
    )
    return join_series(pieces), replayed


__all__ = [
    "CONFIDENCES",
    "ENGINES",
    "Backtest",
    "engine_models",
    "replayed_engine_models",
    "run_backtest",
    "run_book_backtest",
    "run_procyclicality",
]
