"""`margin backtest`, `margin procyclicality` and `margin compare`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import typer
from rich.table import Table

from margin_actors.arrays import FloatArray
from margin_actors.engine.backtest import (
    Backtest,
    ResponsivenessRow,
    responsiveness,
    tool_margins,
)
from margin_actors.engine.comparison import LEVELS, Comparison
from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_cluster.cli.console import (
    EXIT_INCOMPLETE,
    DataOption,
    JsonOption,
    amounts_in,
    counted,
    out,
    print_json,
    reporting_errors,
    workplace,
)
from margin_cluster.cli.outputs import output_folder
from margin_cluster.cli.summary import show_failures
from margin_cluster.comparison import METHODS, run_comparison
from margin_cluster.report import backtest_html, comparison_html, procyclicality_html
from margin_cluster.results import write_failures
from margin_cluster.studies import (
    CONFIDENCES,
    ENGINES,
    run_backtest,
    run_book_backtest,
    run_procyclicality,
)
from margin_cluster.wiring import load_model, time_from_text

Data: TypeAlias = Annotated[Path | None, DataOption]
OutDir: TypeAlias = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Force: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Replace earlier results of this command.")
]
Model: TypeAlias = Annotated[str, typer.Option(help="Preset or TOML file.")]
First: TypeAlias = Annotated[
    str, typer.Option("--from", help="First date, for example 2022-01-01.")
]
Last: TypeAlias = Annotated[str | None, typer.Option("--to", help="Last date; default the latest.")]
_FIRST = "2022-01-01"
_BOOK_ENGINES = ("historical", "filtered EWMA")
_LIGHTS = {"green": "green", "yellow": "yellow", "red": "bold red"}


def _until(text: str | None) -> datetime | None:
    return None if text is None else time_from_text(text, option="--to")


@reporting_errors
def backtest(
    out_dir: OutDir,
    data: Data = None,
    model: Model = DEFAULT_PRESET,
    first: First = _FIRST,
    last: Last = None,
    engine: Annotated[
        list[str] | None, typer.Option("--engine", help="Engine; repeat for several.")
    ] = None,
    confidence: Annotated[
        list[float] | None, typer.Option("--confidence", help="Level; repeat for several.")
    ] = None,
    book: Annotated[
        Path | None,
        typer.Option(help="Backtest the accounts of this book over the recorded option chains."),
    ] = None,
    force: Force = False,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Replay several years day by day and backtest eight benchmark portfolios, or a book."""
    parameters = load_model(model)
    with (
        output_folder(out_dir, command="backtest", replace=force) as folder,
        workplace(data, quiet=as_json) as (place, tell),
    ):
        levels, remark = confidence or CONFIDENCES, ""
        if book is None:
            found = run_backtest(
                place,
                parameters,
                engines=engine or tuple(ENGINES),
                first=time_from_text(first, option="--from"),
                last=_until(last),
                confidences=levels,
                tell=tell,
            )
        else:
            found, remark = run_book_backtest(
                place,
                parameters,
                book=book,
                engines=engine or _BOOK_ENGINES,
                first=time_from_text(first, option="--from"),
                last=_until(last),
                confidences=levels,
                tell=tell,
            )
        tests = pa.Table.from_pylist(_backtest_rows(found))
        pq.write_table(tests, folder / "tests.parquet")
        pa_csv.write_csv(tests, folder / "tests.csv")
        pq.write_table(_series_table(found), folder / "series.parquet", compression="zstd")
        tell("Drawing the report", 0, 0)
        page = backtest_html(found, parameters, remark=remark)
        (folder / "report.html").write_text(page, encoding="utf-8")
    if as_json:
        print_json(_backtest_rows(found))
        return
    if book is None:
        _show_backtest(found)
    else:
        _show_book(found, remark)
    out.print(f"\nResults in [bold]{out_dir}[/]; open [bold]{out_dir / 'report.html'}[/]")


def _backtest_rows(found: Backtest) -> list[dict[str, Any]]:
    return [
        {
            "portfolio": r.portfolio,
            "engine": r.engine,
            "confidence": r.confidence,
            "exceptions_all_dates": r.exceptions_daily,
            "all_dates": r.days_daily,
            "exceptions": r.test.exceptions,
            "dates": r.test.days,
            "expected": r.test.expected,
            "kupiec": r.test.kupiec,
            "kupiec_p": r.test.kupiec_p,
            "independence": r.test.independence,
            "independence_p": r.test.independence_p,
            "conditional": r.test.conditional,
            "conditional_p": r.test.conditional_p,
            "light": r.test.light,
            "severity_mean": r.test.severity_mean,
            "severity_max": r.test.severity_max,
        }
        for r in found.rows
    ]


