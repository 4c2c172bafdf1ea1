"""Assembly of a calculation from the arguments of a command line."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from margin_actors.engine.margin import (
    components_of,
    needs_of,
)
from margin_actors.engine.parameters import ModelParameters, parameters_from_mapping, preset
from margin_actors.engine.scenarios import (
    ScenarioSet,
    VolatilityIndex,
    scenario_set_from_table,
    scenario_set_to_table,
    uses_recorded_depth,
)
from margin_actors.engine.scenarios import build_scenarios as build_model_scenarios
from margin_actors.errors import (
    DataQualityFailure,
    InvalidParameters,
    Problem,
    raise_if_any,
)
from margin_actors.market.chains import snapshot_to_chain
from margin_actors.market.cleansing import PriceGrid, QualityReport, aggregate_prices
from margin_actors.market.snapshot_table import snapshot_to_table
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.progress import ProgressCallback, no_progress
from margin_cluster.settings import Settings
from margin_cluster.sources import (
    DataFolder,
    ParquetStore,
    UsedFile,
    file_sha256,
    is_written_by_hand,
    load_depth_history,
    load_snapshot,
    load_surface_histories,
    read_toml,
    snapshot_from_toml,
    synthetic_folder,
    with_recorded_rates,
)

FREQUENCIES = {"1d": 86_400, "1h": 3_600, "1min": 60}


@dataclass(frozen=True)
class Workspace:
    """The settings, the store and the data folder of a command."""

    settings: Settings
    store: ParquetStore
    data: DataFolder
    reads: list[UsedFile] = field(default_factory=list[UsedFile], compare=False)
    """Files read since the workspace was opened, for the identity of reports; may repeat."""


def open_workspace(
    settings: Settings, data: Path | None, *, progress: ProgressCallback = no_progress
) -> Workspace:
    """Return the workspace; without a data folder, the synthetic data set is generated and used."""
    store = ParquetStore(settings.store)
    root = data or settings.data
    if root is None:
        progress("Generating the synthetic data set", 0, 0)
        return Workspace(settings, store, DataFolder(synthetic_folder(settings.store), store))
    return Workspace(settings, store, DataFolder(root, store))


def load_model(model: str) -> ModelParameters:
    """Return the parameters of a preset or of a TOML file.

    Raises
    ------
    InvalidParameters
        If there is no such preset or file, the file is invalid, or the model names a requirement
        component that is not installed.
    """
    path = Path(model)
    if path.suffix == ".toml" or path.exists():
        content = read_toml(path, what="model", error=InvalidParameters)
        found = parameters_from_mapping(content, where=str(path))
        components_of(found)
        return found
    return preset(model)


def load_market(
    workspace: Workspace,
    snapshot: str | None,
    model: ModelParameters | None = None,
    *,
    for_gates: bool = False,
) -> tuple[MarketSnapshot, list[UsedFile]]:
    """Return a market snapshot and the files used; store the snapshot under its id.

    `snapshot` is the ISO 8601 time of a recorded snapshot or the path of a TOML file; None for the
    latest snapshot. It contains recorded interest rates if the model uses them. `for_gates` is as
    in `snapshot_from_chain`; True if the model has quality gates.

    Raises
    ------
    MissingMarketData, InvalidMarketData
        If the snapshot does not exist or cannot be read.
    InvalidParameters
        If the text is neither a time nor ends in ".toml".
    """
    if is_written_by_hand(snapshot):
        path = Path(snapshot)
        loaded = snapshot_from_toml(path)
        used = UsedFile("snapshot", snapshot, file_sha256(path))
    else:
        time = None if snapshot is None else time_from_text(snapshot)
        gates = for_gates or (model is not None and model.chain_quality.enabled)
        loaded = load_snapshot(workspace.data.chains, time, workspace.data.root, for_gates=gates)
        workspace.store.put("snapshots", loaded.id, snapshot_to_chain(loaded))
        used = UsedFile("option chain", loaded.origin, file_sha256(Path(loaded.origin)))
    market, rates = with_recorded_rates(loaded, model, workspace.data.root)
    workspace.store.put("market_snapshots", market.id, snapshot_to_table(market))
    workspace.reads.extend([used, *rates])
    return market, [used, *rates]


def time_from_text(text: str, *, option: str = "--snapshot") -> datetime:
    """Return a UTC time from ISO 8601 text; a time without a zone is taken as UTC.

    Raises InvalidParameters if the text is not a date or time, naming the command line `option`.
    """
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as fault:
        remedy = "write a date or a time, for example 2026-05-15T11:27:31Z"
        if option == "--snapshot":
            remedy += ", or name a .toml file"
        raise InvalidParameters(
            f"{text!r} is not a time", [Problem(option, text or "empty", remedy)]
        ) from fault
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def stamp_of(time: datetime) -> np.datetime64:
    """Return a time as datetime64[ms], UTC."""
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "ms")


@dataclass
class History:
    """Cleansed prices of all underlyings, with quality reports and the files used."""

    grids: dict[str, PriceGrid]
    reports: list[QualityReport]
    used: list[UsedFile]
    remarks: list[str] = field(default_factory=list[str])
    """Sentences on data that were left out."""


def load_history(
    workspace: Workspace,
    model: ModelParameters,
    time: datetime,
    *,
    progress: ProgressCallback = no_progress,
) -> History:
    """Return the cleansed and aggregated prices of the model's underlyings up to `time`."""
    interval = FREQUENCIES[model.history.frequency]
    horizon = model.horizon_hours_total
    lookback = model.scenarios.windows * model.scenarios.step_hours + horizon
    history = History({}, [], [])
    for i, u in enumerate(model.scenarios.underlyings):
        progress("Cleansing prices", i, len(model.scenarios.underlyings))
        candles, used = workspace.data.candles(model.history.sources, u, interval)
        history.used += used
        workspace.reads.extend(used)
        history.grids[u], report = aggregate_prices(
            candles,
            underlying=u,
            interval_seconds=interval,
            as_of_ms=int(stamp_of(time).astype(np.int64)),
            rules=model.history,
            limits=model.quality,
            judged_points=round(lookback * 3600 / interval),
        )
        history.reports.append(report)
    return history


