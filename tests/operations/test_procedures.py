"""Procedures of the day: settlements and expiries follow from the log, once, wherever cut off."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from loop_world import INVERSE, LINEAR, World, opened_world
from margin_cluster.ledger.clearing_log import ClearingLog
from margin_cluster.operations.procedures import Procedures
from margin_cluster.operations.settlement import settlement_id

from margin_actors.clearing.amounts import ASSETS
from margin_actors.clearing.house.acts import DecidePrice
from margin_actors.clearing.house.people_commands import ApproveAct, ExecuteAct, ProposeAct
from margin_actors.clearing.house.state import HouseState
from margin_actors.clearing.journal import AccountKind, holdings
from margin_actors.clearing.settlement import IndexTick
from margin_actors.errors import LedgerUnavailable, Problem

EIGHT = datetime(2026, 5, 15, 8, tzinfo=UTC)
FUTURE, OPTION = "BTC_USDC-15MAY26", "BTC_USDC-15MAY26-44000-C"
MARKS = {LINEAR: "60100", INVERSE: "60100", FUTURE: "60050", OPTION: "16000"}
SECOND = timedelta(seconds=1)
USDC, BTC = ASSETS["USDC"], ASSETS["BTC"]


class MadeTicks:
    """Values of the index every ten seconds, without those of some minutes."""

    def __init__(self, price: str = "60000", missing_minutes: int = 0) -> None:
        self.price, self.missing_minutes = Decimal(price), missing_minutes

    def ticks(self, underlying: str, start: datetime, end: datetime) -> Sequence[IndexTick]:
        first = end - timedelta(minutes=30 - self.missing_minutes)
        times = (start + 10 * SECOND * k for k in range(1_000))
        return [IndexTick(t, self.price) for t in times if first <= t < end]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened_world(tmp_path, start=EIGHT - timedelta(minutes=40)) as opened:
        yield opened


def fill(world: World, *, expiring: bool = True) -> None:
    world.open("a", "b", deposit=5_000_000)
    world.trade(LINEAR, "a", "b", "10", "60000")
    world.trade(INVERSE, "a", "b", "120000", "60000")
    if expiring:
        world.trade(FUTURE, "a", "b", "2", "59000")
        world.trade(OPTION, "b", "a", "3", "15900")


def until_eight(world: World, marks: dict[str, str] = MARKS, step: int = 240) -> None:
    while world.now < EIGHT - timedelta(seconds=step):
        world.now += timedelta(seconds=step)
        world.record_cycle(marks)
    world.now = EIGHT + SECOND


def cash(state: HouseState, account: str) -> dict[str, int]:
    return {asset.name: units for asset, units in holdings(state.journal, account, ASSETS).items()}


def enact(world: World, act: DecidePrice) -> None:
    proposed = world.commit(ProposeAct(world.id(), "ann", act))[0]
    assert proposed.reply is not None
    (name,) = proposed.reply.subjects
    world.commit(ApproveAct(world.id(), "ben", name))
    world.commit(ExecuteAct(world.id(), "ann", name))


def test_the_daily_settlement_pays_variation_and_funding(world: World) -> None:
    fill(world, expiring=False)
    until_eight(world)
    before = cash(world.state, "a")
    procedures = Procedures(world.log, MadeTicks())
    assert procedures.is_due(world.now)
    assert settlement_id(EIGHT) in procedures.carry_out(world.now)
    after = cash(world.state, "a")
    # 10 coins from 60,000 to 60,100. Premium 1/600 per 8 hours, less the damper of 0.025 %. The
    # trade is at 07:20; the first cycle, four minutes later, has the first prices.
    rate = (Decimal(100) / 60_000 - Decimal("0.00025")).quantize(Decimal("1e-12"))
    minutes = 36
    funding = 10 * rate * 60_000 * minutes / 480
    expected = 1_000 - funding
    assert abs(Decimal(after["USDC"] - before["USDC"]) / 10**6 - expected) < Decimal("0.000002")
    coins = Decimal(120_000) * (1 / Decimal(60_000) - 1 / Decimal(60_100))
    coins -= 120_000 / Decimal(60_000) * rate * minutes / 480
    assert abs(Decimal(after["BTC"]) / 10**8 - coins) < Decimal("0.00000002")
    assert not procedures.is_due(world.now)
    assert procedures.carry_out(world.now) == []
    assert world.state.journal.balance(AccountKind.SETTLEMENT, USDC).net == 0
    assert world.state.journal.balance(AccountKind.FUNDING, BTC).net == 0


def test_an_expiry_is_paid_at_the_mean_of_the_index_in_the_batch_of_the_settlement(
    world: World,
) -> None:
    fill(world)
    until_eight(world)
    done = Procedures(world.log, MadeTicks("60000")).carry_out(world.now)
    assert done[0].startswith("price:BTC:")
    life = world.state.contracts[OPTION].life
    assert life is not None
    assert (life.state, life.price and life.price.price) == ("delivered", Decimal(60_000))
    assert OPTION not in world.state.held.get("a", ())
    assert FUTURE not in world.state.held.get("b", ())
    assert LINEAR in world.state.held["a"]


def test_missing_index_values_leave_the_expiry_to_two_people(world: World) -> None:
    fill(world)
    until_eight(world)
    procedures = Procedures(world.log, MadeTicks(missing_minutes=10))
    procedures.carry_out(world.now)
    life = world.state.contracts[OPTION].life
    assert life is not None
    assert life.state == "provisional"
    assert OPTION in world.state.held["a"]
    assert any("two people" in alarm.what for alarm in world.state.alarms.values())
    world.now += SECOND
    enact(world, DecidePrice("BTC", EIGHT, Decimal(61_000), "sources were silent"))
    before = cash(world.state, "b")["USDC"]
    procedures.carry_out(world.now)
    # Three calls at 44,000 and a short position of two futures from 59,000, less the fee.
    paid = Decimal(cash(world.state, "b")["USDC"] - before) / 10**6
    assert 3 * 17_000 - 2 * 2_000 - 50 < paid < 3 * 17_000 - 2 * 2_000


def test_a_corrected_price_reverses_and_books_again(world: World) -> None:
    fill(world)
    until_eight(world)
    procedures = Procedures(world.log, MadeTicks("60000"))
    procedures.carry_out(world.now)
    first = cash(world.state, "b")["USDC"]
    world.now += SECOND
    enact(world, DecidePrice("BTC", EIGHT, Decimal(60_100), "one source was wrong"))
    assert len(procedures.carry_out(world.now)) == 1
    second = cash(world.state, "b")["USDC"]
    # Three calls gain 100 each and two short futures lose 100 each; the fee is 0.015 %.
    fee = Decimal("0.00015") * 3 * 100
    assert Decimal(second - first) / 10**6 == 300 - 200 - fee
    world.now += SECOND
    enact(world, DecidePrice("BTC", EIGHT, Decimal(60_000), "it was right after all"))
    procedures.carry_out(world.now)
    assert cash(world.state, "b")["USDC"] == first
    life = world.state.contracts[OPTION].life
    assert life is not None
    assert life.state == "delivered"
    assert not procedures.is_due(world.now)


class _CutOff:
    """A log whose commits fail from a certain one on, before or after they are made."""

    def __init__(self, log: ClearingLog[Any, Any, Any, Any], at: int, *, after: bool) -> None:
        self._log, self._left, self._after = log, at, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def commit(self, commands: Sequence[Any]) -> list[Any]:
        self._left -= 1
        if self._left < 0:
            if self._after and self._left == -1:
                self._log.commit(commands)
            raise LedgerUnavailable("cut off", [Problem("test", "cut off")])
        return self._log.commit(commands)


@pytest.mark.parametrize("after", [False, True])
def test_a_settlement_that_is_cut_off_anywhere_is_completed_to_the_same_cash(
    tmp_path: Path, after: bool
) -> None:
    results: list[dict[str, dict[str, int]]] = []
    was_cut, numbers = True, count()
    while was_cut:
        at = next(numbers)
        folder = tmp_path / str(at)
        folder.mkdir()
        with opened_world(folder, start=EIGHT - timedelta(minutes=9)) as world:
            fill(world)
            until_eight(world, step=270)
            cut: Any = _CutOff(world.log, at, after=after)
            was_cut = False
            try:
                Procedures(cut, MadeTicks()).carry_out(world.now)
            except LedgerUnavailable:
                was_cut = True
            world.now += SECOND
            world.trade(LINEAR, "b", "a", "1", "60111")  # after the cut: the next session
            Procedures(world.log, MadeTicks()).carry_out(world.now)
            results.append({name: cash(world.state, name) for name in "ab"})
    assert len(results) > 2
    assert all(found == results[0] for found in results)


def test_old_marks_make_the_settlement_wait_for_the_next_cycle(world: World) -> None:
    fill(world, expiring=False)
    world.record_cycle(MARKS)
    world.pass_time(2_401)
    procedures = Procedures(world.log, MadeTicks())
    done = procedures.carry_out(world.now)
    assert settlement_id(EIGHT) not in done
    assert any("waits for marks" in alarm.what for alarm in world.state.alarms.values())
    assert procedures.carry_out(world.now) == []
    world.record_cycle(MARKS)
    assert settlement_id(EIGHT) in procedures.carry_out(world.now)


def test_two_processes_settle_once(world: World, tmp_path: Path) -> None:
    fill(world)
    until_eight(world)
    both: list[Callable[[datetime], list[str]]] = [
        Procedures(world.log, MadeTicks("60000")).carry_out,
        Procedures(world.log, MadeTicks("60001")).carry_out,
    ]
    assert settlement_id(EIGHT) in both[0](world.now)
    numbers = world.state.number
    assert both[1](world.now) == []
    assert world.state.number == numbers
