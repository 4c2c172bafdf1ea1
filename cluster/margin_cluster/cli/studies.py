"""`margin backtest`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import typer
from rich.table import Table

from margin_actors.arrays import FloatArray, TimeArray
from margin_actors.engine.backtest import (
    Backtest,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_actors.errors import InvalidRequest, Problem
from margin_actors.market.snapshots import TIME_MIN
from margin_cluster.chain_backtest import ChainBacktestRequest
from margin_cluster.cli.chain_backtest import backtest_chains
from margin_cluster.cli.console import count_of, opened_workspace, out, percent, print_json
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.options import AsJson, Data, First, Force, Last, Model, OutDir
from margin_cluster.cli.outputs import output_folder
from margin_cluster.cli.provenance import study_identity
from margin_cluster.cli.schemas import (
    BacktestDocument,
    BacktestTest,
)
from margin_cluster.report import backtest_html
from margin_cluster.studies import (
    CONFIDENCES,
    ENGINES,
    run_backtest,
    run_book_backtest,
)
from margin_cluster.wiring import (
    History,
    Workspace,
    load_model,
    load_volatility_indices,
    time_from_text,
)

_BOOK_ENGINES = ("historical", "filtered EWMA")
_LIGHTS = {"green": "green", "yellow": "yellow", "red": "bold red"}
_SIGNIFICANT = 0.05


def begin_time(text: str | None) -> datetime | None:
    """Return the time of the option `--from`, or None if it is not given."""
    return None if text is None else time_from_text(text, option="--from")


def until_time(text: str | None) -> datetime | None:
    """Return the time of the option `--to`, or None if it is not given."""
    return None if text is None else time_from_text(text, option="--to")


@reporting_errors
def backtest(
    out_dir: OutDir,
    data: Data = None,
    model: Model = DEFAULT_PRESET,
    first: First = None,
    last: Last = None,
    engine: Annotated[
        list[str] | None, typer.Option("--engine", help="Engine; repeat for several.")
    ] = None,
    confidence: Annotated[
        list[float] | None, typer.Option("--confidence", help="Level; repeat for several.")
    ] = None,
    book: Annotated[
        list[Path] | None,
        typer.Option(
            "--book",
            help="Backtest the accounts of this book over the recorded option chains; with "
            "--chains, repeat for several.",
        ),
    ] = None,
    chains: Annotated[
        bool,
        typer.Option(
            "--chains",
            help="Backtest the whole requirement of the benchmark portfolios and books on the "
            "recorded option chains, with every component of the model.",
        ),
    ] = False,
    collateral: Annotated[
        list[Path] | None,
        typer.Option("--collateral", help="With --chains: deposits, one file per --book."),
    ] = None,
    hour: Annotated[
        int,
        typer.Option(
            "--hour", min=0, max=23, help="With --chains: use the chain nearest to this hour, UTC."
        ),
    ] = 0,
    all_snapshots: Annotated[
        bool, typer.Option("--all-snapshots", help="With --chains: use every recorded chain.")
    ] = False,
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="With --chains: number of processes.")
    ] = 1,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Replay several years day by day and backtest eight benchmark portfolios, or a book."""
    parameters = load_model(model)
    if chains:
        request = ChainBacktestRequest(
            parameters,
            tuple(book or ()),
            tuple(collateral or ()),
            begin_time(first) or TIME_MIN,
            until_time(last),
            hour=hour,
            every=all_snapshots,
            processes=processes,
        )
        _require_no_engines(engine, confidence)
        backtest_chains(request, out_dir=out_dir, data=data, force=force, as_json=as_json)
        return
    _require_at_most_one(book)
    with (
        output_folder(out_dir, command="backtest", replace=force) as folder,
        opened_workspace(data, quiet=as_json) as (workspace, progress),
    ):
        levels, remark = confidence or CONFIDENCES, ""
        begin, until = begin_time(first), until_time(last)
        if not book:
            found = run_backtest(
                workspace,
                parameters,
                engines=engine or tuple(ENGINES),
                first=begin,
                last=until,
                confidences=levels,
                progress=progress,
            )
            end = end_of_replay(workspace, parameters, found.replay.time, until)
        else:
            found, remark = run_book_backtest(
                workspace,
                parameters,
                book=book[0],
                engines=engine or _BOOK_ENGINES,
                first=begin,
                last=until,
                confidences=levels,
                progress=progress,
            )
            end = _end_of_chains(parameters, found.replay.time, until)
        start = start_of_replay(parameters, found.replay.time, begin)
        document = _backtest_document(found, out_dir, remark, start, end)
        tests = pa.Table.from_pylist([row.model_dump() for row in document.tests])
        pq.write_table(tests, folder / "tests.parquet")
        pa_csv.write_csv(tests, folder / "tests.csv")
        pq.write_table(_series_table(found), folder / "series.parquet", compression="zstd")
        progress("Drawing the report", 0, 0)
        dates = (date_text(t) for t in found.replay.time[[0, -1]])
        identity = study_identity(workspace, [parameters], valuation=" to ".join(dates))
        remarks = _clauses(document.remarks)
        page = backtest_html(found, parameters, identity=identity, remark=remarks)
        (folder / "report.html").write_text(page, encoding="utf-8")
    if as_json:
        print_json(document)
        return
    if not book:
        _show_backtest(found, document)
    else:
        _show_book(found, document)
    out.print(f"\nResults in [bold]{out_dir}[/]; open [bold]{out_dir / 'report.html'}[/]")


