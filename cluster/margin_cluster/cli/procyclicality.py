"""`margin procyclicality`."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich.table import Table

from margin_actors.arrays import FloatArray
from margin_actors.engine.backtest import Procyclicality, responsiveness, tool_margins
from margin_cluster.cli.console import opened_workspace, out, percent, print_json
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.options import AsJson, Data, First, Force, Last, Model, OutDir
from margin_cluster.cli.outputs import output_folder
from margin_cluster.cli.provenance import study_identity
from margin_cluster.cli.schemas import ProcyclicalityDocument, ToolResponse
from margin_cluster.cli.studies import (
    begin_time,
    date_text,
    end_of_replay,
    show_remarks,
    start_of_replay,
    until_time,
)
from margin_cluster.report import procyclicality_html
from margin_cluster.studies import run_procyclicality
from margin_cluster.wiring import load_model


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
        begin, until = begin_time(first), until_time(last)
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
        dates = (date_text(t) for t in series.time[[0, -1]])
        identity = study_identity(workspace, [parameters], valuation=" to ".join(dates))
        page = procyclicality_html(series, margins, rows, parameters, identity=identity)
        (folder / "report.html").write_text(page, encoding="utf-8")
        end = end_of_replay(workspace, parameters, series.time, until)
    document = ProcyclicalityDocument(
        out=str(out_dir),
        first_date=date_text(series.time[0]),
        last_date=date_text(series.time[-1]),
        remarks=[text for text in (start_of_replay(parameters, series.time, begin), end) if text],
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
    show_remarks(document.remarks)
    folder = Path(document.out)
    out.print(f"\nResults in [bold]{folder}[/]; open [bold]{folder / 'report.html'}[/]")
