"""Assembly of a calculation from the arguments of a command line."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from margin_actors.engine.margin import (
    MarginResult,
    calculate_margin,
    collateral_equity,
    components_of,
    fit_model_surfaces,
    needs_of,
    with_collateral,
)
from margin_actors.engine.parameters import ModelParameters, parameters_from_mapping, preset
from margin_actors.engine.scenarios import (
    ScenarioSet,
    VolatilityIndex,
    scenario_set_from_table,
    scenario_set_to_table,
)
from margin_actors.engine.scenarios import build_scenarios as build_model_scenarios
from margin_actors.errors import (
    DataQualityFailure,
    InvalidParameters,
    MarginError,
    Problem,
    named_input,
    raise_if_any,
)
from margin_actors.market.books import Book
from margin_actors.market.chains import snapshot_to_chain
from margin_actors.market.cleansing import PriceGrid, QualityReport, aggregate_prices
from margin_actors.market.snapshot_table import snapshot_to_table
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface, fit_surfaces
from margin_actors.progress import ProgressCallback, no_progress
from margin_cluster.archive import book_to_table
from margin_cluster.holdings import Holdings, UnknownAccounts, read_book, with_collateral_file
from margin_cluster.results import CalculationOutput
from margin_cluster.settings import Settings
from margin_cluster.sources import (
    DataFolder,
    ModelRegistry,
    ParquetStore,
    UsedFile,
    file_sha256,
    is_written_by_hand,
    load_snapshot,
    load_surface_histories,
    naming_written_market,
    read_toml,
    require_plausible,
    snapshot_from_toml,
    synthetic_folder,
)

FREQUENCIES = {"1d": 86_400, "1h": 3_600, "1min": 60}


@dataclass(frozen=True)
class Workspace:
    """The settings, the store and the data folder of a command."""

    settings: Settings
    store: ParquetStore
    data: DataFolder


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
    workspace: Workspace, snapshot: str | None
) -> tuple[MarketSnapshot, list[UsedFile]]:
    """Return a market snapshot and the files used; store the snapshot under its id.

    `snapshot` is the ISO 8601 time of a recorded snapshot or the path of a TOML file; None for the
    latest snapshot.

    Raises
    ------
    MissingMarketData, InvalidMarketData
        If the snapshot does not exist or cannot be read.
    InvalidParameters
        If the text is neither a time nor ends in ".toml".
    """
    if is_written_by_hand(snapshot):
        path = Path(snapshot)
        written = snapshot_from_toml(path)
        workspace.store.put("market_snapshots", written.id, snapshot_to_table(written))
        return written, [UsedFile("snapshot", snapshot, file_sha256(path))]
    time = None if snapshot is None else time_from_text(snapshot)
    loaded = load_snapshot(workspace.data.chains, time, workspace.data.root)
    workspace.store.put("snapshots", loaded.id, snapshot_to_chain(loaded))
    workspace.store.put("market_snapshots", loaded.id, snapshot_to_table(loaded))
    return loaded, [UsedFile("option chain", loaded.origin, file_sha256(Path(loaded.origin)))]


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
        )
        history.used += [
            UsedFile("chain history", str(c.path), file_sha256(c.path))
            for c in workspace.data.chains
            if c.times[0] <= stamp_of(time)
        ]
        history.remarks += left_out
    if model.scenarios.surface_moves != "none":
        index = load_volatility_indices(workspace, model, history)
    progress("Building scenarios", 0, 0)
    scenarios = build_model_scenarios(
        history.grids,
        model,
        as_of=stamp_of(time),
        sections=needs_of(model).sections,
        surfaces=surfaces,
        vol_index=index,
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
    return out


def load_scenarios(workspace: Workspace, scenarios_id: str) -> ScenarioSet:
    """Return a scenario set of the store; raises InvalidMarketData if the store lacks it."""
    table = workspace.store.get("scenarios", scenarios_id)
    return scenario_set_from_table(table, where=f"scenario set {scenarios_id}")


@dataclass(frozen=True)
class RunRequest:
    """Arguments of `margin run`."""

    snapshot: str | None
    """As in `load_market`."""
    book: Path | None
    """File of positions; None for the book and collateral of the data folder."""
    collateral: Path | None
    model: ModelParameters
    scenarios_id: str | None = None
    """Id of a stored scenario set; None to build one."""
    keep_pnl: bool | None = None
    """Keep every profit; None: keep them for books of up to 1,000 accounts."""
    unknown_accounts: UnknownAccounts = "refuse"
    """Treatment of collateral of accounts that are not in the book's file."""


