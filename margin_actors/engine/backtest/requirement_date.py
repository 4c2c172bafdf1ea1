"""The whole requirement of all accounts on one recorded date, and the losses that followed."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.backtest.outcomes import IndexPath
from margin_actors.engine.backtest.recorded_books import (
    BENCHMARK,
    HeldPositions,
    RecordedBook,
    benchmark_on,
    group_of,
    is_unchanged,
    joined,
    unchanged_name,
    unchanged_part,
    with_outcomes,
)
from margin_actors.engine.margin import (
    MarginResult,
    calculate_margin,
    collateral_equity,
    position_sums,
    with_collateral,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import STRESS, ScenarioSet
from margin_actors.errors import MissingMarketData
from margin_actors.market.books import Book
from margin_actors.market.snapshots import MarketSnapshot


@dataclass(frozen=True, kw_only=True)
class RequirementDate:
    """Requirements of accounts on one date and their profits over the margin period of risk.

    Accounts and members are named ``group/name``. Arrays are float64 (n_accounts,) in US dollars
    unless stated otherwise.
    """

    time: np.datetime64
    """Valuation time, datetime64[ms], UTC."""
    end: np.datetime64
    """Time of the later chain, datetime64[ms], UTC."""
    snapshot_id: str
    end_snapshot_id: str
    scenarios_id: str
    model_id: str
    digest: str
    """Digest of the margins."""
    index_usd: float
    """Index of the model's first underlying at `time`, US dollars per coin."""
    accounts: tuple[str, ...]
    members: tuple[str, ...]
    positions: IntArray
    """int64 (n_accounts,): number of positions margined."""
    core_usd: FloatArray
    """float64 (n_accounts,), US dollars: core measure, at least 0."""
    requirement_usd: FloatArray
    """float64 (n_accounts,), US dollars: the whole requirement."""
    components: tuple[str, ...]
    """Names of the columns of `components_usd`."""
    components_usd: FloatArray
    """float64 (n_accounts, n_components): requirement components, US dollars."""
    value_usd: FloatArray
    """float64 (n_accounts,), US dollars: net value of options and spot at `time`; long positive."""
    profit_usd: FloatArray
    """float64 (n_accounts,), US dollars: realised profit until `end`; a profit is positive."""
    shortfall_usd: FloatArray
    """float64 (n_accounts,), US dollars: loss beyond the account's option value and deposits, at
    least 0; deposits have their value at `end`, without haircut. NaN if the group has no
    collateral."""
    groups: tuple[str, ...]
    """Groups of accounts of books, without benchmark portfolios and unchanged parts."""
    stress_cover_usd: FloatArray
    """float64 (n_groups, 2): loss above the requirements in the model's stress scenarios, of the
    member with the largest such loss, and of the two members with the largest; each in the scenario
    in which it is largest. NaN without stress scenarios."""
    left_out: Mapping[str, int]
    """Number of positions without an outcome, by group."""
    failures: tuple[tuple[str, str], ...]
    """(account, reason) of the accounts that could not be margined."""


def requirement_date(
    now: MarketSnapshot,
    then: MarketSnapshot,
    books: Sequence[RecordedBook],
    model: ModelParameters,
    scenarios: ScenarioSet,
    index: Mapping[str, IndexPath],
    *,
    always_listed: Sequence[str] = (),
    threads: int = 1,
) -> RequirementDate:
    """Return the requirements of the benchmark portfolios and of all books on one date.

    Each book is margined twice: with all positions that have an outcome, and, as a separate group,
    with the positions in contracts that every date lists (its unchanged part).

    Parameters
    ----------
    now, then : MarketSnapshot
        Markets at the valuation time and at the end of the margin period of risk.
    books : sequence of RecordedBook
    model : ModelParameters
    scenarios : ScenarioSet
        The model's set as of `now`.
    index : mapping of str to IndexPath
        Recorded index by underlying, for contracts that expire in between.
    always_listed : sequence of str
        Names of the options and futures that every date of the study lists.
    threads : int
        Number of threads; the result is the same for any number.

    Raises
    ------
    InvalidPortfolio, InvalidScenario, MissingMarketData
        As `calculate_margin`, if no account can be margined.
    """
    groups, left_out = _groups(now, then, books, model, index, always_listed)
    held = joined([(name, own.book) for name, own in groups])
    unit = dict[str, float]()
    for _, own in groups:
        unit |= dict(zip(own.book.instruments, own.profit_usd.tolist(), strict=True))
    result = calculate_margin(now, scenarios, held, model, keep_pnl=True, threads=threads)
    return _date_of(result, unit, now, then, books, model, scenarios, left_out)


