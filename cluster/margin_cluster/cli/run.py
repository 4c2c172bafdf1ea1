"""`margin run` and `margin report`."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_cluster.cli.console import (
    EXIT_INCOMPLETE,
    DataOption,
    JsonOption,
    err,
    out,
    print_json,
    reporting_errors,
    workplace,
)
from margin_cluster.cli.outputs import output_file, output_folder
from margin_cluster.cli.summary import show_calculation, show_failures
from margin_cluster.report import report_html
from margin_cluster.results import totals, write_tables
from margin_cluster.wiring import RunRequest, load_model, run_margin

Data: TypeAlias = Annotated[Path | None, DataOption]
Snapshot: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Valuation time (2026-05-15T11:27:31Z) or a .toml file; default the latest."),
]
BookFile: TypeAlias = Annotated[Path | None, typer.Option(help="Positions: Parquet or CSV.")]
CollateralFile: TypeAlias = Annotated[Path | None, typer.Option(help="Collateral: CSV or Parquet.")]
ListUnknown: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--list-unknown-collateral",
        help="List and omit collateral of accounts that are not in the book; by default an error.",
    ),
]
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
    list_unknown_collateral: ListUnknown = False,
    pnl: Annotated[
        bool | None,
        typer.Option(
            "--pnl/--no-pnl",
            help="Write the profits in every scenario; default: up to 1,000 accounts.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace earlier results of this command.")
    ] = False,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Calculate the margin of every account of a book; write tables, inputs and a report.

    If accounts cannot be margined, they are listed in not_margined.csv and the exit code is 5.
    """
    parameters = load_model(model)
    with (
        output_folder(out_dir, command="run", replace=force) as folder,
        workplace(data, quiet=as_json) as (place, tell),
    ):
        unknown = "list" if list_unknown_collateral else "refuse"
        request = RunRequest(snapshot, book, collateral, parameters, scenarios, pnl, unknown)
        output = run_margin(place, request, tell=tell)
        tell("Writing results", 0, 0)
        write_tables(folder, output)
        tell("Drawing the report", 0, 0)
        (folder / "report.html").write_text(report_html(output), encoding="utf-8")
    if as_json:
        print_json(totals(output) | {"out": str(out_dir)})
    else:
        show_calculation(output)
        out.print(f"\nResults in [bold]{out_dir}[/]; open [bold]{out_dir / 'report.html'}[/]")
        margined = len(output.result.book.accounts)
        show_failures(output.result.failures, margined, all_in=f"{out_dir / 'not_margined.csv'}")
    if not output.is_complete:
        raise typer.Exit(EXIT_INCOMPLETE)


@reporting_errors
def report(
    target: Annotated[Path, typer.Option("--out", help="File to write, for example report.html.")],
    data: Data = None,
    snapshot: Snapshot = None,
    book: BookFile = None,
    collateral: CollateralFile = None,
    model: Model = DEFAULT_PRESET,
    scenarios: Scenarios = None,
    list_unknown_collateral: ListUnknown = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier report.")] = False,
) -> None:
    """Calculate as `margin run` does, but write only the report.

    If accounts cannot be margined, they are listed in the report and the exit code is 5.
    """
    parameters = load_model(model)
    with (
        output_file(target, replace=force) as file,
        workplace(data, quiet=False) as (place, tell),
    ):
        unknown = "list" if list_unknown_collateral else "refuse"
        request = RunRequest(snapshot, book, collateral, parameters, scenarios, True, unknown)
        output = run_margin(place, request, tell=tell)
        tell("Drawing the report", 0, 0)
        file.write_text(report_html(output), encoding="utf-8")
    err.print(f"Report in {target}")
    if not output.is_complete:
        margined = len(output.result.book.accounts)
        show_failures(output.result.failures, margined, all_in="the report")
        raise typer.Exit(EXIT_INCOMPLETE)
