"""A simulated day: equal hashes, continuation after an interruption, members, market and report."""

import json
import random
from collections import Counter
from datetime import timedelta
from fractions import Fraction
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from json_documents import validated
from margin_cluster.cli import app
from margin_cluster.cli.day_screen import screen
from margin_cluster.day_outcome import DayOutcome
from margin_cluster.report.day import day_html
from margin_cluster.report.identity import ReportIdentity, ReportOrigin
from margin_cluster.simulation.market import moved_snapshot
from margin_cluster.simulation.members import Habit, MemberRules, behaviour
from margin_cluster.simulation.path import CRASH, crash_path
from margin_cluster.simulation.plan import read_plan
from rich.console import Console
from simulated_days import (
    MEMBERS,
    first_chain,
    killed_day,
    opened_day,
    small_plan,
    whole_day,
)
from typer.testing import CliRunner

from margin_actors.clearing.calls import CallStatus
from margin_actors.errors import InvalidRequest

PLAN = small_plan(hours=1.25)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> DayOutcome:
    return whole_day(tmp_path_factory.mktemp("day") / "ledger.sqlite", PLAN)


def test_the_same_plan_gives_the_same_hashes(undisturbed: DayOutcome, tmp_path: Path) -> None:
    again = whole_day(tmp_path / "ledger.sqlite", PLAN)
    assert (again.head_sequence, again.head_hash) == (
        undisturbed.head_sequence, undisturbed.head_hash,
    )  # fmt: skip


@pytest.mark.parametrize("stop", [0, 23, 61])
def test_a_day_that_was_stopped_continues_to_the_same_hashes(
    undisturbed: DayOutcome, tmp_path: Path, stop: int
) -> None:
    path, minutes = tmp_path / "ledger.sqlite", iter(range(1_000))
    with opened_day(path, PLAN) as day:
        day.finish(lambda: next(minutes) == stop)
        assert day.log.state.number < undisturbed.state.number
    assert whole_day(path, PLAN).head_hash == undisturbed.head_hash


