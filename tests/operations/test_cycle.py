"""Cycles: what the house records is what the engine computes, on positions of one entry."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from loop_world import (
    INVERSE,
    LINEAR,
    World,
    opened_world,
    option_names,
    small_model,
    small_scenarios,
)
from margin_cluster.operations.cycle import CycleRunner
from margin_cluster.operations.embedded import EmbeddedMargining
from margin_cluster.operations.margining import MarginRequest, MarginRun

from margin_actors.clearing.amounts import requirement_units
from margin_actors.clearing.house.account_events import QuotedTrade
from margin_actors.clearing.house.commands import Reserve
from margin_actors.clearing.house.queries import quantities
from margin_actors.clearing.house.valuing import position_value
from margin_actors.clearing.journal.reservations import Reservation, open_reservations
from margin_actors.engine.margin import calculate_margin
from margin_actors.errors import LedgerUnavailable, Problem
from margin_actors.market.books import book_of_portfolios


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened_world(tmp_path) as opened:
        yield opened


def fill(world: World) -> None:
    world.open("a", "b", "idle", deposit=5_000_000)
    world.trade(LINEAR, "a", "b", "12.5", "61000.5")
    world.trade(INVERSE, "b", "a", "250000", "60123.5")
    for k, name in enumerate(option_names()):
        world.trade(name, "a", "b", 3 + k, "0.05")


def test_a_cycle_records_the_margins_of_the_engine(world: World) -> None:
    fill(world)
    inputs = world.inputs()
    outcome = asyncio.run(world.runner().run(inputs))
    assert outcome.is_recorded, outcome.decision.refusal
    state = world.state
    positions = {
        name: {k: float(v) for k, v in quantities(state, name).items()} for name in state.accounts
    }
    book = book_of_portfolios((name, f"M{name}", held) for name, held in positions.items() if held)
    expected = calculate_margin(inputs.snapshot, small_scenarios(), book, world.margining.model)
    by_name = dict(
        zip(expected.book.accounts, expected.margins.initial_margin_usd.tolist(), strict=True)
    )
    assert state.cycle is not None
    assert state.cycle.accounts == ("a", "b", "idle")
    assert by_name["a"] > 0
    for name, row in state.cycle.rows.items():
        want = requirement_units(by_name.get(name, 0.0))
        assert state.cycle.requirement_cents[row] == want


def test_values_of_a_cycle_are_those_of_the_house_to_the_cent(world: World) -> None:
    fill(world)
    outcome = asyncio.run(world.runner().run(world.inputs()))
    command = outcome.command
    for row, account in enumerate(command.accounts):
        exact = position_value(
            world.state, account, None, prices=command.prices, marks=command.marks
        )
        assert not exact.missing
        assert command.unsettled_cents[row] == exact.unsettled_cents
        own = {a: cents[row] for a, cents in command.option_values_cents.items() if cents[row]}
        assert own == dict(exact.option_values_cents)
    assert any(command.unsettled_cents)
    assert Decimal(0) not in command.marks.values()


def test_reservations_are_priced_on_the_book_with_those_before_them(world: World) -> None:
    fill(world)
    name = option_names()[0]
    runner = world.runner()
    asyncio.run(runner.run(world.inputs()))
    expires = world.now + timedelta(hours=1)
    for quote, quantity in (("q1", 40), ("q2", -40)):
        world.commit(
            Reserve(
                world.id(), "rfq", "b", Reservation(quote, 100, expires),
                (QuotedTrade(name, Decimal(quantity)),),
            )
        )  # fmt: skip
    world.now += timedelta(seconds=30)
    outcome = asyncio.run(runner.run(world.inputs()))
    first, second = outcome.command.reservations["b"]
    row = outcome.command.accounts.index("b")
    base = outcome.command.requirement_cents[row]
    held = quantities(world.state, "b")
    book = book_of_portfolios(
        [
            ("with", "x", {k: float(v) + 40.0 * (k == name) for k, v in held.items()}),
            ("without", "y", {k: float(v) for k, v in held.items()}),
        ]
    )
    expected = calculate_margin(
        world.inputs().snapshot, small_scenarios(), book, world.margining.model
    ).margins.initial_margin_usd.tolist()
    assert first.incremental_cents == requirement_units(expected[0]) - base
    assert first.incremental_cents + second.incremental_cents == 0
    assert requirement_units(expected[1]) == base
    kept = open_reservations(world.state.journal, "b")
    assert [one.incremental_cents for one in kept] == [first.reserved_cents, second.reserved_cents]


def test_trades_after_the_read_are_valued_at_the_commit(world: World) -> None:
    """A premium that is paid while the cycle is calculated is not counted twice."""
    fill(world)
    name = option_names()[0]

    class Meanwhile(EmbeddedMargining):
        async def calculate(self, request: MarginRequest) -> MarginRun:
            found = await super().calculate(request)
            world.trade(name, "a", "b", 7, "0.05")
            return found

    world.margining = Meanwhile(small_model(), small_scenarios())
    outcome = asyncio.run(world.runner().run(world.inputs()))
    state = world.state
    assert state.cycle is not None
    assert state.cycle.read_number == outcome.command.read_number < state.number
    exact = position_value(
        state, "a", None, prices=outcome.command.prices, marks=outcome.command.marks
    )
    row = state.cycle.rows["a"]
    for asset, cents in exact.option_values_cents.items():
        assert state.cycle.option_values_cents[asset][row] == cents
        assert outcome.command.option_values_cents[asset][row] != cents


def test_a_commit_without_an_answer_is_repeated_and_counts_once(world: World) -> None:
    fill(world)

    class Unsure:
        """A log whose first commit is made, but not answered."""

        calls = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(world.log, name)

        def commit(self, commands: Sequence[Any]) -> list[Any]:
            self.calls += 1
            found = world.log.commit(commands)
            if self.calls == 1:
                raise LedgerUnavailable("no answer", [Problem("test", "lost")])
            return found

    log: Any = Unsure()
    outcome = asyncio.run(CycleRunner(log, world.margining).run(world.inputs()))
    assert outcome.decision.is_repeat
    assert world.state.cycle is not None
    assert world.state.cycle.number == 1


def test_surfaces_are_fitted_once_per_snapshot(world: World) -> None:
    fill(world)
    runner, inputs = world.runner(), world.inputs()
    first = asyncio.run(runner.run(inputs))
    again = asyncio.run(runner.run(inputs))
    assert again.run.requirement_usd.tolist() == first.run.requirement_usd.tolist()
    assert "cube" in first.run.stages
    assert "cube" not in again.run.stages
    asyncio.run(world.margining.activate(small_scenarios(3)))
    other = asyncio.run(runner.run(inputs))
    assert "cube" in other.run.stages
    assert other.run.generation_id != first.run.generation_id
