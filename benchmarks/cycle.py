# pyright: basic
"""The full cycle: snapshot in, surfaces, prices, margins, calls committed; seconds by stage.

python cycle.py --data DIR [--large]

The first part opens a clearing house in a SQLite ledger with the accounts and positions of the
recorded book of 2026-02-06 (923 accounts hold its 28,142 positions; accounts without a position
complete the 1,000), and runs cycles on fresh snapshots under ``ccp-default``. The second part
(``--large``) margins 1,000,000 positions of 10,000 accounts with the core VaR alone and commits the
requirements of all accounts.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
from made_book import book as random_book
from margin_cluster.ledger import Ledger, sqlite_url
from margin_cluster.operations.book import HouseBook
from margin_cluster.operations.cycle import CycleInputs, CycleOutcome, CycleRunner
from margin_cluster.operations.embedded import EmbeddedMargining
from margin_cluster.operations.machine import HouseLog, clearing_log
from margin_cluster.settings import settings_from_environment
from margin_cluster.wiring import build_scenarios, load_market, load_model, open_workspace

from margin_actors.clearing.amounts import ASSETS
from margin_actors.clearing.house import Command
from margin_actors.clearing.house.account_events import ClearingAccount
from margin_actors.clearing.house.commands import (
    BookTrades,
    Deposit,
    OpenAccount,
    RecordParameters,
    TradeBooking,
)
from margin_actors.clearing.house.parameters import HouseParameters, collateral_parameters
from margin_actors.clearing.journal.deficits import AccountType
from margin_actors.clearing.journal.resources import collateral_rules
from margin_actors.clearing.settlement import Trade
from margin_actors.engine.parameters import ModelParameters
from margin_actors.market.books import Book
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.snapshots import MarketSnapshot

BOOK = "portfolios/book_20260206T093516Z_1000.parquet"
SNAPSHOT = "2026-02-06T09:35:16Z"
ROUNDS, THREADS, TOGETHER = 5, 2, 2_000
USDC = ASSETS["USDC"]
OTHER_SIDE = "other side"
"""Account that takes the other side of all positions; it is margined as well."""


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


class House:
    """A clearing house whose clock is that of the market."""

    def __init__(self, log: HouseLog, now: datetime) -> None:
        self.log, self.now, self._queue = log, now, list[Command]()

    def do(self, command: Command) -> None:
        self._queue.append(command)
        if len(self._queue) == TOGETHER:
            self.flush()

    def flush(self) -> None:
        for decision in self.log.commit(self._queue):
            assert decision.refusal is None, decision.refusal
        self._queue.clear()


@contextmanager
def opened_house(now: datetime) -> Iterator[House]:
    houses: list[House] = []
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(sqlite_url(Path(folder) / "ledger.db"))
        log = clearing_log(ledger.database, lambda: houses[0].now if houses else now)
        houses.append(House(log, now))
        yield houses[0]
        log.close()
        ledger.close()


def fill(house: House, book: Book, model: ModelParameters, marks: dict[str, Decimal]) -> None:
    """Open the accounts, deposit collateral and book the positions as trades."""
    rules = HouseParameters(collateral=collateral_parameters(collateral_rules(model)))
    house.do(RecordParameters("parameters", "setup", rules))
    members = dict(zip(book.accounts, book.members, strict=True))
    names = [*book.accounts, *(f"idle{k}" for k in range(1_000 - len(book.accounts)))]
    for name in [*names, OTHER_SIDE]:
        account = ClearingAccount(name, members.get(name, name), AccountType.CLIENT)
        house.do(OpenAccount(f"open {name}", "setup", account))
        units = 10**8 * 10**USDC.decimals
        house.do(Deposit(f"deposit {name}", "bank", name, name, USDC, units, "bank", house.now))
    for row, name in enumerate(book.accounts):
        for p in range(int(book.start[row]), int(book.start[row + 1])):
            instrument = book.instruments[int(book.instrument_index[p])]
            quantity = Decimal(repr(float(book.quantity[p])))
            buyer, seller = (name, OTHER_SIDE) if quantity > 0 else (OTHER_SIDE, name)
            price = marks.get(instrument, Decimal(1))
            trade = Trade(f"t{p}", buyer, seller, abs(quantity), price, Decimal(70_000), house.now)
            house.do(BookTrades(f"b{p}", "setup", (TradeBooking(instrument, trade),)))
    house.flush()


def report(outcomes: list[CycleOutcome], walls: list[float], title: str) -> None:
    stages = {name: 0.0 for outcome in outcomes for name in outcome.stages}
    print(f"\n{title}, medians of {len(outcomes)} cycles, seconds")
    for name in stages:
        median = statistics.median(o.stages.get(name, 0.0) for o in outcomes)
        print(f"  {name:14}{median:8.3f}")
    print(f"  {'whole cycle':14}{statistics.median(walls):8.3f}   (largest {max(walls):.3f})")
    last = outcomes[-1].command
    print(f"  {len(last.accounts):,} accounts, {len(outcomes[-1].failures)} failed, "
          f"{len(outcomes[-1].calls)} calls changed in the last cycle")  # fmt: skip


def fresh(snapshot: MarketSnapshot, number: int, now: datetime) -> MarketSnapshot:
    """Return a snapshot of another content, so that nothing of an earlier cycle is used again."""
    index = {u: p * (1.0 + 1e-5 * number) for u, p in snapshot.index_usd.items()}
    return replace(snapshot, time=now, index_usd=index)


def prices_of(snapshot: MarketSnapshot) -> dict[str, Decimal]:
    return {u: Decimal(f"{p:.4f}") for u, p in snapshot.index_usd.items() if u in ASSETS}


async def cycles(
    runner: CycleRunner, house: House, snapshot: MarketSnapshot
) -> tuple[list[CycleOutcome], list[float]]:
    outcomes: list[CycleOutcome] = []
    walls: list[float] = []
    for number in range(ROUNDS + 1):
        house.now += timedelta(seconds=60)
        market = fresh(snapshot, number, house.now)
        began = time.perf_counter()
        outcome = await runner.run(CycleInputs(market, prices_of(market)))
        wall = time.perf_counter() - began
        assert outcome.is_recorded, outcome.decision.refusal
        if number:
            outcomes.append(outcome)
            walls.append(wall)
    return outcomes, walls


class FixedBook:
    """The positions of a book that is too large to be booked trade by trade in a benchmark."""

    def __init__(self, book: Book, empty: HouseBook) -> None:
        self._book = replace(empty, book=book)

    def read(self, state: object) -> HouseBook:
        return self._book


def large(house: House, snapshot: MarketSnapshot, margining: EmbeddedMargining) -> None:
    n_listed = len(snapshot.options.names) + 2
    table = random_book(snapshot, 10_000, 1_000_000, n_listed, seed=7)
    book = book_from_table(table, where="random book")
    rules = HouseParameters(collateral=collateral_parameters(collateral_rules(margining.model)))
    house.do(RecordParameters("parameters", "setup", rules))
    for name in book.accounts:
        account = ClearingAccount(name, name, AccountType.CLIENT)
        house.do(OpenAccount(f"open {name}", "setup", account))
        units = 10**9 * 10**USDC.decimals
        house.do(Deposit(f"deposit {name}", "bank", name, name, USDC, units, "bank", house.now))
    house.flush()
    runner = CycleRunner(house.log, margining)
    empty = runner._reader.read(house.log.state)
    runner._reader = FixedBook(book, empty)  # type: ignore[assignment]
    outcomes, walls = asyncio.run(cycles(runner, house, snapshot))
    report(outcomes, walls, f"{book.n_positions:,} positions, core VaR alone")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--large", action="store_true", help="10,000 accounts, core VaR alone")
    given = parser.parse_args()
    import structlog

    structlog.configure(processors=[structlog.dev.ConsoleRenderer()],
                        wrapper_class=structlog.make_filtering_bound_logger(40))  # fmt: skip
    place = open_workspace(settings_from_environment(), given.data)
    full = load_model("ccp-default")
    snapshot, _ = load_market(place, SNAPSHOT, full)
    scenarios, _ = build_scenarios(place, full, snapshot.time)
    print(f"{processor()}, {THREADS} threads; load {os.getloadavg()[0]:.1f} before the start")
    print(f"{full.name} {full.version}: {len(scenarios):,} scenario rows")
    with opened_house(snapshot.time) as house:
        if given.large:
            core = full.core_only().model_copy(
                update={"measure": full.measure.model_copy(update={"core": "var"})}
            )
            large(house, snapshot, EmbeddedMargining(core, scenarios, threads=THREADS))
            return
        import pyarrow.parquet as pq

        book = book_from_table(pq.read_table(given.data / BOOK), where=BOOK)
        quotes = snapshot.options
        marks = {
            name: Decimal(f"{mark:.4f}")
            for name, mark in zip(quotes.names, quotes.mark.tolist(), strict=True)
            if np.isfinite(mark)
        }
        marks |= {name: Decimal(70_000) for name in book.instruments if name not in marks}
        began = time.perf_counter()
        fill(house, book, full, marks)
        print(f"booked {book.n_positions:,} trades in {time.perf_counter() - began:.1f} s")
        margining = EmbeddedMargining(full, scenarios, threads=THREADS)
        outcomes, walls = asyncio.run(cycles(CycleRunner(house.log, margining), house, snapshot))
        report(outcomes, walls, f"{book.n_positions:,} positions, ccp-default")


if __name__ == "__main__":
    main()
