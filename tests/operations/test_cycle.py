"""Cycles: what the house records is what the engine computes, on positions of one entry."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from loop_world import INVERSE, LINEAR, World, opened_world, option_names, small_scenarios

from margin_actors.clearing.amounts import requirement_units
from margin_actors.clearing.house.queries import quantities
from margin_actors.clearing.house.valuing import position_value
from margin_actors.engine.margin import calculate_margin
from margin_actors.market.books import book_of_portfolios


@pytest.fixture
def world(tmp_path: Path):
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
