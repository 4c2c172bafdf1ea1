"""The inputs of a simulated day: market, positions and collateral from files, or synthetic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np

from margin_actors.arrays import TimeArray
from margin_actors.clearing.calls import CallParameters
from margin_actors.clearing.house import Command
from margin_actors.clearing.house.parameters import HouseParameters
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import MarginError, MissingMarketData, Problem
from margin_actors.market.books import Book, accounts_of_positions, select_instruments
from margin_actors.market.candles import Candles
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.portfolios import Collateral
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.synthetic import END, SEED
from margin_actors.progress import ProgressCallback, no_progress
from margin_cluster.holdings import read_book, with_collateral_file
from margin_cluster.operations.margining import Margining, MarginRequest
from margin_cluster.simulation.market import DayMarket
from margin_cluster.simulation.members import MemberRules
from margin_cluster.simulation.opening import (
    InitialCollateral,
    collateral_from_file,
    collateral_from_requirements,
    house_parameters,
    opening_commands,
    tradable_positions,
)
from margin_cluster.simulation.path import crash_path, recorded_path
from margin_cluster.simulation.plan import DayPlan
from margin_cluster.sources import UsedFile
from margin_cluster.sources.candle_files import load_candles
from margin_cluster.wiring import Workspace, build_scenarios, load_market

_INTERVAL_MAX = 3_600
"""Longest interval of candles from which the index of a day is read, seconds."""


@dataclass(frozen=True)
class DayRequest:
    """Arguments of `margin simulate-day`."""

    day: datetime | None
    """Start, UTC; None for the synthetic crash."""
    hours: float
    every_seconds: int
    model: ModelParameters
    model_name: str
    data: Path | None
    book: Path | None
    collateral: Path | None
    initial: InitialCollateral = field(default_factory=InitialCollateral)
    members: MemberRules = field(default_factory=MemberRules)


@dataclass(frozen=True)
class DayInputs:
    """Everything that a day needs besides the ledger."""

    workspace: Workspace
    plan: DayPlan
    model: ModelParameters
    market: DayMarket
    book: Book
    """Positions that the market prices."""
    rules: HouseParameters
    collateral: Collateral | None
    omitted: tuple[str, ...]
    """Contracts of the book's file that the market does not price at the start."""
    files: tuple[UsedFile, ...]
    is_synthetic: bool

    def scenarios_at(self, time: datetime) -> ScenarioSet:
        """Return the scenario set of the model as of a time."""
        return build_scenarios(self.workspace, self.model, time)[0]

    def sentences(self) -> list[str]:
        """Return the rules of the day in words."""
        chains = len(self.market.chains)
        noun = "chain" if chains == 1 else "chains"
        rule = (
            f"Market: {chains} recorded {noun}; in between, the surface is kept as a function of "
            "moneyness, and index, forwards and perpetuals move with the "
            f"{self.market.path.description}."
        )
        initial = InitialCollateral(self.plan.multiple, self.plan.usdc_share)
        held = (
            f"Collateral is that of {self.plan.collateral}."
            if self.collateral is not None
            else initial.sentence()
        )
        sentences = [rule, held, *self.plan.members.sentences()]
        if self.omitted:
            sentences.append(
                f"{len(self.omitted):,} contracts of the book are not listed at the start and are "
                "left out on both sides."
            )
        return sentences


def prepare_day(
    workspace: Workspace, request: DayRequest, *, progress: ProgressCallback = no_progress
) -> DayInputs:
    """Return the inputs of a day.

    Raises
    ------
    MissingMarketData
        If the day has no chain or no prices.
    InvalidPortfolio
        If the book or the collateral cannot be used.
    """
    progress("Reading the market of the day", 0, 0)
    is_synthetic = request.day is None
    start = END.astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC)
    if request.day is not None:
        start = request.day
    end = start + timedelta(hours=request.hours)
    market = _market(workspace, request.model, start, end, is_synthetic=is_synthetic)
    first = market.snapshot_at(start)
    progress("Reading the book", 0, 0)
    default_book, _ = workspace.data.default_book()
    held = read_book(workspace.store, request.book or default_book)
    if request.collateral is not None:
        held = with_collateral_file(held, request.collateral, first, unknown_accounts="list")
    priced, omitted = tradable_positions(held.book, first)
    kept = np.isin(np.array(held.book.instruments, np.str_), np.array(priced, np.str_))
    plan = DayPlan(
        start=start,
        hours=request.hours,
        every_seconds=request.every_seconds,
        model_id=request.model.id,
        model=request.model_name,
        data=None if request.data is None else str(request.data.resolve()),
        book=None if request.book is None else str(request.book.resolve()),
        book_id=held.book.id,
        collateral=None if request.collateral is None else str(request.collateral.resolve()),
        collateral_id="" if held.collateral is None else held.collateral.id,
        multiple=request.initial.multiple,
        usdc_share=request.initial.usdc_share,
        members=request.members,
    )
    return DayInputs(
        workspace,
        plan,
        request.model,
        market,
        select_instruments(held.book, kept),
        house_parameters(request.model, CallParameters()),
        held.collateral,
        tuple(omitted),
        tuple(held.used),
        is_synthetic,
    )


