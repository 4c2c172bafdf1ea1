"""Speed of the decisions of the clearing house, without storage.

Run ``python benchmarks/clearing_house.py``; it prints the processor and medians of five runs.
"""

import platform
import statistics
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import process_time

from margin_actors.clearing.amounts import ASSETS
from margin_actors.clearing.house import (
    EMPTY_HOUSE,
    Command,
    HouseEvent,
    HouseState,
    decide,
    event_of,
    fold,
    payload_of,
)
from margin_actors.clearing.house.account_events import ClearingAccount
from margin_actors.clearing.house.commands import (
    BookTrades,
    Deposit,
    FireTimers,
    OpenAccount,
    RecordCycle,
    RecordParameters,
    Reserve,
    TradeBooking,
)
from margin_actors.clearing.house.parameters import CollateralParameters, HouseParameters
from margin_actors.clearing.journal.deficits import AccountType
from margin_actors.clearing.journal.reservations import Reservation
from margin_actors.clearing.settlement import Trade

T0 = datetime(2026, 5, 15, 8, tzinfo=UTC)
USDC = ASSETS["USDC"]
PERPETUAL = "BTC_USDC-PERPETUAL"
REPEATS = 5


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def run(state: HouseState, commands: Iterable[Command], now: datetime) -> HouseState:
    for command in commands:
        decision = decide(state, command, now)
        assert decision.refusal is None, decision.refusal
        state = decision.state
    return state


def house(count: int) -> HouseState:
    """Return a house with accounts that have a deposit of a million and a position."""
    collateral = CollateralParameters(haircuts={"USDC": Decimal(0)})
    state = run(
        EMPTY_HOUSE, [RecordParameters("p", "x", HouseParameters(collateral=collateral))], T0
    )
    names = [f"fund-{number:05}" for number in range(count)]
    state = run(
        state,
        (
            OpenAccount(f"o{name}", "x", ClearingAccount(name, "M", AccountType.CLIENT))
            for name in names
        ),
        T0,
    )
    state = run(
        state,
        (
            Deposit(
                f"d{name}",
                "x",
                name,
                name,
                USDC,
                10**12,
                "bank",
                T0,
            )
            for name in names
        ),
        T0,
    )
    return run(state, trades(names, "t"), T0)


def trades(names: list[str], prefix: str) -> list[Command]:
    found: list[Command] = []
    for number in range(0, len(names) - 1, 2):
        name = f"{prefix}{number}"
        trade = Trade(
            name, names[number], names[number + 1], Decimal(3), Decimal(50_000), Decimal(50_000), T0
        )
        found.append(BookTrades(f"b{name}", "x", (TradeBooking(PERPETUAL, trade),)))
    return found


def cycle(state: HouseState, number: int, requirement: int, now: datetime) -> RecordCycle:
    names = tuple(state.accounts)
    return RecordCycle(
        f"cycle{number}", "loop", number, f"calculation{number}", "s", "g", "m", now,
        state.number, {"BTC": Decimal(50_000)}, {PERPETUAL: Decimal(50_000)}, names,
        (requirement,) * len(names), (0,) * len(names),
    )  # fmt: skip


def seconds(action: Callable[[], object]) -> float:
    began = process_time()
    action()
    return process_time() - began


def fresh(command: RecordCycle) -> RecordCycle:
    """Return an equal command without cached payload and hash."""
    return RecordCycle(**{name: getattr(command, name) for name in command.__dataclass_fields__})


def milliseconds(action: Callable[[], object]) -> float:
    """Return the median of the processor time of some runs."""
    return 1e3 * statistics.median(seconds(action) for _ in range(REPEATS))


def of_cycles(count: int) -> None:
    state = house(count)
    calm = cycle(state, 1, 50_000_000, T0)
    calling = cycle(state, 1, 150_000_000, T0)
    decision = decide(state, calling, T0)
    calls = sum(event.log_kind == "call" for event in decision.events)
    text = payload_of(decision.events[0])
    later = T0 + timedelta(seconds=60)
    for name, action in (
        ("cycle without calls", lambda: decide(state, fresh(calm), T0)),
        (f"cycle with {calls} calls", lambda: decide(state, fresh(calling), T0)),
        ("cycle, read and folded", lambda: fold(state, event_of("cycle", text), T0)),
        (f"timers of {calls} calls", lambda: decide(decision.state, FireTimers("f", "x"), later)),
    ):
        print(f"| {count:,} | {name} | {milliseconds(action):.1f} |")
    print(f"| {count:,} | payload of the cycle, kB | {len(text) / 1e3:.0f} |")


def of_commands() -> None:
    state = house(1000)
    names = list(state.accounts)
    called = decide(state, cycle(state, 1, 150_000_000, T0), T0).state
    calm = decide(state, cycle(state, 1, 50_000_000, T0), T0).state
    expires = T0 + timedelta(minutes=5)

    def deposits(units: int) -> list[Command]:
        return [Deposit(f"e{n}", "x", n, f"e{n}", USDC, units, "bank", T0) for n in names]

    quotes: list[Command] = [
        Reserve(f"r{n}", "x", n, Reservation("q", 1000, expires)) for n in names
    ]
    rows: list[tuple[str, HouseState, list[Command]]] = [
        ("deposit", calm, deposits(10**6)),
        ("deposit that meets a call", called, deposits(10**12)),
        ("trade", calm, trades(names, "u")),
        ("reservation", calm, quotes),
    ]
    print("\n| command | decide, µs | write, µs | read and fold, µs | entries |")
    print("|---|---:|---:|---:|---:|")
    for name, before, commands in rows:
        of_command(name, before, commands)


def of_command(name: str, before: HouseState, commands: list[Command]) -> None:
    events: list[HouseEvent] = []

    def decided() -> None:
        state = before
        events.clear()
        for command in commands:
            decision = decide(state, command, T0)
            assert decision.refusal is None, decision.refusal
            state = decision.state
            events.extend(decision.events)

    took = milliseconds(decided)
    payloads = [(event.log_kind, payload_of(event)) for event in events]

    def folded() -> None:
        state = before
        for kind, payload in payloads:
            state = fold(state, event_of(kind, payload), T0)

    # Events cache their payloads, so that those of one decision are written once.
    read = [event_of(kind, payload) for kind, payload in payloads]
    write = 1e3 * seconds(lambda: [payload_of(event) for event in read])
    each = 1e3 / len(commands)
    columns = " | ".join(f"{x * each:.0f}" for x in (took, write, milliseconds(folded)))
    print(f"| {name} | {columns} | {len(events) / len(commands):.0f} |")


if __name__ == "__main__":
    print(processor())
    print("\n| accounts | what | ms |\n|---:|---|---:|")
    of_cycles(1_000)
    of_cycles(10_000)
    of_commands()
