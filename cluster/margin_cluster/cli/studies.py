"""`margin backtest` and `margin procyclicality`."""

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
    Procyclicality,
    responsiveness,
    tool_margins,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_cluster.cli.console import counted, opened_workspace, out, percent, print_json
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.options import AsJson, Data, First, Force, Last, Model, OutDir
from margin_cluster.cli.outputs import output_folder
from margin_cluster.cli.schemas import (
    BacktestDocument,
    BacktestTest,
    ProcyclicalityDocument,
    ToolResponse,
)
from margin_cluster.report import backtest_html, procyclicality_html
from margin_cluster.studies import (
    CONFIDENCES,
    ENGINES,
    run_backtest,
    run_book_backtest,
    run_procyclicality,
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


def _begin(text: str | None) -> datetime | None:
    return None if text is None else time_from_text(text, option="--from")


def _until(text: str | None) -> datetime | None:
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
        Path | None,
        typer.Option(
            "--book", help="Backtest the accounts of this book over the recorded option chains."
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Replay several years day by day and backtest eight benchmark portfolios, or a book."""
    parameters = load_model(model)
    with (
        output_folder(out_dir, command="backtest", replace=force) as folder,
        opened_workspace(data, quiet=as_json) as (workspace, progress),
    ):
        levels, remark = confidence or CONFIDENCES, ""
        begin, until = _begin(first), _until(last)
        if book is None:
            found = run_backtest(
                workspace,
                parameters,
                engines=engine or tuple(ENGINES),
                first=begin,
                last=until,
                confidences=levels,
                progress=progress,
            )
            end = _end_of_replay(workspace, parameters, found.replay.time, until)
        else:
            found, remark = run_book_backtest(
                workspace,
                parameters,
                book=book,
                engines=engine or _BOOK_ENGINES,
                first=begin,
                last=until,
                confidences=levels,
                progress=progress,
            )
            end = _end_of_chains(parameters, found.replay.time, until)
        start = _start_of_replay(parameters, found.replay.time, begin)
        document = _backtest_document(found, out_dir, remark, start, end)
        tests = pa.Table.from_pylist([row.model_dump() for row in document.tests])
        pq.write_table(tests, folder / "tests.parquet")
        pa_csv.write_csv(tests, folder / "tests.csv")
        pq.write_table(_series_table(found), folder / "series.parquet", compression="zstd")
        progress("Drawing the report", 0, 0)
        page = backtest_html(found, parameters, remark=_clauses(document.remarks))
        (folder / "report.html").write_text(page, encoding="utf-8")
    if as_json:
        print_json(document)
        return
    if book is None:
        _show_backtest(found, document)
    else:
        _show_book(found, document)
    out.print(f"\nResults in [bold]{out_dir}[/]; open [bold]{out_dir / 'report.html'}[/]")


def _start_of_replay(model: ModelParameters, dates: TimeArray, begin: datetime | None) -> str:
    """Return why a replay begins where it does, or nothing if its first date was asked for."""
    if begin is not None:
        return ""
    return (
        f"The first date is {_date(dates[0])}, the first one that the data and the model's "
        f"{model.scenarios.windows:,} windows allow; --from sets another."
    )


def _end_of_replay(
    workspace: Workspace, model: ModelParameters, dates: TimeArray, until: datetime | None
) -> str:
    """Return why a replay ends where it does, or nothing if its last date was asked for.

    `dates` is datetime64[ms] (n_dates,), the dates of the replay.
    """
    last, needed = _outcome_of_last(model, dates)
    if until is not None and _date(last) == f"{until:%Y-%m-%d}":
        return ""
    ends = load_volatility_indices(workspace, model, History({}, [], []))
    u, index = min(ends.items(), key=lambda item: item[1].time[-1])
    day = np.timedelta64(1, "D")
    what = f"the volatility index of {u}" if index.time[-1] < needed + day else "the price history"
    return (
        f"The last date is {_date(last)}: its outcome is known on {_date(needed)}, and {what} "
        "ends before the next date's outcome."
    )


def _end_of_chains(model: ModelParameters, dates: TimeArray, until: datetime | None) -> str:
    """As `_end_of_replay`, for a backtest over recorded option chains."""
    last, needed = _outcome_of_last(model, dates)
    if until is not None and _date(last) == f"{until:%Y-%m-%d}":
        return ""
    return (
        f"The last date is {_date(last)}: its outcome is known on {_date(needed)}, and no later "
        "date has a snapshot near 00:00 UTC and another one a margin period later."
    )


def _outcome_of_last(
    model: ModelParameters, dates: TimeArray
) -> tuple[np.datetime64, np.datetime64]:
    """Return the last date of a replay and the time at which its outcome is known."""
    return dates[-1], dates[-1] + np.timedelta64(round(model.horizon_hours_total * 3.6e6), "ms")


def _date(time: np.datetime64) -> str:
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
    first, last = (_date(t) for t in found.replay.time[[0, -1]])
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
        f"{counted(len(replay.portfolios), 'account')} on {counted(replay.time.size, 'date')}, "
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
    _show_remarks(document.remarks)


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
        f"{counted(replay.time.size, 'date')} from {document.first_date} to {document.last_date}; "
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
    _show_remarks(document.remarks)


def _show_remarks(remarks: list[str]) -> None:
    for remark in remarks:
        out.print(remark, highlight=False)


@reporting_errors
def procyclicality(
    out_dir: OutDir,
    data: Data = None,
    model: Model = "fhs-surface",
    first: First = None,
    last: Last = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Replay several years day by day and show how margins move under each procyclicality tool."""
    parameters = load_model(model)
    with (
        output_folder(out_dir, command="procyclicality", replace=force) as folder,
        opened_workspace(data, quiet=as_json) as (workspace, progress),
    ):
        begin, until = _begin(first), _until(last)
        series, replayed = run_procyclicality(
            workspace, parameters, first=begin, last=until, progress=progress
        )
        margins = tool_margins(series, replayed)
        rows = responsiveness(series, margins)
        responses = [
            ToolResponse(
                portfolio=r.portfolio,
                tool=r.tool,
                mean=r.mean,
                peak_to_trough=r.peak_to_trough,
                largest_rise_1d=r.rise_1d,
                largest_rise_5d=r.rise_5d,
                largest_rise_30d=r.rise_30d,
            )
            for r in rows
        ]
        table = pa.Table.from_pylist([r.model_dump() for r in responses])
        pq.write_table(table, folder / "responsiveness.parquet")
        pa_csv.write_csv(table, folder / "responsiveness.csv")
        tools = _tools_table(series, margins)
        pq.write_table(tools, folder / "series.parquet", compression="zstd")
        progress("Drawing the report", 0, 0)
        page = procyclicality_html(series, margins, rows, parameters)
        (folder / "report.html").write_text(page, encoding="utf-8")
        end = _end_of_replay(workspace, parameters, series.time, until)
    document = ProcyclicalityDocument(
        out=str(out_dir),
        first_date=_date(series.time[0]),
        last_date=_date(series.time[-1]),
        remarks=[text for text in (_start_of_replay(parameters, series.time, begin), end) if text],
        responses=responses,
    )
    if as_json:
        print_json(document)
    else:
        _show_procyclicality(series.portfolios, document)


def _tools_table(series: Procyclicality, margins: dict[str, FloatArray]) -> pa.Table:
    columns: dict[str, pa.Array | FloatArray] = {
        "time": pa.array(series.time, pa.timestamp("ms", "UTC"))
    }
    for p, portfolio in enumerate(series.portfolios):
        for tool, values in margins.items():
            columns[f"{portfolio}.{tool}"] = np.ascontiguousarray(values[:, p])
    return pa.table(columns)


def _show_procyclicality(portfolios: tuple[str, ...], document: ProcyclicalityDocument) -> None:
    for portfolio in portfolios:
        shown = Table(title=portfolio, title_justify="left")
        for name in ("tool", "mean", "peak to trough", "1 day", "5 days", "30 days"):
            shown.add_column(name, justify="left" if name == "tool" else "right")
        for r in document.responses:
            if r.portfolio == portfolio:
                rises = (r.largest_rise_1d, r.largest_rise_5d, r.largest_rise_30d)
                shown.add_row(
                    r.tool,
                    percent(r.mean, 2),
                    f"{r.peak_to_trough:.2f}",
                    *(percent(x, 0) for x in rises),
                )
        out.print(shown)
    out.print(
        "[dim]Mean margin as a share of the index price; largest rise of the margin over 1, 5 and "
        "30 days.[/]",
        highlight=False,
    )
    _show_remarks(document.remarks)
    folder = Path(document.out)
    out.print(f"\nResults in [bold]{folder}[/]; open [bold]{folder / 'report.html'}[/]")
