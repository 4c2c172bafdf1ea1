"""One cycle: positions as of one entry of the log, margins in one snapshot, and the commit.

The requirement passes through the log as one command. Calls, resources and reservations are decided
at the commit, on what has been paid and traded until then.
"""

import asyncio
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog

from margin_actors.backoff import Backoff
from margin_actors.clearing.amounts import requirement_units
from margin_actors.clearing.house import Command, Decision, HouseState
from margin_actors.clearing.house.commands import RaiseAlarm, RecordCycle
from margin_actors.clearing.house.events import HouseAlarm
from margin_actors.clearing.house.valuing import contract_of
from margin_actors.clearing.journal.reservations import Reservation, open_reservations
from margin_actors.clearing.settlement.exact import EXACT, canonical
from margin_actors.engine.margin import AccountFailure, AccountProblem
from margin_actors.errors import LedgerUnavailable, NotReady, Problem
from margin_actors.market.identity import content_id
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.operations.book import BookReader, HouseBook
from margin_cluster.operations.machine import HouseLog
from margin_cluster.operations.margining import Margining, MarginRequest, MarginRun, QuotedPositions
from margin_cluster.operations.metrics import LoopMetrics
from margin_cluster.operations.valuation import BookValues, value_book

ACTOR = "loop"
"""Actor of the commands of the loop."""
_TRIES = 5
_WHAT_MAX = 400


@dataclass(frozen=True)
class CycleInputs:
    """What a cycle is calculated from, besides the log."""

    snapshot: MarketSnapshot
    prices: Mapping[str, Decimal]
    """US dollars per coin by asset, positive; see `CycleRecorded.prices`."""
    factor: float = 1.0
    """Factor on margins, at least 1; larger while data are old."""
    causes: tuple[str, ...] = ()
    """Why the cycle runs."""
    valued_at: datetime | None = None
    """Time of the market data, UTC, not in the future; None for the time of the snapshot."""


@dataclass(frozen=True)
class CycleOutcome:
    """A cycle that was decided."""

    command: RecordCycle
    decision: Decision
    """A refusal if another process recorded a later cycle first."""
    run: MarginRun
    stages: Mapping[str, float]
    """Duration of each stage, seconds."""
    failures: tuple[AccountFailure, ...]
    """Accounts that keep their former requirement."""

    @property
    def is_recorded(self) -> bool:
        """Whether the cycle is in the log."""
        return self.decision.refusal is None

    @property
    def calls(self) -> tuple[str, ...]:
        """Ids of the calls that the cycle changed."""
        return () if self.decision.reply is None else self.decision.reply.subjects

    @property
    def seconds(self) -> float:
        """Duration of all stages."""
        return sum(self.stages.values())


