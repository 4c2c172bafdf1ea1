"""Effect of a new model version on the requirements of a book, on one or several dates.

The requirement is the sum of its components, so the change of an account is attributed to them
exactly: the change of each component, where one that only one model has counts as 0 in the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, TimeArray
from margin_actors.engine.backtest.outcomes import listed_instruments
from margin_actors.engine.backtest.recorded_books import (
    group_of,
    is_unchanged,
    joined,
    unchanged_name,
    unchanged_part,
)
from margin_actors.engine.backtest.responsiveness import daily_changes, path_statistics
from margin_actors.engine.margin import (
    MarginResult,
    calculate_margin,
    collateral_equity,
    with_collateral,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book, accounts_of_positions, select_positions
from margin_actors.market.portfolios import Collateral
from margin_actors.market.snapshots import MarketSnapshot

_BOOK = "book"


@dataclass(frozen=True, kw_only=True)
class ModelDate:
    """Requirements of a book under one model on one date.

    Arrays are float64 (n_accounts,) in US dollars unless stated otherwise.
    """

    time: np.datetime64
    """Valuation time, datetime64[ms], UTC."""
    snapshot_id: str
    scenarios_id: str
    model_id: str
    digest: str
    """Digest of the margins."""
    accounts: tuple[str, ...]
    """``book/account``, then the unchanged parts of accounts."""
    members: tuple[str, ...]
    core_usd: FloatArray
    """float64 (n_accounts,), US dollars: core measure."""
    requirement_usd: FloatArray
    """float64 (n_accounts,), US dollars: whole requirement."""
    excess_usd: FloatArray
    """float64 (n_accounts,), US dollars: deposits after haircut + option value - requirement; NaN
    without collateral."""
    components: tuple[str, ...]
    components_usd: FloatArray
    """float64 (n_accounts, n_components), US dollars."""
    left_out: int
    """Number of positions that had expired or are not listed on the date."""
    failures: tuple[tuple[str, str], ...]
    """(account, reason) of the accounts that could not be margined."""


def model_date(
    now: MarketSnapshot,
    book: Book,
    model: ModelParameters,
    scenarios: ScenarioSet,
    *,
    collateral: Collateral | None = None,
    always_listed: Sequence[str] = (),
    threads: int = 1,
) -> ModelDate:
    """Return the requirements of a book under one model on one date.

    Parameters
    ----------
    now : MarketSnapshot
    book : Book
        Positions in contracts that have expired or are not listed with a mark are left out.
    model : ModelParameters
    scenarios : ScenarioSet
        The model's set as of `now`.
    collateral : Collateral, optional
        Deposits of the accounts.
    always_listed : sequence of str
        Options and futures that all dates list; accounts restricted to them are margined as well.
    threads : int

    Raises
    ------
    InvalidPortfolio, InvalidScenario, MissingMarketData
        As `calculate_margin`, if no account can be margined.
    """
    held = book if collateral is None else with_collateral(book, collateral, model)
    listed = _listed(held, now)
    groups = [(_BOOK, listed)]
    if always_listed:
        groups.append((unchanged_name(_BOOK), _listed(unchanged_part(held, always_listed), now)))
    result = calculate_margin(
        now, scenarios, joined([g for g in groups if g[1].n_positions]), model, threads=threads
    )
    margins, names = result.margins, result.book.accounts
    excess = _excess(book, collateral, now, model, result)
    return ModelDate(
        time=np.datetime64(now.time.replace(tzinfo=None), "ms"),
        snapshot_id=now.id,
        scenarios_id=scenarios.id,
        model_id=model.id,
        digest=result.digest,
        accounts=names,
        members=result.book.members,
        core_usd=margins.core_usd,
        requirement_usd=margins.initial_margin_usd,
        excess_usd=excess,
        components=margins.components,
        components_usd=margins.components_usd,
        left_out=held.n_positions - listed.n_positions,
        failures=tuple(
            (f.account_id, p.description) for f in result.failures for p in f.problems[:1]
        ),
    )


def _excess(
    book: Book,
    collateral: Collateral | None,
    now: MarketSnapshot,
    model: ModelParameters,
    result: MarginResult,
) -> FloatArray:
    """Return the excess of each account, float64 (n_accounts,), US dollars; NaN if unknown."""
    names, margins = result.book.accounts, result.margins
    excess = np.full(len(names), np.nan)
    if collateral is None:
        return excess
    known = {*book.accounts, *collateral.account_ids}
    units = result.market.unit_values
    is_priced = np.array([name in units for name in book.instruments], np.bool_)
    everyone = np.ones(len(book.accounts), np.bool_)
    priced = select_positions(book, everyone, is_priced[book.instrument_index])
    equity = collateral_equity(
        collateral, now, priced, model, other_accounts=known, unit_values=units
    )
    of = {a: i for i, a in enumerate(book.accounts)}
    for row, name in enumerate(names):
        group, account = group_of(name)
        if group == _BOOK:
            a = of[account]
            value = margins.value_usd[row] - equity.simulated_usd[a]
            excess[row] = equity.counted_usd[a] + value - margins.initial_margin_usd[row]
    return excess


def _listed(book: Book, now: MarketSnapshot) -> Book:
    """Return the positions in contracts that a snapshot lists with a mark."""
    chosen = listed_instruments(book.instruments, now)[book.instrument_index]
    held = np.bincount(accounts_of_positions(book)[chosen], minlength=len(book.accounts)) > 0
    return select_positions(book, held, chosen)


@dataclass(frozen=True)
class ModelImpact:
    """Requirements under two models on the same dates.

    Only accounts that both models margin on a date are compared. Arrays are float64
    (n_dates, n_accounts) in US dollars, NaN if an account was not compared on a date.
    """

    time: TimeArray
    """datetime64[ms] (n_dates,), UTC."""
    accounts: tuple[str, ...]
    members: tuple[str, ...]
    components: tuple[str, ...]
    """Components of either model."""
    old_usd: FloatArray
    """float64 (n_dates, n_accounts), US dollars: requirement under the old model."""
    new_usd: FloatArray
    """float64 (n_dates, n_accounts), US dollars: requirement under the new model."""
    old_components_usd: FloatArray
    """float64 (n_dates, n_accounts, n_components), US dollars; 0 if the model lacks one."""
    new_components_usd: FloatArray
    """float64 (n_dates, n_accounts, n_components), US dollars."""
    old_excess_usd: FloatArray
    """float64 (n_dates, n_accounts), US dollars: NaN also without collateral."""
    new_excess_usd: FloatArray
    """float64 (n_dates, n_accounts), US dollars."""

    @property
    def change_usd(self) -> FloatArray:
        """New less old requirement, float64 (n_dates, n_accounts), US dollars."""
        return self.new_usd - self.old_usd

    @property
    def relative(self) -> FloatArray:
        """Relative changes of all pairs of account and date with an old requirement, (n_pairs,)."""
        used = self.old_usd > 0.0  # False for NaN
        return self.new_usd[used] / self.old_usd[used] - 1.0

    def total(self, date: int) -> tuple[float, float]:
        """Return the sums of the old and of the new requirements of a date, US dollars."""
        return float(np.nansum(self.old_usd[date])), float(np.nansum(self.new_usd[date]))

    def component_totals(self, date: int) -> dict[str, tuple[float, float]]:
        """Return the sums of each component under the old and the new model, US dollars."""
        old, new = (np.nansum(v[date], axis=0) for v in self._both())
        return {
            name: (float(old[k]), float(new[k]))
            for k, name in enumerate(self.components)
            if old[k] != 0.0 or new[k] != 0.0
        }

    def cause(self, date: int, account: int) -> tuple[str, float]:
        """Return the component with the largest absolute change and that change, US dollars."""
        old, new = (v[date, account] for v in self._both())
        k = int(np.abs(new - old).argmax())
        return self.components[k], float(new[k] - old[k])

    def _both(self) -> tuple[FloatArray, FloatArray]:
        return self.old_components_usd, self.new_components_usd

    def falls_into_deficit(self) -> BoolArray:
        """Return where an account is in deficit under the new model only, (n_dates, n_accounts)."""
        return (self.old_excess_usd >= 0.0) & (self.new_excess_usd < 0.0)


def model_impact(
    old: Sequence[ModelDate], new: Sequence[ModelDate], *, unchanged: bool = False
) -> ModelImpact:
    """Return the comparison of two models on the same dates.

    Parameters
    ----------
    old, new : sequences of ModelDate
        The same dates in the same order, at least one.
    unchanged : bool
        Compare the unchanged parts of accounts instead of the accounts.
    """
    assert [d.time for d in old] == [d.time for d in new]
    members: dict[str, str] = {}
    for a, b in zip(old, new, strict=True):
        common = set(a.accounts) & set(b.accounts)
        for name, member in zip(a.accounts, a.members, strict=True):
            if name in common and is_unchanged(group_of(name)[0]) == unchanged:
                members[name] = group_of(member)[1]
    names = tuple(sorted(members))
    components = tuple(dict.fromkeys(c for d in (*old, *new) for c in d.components))
    tables = [_table(dates, names, components) for dates in (old, new)]
    known = np.isfinite(tables[0][0]) & np.isfinite(tables[1][0])
    for own in tables:
        for values in own:
            values[~known] = np.nan
    return ModelImpact(
        np.array([d.time for d in old], "datetime64[ms]"),
        tuple(group_of(name)[1] for name in names),
        tuple(members[name] for name in names),
        components,
        tables[0][0], tables[1][0], tables[0][1], tables[1][1], tables[0][2], tables[1][2],
    )  # fmt: skip


def _table(
    dates: Sequence[ModelDate], names: Sequence[str], components: Sequence[str]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (requirements, components, excess) by date and account; NaN where missing."""
    shape = (len(dates), len(names))
    required, excess = np.full(shape, np.nan), np.full(shape, np.nan)
    amounts = np.full((*shape, len(components)), np.nan)
    for d, date in enumerate(dates):
        row_of = {name: i for i, name in enumerate(date.accounts)}
        columns = [i for i, name in enumerate(names) if name in row_of]
        rows = [row_of[names[i]] for i in columns]
        required[d, columns] = date.requirement_usd[rows]
        excess[d, columns] = date.excess_usd[rows]
        of_date = np.zeros((len(rows), len(components)))
        for k, name in enumerate(components):
            if name in date.components:
                of_date[:, k] = date.components_usd[rows, date.components.index(name)]
        amounts[d, columns] = of_date
    return required, amounts, excess


