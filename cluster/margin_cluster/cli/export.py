"""`margin export` and `margin risk-arrays`: files for clearing members."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from margin_actors.engine.disclosure import N_ARRAYS, ArrayErrors
from margin_cluster.cli.console import count_of, opened_workspace, out, percent, print_json
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.explain import Run
from margin_cluster.cli.options import AsJson, Force, OutDir
from margin_cluster.cli.outputs import output_folder
from margin_cluster.cli.schemas import (
    ArrayError,
    ExportDocument,
    ExportedFileRecord,
    RiskArraysDocument,
)
from margin_cluster.member_exports import disclose_run, risk_arrays_of_run
from margin_cluster.member_files import MANIFEST, exported_files, risk_array_files


@reporting_errors
def export(
    run: Run,
    out_dir: OutDir,
    member: Annotated[
        list[str] | None,
        typer.Option(help="Clearing member whose accounts are exported; may be repeated."),
    ] = None,
    account: Annotated[
        list[str] | None, typer.Option(help="Account to export; may be repeated.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the files from which members recompute their margins of a calculation.

    Without --member and --account, all accounts are exported.
    """
    with (
        output_folder(out_dir, command="export", replace=force) as folder,
        opened_workspace(None, quiet=as_json) as (workspace, progress),
    ):
        progress("Revaluing every account", 0, 0)
        disclosure = disclose_run(workspace, run, member or (), account or ())
        progress("Writing files", 0, 0)
        for name, content in exported_files(disclosure):
            (folder / name).write_bytes(content)
    listed = json.loads((out_dir / MANIFEST).read_text(encoding="utf-8"))["files"]
    document = ExportDocument(
        out=str(out_dir),
        accounts=len(disclosure.book.accounts),
        initial_margin_usd=float(disclosure.margins.initial_margin_usd.sum()),
        files=[ExportedFileRecord(**entry) for entry in listed],
    )
    if as_json:
        print_json(document)
        return
    table = Table(
        title=f"Files of {count_of(document.accounts, 'account')} in {out_dir}",
        title_justify="left",
    )
    for name in ("file", "rows", "kB"):
        table.add_column(name, justify="left" if name == "file" else "right")
    for item in document.files:
        rows = "" if item.rows is None else f"{item.rows:,}"
        table.add_row(item.name, rows, f"{item.bytes / 1000:,.1f}")
    out.print(table)
    out.print(f"Hashes of all files are in [bold]{out_dir / MANIFEST}[/]")


@reporting_errors
def risk_arrays(
    run: Run,
    out_dir: OutDir,
    arrays: Annotated[int, typer.Option(min=1, max=99, help="Number of arrays.")] = N_ARRAYS,
    target: Annotated[
        str, typer.Option(help="What the arrays approximate: core or floored.")
    ] = "core",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random portfolios.")] = 1,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write risk arrays of all contracts whose largest sum approximates the requirement.

    The arrays are chosen for the accounts of a calculation and for random portfolios; the measured
    errors are written with them.
    """
    if target not in ("core", "floored"):
        raise typer.BadParameter(f"{target!r} is not core or floored", param_hint="--target")
    with (
        output_folder(out_dir, command="risk-arrays", replace=force) as folder,
        opened_workspace(None, quiet=as_json) as (workspace, progress),
    ):
        progress("Choosing arrays", 0, 0)
        found, chosen = risk_arrays_of_run(
            workspace, run, n_arrays=arrays, target=target, seed=seed
        )
        for name, content in risk_array_files(found.market, found.state.scenarios, chosen):
            (folder / name).write_bytes(content)
    document = RiskArraysDocument(
        out=str(out_dir),
        contracts=len(chosen.names),
        arrays=len(chosen.row),
        target=chosen.target,
        is_lower_bound=chosen.is_lower_bound,
        errors=[ArrayError(**asdict(e)) for e in chosen.errors],
    )
    if as_json:
        print_json(document)
    else:
        _show_errors(document, chosen.errors, out_dir)


def _show_errors(
    document: RiskArraysDocument, errors: tuple[ArrayErrors, ...], folder: Path
) -> None:
    table = Table(
        title=f"{document.arrays} arrays of {count_of(document.contracts, 'contract')}: "
        f"relative error of the largest sum ({document.target})",
        title_justify="left",
    )
    for name in ("portfolios", "number", "worst", "5 %", "median", "95 %", "largest"):
        table.add_column(name, justify="left" if name == "portfolios" else "right")
    for e in errors:
        shown = (percent(x) for x in (e.worst, e.low, e.median, e.high, e.largest))
        table.add_row(e.sample, f"{e.portfolios:,}", *shown)
    out.print(table)
    out.print(f"Arrays in [bold]{folder}[/]")