class CycleRunner:
    """Runs cycles, one at a time; keeps what does not change between them.

    Parameters
    ----------
    log : HouseLog
    margining : Margining
    metrics : LoopMetrics, optional
    backoff : Backoff
        Waits between attempts to commit while the ledger does not answer.
    """

    def __init__(
        self,
        log: HouseLog,
        margining: Margining,
        *,
        metrics: LoopMetrics | None = None,
        backoff: Backoff = Backoff(0.05, 1.0),  # noqa: B008 a constant
    ) -> None:
        self._log, self._margining = log, margining
        self.metrics = metrics or LoopMetrics()
        self._backoff = backoff
        self._reader = BookReader(margining.model)
        self._events = structlog.get_logger("cycle")

    async def run(self, inputs: CycleInputs) -> CycleOutcome:
        """Margin every open account and record the cycle.

        Raises
        ------
        NotReady
            If no account is open, or no account can be margined.
        MarginError
            As `Margining.calculate`, and as `ClearingLog.commit`. A cycle that was not committed
            has no effect; the next one has the same number.
        """
        stages: dict[str, float] = {}
        try:
            outcome = await self._run(inputs, stages)
        except Exception:
            self.metrics.finished("failed", stages, inputs.causes)
            raise
        self._report(inputs, outcome)
        return outcome

    async def _run(self, inputs: CycleInputs, stages: dict[str, float]) -> CycleOutcome:
        with _timed(stages, "positions"):
            committed = await asyncio.to_thread(self._log.refresh)
            state = committed.state
            if not state.accounts:
                problem = Problem("accounts", "none is open", "open accounts first")
                raise NotReady("there is nothing to margin", [problem])
            book = await asyncio.to_thread(self._reader.read, state)
        quotes = _quotes(state)
        request = MarginRequest(inputs.snapshot, book.book, quotes, tuple(state.contracts))
        run = await self._margining.calculate(request)
        stages.update(run.stages)
        with _timed(stages, "valuation"):
            command, alarms, failures = await asyncio.to_thread(_command, state, book, run, inputs)
        with _timed(stages, "commit"):
            decisions = await self._commit([command, *alarms])
        return CycleOutcome(command, decisions[0], run, stages, failures)

    async def _commit(self, commands: Sequence[Command]) -> list[Decision]:
        """Commit, and repeat the same commands while the ledger does not answer."""
        for attempt in range(_TRIES):
            try:
                return await asyncio.to_thread(self._log.commit, commands)
            except LedgerUnavailable:
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(self._backoff.delay_seconds(attempt))
        raise AssertionError("the last attempt returns or raises")

    def _report(self, inputs: CycleInputs, outcome: CycleOutcome) -> None:
        command = outcome.command
        name = "recorded" if outcome.is_recorded else "refused"
        self.metrics.finished(name, outcome.stages, inputs.causes)
        clock = outcome.decision.state.clock
        age = 0.0 if clock is None else (clock.now - command.valued_at).total_seconds()
        if outcome.is_recorded:
            self.metrics.recorded(
                command.number,
                accounts=len(command.accounts),
                failed=len(outcome.failures),
                calls=len(outcome.calls),
                age_seconds=age,
            )
        refusal = outcome.decision.refusal
        self._events.info(
            "cycle",
            outcome=name,
            number=command.number,
            causes=list(inputs.causes),
            accounts=len(command.accounts),
            failed=len(outcome.failures),
            calls=list(outcome.calls[:20]),
            age_seconds=round(age, 3),
            seconds=round(outcome.seconds, 3),
            stages={stage: round(seconds, 4) for stage, seconds in outcome.stages.items()},
            refusal="" if refusal is None else refusal.reason,
        )


def _quotes(state: HouseState) -> dict[str, tuple[QuotedPositions, ...]]:
    """Return what open reservations are for, up to the first of which this is not recorded."""
    found: dict[str, tuple[QuotedPositions, ...]] = {}
    for account, recorded in state.quotes.items():
        known = {one.quote: one for one in recorded if one.trades}
        quoted: list[QuotedPositions] = []
        for reservation in open_reservations(state.journal, account):
            if reservation.quote not in known:
                break
            sizes: dict[str, float] = {}
            for trade in known[reservation.quote].trades:
                multiplier = contract_of(state, trade.instrument).multiplier
                size = float(EXACT.multiply(trade.quantity, multiplier))
                sizes[trade.instrument] = sizes.get(trade.instrument, 0.0) + size
            quoted.append(QuotedPositions(reservation.quote, sizes))
        if quoted:
            found[account] = tuple(quoted)
    return found


def _command(
    state: HouseState, book: HouseBook, run: MarginRun, inputs: CycleInputs
) -> tuple[RecordCycle, list[RaiseAlarm], tuple[AccountFailure, ...]]:
    """Return the command of a cycle, the alarms, and the accounts that are left out."""
    # A contract that has expired keeps its last mark until it is settled.
    marks = {name: state.marks[name] for name in book.table.contracts if name in state.marks}
    marks |= run.marks
    contracts = {name: contract_of(state, name) for name in book.table.contracts}
    values = value_book(book.table, book.lots, contracts, marks=marks, prices=inputs.prices)
    cents = dict(zip(run.accounts, _requirements(run, inputs.factor), strict=True))
    names = book.book.accounts
    rows = [
        row for row, account in enumerate(names) if account in cents and row not in values.missing
    ]
    failures = _failures(book, run, values)
    number = 1 if state.cycle is None else state.cycle.number + 1
    if not rows:
        problems = [Problem(f.account_id, f.problems[0].description) for f in failures[:20]]
        raise NotReady("no account can be margined", problems)
    accounts = tuple(names[row] for row in rows)
    command = RecordCycle(
        id=f"cycle:{number}:{_content(run, book, inputs, marks)}",
        actor=ACTOR,
        number=number,
        calculation_id=run.calculation_id,
        snapshot_id=run.snapshot_id,
        generation_id=run.generation_id,
        model_id=run.model_id,
        valued_at=inputs.valued_at or inputs.snapshot.time,
        read_number=book.number,
        prices=dict(inputs.prices),
        marks=marks,
        accounts=accounts,
        requirement_cents=tuple(cents[account] for account in accounts),
        unsettled_cents=tuple(values.unsettled_cents[row] for row in rows),
        option_values_cents={
            asset: tuple(column[row] for row in rows)
            for asset, column in values.option_values_cents.items()
        },
        reservations=_repriced(state, run, cents, inputs.factor),
    )
    return command, _alarms(state, failures, number), failures