@dataclass(frozen=True)
class ImpactResponse:
    """Responsiveness of the total of unchanged positions, under both models."""

    accounts: int
    """Number of accounts with positions that every date lists."""
    old_change_95: float
    """95th percentile of the absolute daily changes of their requirements; NaN without two days."""
    new_change_95: float
    old_peak_to_trough: float
    """Of the sum of their requirements."""
    new_peak_to_trough: float


def impact_response(unchanged: ModelImpact) -> ImpactResponse | None:
    """Return the responsiveness of unchanged parts of accounts, None with fewer than two dates."""
    complete = np.isfinite(unchanged.old_usd).all(axis=0) & (
        np.nan_to_num(unchanged.old_usd).min(axis=0, initial=np.inf) > 0.0
    )
    if unchanged.time.size < 2 or not complete.any():
        return None
    found: list[tuple[float, float]] = []
    for values in (unchanged.old_usd, unchanged.new_usd):
        own = values[:, complete]
        changes = [daily_changes(unchanged.time, own[:, a]) for a in range(own.shape[1])]
        pooled = np.abs(np.concatenate(changes))
        total = path_statistics(unchanged.time, own.sum(axis=1))
        change_95 = float(np.quantile(pooled, 0.95)) if pooled.size else float("nan")
        found.append((change_95, total.peak_to_trough))
    (old, old_peak), (new, new_peak) = found
    return ImpactResponse(int(complete.sum()), old, new, old_peak, new_peak)
