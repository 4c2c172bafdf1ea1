"""`margin surface`."""

from typing import Annotated, Literal

import numpy as np
import typer
from rich.table import Table

from margin_actors.engine.margin import fit_findings
from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_actors.market.chain_quality import screen_snapshot
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface, fit_surfaces
from margin_cluster.cli.chain_findings import found_in_chain, show_findings
from margin_cluster.cli.console import opened_workspace, out, percent, print_json, synthetic_banner
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.options import AsJson, Data, Snapshot
from margin_cluster.cli.schemas import FittedExpiry, SurfaceDocument
from margin_cluster.wiring import load_market, load_model

surface_app = typer.Typer(help="Volatility surfaces.", no_args_is_help=True)

Smile = Literal["svi", "sabr"]


@surface_app.command("show")
@reporting_errors
def show(
    data: Data = None,
    snapshot: Snapshot = None,
    smile: Annotated[Smile, typer.Option("--smile", help="Form of the smiles.")] = "svi",
    beta: Annotated[
        float, typer.Option("--beta", min=0.0, max=1.0, help="Exponent of SABR.")
    ] = 1.0,
    gates: Annotated[
        str, typer.Option("--gates", help="Model whose quality gates are applied to the chain.")
    ] = DEFAULT_PRESET,
    as_json: AsJson = False,
) -> None:
    """Fit the smiles of a snapshot and show how well they reprice the quotes."""
    with opened_workspace(data, quiet=as_json) as (workspace, progress):
        limits = load_model(gates).chain_quality
        published, _ = load_market(workspace, snapshot, for_gates=limits.enabled)
        market = screen_snapshot(published, limits)
        progress("Fitting smiles", 0, 0)
        surfaces = fit_surfaces(market, model=smile, beta=beta, thin="omit")
    document = _surface_document(market, smile, surfaces)
    if as_json:
        print_json(document)
    else:
        _show_fit(market, document)


def _surface_document(
    market: MarketSnapshot, smile: Smile, surfaces: dict[str, VolatilitySurface]
) -> SurfaceDocument:
    expiries = [item for surface in surfaces.values() for item in _fitted_expiries(surface)]
    return SurfaceDocument(
        time=market.time.isoformat(),
        smile=smile,
        synthetic=market.is_synthetic,
        inside=sum(e.inside for e in expiries),
        quotes=sum(e.quotes for e in expiries),
        expiries=expiries,
        chain_findings=found_in_chain(fit_findings(market, surfaces)),
    )


def _fitted_expiries(surface: VolatilitySurface) -> list[FittedExpiry]:
    return [
        FittedExpiry(
            underlying=d.underlying,
            expiry=d.expiry,
            tenor_days=d.tenor_days,
            quotes=d.quotes,
            inside=d.inside,
            fitted=d.fitted,
            fitted_to=d.fitted_to,
            no_bid=d.no_bid,
            no_ask=d.no_ask,
            crossed=d.crossed,
            too_wide=d.too_wide,
            tiny_vega=d.tiny_vega,
            rmse_vol_annual=d.rmse_vol,
            atm_vol_annual=float(surface.volatility(np.zeros(1), e.tenor_years)[0]),
            least_density=d.least_density,
            least_calendar_rise=d.least_calendar_rise,
            arbitrage_free=d.is_arbitrage_free,
        )
        for d, e in zip(surface.diagnostics, surface.expiries, strict=True)
    ]


def _show_fit(market: MarketSnapshot, document: SurfaceDocument) -> None:
    if document.synthetic:
        out.print(synthetic_banner())
    share = document.inside / max(document.quotes, 1)
    table = Table(
        title=f"{document.smile.upper()} at {market.time:%Y-%m-%d %H:%M:%S} UTC: "
        f"{document.inside:,} of {document.quotes:,} two-sided options with open interest reprice "
        f"inside their bid–ask ({percent(share)})",
        title_justify="left",
    )
    for name in ("expiry", "days", "inside", "fitted to", "rmse vol", "ATM vol", "arbitrage"):
        table.add_column(name, justify="left" if name in ("expiry", "arbitrage") else "right")
    for e in document.expiries:
        table.add_row(
            f"{e.underlying} {e.expiry}",
            f"{e.tenor_days:.2f}",
            f"{e.inside}/{e.quotes}",
            f"{e.fitted} {e.fitted_to}",
            percent(e.rmse_vol_annual, 2),
            percent(e.atm_vol_annual),
            "[green]none[/]" if e.arbitrage_free else "[red]found[/]",
        )
    out.print(table)
    show_findings(document.chain_findings)
