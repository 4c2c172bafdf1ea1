"""`margin run` and `margin report`."""

from pathlib import Path
from typing import Annotated

import typer

from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_cluster.cli.chain_findings import found_in_chain, show_findings
from margin_cluster.cli.console import err, opened_workspace, out, print_json, print_plain
from margin_cluster.cli.errors import EXIT_INCOMPLETE, reporting_errors
from margin_cluster.cli.options import (
    AsJson,
    BookFile,
    CollateralFile,
    Data,
    Force,
    ListUnknown,
    Model,
    OutDir,
    Previous,
    Scenarios,
    Snapshot,
)
from margin_cluster.cli.outputs import output_file, output_folder
from margin_cluster.cli.provenance import report_origin
from margin_cluster.cli.schemas import RunDocument
from margin_cluster.cli.summary import show_calculation, show_failures
from margin_cluster.previous_close import read_previous_close
from margin_cluster.report import report_html
from margin_cluster.results import CalculationOutput, collateral_totals, totals, write_tables
from margin_cluster.runs import RunRequest, run_margin
from margin_cluster.shortfalls import write_shortfalls
from margin_cluster.sources import written_market_hint
from margin_cluster.wiring import load_model


@reporting_errors
def run(
    out_dir: OutDir,
    data: Data = None,
    snapshot: Snapshot = None,
    book: BookFile = None,
    collateral: CollateralFile = None,
    model: Model = DEFAULT_PRESET,
    scenarios: Scenarios = None,
    previous: Previous = None,
    list_unknown_collateral: ListUnknown = False,
    pnl: Annotated[
        bool | None,
        typer.Option(
            "--pnl/--no-pnl",
            help="Write the profits in every scenario; default: up to 1,000 accounts.",
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Calculate the margin of every account of a book; write tables, inputs and a report.

    If accounts cannot be margined, they are listed in not_margined.csv and the exit code is 5.
    """
    parameters = load_model(model)
    earlier = None if previous is None else read_previous_close(previous)
    with (
        output_folder(out_dir, command="run", replace=force) as folder,
        opened_workspace(data, quiet=as_json) as (workspace, progress),
    ):
        unknown = "list" if list_unknown_collateral else "refuse"
        request = RunRequest(
            snapshot, book, collateral, parameters, scenarios, pnl, unknown, earlier
        )
        output = run_margin(workspace, request, progress=progress)
        progress("Writing results", 0, 0)
        write_tables(folder, output)
        write_shortfalls(folder, output)
        progress("Drawing the report", 0, 0)
        page = report_html(output, report_origin())
        (folder / "report.html").write_text(page, encoding="utf-8")
    if as_json:
        print_json(run_document(output, out_dir))
    else:
        show_calculation(output)
        show_findings(found_in_chain(output.result.findings))
        out.print(f"\nResults in [bold]{out_dir}[/]; open [bold]{out_dir / 'report.html'}[/]")
        margined = len(output.result.book.accounts)
        show_failures(output.result.failures, margined, all_in=f"{out_dir / 'not_margined.csv'}")
        _show_hint(output, snapshot)
    if not output.is_complete:
        raise typer.Exit(EXIT_INCOMPLETE)


def _show_hint(output: CalculationOutput, snapshot: str | None) -> None:
    """Print how to complete a hand-written market if accounts could not be margined."""
    hint = written_market_hint(snapshot)
    if hint and output.result.failures:
        print_plain(hint)


def run_document(output: CalculationOutput, folder: Path) -> RunDocument:
    """Return the document that `margin run` prints; `folder` holds the results."""
    summary, collateral = totals(output), collateral_totals(output)
    return RunDocument(
        out=str(folder),
        accounts=summary["accounts"],
        accounts_failed=summary["accounts_failed"],
        is_complete=summary["is_complete"],
        expired_positions=summary["expired_positions"],
        positions=summary["positions"],
        instruments=summary["instruments"],
        scenarios=summary["scenarios"],
        value_usd=summary["value_usd"],
        option_value_usd=summary["option_value_usd"],
        var_usd=summary["var_usd"],
        es_usd=summary["es_usd"],
        components_usd=summary["components_usd"],
        accounts_by_binding=summary["accounts_by_binding"],
        initial_margin_usd=summary["initial_margin_usd"],
        accounts_with_dominant_add_on=summary["accounts_with_dominant_add_on"],
        digest=summary["digest"],
        synthetic=summary["synthetic"],
        collateral_usd=collateral["collateral_usd"] if collateral else None,
        accounts_in_deficit=collateral["accounts_in_deficit"] if collateral else None,
        deficit_usd=collateral["deficit_usd"] if collateral else None,
        notes=list(output.notes),
        chain_findings=found_in_chain(output.result.findings),
    )


@reporting_errors
def report(
    target: Annotated[Path, typer.Option("--out", help="File to write, for example report.html.")],
    data: Data = None,
    snapshot: Snapshot = None,
    book: BookFile = None,
    collateral: CollateralFile = None,
    model: Model = DEFAULT_PRESET,
    scenarios: Scenarios = None,
    previous: Previous = None,
    list_unknown_collateral: ListUnknown = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier report.")] = False,
) -> None:
    """Calculate as `margin run` does, but write only the report.

    If accounts cannot be margined, they are listed in the report and the exit code is 5.
    """
    parameters = load_model(model)
    earlier = None if previous is None else read_previous_close(previous)
    with (
        output_file(target, replace=force) as file,
        opened_workspace(data, quiet=False) as (workspace, progress),
    ):
        unknown = "list" if list_unknown_collateral else "refuse"
        request = RunRequest(
            snapshot, book, collateral, parameters, scenarios, True, unknown, earlier
        )
        output = run_margin(workspace, request, progress=progress)
        progress("Drawing the report", 0, 0)
        file.write_text(report_html(output, report_origin()), encoding="utf-8")
    err.print(f"Report in {target}")
    if not output.is_complete:
        margined = len(output.result.book.accounts)
        show_failures(output.result.failures, margined, all_in="the report")
        _show_hint(output, snapshot)
        raise typer.Exit(EXIT_INCOMPLETE)