def _content(
    run: MarginRun, book: HouseBook, inputs: CycleInputs, marks: Mapping[str, Decimal]
) -> str:
    """Return a hash of everything that a cycle depends on: other commands have other ids."""
    found = content_id(
        "cycle",
        {
            "run": run.calculation_id,
            "read": book.number,
            "factor": inputs.factor,
            # A mark that was read from the log has lost its trailing zeros.
            "prices": [f"{name} {canonical(p)}" for name, p in sorted(inputs.prices.items())],
            "marks": [f"{name} {canonical(mark)}" for name, mark in sorted(marks.items())],
            "quoted": [f"{name} {margin}" for name, margin in sorted(run.cumulative_usd.items())],
        },
    )
    return found.rpartition("-")[2]


def _requirements(run: MarginRun, factor: float) -> list[int]:
    return [requirement_units(margin * factor) for margin in run.requirement_usd.tolist()]


def _failures(book: HouseBook, run: MarginRun, values: BookValues) -> tuple[AccountFailure, ...]:
    failed = {failure.account_id: failure for failure in run.failures}
    for row, missing in values.missing.items():
        problem = AccountProblem(missing[0], f"no mark or price of {', '.join(missing)}")
        name, member, held = book.book.accounts[row], book.book.members[row], len(book.lots[row])
        failed.setdefault(name, AccountFailure(name, member, held, (problem,)))
    return tuple(failed[name] for name in sorted(failed))


def _alarms(state: HouseState, failures: Sequence[AccountFailure], number: int) -> list[RaiseAlarm]:
    """Return an alarm for each account that could be margined before, or fails differently."""
    before = frozenset[str]() if state.cycle is None else state.cycle.rows.keys()
    found: list[RaiseAlarm] = []
    for failure in failures:
        account = failure.account_id
        what = "; ".join(problem.description for problem in failure.problems)[:_WHAT_MAX]
        what = f"not margined, the former requirement remains: {what}"
        last = state.alarms.get(f"{HouseAlarm.MARK_MISSING.value}:{account}")
        if account in before or last is None or last.what != what:
            name = f"cycle:{number}:failed:{content_id('failed', {'a': account, 'w': what})[-16:]}"
            found.append(RaiseAlarm(name, ACTOR, HouseAlarm.MARK_MISSING, account, what))
    return found


def _repriced(
    state: HouseState, run: MarginRun, cents: Mapping[str, int], factor: float
) -> dict[str, tuple[Reservation, ...]]:
    """Return open reservations with their new prices; those without one keep the former."""
    found: dict[str, tuple[Reservation, ...]] = {}
    for account, cumulative in run.cumulative_usd.items():
        reservations = list(open_reservations(state.journal, account))
        before = cents[account]
        for place, margin in enumerate(cumulative[: len(reservations)]):
            one = reservations[place]
            after = requirement_units(margin * factor)
            reservations[place] = Reservation(one.quote, after - before, one.expires_at)
            before = after
        found[account] = tuple(reservations)
    return found


@contextmanager
def _timed(stages: dict[str, float], name: str) -> Generator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        stages[name] = stages.get(name, 0.0) + time.perf_counter() - began


__all__ = ["ACTOR", "CycleInputs", "CycleOutcome", "CycleRunner"]
