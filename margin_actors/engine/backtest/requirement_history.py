"""Requirements and outcomes of all recorded dates as arrays by date and account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray, TimeArray
from margin_actors.engine.backtest.recorded_books import group_of, is_unchanged
from margin_actors.engine.backtest.requirement_date import RequirementDate, covers, summed_by

CENT_USD = 0.01
"""A loss exceeds a measure if it is more than a cent greater: a long option that loses its whole
value may do so by a rounding."""
FUND_DAYS = 30
"""Days over which the default fund is the largest stress loss of two members."""


@dataclass(frozen=True)
class RequirementHistory:
    """Consecutive dates of one model; arrays are float64 (n_dates, n_accounts), US dollars.

    An entry is NaN if the account held no position with an outcome on the date, or could not be
    margined.
    """

    dates: tuple[RequirementDate, ...]
    """Ascending in time, at least one."""

    @cached_property
    def time(self) -> TimeArray:
        """datetime64[ms] (n_dates,), UTC: valuation times."""
        return np.array([d.time for d in self.dates], "datetime64[ms]")

    @cached_property
    def end(self) -> TimeArray:
        """datetime64[ms] (n_dates,), UTC: ends of the margin periods of risk."""
        return np.array([d.end for d in self.dates], "datetime64[ms]")

    @cached_property
    def _members(self) -> Mapping[str, str]:
        return {a: m for d in self.dates for a, m in zip(d.accounts, d.members, strict=True)}

    @cached_property
    def accounts(self) -> tuple[str, ...]:
        """All accounts, ``group/account``, n_accounts, in the order of first appearance."""
        return tuple(self._members)

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Member of each account, ``group/member``."""
        return tuple(self._members.values())

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Groups of accounts, in the order of first appearance."""
        return tuple(dict.fromkeys(group_of(a)[0] for a in self.accounts))

    @cached_property
    def components(self) -> tuple[str, ...]:
        """Names of the components, in summation order."""
        return tuple(dict.fromkeys(c for d in self.dates for c in d.components))

    @cached_property
    def core_usd(self) -> FloatArray:
        """Core measures."""
        return self._by_account("core_usd")

    @cached_property
    def requirement_usd(self) -> FloatArray:
        """Whole requirements."""
        return self._by_account("requirement_usd")

    @cached_property
    def profit_usd(self) -> FloatArray:
        """Realised profits; a profit is positive."""
        return self._by_account("profit_usd")

    @cached_property
    def shortfall_usd(self) -> FloatArray:
        """Losses beyond option value and deposits."""
        return self._by_account("shortfall_usd")

    @cached_property
    def _columns(self) -> Mapping[str, int]:
        return {account: i for i, account in enumerate(self.accounts)}

    def columns_of(self, date: RequirementDate) -> IntArray:
        """Return the column of each account of a date, int64 (n_accounts_of_date,), indices."""
        return np.array([self._columns[a] for a in date.accounts], np.int64)

    def _by_account(self, field: str) -> FloatArray:
        out = np.full((len(self.dates), len(self.accounts)), np.nan)
        for row, date in enumerate(self.dates):
            out[row, self.columns_of(date)] = getattr(date, field)
        return out

    def component_usd(self, name: str) -> FloatArray:
        """Return the amounts of a component, float64 (n_dates, n_accounts), US dollars."""
        out = np.full((len(self.dates), len(self.accounts)), np.nan)
        for row, date in enumerate(self.dates):
            amounts = np.zeros(len(date.accounts))
            if name in date.components:
                amounts = date.components_usd[:, date.components.index(name)]
            out[row, self.columns_of(date)] = amounts
        return out

    def of_group(self, group: str) -> BoolArray:
        """Return which accounts belong to a group, bool (n_accounts,)."""
        return np.array([group_of(a)[0] == group for a in self.accounts], np.bool_)

    @cached_property
    def is_tested(self) -> BoolArray:
        """Bool (n_accounts,): False for unchanged parts, which repeat positions of accounts."""
        return np.array([not is_unchanged(group_of(a)[0]) for a in self.accounts], np.bool_)


def separate_rows(time: TimeArray, end: TimeArray) -> IntArray:
    """Return the rows whose windows do not overlap, from the first row on.

    Parameters
    ----------
    time, end : datetime64[ms] arrays of shape (n_dates,), UTC
        Start and end of each window; both ascending.

    Returns
    -------
    int64 array of shape (n_rows,)
        Indices. Each window starts at or after the end of the one before.

    Examples
    --------
    >>> days = np.arange(6).astype("datetime64[D]").astype("datetime64[ms]")
    >>> separate_rows(days, days + np.timedelta64(2, "D")).tolist()
    [0, 2, 4]
    """
    chosen: list[int] = []
    for row in range(time.size):
        if not chosen or time[row] >= end[chosen[-1]]:
            chosen.append(row)
    return np.array(chosen, np.int64)


@dataclass(frozen=True)
class GroupDay:
    """One group of accounts on one date, US dollars."""

    group: str
    time: np.datetime64
    accounts: int
    core_usd: float
    requirement_usd: float
    components_usd: Mapping[str, float]
    """Sum of each component over the accounts."""
    loss_usd: float
    """Sum of the accounts' losses; the profits of others are not deducted."""
    above_core_usd: float
    """Sum of the losses above the accounts' core measures."""
    above_margin_usd: float
    """Sum of the losses above the accounts' requirements."""
    above_collateral_usd: float
    """Sum of the accounts' shortfalls; NaN without collateral."""
    cover_1_usd: float
    """Realised loss above margin of the member with the largest."""
    cover_1_member: str
    """That member; empty if no loss exceeds a requirement."""
    cover_2_usd: float
    """Realised loss above margin of the two members with the largest."""
    stress_cover_1_usd: float
    """As `cover_1_usd`, in the model's stress scenarios; NaN without these."""
    stress_cover_2_usd: float
    default_fund_usd: float
    """Largest `stress_cover_2_usd` of the last `FUND_DAYS` days, this date included."""


