"""A run: the margins of a book with everything that its results and report need."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from margin_actors.engine.margin import (
    calculate_margin,
    collateral_equity,
    fit_model_surfaces,
    screened_snapshot,
    with_collateral,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import (
    MarginError,
    named_input,
)
from margin_actors.market.books import Book
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface, fit_surfaces
from margin_actors.progress import ProgressCallback, no_progress
from margin_cluster.archive import book_to_table
from margin_cluster.holdings import Holdings, UnknownAccounts, read_book, with_collateral_file
from margin_cluster.previous_close import PreviousClose, require_earlier
from margin_cluster.results import CalculationOutput
from margin_cluster.sources import (
    ModelRegistry,
    UsedFile,
    naming_written_market,
    require_plausible,
)
from margin_cluster.wiring import (
    History,
    Workspace,
    build_scenarios,
    load_market,
    load_scenarios,
)


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
    previous: PreviousClose | None = None
    """An earlier run with which the report compares; it must be before the snapshot."""


KEEP_PNL_ACCOUNTS_MAX = 1000


def run_margin(
    workspace: Workspace, request: RunRequest, *, progress: ProgressCallback = no_progress
) -> CalculationOutput:
    """Return the margins of a book with everything that a report needs."""
    model = request.model
    ModelRegistry(workspace.store.root).use(model)
    progress("Reading the snapshot", 0, 0)
    published, used = load_market(workspace, request.snapshot, model)
    if request.previous is not None:
        require_earlier(request.previous, published.time)
    snapshot = screened_snapshot(published, model)
    progress("Reading the book", 0, 0)
    held = load_holdings(workspace, request, snapshot)
    book, deposits = held.book, held.collateral
    scenarios, history = _scenarios_of(workspace, request, snapshot.time, progress)
    require_plausible(published, history.grids, model, source=request.snapshot)
    progress("Fitting smiles", 0, 0)
    surfaces = fit_model_surfaces(snapshot, model)
    margined = book if deposits is None else with_collateral(book, deposits, model)
    if margined is not book:
        workspace.store.put("books", margined.id, book_to_table(margined))
    is_small = len(book.accounts) <= KEEP_PNL_ACCOUNTS_MAX
    keep = is_small if request.keep_pnl is None else request.keep_pnl
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
            unit_values=result.market.unit_values,
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
        previous=request.previous,
    )


def _scenarios_of(
    workspace: Workspace, request: RunRequest, time: datetime, progress: ProgressCallback
) -> tuple[ScenarioSet, History]:
    """Return the scenario set of a request, stored or built, and the history used."""
    if request.scenarios_id is None:
        return build_scenarios(workspace, request.model, time, progress=progress)
    remark = "Index prices were not compared with a price history"
    return load_scenarios(workspace, request.scenarios_id), History({}, [], [], [remark])


def _display_surfaces(snapshot: MarketSnapshot, remarks: list[str]) -> dict[str, VolatilitySurface]:
    """Return fitted surfaces for display only; if none can be fitted, append a remark."""
    try:
        return fit_surfaces(snapshot, thin="omit")
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
    workspace.reads.extend(found.used)
    return found.book, found.path, list(found.used)


def load_holdings(workspace: Workspace, request: RunRequest, snapshot: MarketSnapshot) -> Holdings:
    """Return the positions and collateral of a request, checked against each other."""
    book, collateral = workspace.data.default_book()
    held = read_book(workspace.store, request.book or book)
    path = request.collateral or (collateral if request.book is None else None)
    if path is not None:
        unknown = request.unknown_accounts
        held = with_collateral_file(held, path, snapshot, unknown_accounts=unknown)
    workspace.reads.extend(held.used)
    return held


__all__ = [
    "RunRequest",
    "load_holdings",
    "run_margin",
]