def _require_no_engines(engines: list[str] | None, confidences: list[float] | None) -> None:
    if engines or confidences:
        raise InvalidRequest(
            "--chains tests the requirement of one model as it is",
            [Problem("--engine, --confidence", "given", "leave them out, or change --model")],
        )


def _require_at_most_one(books: list[Path] | None) -> None:
    if books is not None and len(books) > 1:
        raise InvalidRequest(
            "several books can be backtested together only with --chains",
            [Problem("--book", f"given {len(books)} times", "give it once, or add --chains")],
        )


def start_of_replay(model: ModelParameters, dates: TimeArray, begin: datetime | None) -> str:
    """Return why a replay begins where it does, or nothing if its first date was asked for."""
    if begin is not None:
        return ""
    return (
        f"The first date is {date_text(dates[0])}, the first one that the data and the model's "
        f"{model.scenarios.windows:,} windows allow; --from sets another."
    )


def end_of_replay(
    workspace: Workspace, model: ModelParameters, dates: TimeArray, until: datetime | None
) -> str:
    """Return why a replay ends where it does, or nothing if its last date was asked for.

    `dates` is datetime64[ms] (n_dates,), the dates of the replay.
    """
    last, needed = _outcome_of_last(model, dates)
    if until is not None and date_text(last) == f"{until:%Y-%m-%d}":
        return ""
    ends = load_volatility_indices(workspace, model, History({}, [], []))
    u, index = min(ends.items(), key=lambda item: item[1].time[-1])
    day = np.timedelta64(1, "D")
    what = f"the volatility index of {u}" if index.time[-1] < needed + day else "the price history"
    return (
        f"The last date is {date_text(last)}: its outcome is known on {date_text(needed)}, and "
        f"{what} ends before the next date's outcome."
    )


def _end_of_chains(model: ModelParameters, dates: TimeArray, until: datetime | None) -> str:
    """As `_end_of_replay`, for a backtest over recorded option chains."""
    last, needed = _outcome_of_last(model, dates)
    if until is not None and date_text(last) == f"{until:%Y-%m-%d}":
        return ""
    return (
        f"The last date is {date_text(last)}: its outcome is known on {date_text(needed)}, and no "
        "later date has a snapshot near 00:00 UTC and another one a margin period later."
    )


def _outcome_of_last(
    model: ModelParameters, dates: TimeArray
) -> tuple[np.datetime64, np.datetime64]:
    """Return the last date of a replay and the time at which its outcome is known."""
    return dates[-1], dates[-1] + np.timedelta64(round(model.horizon_hours_total * 3.6e6), "ms")


def date_text(time: np.datetime64) -> str:
    """Return the date of a time, ISO 8601."""
    return str(time.astype("datetime64[D]"))