def _date_of(
    result: MarginResult,
    unit: Mapping[str, float],
    now: MarketSnapshot,
    then: MarketSnapshot,
    books: Sequence[RecordedBook],
    model: ModelParameters,
    scenarios: ScenarioSet,
    left_out: Mapping[str, int],
) -> RequirementDate:
    """Return the date of a result; `unit` is the realised profit of one unit by instrument."""
    book, margins = result.book, result.margins
    per_unit = np.array([unit[name] for name in book.instruments], np.float64)
    profit = position_sums(per_unit, book.start, book.instrument_index, book.quantity)
    own_groups = tuple(item.name for item in books)
    return RequirementDate(
        time=_stamp(now),
        end=_stamp(then),
        snapshot_id=now.id,
        end_snapshot_id=then.id,
        scenarios_id=scenarios.id,
        model_id=model.id,
        digest=result.digest,
        index_usd=now.index_usd[model.scenarios.underlyings[0]],
        accounts=book.accounts,
        members=book.members,
        positions=margins.positions,
        core_usd=margins.core_usd,
        requirement_usd=margins.initial_margin_usd,
        components=margins.components,
        components_usd=margins.components_usd,
        value_usd=margins.value_usd,
        profit_usd=profit,
        shortfall_usd=_shortfalls(book, margins.value_usd + profit, books, then, model),
        groups=own_groups,
        stress_cover_usd=np.array(
            [_stress_cover(result, scenarios, name) for name in own_groups]
        ).reshape(len(own_groups), 2),
        left_out=left_out,
        failures=tuple(
            (f.account_id, p.description) for f in result.failures for p in f.problems[:1]
        ),
    )


def _stamp(snapshot: MarketSnapshot) -> np.datetime64:
    return np.datetime64(snapshot.time.replace(tzinfo=None), "ms")


def _groups(
    now: MarketSnapshot,
    then: MarketSnapshot,
    books: Sequence[RecordedBook],
    model: ModelParameters,
    index: Mapping[str, IndexPath],
    always_listed: Sequence[str],
) -> tuple[list[tuple[str, HeldPositions]], dict[str, int]]:
    """Return the groups that have accounts on the date, and the positions left out by group."""
    wanted: list[tuple[str, Book]] = []
    with suppress(MissingMarketData):  # a chain without common expiries
        wanted.append((BENCHMARK, benchmark_on(now)))
    for item in books:
        book = item.book
        if item.collateral is not None:
            book = with_collateral(book, item.collateral, model)
        wanted += [
            (item.name, book),
            (unchanged_name(item.name), unchanged_part(book, always_listed)),
        ]
    found: list[tuple[str, HeldPositions]] = []
    left_out: dict[str, int] = {}
    for name, book in wanted:
        held = with_outcomes(book, now, then, index)
        if not is_unchanged(name):
            left_out[name] = held.positions_left_out
        if held.book.n_positions:
            found.append((name, held))
    return found, left_out


def _shortfalls(
    book: Book,
    left_usd: FloatArray,
    books: Sequence[RecordedBook],
    then: MarketSnapshot,
    model: ModelParameters,
) -> FloatArray:
    """Return the losses beyond the deposits, float64 (n_accounts,), US dollars; NaN if unknown.

    `left_usd` is the value of options and spot at the start plus the realised profit. Coins that
    are simulated with the account are part of it, and are not counted again as deposits.
    """
    out = np.full(len(book.accounts), np.nan)
    names = [group_of(account) for account in book.accounts]
    # De-peg scenarios change what deposits count for, not their market value.
    rules = model.collateral.model_copy(update={"depeg": {}})
    valued = model.model_copy(update={"collateral": rules})
    for item in books:
        if item.collateral is None:
            continue
        known = {*item.book.accounts, *item.collateral.account_ids}
        equity = collateral_equity(item.collateral, then, item.book, valued, other_accounts=known)
        deposits = equity.market_value_usd - equity.simulated_usd
        of = dict(zip(item.book.accounts, deposits.tolist(), strict=True))
        for a, (group, account) in enumerate(names):
            if group == item.name:
                out[a] = max(-(of[account] + float(left_usd[a])), 0.0)
    return out


def _stress_cover(result: MarginResult, scenarios: ScenarioSet, group: str) -> tuple[float, float]:
    """Return the largest stress losses above the requirements of one and of two members."""
    if STRESS not in scenarios.section_names or result.pnl_usd is None:
        return float("nan"), float("nan")
    own = np.array([group_of(a)[0] == group for a in result.book.accounts], np.bool_)
    losses = -result.pnl_usd[own][:, scenarios.section(STRESS).rows]
    if losses.size == 0:
        return 0.0, 0.0
    above = np.maximum(losses - result.margins.initial_margin_usd[own][:, None], 0.0)
    members = [m for m, o in zip(result.book.members, own, strict=True) if o]
    return covers(summed_by(members, above))


def summed_by(names: Sequence[str], amounts: FloatArray) -> FloatArray:
    """Return the sums of the rows with equal names, in the order of first appearance.

    Parameters
    ----------
    names : sequence of n_rows texts
    amounts : float64 array of shape (n_rows, n_columns)
        Amounts in any unit.

    Returns
    -------
    float64 array of shape (n_names, n_columns)
        In the unit of `amounts`.
    """
    code = {name: i for i, name in enumerate(dict.fromkeys(names))}
    out = np.zeros((len(code), amounts.shape[1]))
    np.add.at(out, np.array([code[name] for name in names], np.int64), amounts)
    return out


def covers(member_loss_usd: FloatArray) -> tuple[float, float]:
    """Return the largest loss of one member and of two members over all scenarios, US dollars.

    `member_loss_usd` is float64 (n_members, n_scenarios), US dollars: losses above margin, at least
    0. Both figures are the largest over the scenarios, each in its own.

    Examples
    --------
    >>> covers(np.array([[3.0, 0.0], [1.0, 2.0], [0.0, 2.5]]))
    (3.0, 4.5)
    """
    ordered = -np.sort(-member_loss_usd, axis=0)
    return float(ordered[0].max()), float(ordered[:2].sum(axis=0).max())