def require_quality(reports: list[QualityReport]) -> None:
    """Raise DataQualityFailure if a quality limit is exceeded."""
    problems = [
        Problem("data quality", breach, "correct the data, or change the model's quality limits")
        for report in reports
        for breach in report.breaches
    ]
    raise_if_any(problems, DataQualityFailure, "the market data fail the model's quality limits")


def build_scenarios(
    workspace: Workspace,
    model: ModelParameters,
    time: datetime,
    *,
    progress: ProgressCallback = no_progress,
) -> tuple[ScenarioSet, History]:
    """Build the scenario set of a model as of a time and store it under its id.

    Raises DataQualityFailure if the prices fail a quality limit of the model.
    """
    history = load_history(workspace, model, time, progress=progress)
    require_quality(history.reports)
    surfaces, index = {}, {}
    if model.scenarios.surface_moves == "history":
        progress("Fitting past surfaces", 0, 0)
        surfaces, left_out = load_surface_histories(
            workspace.data.chains,
            model.scenarios.underlyings,
            until=time,
            store=workspace.store,
            threads=workspace.settings.threads,
            advance=lambda done, total: progress("Fitting past surfaces", done, total),
            limits=model.chain_quality,
        )
        history.remarks += left_out
    depth = None
    if uses_recorded_depth(model):
        progress("Reading past volumes", 0, 0)
        depth = load_depth_history(
            workspace.data.chains, model.addons.bucket_days, until=time, store=workspace.store
        )
    if model.scenarios.surface_moves == "history" or depth is not None:
        chains = workspace.data.chain_history(stamp_of(time))
        history.used += chains
        workspace.reads.extend(chains)
    if model.scenarios.surface_moves != "none":
        index = load_volatility_indices(workspace, model, history)
    basis, used = workspace.data.perpetual_bases(model.scenarios)
    history.used += used
    workspace.reads.extend(used)
    progress("Building scenarios", 0, 0)
    scenarios = build_model_scenarios(
        history.grids,
        model,
        as_of=stamp_of(time),
        sections=needs_of(model).sections,
        surfaces=surfaces,
        vol_index=index,
        depth=depth,
        perpetual_basis=basis,
    )
    workspace.store.put("scenarios", scenarios.id, scenario_set_to_table(scenarios))
    return scenarios, history


def load_volatility_indices(
    workspace: Workspace, model: ModelParameters, history: History
) -> dict[str, VolatilityIndex]:
    """Return the volatility indices that exist, by underlying; add the files to `history.used`."""
    out: dict[str, VolatilityIndex] = {}
    for u in model.scenarios.underlyings:
        found = workspace.data.volatility_index(model.scenarios.vol_index_sources, u)
        if found is not None:
            out[u] = found[0]
            history.used.append(found[1])
            workspace.reads.append(found[1])
    return out


def load_scenarios(workspace: Workspace, scenarios_id: str) -> ScenarioSet:
    """Return a scenario set of the store; raises InvalidMarketData if the store lacks it."""
    table = workspace.store.get("scenarios", scenarios_id)
    return scenario_set_from_table(table, where=f"scenario set {scenarios_id}")


__all__ = [
    "History",
    "Workspace",
    "build_scenarios",
    "load_history",
    "load_market",
    "load_model",
    "load_scenarios",
    "open_workspace",
    "require_quality",
    "stamp_of",
    "time_from_text",
]