def _show_book(found: Backtest, remark: str) -> None:
    replay = found.replay
    first, last = (str(t.astype("datetime64[D]")) for t in replay.time[[0, -1]])
    out.print(
        f"{counted(len(replay.portfolios), 'account')} on {replay.time.size:,} dates, {first} to "
        f"{last}; "
        f"{remark}",
        highlight=False,
    )
    table = Table(title="Exceptions of windows that do not overlap", title_justify="left")
    for name in ("engine", "VaR", "exceptions", "of", "share", "yellow", "red"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    for engine in replay.engines:
        for level in replay.confidences:
            rows = [r.test for r in found.rows if (r.engine, r.confidence) == (engine, level)]
            hits, days = sum(t.exceptions for t in rows), sum(t.days for t in rows)
            lights = [t.light for t in rows]
            table.add_row(
                engine,
                f"{100 * level:g} %",
                f"{hits:,}",
                f"{days:,}",
                f"{100 * hits / days:.2f} %",
                f"{lights.count('yellow'):,}",
                f"{lights.count('red'):,}",
            )
    out.print(table)


def _series_table(found: Backtest) -> pa.Table:
    replay = found.replay
    columns: dict[str, Any] = {"time": pa.array(replay.time, pa.timestamp("ms", "UTC"))}
    for p, portfolio in enumerate(replay.portfolios):
        columns[f"{portfolio}.profit_usd"] = np.ascontiguousarray(replay.profit_usd[:, p])
        for e, engine in enumerate(replay.engines):
            for c, level in enumerate(replay.confidences):
                name = f"{portfolio}.{engine}.{100 * level:g}"
                columns[f"{name}.var_usd"] = np.ascontiguousarray(replay.var_usd[:, e, c, p])
                columns[f"{name}.es_usd"] = np.ascontiguousarray(replay.es_usd[:, e, c, p])
    return pa.table(columns)


def _show_backtest(found: Backtest) -> None:
    replay = found.replay
    first, last = (str(t.astype("datetime64[D]")) for t in replay.time[[0, -1]])
    out.print(
        f"{replay.time.size:,} dates from {first} to {last}; exceptions of windows that do not "
        "overlap against the number expected, traffic light by colour",
        highlight=False,
    )
    for level in replay.confidences:
        table = Table(title=f"VaR at {100 * level:g} %", title_justify="left")
        table.add_column("portfolio", no_wrap=True)
        for engine in replay.engines:
            table.add_column(engine, justify="right")
        for portfolio in replay.portfolios:
            cells: list[str] = []
            for engine in replay.engines:
                t = found.row(portfolio, engine, level).test
                cells.append(
                    f"[{_LIGHTS[t.light]}]{t.exceptions}[/] / {t.expected:.1f}"
                    + ("" if t.independence_p >= 0.05 else " clustered")
                )
            table.add_row(portfolio, *cells)
        out.print(table)


@reporting_errors
def procyclicality(
    out_dir: OutDir,
    data: Data = None,
    model: Model = "fhs-surface",
    first: First = _FIRST,
    last: Last = None,
    force: Force = False,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Replay several years day by day and show how margins move under each procyclicality tool."""
    parameters = load_model(model)
    with (
        output_folder(out_dir, command="procyclicality", replace=force) as folder,
        workplace(data, quiet=as_json) as (place, tell),
    ):
        series, replayed = run_procyclicality(
            place,
            parameters,
            first=time_from_text(first, option="--from"),
            last=_until(last),
            tell=tell,
        )
        margins = tool_margins(series, replayed)
        rows = responsiveness(series, margins)
        table = pa.Table.from_pylist([_responsiveness_row(r) for r in rows])
        pq.write_table(table, folder / "responsiveness.parquet")
        pa_csv.write_csv(table, folder / "responsiveness.csv")
        columns: dict[str, Any] = {"time": pa.array(series.time, pa.timestamp("ms", "UTC"))}
        for p, portfolio in enumerate(series.portfolios):
            for tool, values in margins.items():
                columns[f"{portfolio}.{tool}"] = np.ascontiguousarray(values[:, p])
        pq.write_table(pa.table(columns), folder / "series.parquet", compression="zstd")
        tell("Drawing the report", 0, 0)
        page = procyclicality_html(series, margins, rows, parameters)
        (folder / "report.html").write_text(page, encoding="utf-8")
    if as_json:
        print_json([_responsiveness_row(r) for r in rows])
        return
    for portfolio in series.portfolios:
        shown = Table(title=portfolio, title_justify="left")
        for name in ("tool", "mean", "peak to trough", "1 day", "5 days", "30 days"):
            shown.add_column(name, justify="left" if name == "tool" else "right")
        for r in rows:
            if r.portfolio == portfolio:
                rises = (f"{100 * x:.0f} %" for x in (r.rise_1d, r.rise_5d, r.rise_30d))
                shown.add_row(r.tool, f"{100 * r.mean:.2f} %", f"{r.peak_to_trough:.2f}", *rises)
        out.print(shown)
    out.print(f"\nResults in [bold]{out_dir}[/]; open [bold]{out_dir / 'report.html'}[/]")


def _responsiveness_row(r: ResponsivenessRow) -> dict[str, Any]:
    return {
        "portfolio": r.portfolio,
        "tool": r.tool,
        "mean": r.mean,
        "peak_to_trough": r.peak_to_trough,
        "largest_rise_1d": r.rise_1d,
        "largest_rise_5d": r.rise_5d,
        "largest_rise_30d": r.rise_30d,
    }


@reporting_errors
def compare(
    out_dir: OutDir,
    data: Data = None,
    snapshot: Annotated[
        str | None, typer.Option(help="Valuation time; default the latest.")
    ] = None,
    book: Annotated[Path | None, typer.Option(help="Positions: Parquet or CSV.")] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="Preset or TOML file; repeat for several.")
    ] = None,
    force: Force = False,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Calculate every account's margin by several methods and show the offsets of each."""
    with (
        output_folder(out_dir, command="compare", replace=force) as folder,
        workplace(data, quiet=as_json) as (place, tell),
    ):
        compared = run_comparison(
            place, snapshot=snapshot, book=book, methods=method or METHODS, tell=tell
        )
        found = compared.methods
        table = _comparison_table(found)
        pq.write_table(table, folder / "methods.parquet", compression="zstd")
        pa_csv.write_csv(table, folder / "methods.csv")
        write_failures(folder, compared.failures)
        tell("Drawing the report", 0, 0)
        page = comparison_html(found, failures=compared.failures)
        (folder / "report.html").write_text(page, encoding="utf-8")
    totals = {m.name: m.requirement_usd.sum(axis=0) for m in found.methods}
    if as_json:
        print_json({name: dict(zip(LEVELS, t.tolist(), strict=True)) for name, t in totals.items()})
    else:
        _show_comparison(totals)
        if compared.expired_positions:
            expired = counted(compared.expired_positions, "position")
            out.print(f"[dim]Expired, without margin and awaiting settlement: {expired}.[/]")
        out.print(f"\nResults in [bold]{out_dir}[/]; open [bold]{out_dir / 'report.html'}[/]")
        margined, listed = len(found.book.accounts), f"{out_dir / 'not_margined.csv'}"
        show_failures(compared.failures, margined, all_in=listed)
    if compared.failures:
        raise typer.Exit(EXIT_INCOMPLETE)


def _show_comparison(totals: dict[str, FloatArray]) -> None:
    unit, shown_as = amounts_in(max(float(t.max()) for t in totals.values()))
    shown = Table(title=f"Requirements of all accounts, {unit}", title_justify="left")
    for name in ("method", "accounts", "by underlying", "by expiry", "by position"):
        shown.add_column(name, justify="left" if name == "method" else "right")
    for name, t in totals.items():
        shown.add_row(name, *(shown_as(float(x)) for x in t))
    out.print(shown)
    out.print("Offset recognised = sum of the requirements of the sub-portfolios - requirement.")


def _comparison_table(found: Comparison) -> pa.Table:
    columns: dict[str, Any] = {
        "account_id": pa.array(found.book.accounts),
        "member_id": pa.array(found.book.members),
    }
    for m in found.methods:
        for k, level in enumerate(LEVELS):
            name = f"{m.name}.{'requirement' if k == 0 else f'sum_over_{level}'}_usd"
            columns[name] = np.ascontiguousarray(m.requirement_usd[:, k])
    return pa.table(columns)