def group_days(history: RequirementHistory, group: str) -> tuple[GroupDay, ...]:
    """Return one group on every date on which it has accounts."""
    found: list[GroupDay] = []
    for date in history.dates:
        own = np.array([group_of(a)[0] == group for a in date.accounts], np.bool_)
        if own.any():
            found.append(_group_day(date, group, own, found))
    return tuple(found)


def _group_day(
    date: RequirementDate, group: str, own: BoolArray, before: Sequence[GroupDay]
) -> GroupDay:
    losses = -date.profit_usd[own]
    above = _above(losses, date.requirement_usd[own])
    members = [m for m, o in zip(date.members, own, strict=True) if o]
    by_member = summed_by(members, above[:, None])
    one, two = covers(by_member)
    names = list(dict.fromkeys(members))
    stress = (float("nan"), float("nan"))
    if group in date.groups:
        row = date.stress_cover_usd[date.groups.index(group)]
        stress = float(row[0]), float(row[1])
    since = date.time - np.timedelta64(FUND_DAYS, "D")
    recent = [d.stress_cover_2_usd for d in before if d.time > since]
    return GroupDay(
        group=group,
        time=date.time,
        accounts=int(own.sum()),
        core_usd=float(date.core_usd[own].sum()),
        requirement_usd=float(date.requirement_usd[own].sum()),
        components_usd=dict(
            zip(date.components, date.components_usd[own].sum(axis=0).tolist(), strict=True)
        ),
        loss_usd=float(np.maximum(losses, 0.0).sum()),
        above_core_usd=float(_above(losses, date.core_usd[own]).sum()),
        above_margin_usd=float(above.sum()),
        above_collateral_usd=float(date.shortfall_usd[own].sum()),
        cover_1_usd=one,
        cover_1_member=group_of(names[int(by_member[:, 0].argmax())])[1] if one > 0.0 else "",
        cover_2_usd=two,
        stress_cover_1_usd=stress[0],
        stress_cover_2_usd=stress[1],
        default_fund_usd=max([*recent, stress[1]]),
    )


def _above(losses: FloatArray, margin: FloatArray) -> FloatArray:
    return np.where(losses > margin + CENT_USD, losses - margin, 0.0)


@dataclass(frozen=True)
class MemberDay:
    """Losses of one member on one date that its accounts' resources did not cover, US dollars."""

    group: str
    member: str
    time: np.datetime64
    requirement_usd: float
    above_margin_usd: float
    """Sum of the losses above the requirements of its accounts."""
    above_collateral_usd: float
    """Sum of the shortfalls of its accounts; NaN without collateral."""


def member_days(history: RequirementHistory) -> tuple[MemberDay, ...]:
    """Return the members and dates with a loss above margin or above collateral."""
    found: list[MemberDay] = []
    for date in history.dates:
        tested = [not is_unchanged(group_of(a)[0]) for a in date.accounts]
        own = np.array(tested, np.bool_)
        if not own.any():
            continue
        members = [m for m, o in zip(date.members, own, strict=True) if o]
        required = date.requirement_usd[own]
        above = _above(-date.profit_usd[own], required)
        sums = summed_by(members, np.column_stack([required, above, date.shortfall_usd[own]]))
        for name, row in zip(dict.fromkeys(members), sums.tolist(), strict=True):
            if row[1] > 0.0 or row[2] > 0.0:
                group, member = group_of(name)
                found.append(MemberDay(group, member, date.time, *row))
    return tuple(found)
