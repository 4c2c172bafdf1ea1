"""A clearing house in a SQLite ledger with a small market, for tests of the loop."""

import asyncio
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
from made import made_scenarios, model
from margin_cluster.ledger import Ledger, sqlite_url
from margin_cluster.operations.cycle import CycleInputs, CycleRunner
from margin_cluster.operations.embedded import EmbeddedMargining
from margin_cluster.operations.machine import HouseLog, clearing_log
from small_chain import quotes_of, small_snapshot

from margin_actors.clearing.amounts import ASSETS
from margin_actors.clearing.house import Command, Decision, HouseState
from margin_actors.clearing.house.account_events import ClearingAccount
from margin_actors.clearing.house.commands import (
    BookTrades,
    Deposit,
    FireTimers,
    OpenAccount,
    RecordCycle,
    RecordParameters,
    TradeBooking,
)
from margin_actors.clearing.house.parameters import CollateralParameters, HouseParameters
from margin_actors.clearing.journal.deficits import AccountType
from margin_actors.clearing.settlement import Trade
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.snapshots import MarketSnapshot

USDC = ASSETS["USDC"]
PARAMETERS = HouseParameters(
    collateral=CollateralParameters(haircuts={"USDC": Decimal(0), "BTC": Decimal("0.1")})
)
INVERSE, LINEAR = "BTC-PERPETUAL", "BTC_USDC-PERPETUAL"


@cache
def small_model() -> ModelParameters:
    return model()


@cache
def small_scenarios(seed: int = 0) -> ScenarioSet:
    return made_scenarios(130, seed)


def snapshot_at(time: datetime, *, index: float = 1.0) -> MarketSnapshot:
    """The small market at a time: all prices as they are, the index of all coins scaled."""
    base = small_snapshot()
    kept = [k for k, e in enumerate(base.expiries) if e.expiry > time]
    expiries = tuple(
        replace(
            base.expiries[k],
            forward_usd=index * base.expiries[k].forward_usd,
            tenor_years=(base.expiries[k].expiry - time).total_seconds() / (365.0 * 86_400.0),
        )
        for k in kept
    )
    place = np.full(len(base.expiries), -1)
    place[kept] = np.arange(len(kept))
    options = quotes_of(base.options, np.flatnonzero(place[base.options.expiry_index] >= 0))
    options = replace(options, expiry_index=place[options.expiry_index].astype(np.int32))
    return replace(
        base,
        time=time,
        index_usd={u: index * p for u, p in base.index_usd.items()},
        perpetual_usd={u: index * p for u, p in base.perpetual_usd.items()},
        expiries=expiries,
        options=options,
    )


def prices_of(snapshot: MarketSnapshot) -> dict[str, Decimal]:
    return {u: Decimal(f"{p:.4f}") for u, p in snapshot.index_usd.items()}


@dataclass
class World:
    """A house with its log and a clock that a test advances."""

    log: HouseLog
    url: str
    now: datetime
    margining: EmbeddedMargining
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def state(self) -> HouseState:
        return self.log.state

    def id(self) -> str:
        return f"c{next(self.numbers)}"

    def commit(self, *commands: Command) -> list[Decision]:
        decisions = self.log.commit(commands)
        for decision in decisions:
            assert decision.refusal is None, decision.refusal
        return decisions

    def open(self, *accounts: str, deposit: int = 0, member: str = "") -> None:
        if not self.state.are_parameters_recorded:
            self.commit(RecordParameters(self.id(), "setup", PARAMETERS))
        for name in accounts:
            account = ClearingAccount(name, member or f"M{name}", AccountType.CLIENT)
            self.commit(OpenAccount(self.id(), "setup", account))
            if deposit:
                self.deposit(name, deposit)

    def deposit(self, account: str, whole: int) -> None:
        name = self.id()
        units = whole * 10**USDC.decimals
        self.commit(Deposit(name, "bank", account, name, USDC, units, "bank", self.now))

    def trade(
        self, instrument: str, buyer: str, seller: str, quantity: object, price: object
    ) -> None:
        name = self.id()
        given, index = Decimal(str(price)), Decimal(60_000)
        trade = Trade(name, buyer, seller, Decimal(str(quantity)), given, index, self.now)
        self.commit(BookTrades(self.id(), "matching", (TradeBooking(instrument, trade),)))

    def pass_time(self, seconds: float) -> None:
        """Advance the clock in steps that the house does not take for a jump."""
        until = self.now + timedelta(seconds=seconds)
        while self.now < until:
            self.now = min(until, self.now + timedelta(seconds=200))
            self.commit(FireTimers(self.id(), "loop"))

    def record_cycle(self, marks: Mapping[str, str], index: str = "60000") -> None:
        """Record a cycle without requirements, at marks that a test states."""
        number = 1 if self.state.cycle is None else self.state.cycle.number + 1
        names = tuple(self.state.accounts)
        zeros = (0,) * len(names)
        self.commit(
            RecordCycle(
                self.id(), "loop", number, "calculation", "snapshot", "generation", "model",
                self.now, self.state.number, {"BTC": Decimal(index)},
                {name: Decimal(mark) for name, mark in marks.items()}, names, zeros, zeros,
            )
        )  # fmt: skip

    def inputs(self, *, index: float = 1.0, factor: float = 1.0) -> CycleInputs:
        snapshot = snapshot_at(self.now, index=index)
        return CycleInputs(snapshot, prices_of(snapshot), factor)

    def runner(self) -> CycleRunner:
        return CycleRunner(self.log, self.margining)


class WorldClock:
    """The clock of a world: it moves when a test or the loop's sleep moves it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def time(self) -> float:
        return self._world.now.timestamp()

    def monotonic(self) -> float:
        return self._world.now.timestamp()

    async def sleep(self, seconds: float) -> None:
        self._world.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@contextmanager
def opened_world(folder: Path, *, start: datetime | None = None) -> Generator[World]:
    first = start or small_snapshot().time
    url = sqlite_url(folder / "house.db")
    margining = EmbeddedMargining(small_model(), small_scenarios(), threads=2)
    times: list[World] = []
    ledger = Ledger(url)
    try:
        log = clearing_log(ledger.database, lambda: times[0].now if times else first)
        times.append(World(log, url, first, margining))
        yield times[0]
        log.close()
    finally:
        ledger.close()


def option_names(count_of: int = 4) -> list[str]:
    """Options of both kinds that the small chain lists, of the latest expiries."""
    names = [n for n in small_snapshot().options.names if n.startswith("BTC")]
    return sorted(names)[:: max(1, len(names) // count_of)][:count_of]


def accounts(prefix: str, number: int) -> Iterable[str]:
    return [f"{prefix}{k}" for k in range(number)]
