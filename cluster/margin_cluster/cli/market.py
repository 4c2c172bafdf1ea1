"""`margin data`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_actors.market.chain_quality import ScreenedSnapshot, screen_snapshot
from margin_actors.market.cleansing import FAULT_MEANING, QualityReport
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.cli.chain_findings import found_in_chain, show_findings
from margin_cluster.cli.console import (
    count_of,
    opened_workspace,
    out,
    print_json,
    settings,
    stages,
    synthetic_banner,
)
from margin_cluster.cli.errors import EXIT_QUALITY, reporting_errors
from margin_cluster.cli.options import AsJson, Data, Model, Snapshot
from margin_cluster.cli.outputs import require_folder_to_fill, require_new_folder
from margin_cluster.cli.schemas import (
    CheckedPrices,
    CheckedSource,
    DataCheckDocument,
    DataFetchDocument,
    PriceRepair,
)
from margin_cluster.sources import is_written_by_hand, require_plausible, write_synthetic_folder
from margin_cluster.sources.deribit import DeribitClient, fetch_chain
from margin_cluster.wiring import (
    FREQUENCIES,
    History,
    Workspace,
    load_history,
    load_market,
    load_model,
    time_from_text,
)

_DAY = 86_400

data_app = typer.Typer(help="Market data: check, fetch, generate.", no_args_is_help=True)


@data_app.command("check")
@reporting_errors
def check(
    data: Data = None,
    snapshot: Snapshot = None,
    model: Model = DEFAULT_PRESET,
    as_json: AsJson = False,
) -> None:
    """Check a model's prices and option chain; exit with code 3 if a limit on prices is exceeded.

    Prices up to the valuation time are checked; without option chains, up to the last close.
    Quotes and expiries that fail a quality gate of the model are listed; a calculation goes on
    without them.
    """
    parameters = load_model(model)
    with opened_workspace(data, quiet=as_json) as (workspace, progress):
        published, market, time = _valuation(workspace, parameters, snapshot)
        history = load_history(workspace, parameters, time, progress=progress)
    document = _check_document(history, time, market)
    if not as_json:
        _show_check(history, document)
    if published is not None:
        require_plausible(published, history.grids, parameters, source=snapshot)
    if as_json:
        print_json(document)
    if any(r.breaches for r in history.reports):
        raise typer.Exit(EXIT_QUALITY)


def _valuation(
    workspace: Workspace, model: ModelParameters, snapshot: str | None
) -> tuple[MarketSnapshot | None, MarketSnapshot | None, datetime]:
    """Return (market as published, screened market, time up to which prices are checked).

    The markets are None without an option chain or a market file.
    """
    if workspace.data.chains or is_written_by_hand(snapshot):
        gates = model.chain_quality
        found, _ = load_market(workspace, snapshot, for_gates=gates.enabled)
        return found, screen_snapshot(found, gates), found.time
    if snapshot is not None:
        return None, None, time_from_text(snapshot)
    interval = FREQUENCIES[model.history.frequency]
    underlyings = model.scenarios.underlyings
    return None, None, workspace.data.last_close(model.history.sources, underlyings, interval)


def _check_document(
    history: History, time: datetime, market: MarketSnapshot | None
) -> DataCheckDocument:
    findings = market.findings if isinstance(market, ScreenedSnapshot) else ()
    return DataCheckDocument(
        time=time.isoformat(),
        has_chains=market is not None,
        synthetic=any(grid.is_synthetic for grid in history.grids.values()),
        prices=[_checked_prices(report) for report in history.reports],
        chain_findings=found_in_chain(findings),
    )


def _checked_prices(report: QualityReport) -> CheckedPrices:
    return CheckedPrices(
        underlying=report.underlying,
        frequency_seconds=report.frequency_seconds,
        grid_points=report.grid_points,
        missing=report.missing,
        filled=report.filled,
        dropped=report.dropped,
        end_age_hours=report.end_age_hours,
        breaches=list(report.breaches),
        sources=[
            CheckedSource(
                source=s.source,
                rows=s.rows,
                first=s.first,
                last=s.last,
                missing=s.missing,
                not_used=s.not_used,
                faults=s.faults,
            )
            for s in report.sources
        ],
        repairs=[
            PriceRepair(
                time=r.time,
                source=r.source,
                rule=r.rule,
                found_usd=None if np.isnan(r.found) else r.found,
                reference_usd=None if np.isnan(r.reference) else r.reference,
            )
            for r in report.repairs
        ],
    )


def _show_check(history: History, document: DataCheckDocument) -> None:
    if document.synthetic:
        out.print(synthetic_banner())
    if not document.has_chains:
        out.print(
            f"The folder has no option chains: prices alone are checked, up to {document.time}.",
            highlight=False,
        )
    for report in history.reports:
        _show_quality(report)
    show_findings(document.chain_findings)


def _show_quality(report: QualityReport) -> None:
    table = Table(
        title=f"{report.underlying}, every {report.frequency_seconds:,} s: {report.grid_points:,} "
        f"points checked, {report.missing} missing, {report.dropped} dropped, {report.filled} "
        f"filled, last price {report.end_age_hours:.1f} h old",
        title_justify="left",
    )
    table.add_column("source", overflow="fold")
    table.add_column("closes", no_wrap=True)
    table.add_column("missing", justify="right")
    table.add_column("faults", min_width=16)
    for s in report.sources:
        faults = ", ".join(f"{n} {k.replace('_', ' ')}" for k, n in s.faults.items() if n) or "none"
        shown = 10 if report.frequency_seconds >= _DAY else 16
        span = f"{s.first[:shown]} – {s.last[:shown]}"
        table.add_row(s.source, span, f"{s.missing:,}", faults)
    out.print(table)
    later = sum(s.not_used for s in report.sources)
    if later:
        out.print(f"  {count_of(later, 'candle')} after that time: not used", highlight=False)
    for repair in report.repairs[:10]:
        out.print(
            f"  {repair.time}  {repair.source}: {repair.rule}, {repair.found:,.2f} "
            f"against {repair.reference:,.2f}",
            highlight=False,
        )
    if len(report.repairs) > 10:
        out.print(f"  … and {len(report.repairs) - 10} more (use --json)")
    named = {r.rule for r in report.repairs} & set(FAULT_MEANING)
    for name in sorted(named):
        out.print(f"  [dim]{name}: {FAULT_MEANING[name]}[/]", highlight=False)
    for breach in report.breaches:
        out.print(f"  [bold red]limit exceeded:[/] {breach}", highlight=False)


@data_app.command("generate")
@reporting_errors
def generate(
    target: Annotated[Path, typer.Option("--out", help="New folder for the data.")],
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Random seed; the same seed gives the same files.")
    ] = 20260116,
    accounts: Annotated[int, typer.Option("--accounts", min=10, max=10_000)] = 100,
) -> None:
    """Write a synthetic data set: six years of prices, chains, a book and collateral."""
    require_new_folder(target)
    with stages(quiet=False) as progress:
        progress("Generating", 0, 0)
        write_synthetic_folder(target, seed=seed, n_accounts=accounts)
    out.print(f"Synthetic data in [bold]{target}[/]")


@data_app.command("fetch")
@reporting_errors
def fetch(
    target: Annotated[Path, typer.Option("--out", help="Data folder to add the chain to.")],
    currency: Annotated[
        list[str] | None,
        typer.Option("--currency", help="Currency; repeat for several. Default BTC and ETH."),
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="Base address of the API.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the whole option chain from a Deribit-compatible API into a data folder."""
    require_folder_to_fill(target)
    with stages(quiet=as_json) as progress:
        progress("Fetching the chain", 0, 0)
        client = DeribitClient(url or settings().deribit_url)
        path, rows = fetch_chain(client, currency or ["BTC", "ETH"], target)
    if as_json:
        print_json(DataFetchDocument(file=str(path), rows=rows))
    else:
        out.print(f"{count_of(rows, 'option')} in [bold]{path}[/]")