KEEP_PNL_ACCOUNTS_MAX = 1000


def run_margin(
    workspace: Workspace, request: RunRequest, *, progress: ProgressCallback = no_progress
) -> CalculationOutput:
    """Return the margins of a book with everything that a report needs."""
    model = request.model
    ModelRegistry(workspace.store.root).use(model)
    progress("Reading the snapshot", 0, 0)
    snapshot, used = load_market(workspace, request.snapshot)
    progress("Reading the book", 0, 0)
    held = load_holdings(workspace, request, snapshot)
    book, deposits = held.book, held.collateral
    if request.scenarios_id is None:
        scenarios, history = build_scenarios(workspace, model, snapshot.time, progress=progress)
    else:
        scenarios = load_scenarios(workspace, request.scenarios_id)
        history = History({}, [], [], ["Index prices were not compared with a price history"])
    require_plausible(snapshot, history.grids, model, source=request.snapshot)
    progress("Fitting smiles", 0, 0)
    surfaces = fit_model_surfaces(snapshot, model)
    margined = book if deposits is None else with_collateral(book, deposits, model)
    if margined is not book:
        workspace.store.put("books", margined.id, book_to_table(margined))
    keep = request.keep_pnl
    if keep is None:
        keep = len(book.accounts) <= KEEP_PNL_ACCOUNTS_MAX
    progress("Revaluing every account", 0, 0)
    with named_input("book", str(held.path)), naming_written_market(request.snapshot):
        result = calculate_margin(
            snapshot,
            scenarios,
            margined,
            model,
            surfaces=surfaces,
            keep_pnl=keep,
            threads=workspace.settings.threads,
            expired_days_max=model.quality.expired_days_max,
        )
    equity = None
    if deposits is not None:
        equity = collateral_equity(
            deposits,
            snapshot,
            result.book,
            model,
            other_accounts={*held.accounts, *held.unknown_accounts},
        )
        history.remarks += held.remarks
    shown = surfaces or _display_surfaces(snapshot, history.remarks)
    return CalculationOutput(
        result=result,
        model=model,
        snapshot=snapshot,
        scenarios=scenarios,
        surfaces=shown,
        quality=tuple(history.reports),
        equity=equity,
        files=(*used, *held.used, *history.used),
        unknown_accounts=held.unknown_accounts,
        remarks=tuple(history.remarks),
    )


def _display_surfaces(snapshot: MarketSnapshot, remarks: list[str]) -> dict[str, VolatilitySurface]:
    """Return fitted surfaces for display only; if none can be fitted, append a remark."""
    try:
        return fit_surfaces(snapshot)
    except MarginError as error:
        remarks.append(f"No smiles are shown: {error.summary}; the model does not use them")
        return {}


def load_book(
    workspace: Workspace, request: RunRequest, as_of: datetime
) -> tuple[Book, Path, list[UsedFile]]:
    """Return the book of a request (or of the data folder), its path and the files used.

    Raises
    ------
    InvalidPortfolio
        With every row that cannot be used, including expired and unknown instruments.
    """
    path = request.book or workspace.data.default_book()[0]
    found = read_book(workspace.store, path, as_of=as_of)
    return found.book, found.path, list(found.used)


def load_holdings(workspace: Workspace, request: RunRequest, snapshot: MarketSnapshot) -> Holdings:
    """Return the positions and collateral of a request, checked against each other."""
    book, collateral = workspace.data.default_book()
    held = read_book(workspace.store, request.book or book)
    path = request.collateral or (collateral if request.book is None else None)
    if path is None:
        return held
    return with_collateral_file(held, path, snapshot, unknown_accounts=request.unknown_accounts)


__all__ = [
    "History",
    "MarginResult",
    "RunRequest",
    "Workspace",
    "build_scenarios",
    "load_history",
    "load_holdings",
    "load_market",
    "load_model",
    "load_scenarios",
    "open_workspace",
    "require_quality",
    "run_margin",
    "stamp_of",
    "time_from_text",
]
