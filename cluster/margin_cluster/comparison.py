"""Margin requirements of a book under several methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from margin_actors.engine.comparison import Comparison, compare_methods
from margin_actors.engine.margin import AccountFailure, assess_unpriced_book, fit_smiles
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import InvalidPortfolio, Problem
from margin_actors.market.books import Book, select_positions
from margin_actors.market.instruments import has_expired
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.progress import ProgressCallback, no_progress
from margin_cluster.runs import RunRequest, load_holdings
from margin_cluster.sources import require_plausible
from margin_cluster.wiring import Workspace, build_scenarios, load_market, load_model

METHODS = ("span", "venue-grid", "hs-surface", "fhs-surface", "mc-surface", "hybrid")
"""Presets that `margin compare` uses by default."""


@dataclass(frozen=True)
class BookComparison:
    """A comparison of methods on the accounts that can be margined under every method."""

    methods: Comparison
    failures: tuple[AccountFailure, ...]
    """Accounts that cannot be margined under at least one method, in the order of account ids."""
    expired_positions: int
    """Number of positions that had expired; they carry no margin."""
    time: datetime
    """Valuation time, UTC."""
    scenarios: Mapping[str, str]
    """Id of the scenario set of each method."""


def run_comparison(
    workspace: Workspace,
    *,
    snapshot: str | None,
    book: Path | None,
    methods: Sequence[str] = METHODS,
    progress: ProgressCallback = no_progress,
) -> BookComparison:
    """Return the requirements of every account under several presets or model files.

    Parameters
    ----------
    workspace : Workspace
    snapshot : str or None
        Time of a recorded snapshot or path of a TOML file; None for the latest snapshot.
    book : Path or None
        File of positions; None for the book of the data folder.
    methods : sequence of str
        Names of presets or paths of TOML files.
    progress : ProgressCallback
        Progress callback.

    Raises
    ------
    InvalidPortfolio
        If no position can be margined under every method.
    """
    models = {name: load_model(name) for name in methods}
    lead = next(iter(models.values()))
    on_curve = (m for m in models.values() if m.revaluation.rates.use == "curve")
    for_gates = any(model.chain_quality.enabled for model in models.values())
    market, _ = load_market(workspace, snapshot, next(on_curve, lead), for_gates=for_gates)
    held = load_holdings(workspace, RunRequest(snapshot, book, None, lead), market)
    sets: dict[str, tuple[ModelParameters, ScenarioSet]] = {}
    built: dict[str, ScenarioSet] = {}
    for name, model in models.items():
        key = repr(
            (model.history, model.scenarios, model.quality, model.procyclicality,
             model.chain_quality)
        )  # fmt: skip
        if key not in built:
            built[key], history = build_scenarios(workspace, model, market.time, progress=progress)
            require_plausible(market, history.grids, model, source=snapshot)
        sets[name] = (model, built[key])
    progress("Assessing the book", 0, 0)
    margined, failures, expired = _margined_by_all(held.book, market, sets)
    if margined.n_positions == 0:
        problems = [
            Problem(f"{held.path}, account {f.account_id}", p.description)
            for f in failures
            for p in f.problems
        ]
        problems = problems or [Problem(str(held.path), "every position has expired")]
        raise InvalidPortfolio("no position can be margined by every method", problems)
    threads = workspace.settings.threads
    compared = compare_methods(market, margined, sets, threads=threads, progress=progress)
    ids = {name: found.id for name, (_, found) in sets.items()}
    return BookComparison(compared, failures, expired, market.time, ids)


def _margined_by_all(
    book: Book, market: MarketSnapshot, sets: Mapping[str, tuple[ModelParameters, ScenarioSet]]
) -> tuple[Book, tuple[AccountFailure, ...], int]:
    """Return (book of accounts that can be margined, failures, number of expired positions)."""
    failures: dict[str, AccountFailure] = {}
    expired = 0
    for model, scenarios in sets.values():
        smiles = fit_smiles(market, model)
        days = model.quality.expired_days_max
        found = assess_unpriced_book(book, market, scenarios, model, smiles, expired_days_max=days)
        failures = {f.account_id: f for f in found.failures} | failures
        expired = found.expired_positions
    if not failures and not expired:
        return book, (), 0
    chosen = np.array([a not in failures for a in book.accounts], np.bool_)
    past = np.array([has_expired(name, market.time) for name in book.instruments], np.bool_)
    margined = select_positions(book, chosen, ~past[book.instrument_index])
    return margined, tuple(failures[a] for a in sorted(failures)), expired
