"""`margin run` and `margin report`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import typer
from rich.table import Table

from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_cluster.cli.console import (
    DataOption,
    JsonOption,
    amounts_in,
    err,
    out,
    print_json,
    reporting_errors,
    synthetic_banner,
    workplace,
)
from margin_cluster.cli.outputs import output_file, output_folder
from margin_cluster.report import report_html
from margin_cluster.results import CalculationOutput, totals, write_tables
from margin_cluster.wiring import RunRequest, load_model, run_margin

_SHOWN = 12
_WIDE = 100

Data: TypeAlias = Annotated[Path | None, DataOption]
Snapshot: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Valuation time (2026-05-15T11:27:31Z) or a .toml file; default the latest."),
]
BookFile: TypeAlias = Annotated[Path | None, typer.Option(help="Positions: Parquet or CSV.")]
CollateralFile: TypeAlias = Annotated[Path | None, typer.Option(help="Deposits: CSV or Parquet.")]
Model: TypeAlias = Annotated[
    str, typer.Option(help="Preset or TOML file; see `margin model show`.")
]
Scenarios: TypeAlias = Annotated[str | None, typer.Option(help="Id of a built scenario set.")]


@reporting_errors
def run(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    data: Data = None,
    snapshot: Snapshot = None,
    book: BookFile = None,
    collateral: CollateralFile = None,
    model: Model = DEFAULT_PRESET,
    scenarios: Scenarios = None,
    pnl: Annotated[
        bool | None,
        typer.Option("--pnl/--no-pnl", help="Write every profit; default up to 1,000 accounts."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the results of an earlier command.")
    ] = False,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Margin every account of a book and write tables, inputs and a report."""
    parameters = load_model(model)
    with (
        output_folder(out_dir, command="run", replace=force) as folder,
        workplace(data, quiet=as_json) as (place, tell),
    ):
        request = RunRequest(snapshot, book, collateral, parameters, scenarios, pnl)
        output = run_margin(place, request, tell=tell)
        tell("Writing results", 0, 0)
        write_tables(folder, output)
        tell("Drawing the report", 0, 0)
        (folder / "report.html").write_text(report_html(output), encoding="utf-8")
    if as_json:
        print_json(totals(output) | {"out": str(out_dir)})
        return
    _show(output)
    out.print(f"\nResults in [bold]{out_dir}[/]; open [bold]{out_dir / 'report.html'}[/]")


def _show(output: CalculationOutput) -> None:
    if output.is_synthetic:
        out.print(synthetic_banner())
    r = output.result
    summary = totals(output)
    out.print(
        f"[bold]{output.model.name}[/] at {output.snapshot.time:%Y-%m-%d %H:%M:%S} UTC: "
        f"{summary['accounts']:,} accounts, {summary['positions']:,} positions in "
        f"{summary['instruments']:,} instruments, {summary['scenarios']:,} scenarios "
        f"({output.scenarios.effective_size:.0f} windows that do not overlap)",
        highlight=False,
    )
    shown = np.argsort(-r.initial_margin_usd, kind="stable")[:_SHOWN]
    excess = output.excess_usd
    measure = f"{100 * output.model.measure.confidence:g} %"
    unit, shown_as = amounts_in(float(np.abs(r.worst_usd).max()))
    table = Table(title=f"Largest requirements, {unit} ({measure})", title_justify="left")
    columns: dict[str, Callable[[int], str]] = {
        "account": lambda a: r.book.accounts[a],
        "positions": lambda a: f"{r.positions[a]:,}",
        "value": lambda a: shown_as(float(r.value_usd[a])),
        "VaR": lambda a: shown_as(float(r.var_usd[a])),
        "ES": lambda a: shown_as(float(r.es_usd[a])),
    }
    if out.width >= _WIDE:
        columns["worst"] = lambda a: shown_as(float(r.worst_usd[a]))
        columns["window"] = lambda a: output.scenarios.row_name(int(r.worst_scenario[a]))
    columns["margin"] = lambda a: f"[bold]{shown_as(float(r.initial_margin_usd[a]))}[/]"
    totals_shown = {
        "account": "all",
        "positions": f"{summary['positions']:,}",
        "value": shown_as(summary["value_usd"]),
        "VaR": shown_as(summary["var_usd"]),
        "ES": shown_as(summary["es_usd"]),
        "margin": f"[bold]{shown_as(summary['initial_margin_usd'])}[/]",
    }
    if excess is not None:
        columns["excess"] = lambda a: _signed(float(excess[a]), shown_as)
        totals_shown["excess"] = shown_as(float(excess.sum()))
    for name in columns:
        text = name in ("account", "window")
        table.add_column(name, justify="left" if text else "right", no_wrap=True)
    for a in shown:
        table.add_row(*(cell(int(a)) for cell in columns.values()))
    table.add_section()
    table.add_row(*(totals_shown.get(name, "") for name in columns))
    out.print(table)
    if len(output.parts_used) > 1:
        made = summary["parts_usd"]
        shown_parts = ", ".join(f"{p.replace('_', ' ')} {shown_as(made[p])}" for p in made)
        out.print(f"Requirements are made of: {shown_parts} ({unit})", highlight=False)
    for note in output.notes:
        out.print(f"[dim]{note}[/]", highlight=False)
    repairs = sum(len(q.repairs) for q in output.quality)
    noun = "repair" if repairs == 1 else "repairs"
    out.print(f"[dim]Data quality: {repairs} {noun} listed in the report. Digest {r.digest}[/]")


def _signed(value: float, shown_as: Callable[[float], str]) -> str:
    return f"[red]{shown_as(value)}[/]" if value < 0 else shown_as(value)


@reporting_errors
def report(
    target: Annotated[Path, typer.Option("--out", help="File to write, for example report.html.")],
    data: Data = None,
    snapshot: Snapshot = None,
    book: BookFile = None,
    collateral: CollateralFile = None,
    model: Model = DEFAULT_PRESET,
    scenarios: Scenarios = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier report.")] = False,
) -> None:
    """Calculate as `margin run` does and write the report alone."""
    parameters = load_model(model)
    with (
        output_file(target, replace=force) as file,
        workplace(data, quiet=False) as (place, tell),
    ):
        request = RunRequest(snapshot, book, collateral, parameters, scenarios, True)
        output = run_margin(place, request, tell=tell)
        tell("Drawing the report", 0, 0)
        file.write_text(report_html(output), encoding="utf-8")
    err.print(f"Report in {target}")