def _backtest_document(found: Backtest, folder: Path, remark: str, *ends: str) -> BacktestDocument:
    tests = [
        BacktestTest(
            portfolio=r.portfolio,
            engine=r.engine,
            confidence=r.confidence,
            exceptions_all_dates=r.exceptions_daily,
            all_dates=r.days_daily,
            exceptions=r.test.exceptions,
            dates=r.test.days,
            expected=r.test.expected,
            kupiec=r.test.kupiec,
            kupiec_p=r.test.kupiec_p,
            independence=r.test.independence,
            independence_p=r.test.independence_p,
            conditional=r.test.conditional,
            conditional_p=r.test.conditional_p,
            light=r.test.light,
            severity_mean=r.test.severity_mean,
            severity_max=r.test.severity_max,
        )
        for r in found.rows
    ]
    first, last = (date_text(t) for t in found.replay.time[[0, -1]])
    remarks = [text for text in (f"{remark}." if remark else "", *ends) if text]
    return BacktestDocument(
        out=str(folder), first_date=first, last_date=last, remarks=remarks, tests=tests
    )


def _clauses(remarks: list[str]) -> str:
    """Return sentences as clauses that continue a sentence."""
    return "; ".join(text[0].lower() + text[1:].removesuffix(".") for text in remarks)


def _show_book(found: Backtest, document: BacktestDocument) -> None:
    replay = found.replay
    out.print(
        f"{count_of(len(replay.portfolios), 'account')} on {count_of(replay.time.size, 'date')}, "
        f"{document.first_date} to {document.last_date}",
        highlight=False,
    )
    table = Table(title="Exceptions of windows that do not overlap", title_justify="left")
    for name in ("engine", "VaR", "exceptions", "of", "share", "yellow", "red"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    for engine in replay.engines:
        for level in replay.confidences:
            rows = [t for t in document.tests if (t.engine, t.confidence) == (engine, level)]
            hits, days = sum(t.exceptions for t in rows), sum(t.dates for t in rows)
            lights = [t.light for t in rows]
            table.add_row(
                engine,
                f"{100 * level:g} %",
                f"{hits:,}",
                f"{days:,}",
                percent(hits / days, 2),
                f"{lights.count('yellow'):,}",
                f"{lights.count('red'):,}",
            )
    out.print(table)
    show_remarks(document.remarks)


def _series_table(found: Backtest) -> pa.Table:
    replay = found.replay
    columns: dict[str, pa.Array | FloatArray] = {
        "time": pa.array(replay.time, pa.timestamp("ms", "UTC"))
    }
    for p, portfolio in enumerate(replay.portfolios):
        columns[f"{portfolio}.profit_usd"] = np.ascontiguousarray(replay.profit_usd[:, p])
        for e, engine in enumerate(replay.engines):
            for c, level in enumerate(replay.confidences):
                name = f"{portfolio}.{engine}.{100 * level:g}"
                columns[f"{name}.var_usd"] = np.ascontiguousarray(replay.var_usd[:, e, c, p])
                columns[f"{name}.es_usd"] = np.ascontiguousarray(replay.es_usd[:, e, c, p])
    return pa.table(columns)


def _show_backtest(found: Backtest, document: BacktestDocument) -> None:
    replay = found.replay
    out.print(
        f"{count_of(replay.time.size, 'date')} from {document.first_date} to {document.last_date}; "
        "exceptions of windows that do not overlap / number expected, and the zone of the Basel "
        "traffic light",
        highlight=False,
    )
    for level in replay.confidences:
        table = Table(title=f"VaR at {100 * level:g} %", title_justify="left")
        table.add_column("portfolio", overflow="fold")
        for engine in replay.engines:
            table.add_column(engine, justify="right")
        for portfolio in replay.portfolios:
            cells: list[str] = []
            for engine in replay.engines:
                t = found.row(portfolio, engine, level).test
                cells.append(
                    f"{t.exceptions} / {t.expected:.1f} [{_LIGHTS[t.light]}]{t.light}[/]"
                    + ("" if t.independence_p >= _SIGNIFICANT else " clustered")
                )
            table.add_row(portfolio, *cells)
        out.print(table)
    show_remarks(document.remarks)


def show_remarks(remarks: list[str]) -> None:
    """Print each remark on its own line."""
    for remark in remarks:
        out.print(remark, highlight=False)
