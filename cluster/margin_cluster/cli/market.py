"""`margin data` and `margin surface`."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_actors.market.cleansing import FAULT_MEANING, QualityReport
from margin_actors.market.surfaces import SmileModel, fit_surfaces
from margin_cluster.cli.console import (
    EXIT_QUALITY,
    DataOption,
    JsonOption,
    out,
    print_json,
    reporting_errors,
    settings,
    stages,
    synthetic_banner,
    workplace,
)
from margin_cluster.cli.outputs import require_folder_to_fill, require_new_folder
from margin_cluster.sources import write_synthetic_folder
from margin_cluster.sources.deribit import DeribitClient, fetch_chain
from margin_cluster.wiring import load_history, load_market, load_model

_DAY = 86_400

data_app = typer.Typer(help="Market data: check, fetch, generate.", no_args_is_help=True)
surface_app = typer.Typer(help="Volatility surfaces.", no_args_is_help=True)


@data_app.command("check")
@reporting_errors
def check(
    data: Annotated[Path | None, DataOption] = None,
    snapshot: Annotated[
        str | None,
        typer.Option(
            "--snapshot",
            help="Time up to which data are checked, or a .toml file; default the latest.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", help="Preset or TOML file; its price sources and quality limits are used."
        ),
    ] = DEFAULT_PRESET,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Cleanse a model's prices and print all findings; exit with code 3 if a limit is exceeded."""
    parameters = load_model(model)
    with workplace(data, quiet=as_json) as (place, tell):
        market, _ = load_market(place, snapshot)
        history = load_history(place, parameters, market.time, tell=tell)
    if as_json:
        print_json([r.to_mapping() for r in history.reports])
    else:
        if market.is_synthetic:
            out.print(synthetic_banner())
        for report in history.reports:
            _show_quality(report)
    if any(r.breaches for r in history.reports):
        raise typer.Exit(EXIT_QUALITY)


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
    with stages(quiet=False) as tell:
        tell("Generating", 0, 0)
        write_synthetic_folder(target, seed=seed, n_accounts=accounts)
    out.print(f"Synthetic data in [bold]{target}[/]")


@data_app.command("fetch")
@reporting_errors
def fetch(
    target: Annotated[Path, typer.Option("--out", help="Data folder to add the chain to.")],
    currency: Annotated[
        list[str], typer.Option("--currency", help="Currency; repeat for several.")
    ] = [  # noqa: B006
        "BTC",
        "ETH",
    ],
    url: Annotated[str | None, typer.Option("--url", help="Base address of the API.")] = None,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Fetch the whole option chain from a Deribit-compatible API into a data folder."""
    require_folder_to_fill(target)
    with stages(quiet=as_json) as tell:
        tell("Fetching the chain", 0, 0)
        client = DeribitClient(url or settings().deribit_url)
        path, rows = fetch_chain(client, currency, target)
    if as_json:
        print_json({"file": str(path), "rows": rows})
    else:
        out.print(f"{rows:,} options in [bold]{path}[/]")


@surface_app.command("show")
@reporting_errors
def show(
    data: Annotated[Path | None, DataOption] = None,
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", help="Time or .toml file; default the latest.")
    ] = None,
    smile: Annotated[str, typer.Option("--smile", help="svi or sabr.")] = "svi",
    beta: Annotated[
        float, typer.Option("--beta", min=0.0, max=1.0, help="Exponent of SABR.")
    ] = 1.0,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Fit the smiles of a snapshot and show how well they reprice the quotes."""
    if smile not in ("svi", "sabr"):
        raise typer.BadParameter("choose svi or sabr", param_hint="--smile")
    chosen: SmileModel = "svi" if smile == "svi" else "sabr"
    with workplace(data, quiet=as_json) as (place, tell):
        market, _ = load_market(place, snapshot)
        tell("Fitting smiles", 0, 0)
        surfaces = fit_surfaces(market, model=chosen, beta=beta)
    diagnostics = [d for s in surfaces.values() for d in s.diagnostics]
    inside, quotes = sum(d.inside for d in diagnostics), sum(d.quotes for d in diagnostics)
    if as_json:
        rows: list[dict[str, Any]] = [
            {n: getattr(d, n) for n in d.__slots__} | {"arbitrage_free": d.is_arbitrage_free}
            for d in diagnostics
        ]
        print_json({"inside": inside, "quotes": quotes, "expiries": rows})
        return
    if market.is_synthetic:
        out.print(synthetic_banner())
    table = Table(
        title=f"{smile.upper()} at {market.time:%Y-%m-%d %H:%M:%S} UTC: {inside:,} of {quotes:,} "
        f"two-sided options with open interest reprice inside their bid–ask "
        f"({100 * inside / max(quotes, 1):.1f} %)",
        title_justify="left",
    )
    for name in ("expiry", "days", "inside", "fitted to", "rmse vol", "ATM vol", "arbitrage"):
        table.add_column(name, justify="left" if name in ("expiry", "arbitrage") else "right")
    for surface in surfaces.values():
        for d, e in zip(surface.diagnostics, surface.expiries, strict=True):
            at_money = float(surface.volatility(np.zeros(1), e.tenor_years)[0])
            table.add_row(
                f"{d.underlying} {d.expiry}",
                f"{d.tenor_days:.2f}",
                f"{d.inside}/{d.quotes}",
                f"{d.fitted} {d.fitted_to}",
                f"{100 * d.rmse_vol:.2f} %",
                f"{100 * at_money:.1f} %",
                "[green]none[/]" if d.is_arbitrage_free else "[red]found[/]",
            )
    out.print(table)
