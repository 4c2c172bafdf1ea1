"""A small simulated day for tests: few accounts, two hours, and margins that cost nothing."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
from margin_cluster.day_outcome import DayOutcome, day_outcome
from margin_cluster.ledger import Ledger, sqlite_url
from margin_cluster.operations.machine import HouseLog, clearing_log
from margin_cluster.operations.margining import MarginRequest, MarginRun
from margin_cluster.simulation import DayRun, InitialCollateral, MemberRules, VirtualClock
from margin_cluster.simulation.market import DayMarket
from margin_cluster.simulation.opening import (
    collateral_from_requirements,
    house_parameters,
    opening_commands,
)
from margin_cluster.simulation.path import crash_path
from margin_cluster.simulation.plan import DayPlan
from margin_cluster.simulation.running import DayParts

from margin_actors.clearing.calls import CallParameters
from margin_actors.clearing.house import Command
from margin_actors.engine.parameters import ModelParameters, preset
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book, accounts_of_positions, book_of_portfolios
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.synthetic import synthetic_market

MEMBERS = MemberRules(one_in_never=4, two_parts_percent=40, late_percent=20, late_minutes=75)


class ShareMargining:
    """Margins that are a share of the value of the positions; pure, so that it can be forked."""

    scenarios_id = "none"

    def __init__(self) -> None:
        self.model: ModelParameters = preset("plain-hs")

    async def activate(self, scenarios: ScenarioSet) -> None:
        """Do nothing: no scenario is needed."""

    async def calculate(self, request: MarginRequest) -> MarginRun:
        return margins_of(request)


def margins_of(request: MarginRequest, *, share: float = 0.15) -> MarginRun:
    """Return margins of a share of the value of all positions."""
    snapshot, book = request.snapshot, request.book
    marks = {
        name: mark
        for name in {*book.instruments, *request.marked}
        if (mark := mark_of(snapshot, name)) is not None
    }
    unit = np.array([size_of(snapshot, name) for name in book.instruments])
    values = share * np.abs(book.quantity) * unit[book.instrument_index]
    sums = np.bincount(accounts_of_positions(book), values, len(book.accounts))
    inputs = {"snapshot": snapshot.id, "book": book.id}
    return MarginRun(
        content_id("calculation", inputs),
        snapshot.id,
        content_id("generation", inputs),
        "none",
        preset("plain-hs").id,
        book.accounts,
        sums,
        (),
        marks,
    )


def mark_of(snapshot: MarketSnapshot, name: str) -> Decimal | None:
    item = instrument_from_name(name)
    if item.kind is Kind.OPTION:
        row = snapshot.option_row.get(name)
        return None if row is None else Decimal(repr(float(snapshot.options.mark[row])))
    price = snapshot.perpetual_usd.get(item.underlying, snapshot.index_usd[item.underlying])
    return Decimal(repr(price))


def size_of(snapshot: MarketSnapshot, name: str) -> float:
    item = instrument_from_name(name)
    return snapshot.index_usd[item.underlying] if item.kind is Kind.OPTION else 1.0


@cache
def first_chain() -> MarketSnapshot:
    return synthetic_market(7, n_days=420, history_days=1, n_accounts=4).snapshot


def small_book() -> Book:
    """Return six accounts with perpetuals, and options that expire at 08:00 of the day."""
    chain = first_chain()
    near = min(item.expiry for item in chain.expiries if item.underlying == "BTC")
    at_money = min(
        (
            (abs(float(chain.options.strike_usd[row]) / chain.index_usd["BTC"] - 1.0), name)
            for name, row in chain.option_row.items()
            if instrument_from_name(name).underlying == "BTC"
            and instrument_from_name(name).expiry == near
            and chain.options.mark[row] > 0
        ),
    )[1]
    usd = {"M1-H": 40.0, "M1-C0": -25.0, "M2-H": -15.0, "M3-H": 9.0, "M4-H": -6.0, "M5-H": -3.0}
    options = {"M1-H": -30.0, "M2-H": 30.0, "M4-H": 12.5, "M5-H": -12.5}
    return book_of_portfolios(
        (
            account,
            account.split("-")[0],
            {"BTC-PERPETUAL": 1e6 * millions, at_money: options.get(account, 0.0)},
        )
        for account, millions in sorted(usd.items())
    )


@dataclass(frozen=True)
class OpenDay:
    """A day whose ledger is open."""

    run: DayRun
    log: HouseLog
    ledger: Ledger
    parts: DayParts

    def opening(self) -> Iterator[Command]:
        """Return the opening: accounts, trades, and resources of 90 % of the requirement."""
        rules, first = house_parameters(preset("plain-hs"), CallParameters()), first_chain()
        book = small_book()
        yield from opening_commands(book, book.instruments, first, rules)
        run = margins_of(MarginRequest(first, book))
        usd = dict(zip(run.accounts, run.requirement_usd.tolist(), strict=True))
        initial = InitialCollateral(Decimal("0.9"))
        yield from collateral_from_requirements(usd, {}, initial, rules, first)

    def finish(self, until: Callable[[], bool] = lambda: False) -> None:
        """Carry out what remains of the day, or stop after a minute for which `until` is true."""
        if self.run.resumes_at() == self.parts.plan.start:
            asyncio.run(self.run.open(self.opening()))
        for time_of_day in self.run.remaining():
            asyncio.run(self.run.minute(time_of_day))
            if until():
                return

    def outcome(self) -> DayOutcome:
        return day_outcome(self.log, self.ledger.database)


def small_plan(*, hours: float = 2.0, before: float = 0.0) -> DayPlan:
    """Return a plan; with `before`, the day starts so many hours after the chain."""
    return DayPlan(
        start=first_chain().time + timedelta(hours=before),
        hours=hours,
        every_seconds=300,
        model_id=preset("plain-hs").id,
        model="plain-hs",
        data=None,
        book=None,
        book_id=small_book().id,
        collateral=None,
        collateral_id="",
        members=MEMBERS,
    )


@contextmanager
def opened_day(path: Path, plan: DayPlan) -> Iterator[OpenDay]:
    """Open the ledger of a day, new or interrupted."""
    chain = first_chain()
    market = DayMarket((chain,), crash_path(sorted(chain.index_usd), chain.time, plan.end, 7))
    clock = VirtualClock(plan.start)
    with (
        closing(Ledger(sqlite_url(path))) as ledger,
        closing(clearing_log(ledger.database, clock)) as log,
    ):
        parts = DayParts(plan, log, clock, ShareMargining(), market, _no_scenarios)
        yield OpenDay(DayRun(parts), log, ledger, parts)


def _no_scenarios(_: object) -> ScenarioSet:
    return None  # type: ignore[return-value]


def whole_day(path: Path, plan: DayPlan) -> DayOutcome:
    """Run a day from its beginning, or from where it was interrupted, to its end."""
    with opened_day(path, plan) as day:
        day.finish()
        return day.outcome()


def killed_day(path: Path, plan: DayPlan, seconds: float) -> bool:
    """Run a day in a process that is killed after some seconds; return whether it was killed."""
    first_chain()
    child = os.fork()
    if child == 0:
        try:
            with opened_day(path, plan) as day:
                day.finish()
            os._exit(0)
        except BaseException:
            os._exit(1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the day failed"
    return os.WIFSIGNALED(status)
