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


def median(measured: Callable[[], float]) -> float:
    return statistics.median(measured() for _ in range(REPEATS))


def seconds(action: Callable[[], object]) -> float:
    began = process_time()
    action()
    return process_time() - began


def of_cycles(count: int) -> None:
    state = house(count)
    calm = cycle(state, 1, 50_000_000, T0)
    calls = cycle(state, 1, 150_000_000, T0)
    decision = decide(state, calls, T0)
    issued = sum(event.log_kind == "call" for event in decision.events)
    recorded = [event for event in decision.events if event.log_kind == "cycle"]
    text = payload_of(recorded[0])
    print(f"{count} accounts")
    print(
        f"  cycle without calls      {1e3 * median(lambda: seconds(lambda: decide(state, fresh(calm), T0))):8.1f} ms"
    )
    print(
        f"  cycle with {issued} calls   {1e3 * median(lambda: seconds(lambda: decide(state, fresh(calls), T0))):8.1f} ms"
    )
    print(
        f"  payload of the cycle     {len(text) / 1e3:8.1f} kB, read and folded in "
        f"{1e3 * median(lambda: seconds(lambda: fold(state, event_of('cycle', text), T0))):.1f} ms"
    )
    print(
        f"  timers of {issued} calls    {1e3 * median(lambda: seconds(lambda: decide(decision.state, FireTimers('f', 'x'), T0 + timedelta(seconds=60)))):8.1f} ms"
    )


def fresh(command: RecordCycle) -> RecordCycle:
    """Return an equal command without cached payload and hash."""
    return RecordCycle(**{name: getattr(command, name) for name in command.__dataclass_fields__})


def of_commands() -> None:
    state = house(1000)
    names = list(state.accounts)
    called = decide(state, cycle(state, 1, 150_000_000, T0), T0).state
    calm = decide(state, cycle(state, 1, 50_000_000, T0), T0).state
    expires = T0 + timedelta(minutes=5)
    rows: list[tuple[str, HouseState, list[Command]]] = [
        (
            "deposit",
            calm,
            [Deposit(f"e{n}", "x", n, f"e{n}", USDC, 10**6, "bank", T0) for n in names],
        ),
        (
            "deposit that meets a call",
            called,
            [Deposit(f"e{n}", "x", n, f"e{n}", USDC, 10**12, "bank", T0) for n in names],
        ),
        ("trade", calm, trades(names, "u") * 1),
        (
            "reservation",
            calm,
            [Reserve(f"r{n}", "x", n, Reservation("q", 1000, expires)) for n in names],
        ),
    ]
    print("commands, microseconds each: decide; write; read and fold")
    for name, before, commands in rows:
        events: list[HouseEvent] = []

        def decided() -> None:
            state = before
            events.clear()
            for command in commands:
                decision = decide(state, command, T0)
                assert decision.refusal is None, decision.refusal
                state = decision.state
                events.extend(decision.events)

        def folded(payloads: list[tuple[str, str]]) -> None:
            state = before
            for kind, payload in payloads:
                state = fold(state, event_of(kind, payload), T0)

        took = median(lambda: seconds(decided))
        written = seconds(lambda: [payload_of(event) for event in events])
        payloads = [(event.log_kind, payload_of(event)) for event in events]
        read = median(lambda: seconds(lambda: folded(payloads)))
        each = 1e6 / len(commands)
        print(
            f"  {name:28}{took * each:8.0f}{written * each:8.0f}{read * each:8.0f}   {len(events) / len(commands):.1f} entries"
        )


if __name__ == "__main__":
    print(processor())
    of_cycles(1_000)
    of_cycles(10_000)
    of_commands()
