"""Challenge of a model on a recorded market."""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from margin_actors.arrays import DAY_MS, FloatArray, TimeArray
from margin_actors.engine.challenge import (
    ChallengeResult,
    MoveSettings,
    PortfolioLimits,
    SearchSettings,
    challenge,
    plausible_moves,
)
from margin_actors.engine.margin import screened_snapshot
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import STRESS, ScenarioSet
from margin_actors.market.candles import Candles
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.progress import ProgressCallback, no_progress
from margin_cluster.sources import ChallengeHistory, ModelRegistry
from margin_cluster.wiring import Workspace, build_scenarios, load_market, load_scenarios, stamp_of

_BASIS_DAYS = 2
_HOUR = 3_600
PERPETUAL_SOURCE, SPOT_SOURCE = "binance_perp_{u}USDT_1h", "binance_spot_{u}USDT_1h"
"""Price files of the perpetual and of spot, from which moves of the perpetual basis are taken."""
PERPETUAL_BASIS_DEFAULT = 0.03
"""Move of ln(perpetual / index) without these files; those recorded in them are of this size."""


def run_challenge(
    workspace: Workspace,
    model: ModelParameters,
    *,
    snapshot: str | None,
    scenarios_id: str | None,
    limits: PortfolioLimits,
    settings: SearchSettings,
    grid: MoveSettings | None = None,
    progress: ProgressCallback = no_progress,
) -> ChallengeResult:
    """Return the result of a challenge and append it to the history of the store.

    Parameters
    ----------
    workspace : Workspace
    model : ModelParameters
    snapshot : str or None
        Time of a recorded snapshot or path of a TOML file; None for the latest snapshot.
    scenarios_id : str or None
        Id of a stored scenario set; None to build one.
    limits, settings
        As in `challenge`.
    grid : MoveSettings, optional
        Grid of plausible moves of spot and volatility.
    progress : ProgressCallback
        Progress callback.
    """
    ModelRegistry(workspace.store.root).use(model)
    progress("Reading the snapshot", 0, 0)
    published, _ = load_market(workspace, snapshot, model)
    market = screened_snapshot(published, model)
    if scenarios_id is None:
        scenarios, _ = build_scenarios(workspace, model, market.time, progress=progress)
    else:
        scenarios = load_scenarios(workspace, scenarios_id)
    progress("Preparing plausible moves", 0, 0)
    moves = plausible_moves(
        market,
        scenarios,
        grid or MoveSettings(),
        events=_events(workspace, model, scenarios, market, progress),
        perpetual_basis={u: perpetual_basis(workspace, u, market) for u in scenarios.underlyings},
    )
    found = challenge(
        market,
        scenarios,
        model,
        moves,
        limits=limits,
        settings=settings,
        threads=workspace.settings.threads,
        progress=progress,
    )
    history = ChallengeHistory(workspace.store.root)
    history.append(found, recorded_at=datetime.now(UTC).replace(microsecond=0))
    return found


def _events(
    workspace: Workspace,
    model: ModelParameters,
    scenarios: ScenarioSet,
    market: MarketSnapshot,
    progress: ProgressCallback,
) -> ScenarioSet:
    """Return a set with the past days of the model; built separately if `scenarios` lacks them."""
    if STRESS in scenarios.section_names:
        return scenarios
    stress = model.scenarios.stress.model_copy(update={"enabled": True})
    changes = {"stress": stress, "engine": "historical"}
    own = model.model_copy(update={"scenarios": model.scenarios.model_copy(update=changes)})
    return build_scenarios(workspace, own, market.time, progress=progress)[0]


def perpetual_basis(
    workspace: Workspace, underlying: str, market: MarketSnapshot
) -> tuple[float, float]:
    """Return the largest recorded fall and rise of ln(perpetual / index) over two days.

    They are taken from hourly closes before the time of the snapshot. Without both files it is
    `PERPETUAL_BASIS_DEFAULT` on either side.
    """
    sources = {item.name for item in workspace.data.prices}
    wanted = [name.replace("{u}", underlying) for name in (PERPETUAL_SOURCE, SPOT_SOURCE)]
    if not sources.issuperset(wanted):
        return -PERPETUAL_BASIS_DEFAULT, PERPETUAL_BASIS_DEFAULT
    until = stamp_of(market.time)
    closes: list[Mapping[int, float]] = []
    for name in wanted:
        candles, _ = workspace.data.candles([name], underlying, _HOUR)
        closes.append(_closes(candles[0], until))
    common = sorted(closes[0].keys() & closes[1].keys())
    basis = np.log([closes[0][t] / closes[1][t] for t in common])
    return largest_changes(np.array(common, "datetime64[ms]"), basis, days=_BASIS_DAYS)


def _closes(candles: Candles, until: np.datetime64) -> dict[int, float]:
    """Return the closes that are known at a time, by their times in milliseconds."""
    known = np.isfinite(candles.close) & (candles.close > 0.0) & (candles.close_time <= until)
    times = candles.close_time[known].astype("datetime64[ms]").astype(np.int64).tolist()
    return dict(zip(times, candles.close[known].tolist(), strict=True))


def largest_changes(time: TimeArray, value: FloatArray, *, days: int) -> tuple[float, float]:
    """Return the largest fall, at most 0, and rise, at least 0, of a series over a period.

    Parameters
    ----------
    time : datetime64[ms] (n,)
        Ascending times, UTC.
    value : float64 (n,)
        The series; changes are differences, for example of logarithms.
    days : int
        Length of the period; only pairs of values exactly so far apart count.
    """
    stamps = time.astype("datetime64[ms]").astype(np.int64)
    later = np.searchsorted(stamps, stamps + days * DAY_MS)
    first = np.flatnonzero(later < stamps.size)
    first = first[stamps[later[first]] == stamps[first] + days * DAY_MS]
    change = value[later[first]] - value[first]
    return float(min(change.min(initial=0.0), 0.0)), float(max(change.max(initial=0.0), 0.0))
