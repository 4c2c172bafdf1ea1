"""`margin compare`."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import typer
from rich.table import Table

from margin_actors.engine.comparison import LEVELS, Comparison, MethodMargins
from margin_actors.engine.parameters import ModelParameters
from margin_cluster.cli.console import (
    amounts_in,
    count_of,
    opened_workspace,
    out,
    percent,
    print_json,
)
from margin_cluster.cli.errors import EXIT_INCOMPLETE, reporting_errors
from margin_cluster.cli.options import AsJson, BookFile, Data, Force, OutDir, Snapshot
from margin_cluster.cli.outputs import output_folder
from margin_cluster.cli.provenance import study_identity
from margin_cluster.cli.schemas import CompareDocument, MethodTotals
from margin_cluster.cli.summary import show_failures
from margin_cluster.comparison import METHODS, BookComparison, run_comparison
from margin_cluster.report import comparison_html
from margin_cluster.results import write_failures
from margin_cluster.wiring import load_model

_CENT = 0.01


@reporting_errors
def compare(
    out_dir: OutDir,
    data: Data = None,
    snapshot: Snapshot = None,
    book: BookFile = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="Preset or TOML file; repeat for several.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Calculate every account's margin by several methods and show the offsets of each."""
    names = method or METHODS
    models = {name: load_model(name) for name in names}
    with (
        output_folder(out_dir, command="compare", replace=force) as folder,
        opened_workspace(data, quiet=as_json) as (workspace, progress),
    ):
        compared = run_comparison(
            workspace, snapshot=snapshot, book=book, methods=names, progress=progress
        )
        table = _comparison_table(compared.methods)
        pq.write_table(table, folder / "methods.parquet", compression="zstd")
        pa_csv.write_csv(table, folder / "methods.csv")
        write_failures(folder, compared.failures)
        progress("Drawing the report", 0, 0)
        document = _document(compared, out_dir, models)
        identity = study_identity(
            workspace,
            models.values(),
            valuation=f"{compared.time:%Y-%m-%d %H:%M:%S} UTC",
            inputs=[
                ("snapshot", compared.methods.snapshot_id),
                ("book", compared.methods.book.id),
                *((f"scenario set {name}", found) for name, found in compared.scenarios.items()),
            ],
        )
        page = comparison_html(
            compared.methods,
            identity=identity,
            failures=compared.failures,
            remarks=document.remarks,
        )
        (folder / "report.html").write_text(page, encoding="utf-8")
    if as_json:
        print_json(document)
    else:
        _show(document)
        margined, listed = len(compared.methods.book.accounts), f"{out_dir / 'not_margined.csv'}"
        show_failures(compared.failures, margined, all_in=listed)
    if compared.failures:
        raise typer.Exit(EXIT_INCOMPLETE)


def _document(
    compared: BookComparison, folder: Path, models: Mapping[str, ModelParameters]
) -> CompareDocument:
    found = compared.methods
    return CompareDocument(
        out=str(folder),
        accounts=len(found.book.accounts),
        accounts_failed=len(compared.failures),
        expired_positions=compared.expired_positions,
        methods=[_totals(m) for m in found.methods],
        remarks=equal_methods(found, models),
    )


def _totals(method: MethodMargins) -> MethodTotals:
    sums = dict(zip(LEVELS, method.requirement_usd.sum(axis=0).tolist(), strict=True))
    return MethodTotals(
        method=method.name,
        account_usd=sums["account"],
        underlyings_usd=sums["underlyings"],
        expiries_usd=sums["expiries"],
        positions_usd=sums["positions"],
    )


def equal_methods(found: Comparison, models: Mapping[str, ModelParameters]) -> list[str]:
    """Return a sentence per pair of methods with equal requirements of all accounts, to the cent.

    Parameters
    ----------
    found : Comparison
    models : mapping of str to ModelParameters
        Model of each method, by name.
    """
    n = len(found.book.accounts)
    remarks: list[str] = []
    for one, other in combinations(found.methods, 2):
        gap = np.abs(one.requirement_usd[:, 0] - other.requirement_usd[:, 0])
        if n == 0 or bool(np.any(gap >= _CENT / 2)):
            continue
        text = f"{one.name} and {other.name} give the same requirement of every account to the cent"
        hybrid = next((m for m in (one, other) if models[m.name].measure.core == "hybrid"), None)
        cores = {models[m.name].measure.core for m in (one, other)}
        if hybrid is not None and cores == {"hybrid", "span"}:
            share = models[hybrid.name].hybrid.var_floor
            text += (
                f": the floor of {hybrid.name}, {percent(share, 0)} of VaR, is below SPAN for "
                f"each of the {count_of(n, 'account')} and therefore has no effect"
            )
        remarks.append(f"{text}.")
    return remarks


def _show(document: CompareDocument) -> None:
    largest = max(m.positions_usd for m in document.methods)
    unit, shown_as = amounts_in(max([largest, *(m.account_usd for m in document.methods)]))
    title = f"Requirements of {count_of(document.accounts, 'account')}, {unit}"
    shown = Table(title=title, title_justify="left")
    for name in ("method", "accounts", "by underlying", "by expiry", "by position"):
        shown.add_column(name, justify="left" if name == "method" else "right")
    for m in document.methods:
        sums = (m.account_usd, m.underlyings_usd, m.expiries_usd, m.positions_usd)
        shown.add_row(m.method, *(shown_as(x) for x in sums))
    out.print(shown)
    out.print("Offset recognised = sum of the requirements of the sub-portfolios - requirement.")
    for remark in document.remarks:
        out.print(remark, highlight=False)
    if document.expired_positions:
        expired = count_of(document.expired_positions, "position")
        out.print(f"[dim]Expired, without margin and awaiting settlement: {expired}.[/]")
    folder = Path(document.out)
    out.print(f"\nResults in [bold]{folder}[/]; open [bold]{folder / 'report.html'}[/]")


def _comparison_table(found: Comparison) -> pa.Table:
    columns: dict[str, pa.Array | np.ndarray] = {
        "account_id": pa.array(found.book.accounts),
        "member_id": pa.array(found.book.members),
    }
    for m in found.methods:
        for k, level in enumerate(LEVELS):
            name = f"{m.name}.{'requirement' if k == 0 else f'sum_over_{level}'}_usd"
            columns[name] = np.ascontiguousarray(m.requirement_usd[:, k])
    return pa.table(columns)
