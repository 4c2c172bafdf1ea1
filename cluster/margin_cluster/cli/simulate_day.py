"""`margin simulate-day`: replays a day of the clearing house over a book with its collateral."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.table import Table

from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_actors.errors import InvalidParameters, InvalidRequest, Problem
from margin_actors.progress import ProgressCallback
from margin_cluster.cli.console import (
    err,
    opened_workspace,
    out,
    print_json,
    print_plain,
    settings,
    stages,
)
from margin_cluster.cli.day_screen import ShowView, day_screen, millions
from margin_cluster.cli.errors import EXIT_INTERRUPTED, EXIT_INVALID, reporting_errors
from margin_cluster.cli.options import AsJson, BookFile, CollateralFile, Data, Model
from margin_cluster.cli.provenance import report_origin
from margin_cluster.cli.schemas import SimulateDayDocument
from margin_cluster.day_outcome import DayOutcome, day_outcome
from margin_cluster.ledger import Ledger, sqlite_url
from margin_cluster.operations.embedded import EmbeddedMargining
from margin_cluster.operations.machine import clearing_log
from margin_cluster.report.day import day_html, verdict
from margin_cluster.report.identity import ReportIdentity
from margin_cluster.simulation import (
    DayInputs,
    DayRun,
    DayView,
    InitialCollateral,
    MemberRules,
    VirtualClock,
    prepare_day,
)
from margin_cluster.simulation.inputs import DayRequest, opening_of
from margin_cluster.simulation.plan import PLAN_FILE, DayPlan, read_plan
from margin_cluster.simulation.running import DayParts
from margin_cluster.wiring import load_model, time_from_text

LEDGER_FILE, REPORT_FILE = "ledger.sqlite", "report.html"
_UNITS = {"s": 1, "m": 60, "h": 3_600}


@reporting_errors
def simulate_day(
    out_dir: Annotated[Path, typer.Option("--out", help="New folder for ledger and report.")],
    data: Data = None,
    day: Annotated[
        str | None, typer.Option(help="Recorded day, 2026-02-05; default the synthetic crash.")
    ] = None,
    hours: Annotated[float, typer.Option(help="Length of the day in hours.")] = 24.0,
    book: BookFile = None,
    collateral: CollateralFile = None,
    model: Model = DEFAULT_PRESET,
    every: Annotated[str, typer.Option(help="Time between cycles, for example 5m.")] = "5m",
    speed: Annotated[str, typer.Option(help="max, or a multiple of real time: 60x.")] = "max",
    multiple: Annotated[
        float, typer.Option(help="Initial resources as a multiple of the first requirement.")
    ] = 1.15,
    usdc: Annotated[float, typer.Option(help="Share of USDC in the initial collateral.")] = 0.7,
    one_in_never: Annotated[
        int, typer.Option(help="One in so many accounts does not pay; 0: all pay.")
    ] = 25,
    late_percent: Annotated[int, typer.Option(help="Percentage of accounts that pay late.")] = 5,
    two_parts_percent: Annotated[
        int, typer.Option(help="Percentage of accounts that pay in two parts.")
    ] = 15,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted day.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay a day: market, requirements, margin calls, payments and settlement, in virtual time.

    Leaves a ledger, which `margin audit` reads, and a report of the day.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    pace = _pace(speed)
    if resume:
        request = _request_of(read_plan(out_dir))
    else:
        _require_new(out_dir)
        request = DayRequest(
            None if day is None else time_from_text(day, option="--day"),
            hours,
            _seconds(every),
            load_model(model),
            model,
            data,
            book,
            collateral,
            InitialCollateral(Decimal(str(multiple)), Decimal(str(usdc))),
            MemberRules(
                one_in_never=one_in_never,
                late_percent=late_percent,
                two_parts_percent=two_parts_percent,
            ),
        )
    request = _with_data(request)
    with opened_workspace(request.data, quiet=as_json) as (workspace, progress):
        inputs = prepare_day(workspace, request, progress=progress)
    if resume:
        _require_same(inputs.plan, read_plan(out_dir))
    out_dir.mkdir(parents=True, exist_ok=True)
    inputs.plan.write(out_dir)
    done = _run(inputs, out_dir, pace, quiet=as_json)
    if done is None:
        print_plain(
            f"\nInterrupted; the ledger is complete up to this minute. To continue:\n"
            f"  margin simulate-day --out {out_dir} --resume",
        )
        raise typer.Exit(EXIT_INTERRUPTED)
    outcome, seconds = done
    _finish(inputs, outcome, out_dir, seconds, as_json=as_json)


def _run(
    inputs: DayInputs, folder: Path, pace: float, *, quiet: bool
) -> tuple[DayOutcome, float] | None:
    """Run the day; return its outcome and duration in seconds, or None if it was interrupted."""
    clock = VirtualClock(inputs.plan.start)
    margining = EmbeddedMargining(inputs.model, threads=inputs.workspace.settings.threads)
    url = sqlite_url((folder / LEDGER_FILE).resolve())
    with closing(Ledger(url)) as ledger, closing(clearing_log(ledger.database, clock)) as log:
        run = DayRun(
            DayParts(inputs.plan, log, clock, margining, inputs.market, inputs.scenarios_at)
        )
        began = time.perf_counter()
        for sentence in () if quiet else inputs.sentences():
            err.print(sentence, highlight=False)
        with _interruptible() as is_stopping:
            if run.resumes_at() == inputs.plan.start:
                with stages(quiet=quiet) as progress:
                    asyncio.run(_open(run, inputs, margining, progress))
            with day_screen(inputs.plan.start, inputs.plan.end, quiet=quiet) as show:
                is_complete = asyncio.run(_follow(run, pace, show, is_stopping))
        if not is_complete:
            return None
        with stages(quiet=quiet) as progress:
            progress("Verifying the ledger", 0, 0)
            return day_outcome(log, ledger.database), time.perf_counter() - began


async def _open(
    run: DayRun, inputs: DayInputs, margining: EmbeddedMargining, progress: ProgressCallback
) -> None:
    commands = await opening_of(inputs, margining, progress=progress)
    progress("Opening the house", 0, 0)
    await run.open(commands)


async def _follow(
    run: DayRun, pace: float, show: ShowView, is_stopping: Callable[[], bool]
) -> bool:
    """Carry out and show the minutes that remain; return False if it was interrupted."""
    began, first = time.monotonic(), None
    async for view in run.views():
        first = first or view.time
        simulated = (view.time - first).total_seconds()
        ahead = simulated / pace - (time.monotonic() - began)
        if ahead > 0:
            await asyncio.sleep(ahead)
        show(view, simulated / max(time.monotonic() - began, 1e-3))
        if is_stopping() and not _is_last(run, view):
            return False
    return True


def _is_last(run: DayRun, view: DayView) -> bool:
    return view.time + timedelta(minutes=1) > run.end


@contextmanager
def _interruptible() -> Generator[Callable[[], bool]]:
    """Yield a function that is true after the first SIGINT; the second one ends the process."""
    stopping: list[bool] = []

    def stop(_number: int, _frame: object) -> None:
        stopping.append(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    former = signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: bool(stopping)
    finally:
        signal.signal(signal.SIGINT, former)


def _finish(
    inputs: DayInputs, outcome: DayOutcome, folder: Path, seconds: float, *, as_json: bool
) -> None:
    identity = ReportIdentity(
        valuation=f"{inputs.plan.start:%Y-%m-%d %H:%M} to {inputs.plan.end:%Y-%m-%d %H:%M} UTC",
        origin=report_origin(),
        models=((f"{inputs.model.name} {inputs.model.version}", inputs.model.id),),
        inputs=(
            ("plan of the day", inputs.plan.id),
            ("book", inputs.book.id),
            (f"ledger, entry {outcome.head_sequence:,}", outcome.head_hash),
        ),
        files=tuple(dict.fromkeys([*inputs.files, *inputs.workspace.reads])),
        is_synthetic=inputs.is_synthetic,
    )
    page = day_html(outcome, inputs.sentences(), identity=identity)
    (folder / REPORT_FILE).write_text(page, encoding="utf-8")
    if as_json:
        print_json(_document(inputs, outcome, folder, seconds))
    else:
        _show(outcome, folder, seconds)
    if not outcome.is_sound:
        raise typer.Exit(EXIT_INVALID)


def _show(outcome: DayOutcome, folder: Path, seconds: float) -> None:
    out.print("")
    for sentence in verdict(outcome):
        print_plain(sentence)
    table = Table(title="Every hour, million US dollars", title_justify="left")
    for name in ("time, UTC", "index", "requirement", "resources", "short", "deficits"):
        table.add_column(name, justify="right")
    for point in outcome.timeline:
        if point.time.minute == 0:
            name = min(point.index_usd)
            table.add_row(
                f"{point.time:%m-%d %H:%M}",
                f"{name} {point.index_usd[name]:,.0f}",
                millions(point.requirement_cents),
                millions(point.resources_cents),
                f"{point.short:,}",
                millions(point.deficit_cents),
            )
    out.print(table)
    simulated = (outcome.timeline[-1].time - outcome.timeline[0].time).total_seconds()
    print_plain(
        f"{simulated / 3600:.1f} hours in {seconds:,.0f} seconds, with opening and verification "
        f"({simulated / seconds:,.0f} × real time)."
    )
    print_plain(f"Last entry {outcome.head_sequence:,}:{outcome.head_hash}")
    print_plain(f"Ledger {folder / LEDGER_FILE}, report {folder / REPORT_FILE}. For an account:")
    account = outcome.calls[0].account if outcome.calls else next(iter(outcome.state.accounts))
    print_plain(f"  margin audit {account} --ledger {folder / LEDGER_FILE}")


def _document(
    inputs: DayInputs, outcome: DayOutcome, folder: Path, seconds: float
) -> SimulateDayDocument:
    last = outcome.timeline[-1]
    return SimulateDayDocument(
        out=str(folder),
        plan_id=inputs.plan.id,
        start=inputs.plan.start,
        end=inputs.plan.end,
        rules=inputs.sentences(),
        cycles=len(outcome.timeline),
        accounts=len(outcome.state.accounts),
        contracts_omitted=len(inputs.omitted),
        calls_issued=len(outcome.calls),
        calls_met=sum(call.status.value == "met" for call in outcome.calls),
        calls_overdue=sum(call.overdue is not None for call in outcome.calls),
        calls_unpaid_usd=sum(call.out_cents for call in outcome.calls) / 100,
        accounts_short=last.short,
        deficit_usd=last.deficit_cents / 100,
        requirement_usd=last.requirement_cents / 100,
        resources_usd=last.resources_cents / 100,
        settlements=list(outcome.settlements),
        is_sound=outcome.is_sound,
        findings=list(outcome.findings),
        head_sequence=outcome.head_sequence,
        head_hash=outcome.head_hash,
        seconds=round(seconds, 3),
        synthetic=inputs.is_synthetic,
    )


def _pace(text: str) -> float:
    """Return the speed as a multiple of real time; infinity for ``max``."""
    if text == "max":
        return float("inf")
    try:
        value = float(text.removesuffix("x"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise _invalid("--speed", text, "give max, or a multiple of real time such as 60x")
    return value


def _seconds(text: str) -> int:
    unit = _UNITS.get(text[-1:])
    if unit is None or not text[:-1].isdecimal() or int(text[:-1]) * unit % 60:
        raise _invalid("--every", text, "give whole minutes, for example 5m")
    return int(text[:-1]) * unit


def _invalid(option: str, text: str, remedy: str) -> InvalidParameters:
    return InvalidParameters("an option is not valid", [Problem(option, repr(text), remedy)])


def _with_data(request: DayRequest) -> DayRequest:
    """Return the request with the data folder of a recorded day; the synthetic crash has none."""
    if request.day is None:
        return replace(request, data=None)
    data = request.data or settings().data
    if data is None:
        raise _invalid("--day", f"{request.day}", "a recorded day needs --data or MARGIN_DATA")
    return replace(request, data=data)


def _require_new(folder: Path) -> None:
    if (folder / PLAN_FILE).exists() or (folder / LEDGER_FILE).exists():
        problem = Problem(str(folder), "holds a simulated day", "add --resume, or name another")
        raise InvalidRequest("the day cannot be started", [problem])


def _request_of(plan: DayPlan) -> DayRequest:
    return DayRequest(
        None if plan.data is None else plan.start,
        plan.hours,
        plan.every_seconds,
        load_model(plan.model),
        plan.model,
        _path(plan.data),
        _path(plan.book),
        _path(plan.collateral),
        InitialCollateral(plan.multiple, plan.usdc_share),
        plan.members,
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _require_same(found: DayPlan, stored: DayPlan) -> None:
    """Raise if files or model have changed since the day was started."""
    names = [n for n in DayPlan.model_fields if getattr(found, n) != getattr(stored, n)]
    if names:
        problems = [Problem(n, f"{getattr(stored, n)} is now {getattr(found, n)}") for n in names]
        raise InvalidRequest("the day cannot be continued with other inputs", problems)
