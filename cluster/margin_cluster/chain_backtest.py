"""Backtest of the whole requirement on recorded option chains."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from margin_actors.engine.backtest import (
    BENCHMARK,
    CoverageRow,
    ExceededRequirement,
    GroupDay,
    IndexPath,
    MemberDay,
    PooledCoverage,
    RecordedBook,
    RequirementHistory,
    Responsiveness,
    coverage,
    exceeded_requirements,
    group_days,
    member_days,
    pooled_coverage,
    requirement_date,
    responsiveness_of,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidParameters, InvalidRequest, MarginError, Problem
from margin_actors.market.portfolios import collateral_from_table
from margin_actors.progress import ProgressCallback, no_progress
from margin_cluster.holdings import read_book
from margin_cluster.pool import results_of
from margin_cluster.recorded_margins import (
    KIND,
    date_from_table,
    date_id,
    date_to_table,
    market_digest,
    study_id,
)
from margin_cluster.recorded_markets import (
    always_listed,
    index_paths,
    snapshot_pairs,
    utc,
)
from margin_cluster.settings import Settings
from margin_cluster.sources import ModelRegistry, load_surface_histories, read_table
from margin_cluster.wiring import Workspace, build_scenarios, load_market, open_workspace, stamp_of

DATES_MIN = 3
_SKIPPED_SHOWN = 3


@dataclass(frozen=True)
class ChainBacktestRequest:
    """Arguments of a backtest on recorded chains."""

    model: ModelParameters
    books: tuple[Path, ...]
    """Files of positions, each held unchanged over all dates."""
    collateral: tuple[Path, ...]
    """Files of deposits: none, or one per book in the same order."""
    first: datetime
    last: datetime | None
    hour: int = 0
    """Hour, UTC, that the chain of a day is closest to."""
    every: bool = False
    """Use all recorded chains instead of one per day."""
    processes: int = 1


@dataclass(frozen=True)
class SkippedDate:
    """A date that could not be margined."""

    time: np.datetime64
    reason: str


@dataclass(frozen=True)
class ChainBacktest:
    """A finished backtest of the whole requirement."""

    model: ModelParameters
    history: RequirementHistory
    skipped: tuple[SkippedDate, ...]
    first_reason: str
    """Why the first date is the first, a sentence."""
    last_reason: str
    """Why the last date is the last, a sentence."""
    resumed: int
    """Number of dates that were taken from the store."""

    @cached_property
    def coverage(self) -> tuple[CoverageRow, ...]:
        """Coverage of every portfolio, account and member."""
        return coverage(self.history, self.model.measure.confidence)

    @cached_property
    def pooled(self) -> tuple[PooledCoverage, ...]:
        """Coverage of all accounts of each group together."""
        return pooled_coverage(self.history)

    @cached_property
    def exceptions(self) -> tuple[ExceededRequirement, ...]:
        """Every loss greater than the requirement."""
        return exceeded_requirements(self.history)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The benchmark portfolios and the books, by name."""
        return tuple(dict.fromkeys(p.group for p in self.pooled))

    @cached_property
    def days(self) -> tuple[GroupDay, ...]:
        """Every group on every date, by group."""
        return tuple(d for group in self.groups for d in group_days(self.history, group))

    @cached_property
    def members(self) -> tuple[MemberDay, ...]:
        """Members and dates with losses above margin or collateral; not of benchmarks."""
        return tuple(m for m in member_days(self.history) if m.group != BENCHMARK)

    @cached_property
    def responsiveness(self) -> Responsiveness:
        """Changes of the margins of positions that do not change."""
        return responsiveness_of(self.history)

    def verdict(self) -> tuple[str, ...]:
        """Return the result in sentences: coverage by the requirement, then by the core."""
        level = self.model.measure.confidence
        sums = {
            m: [sum(getattr(p, f) for p in self.pooled if p.measure == m)
                for f in ("observations", "exceptions")]
            for m in ("requirement", "core")
        }  # fmt: skip
        (pairs, exceptions), (_, of_core) = sums["requirement"], sums["core"]
        windows = max(p.windows for p in self.pooled)
        listed = "no exception" if not exceptions else f"{_counted(exceptions, 'exception')}"
        tail = ", listed below" if exceptions else ""
        last = self.history.time.size - 1
        return (
            f"The requirement covered {_share(pairs, exceptions)} of {pairs:,} account-dates "
            f"(level of the model: {100 * level:g} %); {listed}{tail}.",
            f"The core alone covered {_share(pairs, of_core)}; losses greater than it: "
            f"{of_core:,}.",
            f"The effective sample is {windows:,} margin periods that do not overlap, from "
            f"{_day(self.history.time[0])} to {_day(self.history.time[last])}; losses of accounts "
            "on one date have common causes, so that account-dates are not independent.",
        )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _share(pairs: int, exceptions: int) -> str:
    """Return the covered share in percent, rounded down, so that 100 % means every pair."""
    return f"{np.floor(1e5 * (1.0 - exceptions / pairs)) / 1e3:.3f} %" if exceptions else "100 %"


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]"))