def test_an_opening_that_was_cut_off_is_completed(undisturbed: DayOutcome, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with opened_day(path, PLAN) as day:
        day.log.commit(list(day.opening())[:5], lambda: PLAN.start)
    assert whole_day(path, PLAN).head_hash == undisturbed.head_hash


@pytest.mark.slow
def test_a_killed_process_leaves_a_ledger_from_which_the_day_ends_alike(
    undisturbed: DayOutcome, tmp_path: Path
) -> None:
    draw = random.Random(5)
    killed = 0
    for number in range(8):
        path = tmp_path / f"{number}.sqlite"
        killed += killed_day(path, PLAN, draw.uniform(0.02, 0.4))
        found = whole_day(path, PLAN)
        assert found.head_hash == undisturbed.head_hash
        assert found.state.journal.balances.items() == undisturbed.state.journal.balances.items()
    assert killed >= 1


def test_nothing_is_created_or_lost(undisturbed: DayOutcome) -> None:
    assert undisturbed.is_sound
    assert undisturbed.findings == ()


def test_members_pay_as_their_rule_says(undisturbed: DayOutcome) -> None:
    assert len(undisturbed.calls) >= 4
    habits: Counter[Habit] = Counter()
    for call in undisturbed.calls:
        own = behaviour(call.account, MEMBERS)
        habits[own.habit] += 1
        assert call.acknowledged is not None
        # The first cycle is recorded a second after the minute.
        assert timedelta(minutes=5) <= call.acknowledged - call.issued < timedelta(minutes=6)
        waited = None if call.ended is None else call.ended - call.issued
        if own.habit is Habit.NEVER:
            assert call.status is CallStatus.OVERDUE
            assert call.overdue is not None
            paid = [n for n in undisturbed.state.commands if n.startswith(f"pay:{call.call_id}/")]
            assert not paid
        elif own.habit is Habit.PROMPT and waited is not None:
            assert waited >= timedelta(minutes=own.minutes)
    assert habits[Habit.NEVER]
    assert habits[Habit.PROMPT] or habits[Habit.TWO_PARTS]


def test_the_timeline_agrees_with_the_state(undisturbed: DayOutcome) -> None:
    cycle = undisturbed.state.cycle
    assert cycle is not None
    last = undisturbed.timeline[-1]
    assert len(undisturbed.timeline) == cycle.number
    assert last.requirement_cents == sum(cycle.requirement_cents)
    excesses = [cycle.excess_cents(row) for row in range(len(cycle.accounts))]
    assert last.resources_cents - last.requirement_cents == sum(excesses)
    assert last.short == len(undisturbed.short_since) == sum(e < 0 for e in excesses)


def test_settlement_pays_variation_and_delivers_what_expires(tmp_path: Path) -> None:
    found = whole_day(tmp_path / "ledger.sqlite", small_plan(hours=0.5, before=7.75))
    assert found.settlements == ("settlement:2026-01-16T08:00:00Z",)
    assert found.is_sound
    held = {name for names in found.state.held.values() for name in names}
    assert held == {"BTC-PERPETUAL"}
    expired = [c.life for c in found.state.contracts.values() if c.life is not None]
    assert [life.state for life in expired] == ["delivered"]
    (price,) = [life.price for life in expired]
    assert price is not None
    assert (price.status, price.missing_share) == ("final", Fraction(0))
    lots = [found.state.journal.position(a, "BTC-PERPETUAL").lots for a in found.state.accounts]
    assert all(len(own) == 1 for own in lots)


def test_behaviour_follows_from_the_id_and_has_the_stated_shares() -> None:
    rules = MemberRules(one_in_never=10, late_percent=20, two_parts_percent=30)
    found = Counter(behaviour(f"account-{n}", rules).habit for n in range(4_000))
    shares = {habit: count / 4_000 for habit, count in found.items()}
    assert shares[Habit.NEVER] == pytest.approx(0.1, abs=0.02)
    assert shares[Habit.LATE] == pytest.approx(0.9 * 0.2, abs=0.03)
    assert shares[Habit.TWO_PARTS] == pytest.approx(0.9 * 0.3, abs=0.03)
    minutes = {behaviour(f"account-{n}", rules).minutes for n in range(4_000)} - {0, 90}
    assert (min(minutes), max(minutes)) == (20, 50)
    assert not [
        n for n in range(500)
        if behaviour(f"a{n}", MemberRules(one_in_never=0)).habit is Habit.NEVER
    ]  # fmt: skip


def test_a_moved_chain_keeps_its_surface_by_moneyness() -> None:
    chain = first_chain()
    moved = moved_snapshot(chain, chain.time, dict.fromkeys(chain.index_usd, 1.0))
    np.testing.assert_allclose(moved.options.mark_vol, chain.options.mark_vol, atol=1e-6)
    np.testing.assert_allclose(moved.options.mark, chain.options.mark, atol=2e-6)
    fallen = moved_snapshot(chain, chain.time, dict.fromkeys(chain.index_usd, 0.95))
    assert fallen.index_usd["BTC"] == pytest.approx(0.95 * chain.index_usd["BTC"], abs=0.01)
    for place, item in list(enumerate(fallen.expiries))[4:8]:
        at_money = [
            float(
                np.interp(
                    1.0,
                    s.options.strike_usd[rows] / s.expiries[place].forward_usd,
                    s.options.mark_vol[rows],
                )
            )
            for s in (chain, fallen)
            for rows in [np.flatnonzero((s.options.expiry_index == place) & s.options.is_call)]
        ]
        assert at_money[0] == pytest.approx(at_money[1], abs=0.02), item.expiry


def test_a_moved_chain_obeys_put_call_parity_and_drops_what_has_expired() -> None:
    chain = first_chain()
    later = chain.time + timedelta(hours=9)
    moved = moved_snapshot(chain, later, dict.fromkeys(chain.index_usd, 0.9))
    assert all(item.expiry > later for item in moved.expiries)
    assert len(moved.expiries) < len(chain.expiries)
    options, rows = moved.options, {}
    for row, name in enumerate(options.names):
        rows.setdefault(name[:-2], {})[name[-1]] = row
    for pair in rows.values():
        if len(pair) == 2:
            call, put = pair["C"], pair["P"]
            forward = moved.expiries[int(options.expiry_index[call])].forward_usd
            difference = float(options.mark[call] - options.mark[put])
            assert difference == pytest.approx(
                1 - float(options.strike_usd[call]) / forward, abs=1e-7
            )
            if options.bid[call] > 0:
                assert options.bid[call] <= options.mark[call] + 1e-8


def test_the_synthetic_crash_is_the_same_everywhere_and_falls_before_the_settlement() -> None:
    start = first_chain().time
    one, other = (
        crash_path(["BTC", "ETH"], start, start + timedelta(hours=24), 3) for _ in range(2)
    )
    assert all(np.array_equal(one.price_usd[u], other.price_usd[u]) for u in ("BTC", "ETH"))
    low = int(np.argmin(one.price_usd["BTC"]))
    assert start + timedelta(minutes=low) < start.replace(hour=8)
    depth = min(level for _, level in CRASH)
    assert float(np.log(one.price_usd["BTC"][low])) == pytest.approx(depth, abs=0.005)
    assert one.volatility_factor[low] > 1.3


def test_the_screen_shows_who_is_short_and_by_when_they_have_to_pay(tmp_path: Path) -> None:
    with opened_day(tmp_path / "ledger.sqlite", PLAN) as day:
        minutes = iter(range(1_000))
        day.finish(lambda: next(minutes) == 12)
        from asyncio import run

        view = run(day.run.minute(PLAN.start + timedelta(minutes=13)))
    console = Console(file=StringIO(), width=100, record=True)
    console.print(screen(view, PLAN.start, PLAN.end, 1_234.0))
    text = console.export_text()
    assert "1,234 × real time" in text
    assert f"short {len(view.short)} of 6" in text
    worst = view.short[0]
    assert worst.account in text
    assert "47 min" in text
    assert "acknowledged" in text


def test_the_report_says_who_is_short_and_why(undisturbed: DayOutcome) -> None:
    identity = ReportIdentity(
        valuation="a day",
        origin=ReportOrigin("margin simulate-day", PLAN.start),
        models=(("plain-hs 1", "model-1"),),
        is_synthetic=True,
    )
    page = day_html(undisturbed, ["Rule one."], identity=identity)
    assert "SYNTHETIC DATA" in page
    assert undisturbed.head_hash in page
    for account in undisturbed.short_since:
        assert f"<td>{account}</td>" in page
    assert "overdue since" in page
    assert "The hash chain of the ledger is intact" in page


BOOK = """member_id,account_id,instrument_name,quantity
M1,M1-H,BTC-PERPETUAL,40000000
M1,M1-C0,BTC-PERPETUAL,-25000000
M2,M2-C0,BTC-PERPETUAL,-15000000
"""
MODEL = """extends = "plain-hs"
name = "small"
[history]
sources = ["synthetic_a_{u}USD_1d"]
[scenarios]
windows = 250
"""


@pytest.fixture
def command_files(tmp_path: Path) -> list[str]:
    (tmp_path / "book.csv").write_text(BOOK)
    (tmp_path / "model.toml").write_text(MODEL)
    return [
        "simulate-day", "--out", str(tmp_path / "out"), "--book", str(tmp_path / "book.csv"),
        "--model", str(tmp_path / "model.toml"), "--hours", "0.5", "--multiple", "0.8",
    ]  # fmt: skip


@pytest.mark.usefixtures("environment")
def test_the_command_leaves_a_ledger_a_report_and_an_audit(
    command_files: list[str], tmp_path: Path
) -> None:
    runner = CliRunner()
    done = runner.invoke(app, [*command_files, "--json"])
    assert done.exit_code == 0, done.output
    found = validated(done.stdout)
    assert (found["is_sound"], found["cycles"], found["calls_issued"]) == (True, 7, 3)
    out = tmp_path / "out"
    assert "A simulated day" in (out / "report.html").read_text()
    arguments = ["audit", "M1-C0", "--ledger", str(out / "ledger.sqlite")]
    told = validated(runner.invoke(app, [*arguments, "--json"]).stdout)
    assert told["head_hash"]
    titles = [line["title"] for line in told["lines"]]
    assert {"Trade booked", "Margin call issued", "Call acknowledged"} <= set(titles)
    shown = runner.invoke(app, [*arguments, "--html", str(tmp_path / "audit.html")])
    assert "Margin call issued" in shown.output
    assert "Margin call issued" in (tmp_path / "audit.html").read_text()
    again = runner.invoke(app, [*command_files, "--json"])
    assert again.exit_code == 2
    assert "--resume" in again.output
    (tmp_path / "book.csv").write_text(BOOK.replace("40000000", "41000000"))
    refused = runner.invoke(app, [*command_files, "--resume", "--json"])
    assert refused.exit_code == 2
    assert "book_id" in json.loads(refused.stdout)["problems"][0]["where"]


@pytest.mark.usefixtures("environment")
def test_a_book_that_does_not_balance_is_refused(command_files: list[str], tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_text(BOOK.replace("-15000000", "-14000000"))
    done = CliRunner().invoke(app, [*command_files, "--json"])
    assert done.exit_code == 2
    assert "sum to 1000000" in done.output


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "option", [("--every", "90s"), ("--every", "x"), ("--speed", "fast"), ("--day", "2026-02-05")]
)
def test_options_that_cannot_be_used_are_named(
    command_files: list[str], option: tuple[str, str]
) -> None:
    done = CliRunner().invoke(app, [*command_files, *option, "--json"])
    assert done.exit_code == 2
    assert option[0] in done.output


def test_a_plan_that_is_missing_cannot_be_continued(tmp_path: Path) -> None:

    PLAN.write(tmp_path)
    assert read_plan(tmp_path) == PLAN
    with pytest.raises(InvalidRequest, match="no simulated day"):
        read_plan(tmp_path / "other")