async def opening_of(
    inputs: DayInputs, margining: Margining, *, progress: ProgressCallback = no_progress
) -> Iterator[Command]:
    """Return the commands that open the house of a day.

    Without a file of collateral, the first requirement is calculated for the deposits.
    """
    first = inputs.market.snapshot_at(inputs.plan.start)
    opened = opening_commands(inputs.book, inputs.book.instruments, first, inputs.rules)
    if inputs.collateral is not None:
        accounts = inputs.book.accounts
        deposits = collateral_from_file(inputs.collateral, accounts, inputs.plan.start)
        return _in_order(opened, deposits)
    progress("Calculating the first requirement", 0, 0)
    await margining.activate(inputs.scenarios_at(inputs.plan.start))
    run = await margining.calculate(MarginRequest(first, inputs.book))
    usd = dict(zip(run.accounts, run.requirement_usd.tolist(), strict=True))
    options = _option_values(inputs.book, first, run.marks)
    initial = InitialCollateral(inputs.plan.multiple, inputs.plan.usdc_share)
    deposits = collateral_from_requirements(usd, options, initial, inputs.rules, first)
    return _in_order(opened, deposits)


def _option_values(
    book: Book, snapshot: MarketSnapshot, marks: Mapping[str, Decimal]
) -> dict[str, float]:
    """Return the net option value of each account, US dollars."""
    unit: list[float] = []
    for name in book.instruments:
        item = instrument_from_name(name)
        is_valued = item.kind is Kind.OPTION and name in marks
        scale = snapshot.index_usd[item.underlying] if item.is_inverse else 1.0
        unit.append(float(marks[name]) * scale if is_valued else 0.0)
    values = book.quantity * np.array(unit)[book.instrument_index]
    sums = np.bincount(accounts_of_positions(book), values, len(book.accounts))
    return dict(zip(book.accounts, sums.tolist(), strict=True))


def _in_order(opened: Iterator[Command], deposits: Iterator[Command]) -> Iterator[Command]:
    yield from opened
    yield from deposits


def _market(
    workspace: Workspace,
    model: ModelParameters,
    start: datetime,
    end: datetime,
    *,
    is_synthetic: bool,
) -> DayMarket:
    chains = tuple(_chains(workspace, model, start, end))
    underlyings = sorted(chains[0].index_usd)
    if is_synthetic:
        return DayMarket(chains, crash_path(underlyings, start, end, SEED))
    # The first chain may be hours before the start: the index of both is needed.
    first = min(start, chains[0].time)
    closes: dict[str, list[tuple[int, float]]] = {}
    names: list[str] = []
    for underlying in underlyings:
        closes[underlying], name = _closes(workspace, underlying, first, end)
        names.append(name)
    return DayMarket(
        chains, recorded_path(closes, first, end, f"recorded prices {', '.join(names)}")
    )


def _chains(
    workspace: Workspace, model: ModelParameters, start: datetime, end: datetime
) -> Iterator[MarketSnapshot]:
    """Yield the last chain at or before the start, and all until the end."""
    times = [file.times for file in workspace.data.chains]
    every: TimeArray = np.unique(np.concatenate(times)) if times else np.empty(0, "datetime64[ms]")
    before = np.flatnonzero(every <= _stamp(start))
    if not before.size:
        problem = Problem("--data", f"no chain at or before {start:%Y-%m-%d %H:%M} UTC")
        raise MissingMarketData("the market of the day is not recorded", [problem])
    for stamp in every[before[-1] :]:
        if stamp > _stamp(end):
            return
        text = np.datetime_as_string(stamp, unit="ms")
        yield replace(load_market(workspace, f"{text}Z", model)[0], origin=f"chain of {text}Z")


def _closes(
    workspace: Workspace, underlying: str, start: datetime, end: datetime
) -> tuple[list[tuple[int, float]], str]:
    """Return (end of the candle in ms, close) of the finest recorded prices, and their name."""
    found: list[tuple[int, bool, str, list[tuple[int, float]]]] = []
    for item in workspace.data.prices:
        if underlying not in item.name or (item.interval_seconds or 0) > _INTERVAL_MAX:
            continue
        try:
            candles, _ = load_candles(item, underlying, workspace.store)
        except MarginError:
            continue  # `margin data check` reports it; other prices may be readable
        pairs = _pairs_within(candles, start, end)
        if pairs and candles.interval_seconds <= _INTERVAL_MAX:
            found.append((candles.interval_seconds, "perp" in item.name, item.name, pairs))
    if found:
        _, _, name, pairs = min(found)
        return pairs, name
    problem = Problem(underlying, "no recorded prices of an hour or less cover the day")
    raise MissingMarketData("the index of the day is not known", [problem])


def _pairs_within(candles: Candles, start: datetime, end: datetime) -> list[tuple[int, float]]:
    """Return (end of the candle in ms, close) of a period; empty if it is not covered."""
    known = np.isfinite(candles.close) & ~np.isnat(candles.open_time)
    time = candles.close_time
    margin = timedelta(seconds=2 * _INTERVAL_MAX)
    inside = known & (time >= _stamp(start - margin)) & (time <= _stamp(end))
    times = time[inside]
    if not times.size or times.min() > _stamp(start) or times.max() < _stamp(end - margin):
        return []
    order = np.argsort(times, kind="stable")
    stamps = times[order].astype(np.int64).tolist()
    return list(zip(stamps, candles.close[inside][order].tolist(), strict=True))


def _stamp(time: datetime) -> np.datetime64:
    return np.datetime64(round(time.timestamp() * 1000), "ms")