def run_chain_backtest(
    workspace: Workspace,
    request: ChainBacktestRequest,
    *,
    progress: ProgressCallback = no_progress,
) -> ChainBacktest:
    """Return the backtest of the benchmark portfolios and of books on the recorded chains.

    Every finished date is stored under the ids of all its inputs, so that an interrupted backtest
    continues where it stopped.

    Raises
    ------
    InvalidParameters
        If fewer than three dates can be margined.
    InvalidRequest
        If there are collateral files, but not one per book, or two books have the same name.
    """
    model = request.model
    ModelRegistry(workspace.store.root).use(model)
    books = _load_books(workspace, request)
    pairs = snapshot_pairs(
        workspace, request.first, request.last, model.horizon_hours_total,
        hour=request.hour, every=request.every,
    )  # fmt: skip
    _require_dates(len(pairs), [], request)
    progress("Reading the recorded chains", 0, 0)
    listed = always_listed(workspace.data.chains, [t for pair in pairs for t in pair])
    _prepare_surfaces(workspace, model, pairs[-1][0], progress)
    study = _study(workspace, model, books, listed)
    store = workspace.store
    missing = [p for p in pairs if not store.has(KIND, date_id(study, p))]
    resumed = len(pairs) - len(missing)
    progress("Margining dates", resumed, len(pairs))
    threads = max(workspace.settings.threads // max(request.processes, 1), 1)
    index = index_paths(workspace.data.chains) if missing else {}
    work = _Work(
        workspace.settings, workspace.data.root, model, books, index, listed, study, threads
    )
    begin = partial(_begin, work)
    faults: dict[np.datetime64, str] = {}
    done = results_of(_margin_date, missing, begin=begin, processes=request.processes)
    for number, (pair, fault) in enumerate(zip(missing, done, strict=True)):
        if fault:
            faults[pair[0]] = fault
        progress("Margining dates", resumed + number + 1, len(pairs))
    skipped = [SkippedDate(now, faults[now]) for now, _ in pairs if now in faults]
    kept = [p for p in pairs if p[0] not in faults]
    _require_dates(len(kept), skipped, request)
    dates = [date_from_table(store.get(KIND, date_id(study, p))) for p in kept]
    return ChainBacktest(
        model,
        RequirementHistory(tuple(dates)),
        tuple(skipped),
        _first_reason(request, pairs, kept, skipped),
        _last_reason(request, kept, model),
        resumed,
    )


def _study(
    workspace: Workspace,
    model: ModelParameters,
    books: Sequence[RecordedBook],
    listed: Sequence[str],
) -> str:
    """Return the id of everything that the dates of a backtest depend on."""
    return study_id(
        {
            "model": model.id,
            "market": market_digest(workspace.data),
            "books": [[b.name, b.book.id] for b in books],
            "collateral": [_collateral_content(b) for b in books],
            "listed": list(listed),
        }
    )


def _load_books(workspace: Workspace, request: ChainBacktestRequest) -> tuple[RecordedBook, ...]:
    names = [path.name.split(".")[0] for path in request.books]
    repeated = sorted({n for n in names if names.count(n) > 1 or n == BENCHMARK})
    if repeated:
        raise InvalidRequest(
            "each book needs a name of its own",
            [Problem("--book", name, "rename the file") for name in repeated],
        )
    if request.collateral and len(request.collateral) != len(request.books):
        raise InvalidRequest(
            "there must be one file of collateral per book",
            [
                Problem(
                    "--collateral",
                    f"{len(request.collateral)} files for {len(request.books)} books",
                    "give one per --book, in the same order, or none",
                )
            ],
        )
    found: list[RecordedBook] = []
    for i, (name, path) in enumerate(zip(names, request.books, strict=True)):
        collateral = None
        if request.collateral:
            table = read_table(request.collateral[i], what="collateral", error=InvalidRequest)
            collateral = collateral_from_table(table, where=str(request.collateral[i]))
        found.append(RecordedBook(name, read_book(workspace.store, path).book, collateral))
    return tuple(found)


def _collateral_content(book: RecordedBook) -> list[object]:
    c = book.collateral
    return [] if c is None else [list(c.account_ids), list(c.assets), list(map(float, c.amounts))]


def _prepare_surfaces(
    workspace: Workspace, model: ModelParameters, last: np.datetime64, progress: ProgressCallback
) -> None:
    """Fit the surfaces of all chains up to the last date once, so that processes find them."""
    if model.scenarios.surface_moves == "history":
        load_surface_histories(
            workspace.data.chains,
            model.scenarios.underlyings,
            until=utc(last),
            store=workspace.store,
            threads=workspace.settings.threads,
            advance=lambda done, total: progress("Fitting past surfaces", done, total),
        )


@dataclass(frozen=True)
class _Work:
    """What a process needs to margin dates."""

    settings: Settings
    root: Path
    model: ModelParameters
    books: tuple[RecordedBook, ...]
    index: dict[str, IndexPath]
    listed: tuple[str, ...]
    study: str
    threads: int


_work: list[tuple[_Work, Workspace]] = []


def _begin(work: _Work) -> None:
    _work[:] = [(work, open_workspace(work.settings, work.root))]


def _margin_date(pair: tuple[np.datetime64, np.datetime64]) -> str:
    """Margin one date and store the result; return why that is not possible, or nothing."""
    work, workspace = _work[0]
    try:
        now, then = (load_market(workspace, utc(t).isoformat())[0] for t in pair)
        scenarios, _ = build_scenarios(workspace, work.model, now.time)
        date = requirement_date(
            now, then, work.books, work.model, scenarios, work.index,
            always_listed=work.listed, threads=work.threads,
        )  # fmt: skip
    except MarginError as fault:
        first = fault.problems[0] if fault.problems else None
        return fault.summary + (f" ({first.what})" if first is not None else "")
    workspace.store.put(KIND, date_id(work.study, pair), date_to_table(date))
    return ""


def _require_dates(
    count: int, skipped: Sequence[SkippedDate], request: ChainBacktestRequest
) -> None:
    if count >= DATES_MIN:
        return
    problems = [
        Problem(
            "--from, --to",
            "a date needs a chain and another one a margin period later",
            "choose a longer period, or add chains to the data folder",
        )
    ]
    problems += [Problem(_day(s.time), s.reason) for s in skipped[:_SKIPPED_SHOWN]]
    raise InvalidParameters(
        f"the recorded chains give {count} dates from {request.first:%Y-%m-%d} on, and a backtest "
        f"needs at least {DATES_MIN}",
        problems,
    )


def _first_reason(
    request: ChainBacktestRequest,
    pairs: Sequence[tuple[np.datetime64, np.datetime64]],
    kept: Sequence[tuple[np.datetime64, np.datetime64]],
    skipped: Sequence[SkippedDate],
) -> str:
    first = kept[0][0]
    before = [s for s in skipped if s.time < first]
    if before:
        return (
            f"The first date is {_day(first)}: {len(before)} earlier dates from "
            f"{_day(before[0].time)} on cannot be margined, the last of them because "
            f"{before[-1].reason}."
        )
    if _day(pairs[0][0]) == f"{request.first:%Y-%m-%d}":
        return f"The first date is {_day(first)}, as asked for."
    return f"The first date is {_day(first)}: the first recorded chain with an outcome."


def _last_reason(
    request: ChainBacktestRequest,
    kept: Sequence[tuple[np.datetime64, np.datetime64]],
    model: ModelParameters,
) -> str:
    now, then = kept[-1]
    if request.last is not None and now + np.timedelta64(36, "h") > stamp_of(request.last):
        return f"The last date is {_day(now)}: the last chain asked for."
    return (
        f"The last date is {_day(now)}: its outcome is known on {_day(then)}, and no later date "
        f"has a chain {model.horizon_hours_total:g} hours later."
    )
