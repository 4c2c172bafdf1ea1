"""Coverage of the whole requirement and of its core: tests, exceptions and responsiveness.

The requirement and the core are tested against the same losses. Windows of consecutive dates
overlap, so that the tests of coverage and independence use the dates whose windows do not; shares
and severities use all dates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.backtest.recorded_books import BENCHMARK, group_of, is_unchanged
from margin_actors.engine.backtest.requirement_date import summed_by
from margin_actors.engine.backtest.requirement_history import (
    CENT_USD,
    RequirementHistory,
    separate_rows,
)
from margin_actors.engine.backtest.responsiveness import (
    PathStatistics,
    daily_changes,
    days_apart,
    path_statistics,
)
from margin_actors.engine.backtest.statistics import ExceptionTest, judge, kupiec

Measure: TypeAlias = Literal["core", "requirement"]
MEASURES: tuple[Measure, ...] = ("core", "requirement")
Scope: TypeAlias = Literal["portfolio", "account", "member"]
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class CoverageRow:
    """Coverage of one portfolio, account or member by one measure."""

    scope: Scope
    group: str
    name: str
    measure: Measure
    observations: int
    """Number of dates; their windows overlap."""
    exceptions: int
    """Number of these dates whose loss is greater than the measure."""
    severity_mean: float
    """Mean over these exceptions of (loss - measure) / measure; 0 if there are none."""
    severity_max: float
    """Largest of them."""
    test: ExceptionTest
    """Tests over the dates whose windows do not overlap."""
    rejected_from: int
    """Least number of exceptions in windows that do not overlap at which Kupiec's test rejects the
    coverage as too low at the 5 % level."""

    @property
    def covered(self) -> float:
        """Share of the dates on which the loss did not exceed the measure."""
        return 1.0 - self.exceptions / self.observations


def rejected_from(days: int, confidence: float) -> int:
    """Return the least number of exceptions that Kupiec's test rejects as too many at 5 %.

    Examples
    --------
    >>> rejected_from(252, 0.99)
    7
    """
    expected = days * (1.0 - confidence)
    for exceptions in range(days + 1):
        if exceptions > expected and kupiec(exceptions, days, confidence)[1] < _SIGNIFICANT:
            return exceptions
    return days + 1


def coverage(history: RequirementHistory, confidence: float) -> tuple[CoverageRow, ...]:
    """Return the coverage of every portfolio, account and member, by core and by requirement.

    A member's loss is the sum of the losses less the profits of its accounts; it is compared with
    the sum of their measures. `confidence` is the level that the requirement is meant to have.
    """
    rows: list[CoverageRow] = []
    measures = {"core": history.core_usd, "requirement": history.requirement_usd}
    for a in np.flatnonzero(history.is_tested).tolist():
        group, name = group_of(history.accounts[a])
        scope: Scope = "portfolio" if group == BENCHMARK else "account"
        for measure in MEASURES:
            profit, margin = history.profit_usd[:, a], measures[measure][:, a]
            rows.append(_row(history, scope, group, name, measure, profit, margin, confidence))
    return (*rows, *_member_rows(history, measures, confidence))


def _member_rows(
    history: RequirementHistory, measures: Mapping[str, FloatArray], confidence: float
) -> list[CoverageRow]:
    chosen = [
        a for a in np.flatnonzero(history.is_tested).tolist()
        if group_of(history.accounts[a])[0] != BENCHMARK
    ]  # fmt: skip
    if not chosen:
        return []
    members = [history.members[a] for a in chosen]
    present = summed_by(members, np.isfinite(history.profit_usd[:, chosen]).T.astype(np.float64))

    def summed(values: FloatArray) -> FloatArray:
        total = summed_by(members, np.nan_to_num(values[:, chosen].T))
        return np.where(present > 0.0, total, np.nan)

    profit = summed(history.profit_usd)
    sums = {measure: summed(values) for measure, values in measures.items()}
    rows: list[CoverageRow] = []
    for i, member in enumerate(dict.fromkeys(members)):
        group, name = group_of(member)
        rows += [
            _row(history, "member", group, name, measure, profit[i], sums[measure][i], confidence)
            for measure in MEASURES
        ]
    return rows


def _row(
    history: RequirementHistory,
    scope: Scope,
    group: str,
    name: str,
    measure: Measure,
    profit_usd: FloatArray,
    margin_usd: FloatArray,
    confidence: float,
) -> CoverageRow:
    known = np.flatnonzero(np.isfinite(profit_usd) & np.isfinite(margin_usd))
    rows: IntArray = known[separate_rows(history.time[known], history.end[known])]
    limit = margin_usd + CENT_USD
    every = judge(profit_usd[known], limit[known], confidence)
    test = judge(profit_usd[rows], limit[rows], confidence)
    return CoverageRow(
        scope, group, name, measure, every.days, every.exceptions, every.severity_mean,
        every.severity_max, test, rejected_from(test.days, confidence),
    )  # fmt: skip


@dataclass(frozen=True)
class ExceededRequirement:
    """A loss greater than the requirement, US dollars."""

    group: str
    account: str
    member: str
    time: np.datetime64
    end: np.datetime64
    loss_usd: float
    core_usd: float
    requirement_usd: float

    @property
    def above_usd(self) -> float:
        """Loss above the requirement."""
        return self.loss_usd - self.requirement_usd


def exceeded_requirements(history: RequirementHistory) -> tuple[ExceededRequirement, ...]:
    """Return every loss greater than the requirement, by date, then by account."""
    found: list[ExceededRequirement] = []
    losses = -history.profit_usd
    with np.errstate(invalid="ignore"):  # NaN is not an exception
        hits = (losses > history.requirement_usd + CENT_USD) & history.is_tested[None, :]
    for d, a in np.argwhere(hits).tolist():
        group, account = group_of(history.accounts[a])
        found.append(
            ExceededRequirement(
                group,
                account,
                group_of(history.members[a])[1],
                history.time[d],
                history.end[d],
                float(losses[d, a]),
                float(history.core_usd[d, a]),
                float(history.requirement_usd[d, a]),
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class PooledCoverage:
    """Coverage of all accounts of a group over all dates."""

    group: str
    measure: Measure
    observations: int
    """Number of pairs of account and date."""
    exceptions: int
    dates: int
    dates_with_exceptions: int
    """Exceptions of one date have one cause, so that they are not independent."""
    windows: int
    """Number of dates whose windows do not overlap."""

    @property
    def covered(self) -> float:
        """Share of the pairs whose loss did not exceed the measure."""
        return 1.0 - self.exceptions / self.observations


def pooled_coverage(history: RequirementHistory) -> tuple[PooledCoverage, ...]:
    """Return the coverage of each tested group by core and by requirement."""
    rows: list[PooledCoverage] = []
    for group in history.groups:
        if is_unchanged(group):
            continue
        own = history.of_group(group)
        losses = -history.profit_usd[:, own]
        known = np.isfinite(losses)
        dates = np.flatnonzero(known.any(axis=1))
        windows = separate_rows(history.time[dates], history.end[dates]).size
        for measure in MEASURES:
            values = history.core_usd if measure == "core" else history.requirement_usd
            with np.errstate(invalid="ignore"):  # NaN is not an exception
                hits = losses > values[:, own] + CENT_USD
            rows.append(
                PooledCoverage(
                    group,
                    measure,
                    int(known.sum()),
                    int(hits.sum()),
                    dates.size,
                    int(hits.any(axis=1).sum()),
                    windows,
                )
            )
    return tuple(rows)


@dataclass(frozen=True)
class ResponsivenessOfAccount:
    """Changes of the margin of an account whose positions do not change."""

    group: str
    name: str
    core: PathStatistics
    requirement: PathStatistics


@dataclass(frozen=True)
class Responsiveness:
    """Changes of margins of accounts whose positions do not change."""

    accounts: tuple[ResponsivenessOfAccount, ...]
    """Benchmark portfolios, in fractions of the index, and unchanged parts of accounts, in US
    dollars."""
    changes: int
    """Number of daily changes of unchanged parts."""
    core_change_95: float
    """95th percentile of the absolute daily changes of the core over all unchanged parts, as a
    fraction of the earlier core; NaN if there are none."""
    requirement_change_95: float
    """The same of the whole requirement."""
    component_change_95: Mapping[str, float]
    """By component, the 95th percentile of its absolute daily change as a fraction of the whole
    requirement of the earlier date."""

    @property
    def ratio(self) -> float:
        """`requirement_change_95` divided by `core_change_95`."""
        return self.requirement_change_95 / self.core_change_95


def responsiveness_of(history: RequirementHistory) -> Responsiveness:
    """Return the changes of the benchmark portfolios and of the unchanged parts of accounts."""
    rows: list[ResponsivenessOfAccount] = []
    changes: dict[str, list[FloatArray]] = {"core": [], "requirement": []}
    parts: list[int] = []
    for a, account in enumerate(history.accounts):
        group, name = group_of(account)
        if group != BENCHMARK and not is_unchanged(group):
            continue
        known = np.flatnonzero(np.isfinite(history.requirement_usd[:, a]))
        time = history.time[known]
        scale = np.ones(known.size)
        if group == BENCHMARK:
            scale = np.array([history.dates[d].index_usd for d in known.tolist()])
        core, whole = (m[known, a] / scale for m in (history.core_usd, history.requirement_usd))
        if known.size < 2 or not (whole > 0.0).all():
            continue
        rows.append(
            ResponsivenessOfAccount(
                group, name, path_statistics(time, core), path_statistics(time, whole)
            )
        )
        if is_unchanged(group):
            parts.append(a)
            changes["core"].append(daily_changes(time, core))
            changes["requirement"].append(daily_changes(time, whole))
    pooled = {m: np.abs(np.concatenate([np.empty(0), *found])) for m, found in changes.items()}
    return Responsiveness(
        tuple(rows),
        pooled["requirement"].size,
        _percentile_95(pooled["core"]),
        _percentile_95(pooled["requirement"]),
        _component_changes(history, parts),
    )


def _component_changes(history: RequirementHistory, parts: list[int]) -> dict[str, float]:
    before, after = days_apart(history.time, 1.0)
    whole = history.requirement_usd[:, parts][before]
    out: dict[str, float] = {}
    for name in history.components:
        amounts = history.component_usd(name)[:, parts]
        with np.errstate(invalid="ignore", divide="ignore"):  # NaN and zero margins are left out
            relative = np.abs(amounts[after] - amounts[before]) / whole
        out[name] = _percentile_95(relative[np.isfinite(relative)])
    return out


def _percentile_95(values: FloatArray) -> float:
    return float(np.quantile(values, 0.95)) if values.size else float("nan")
