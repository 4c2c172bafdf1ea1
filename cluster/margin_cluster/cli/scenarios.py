"""`margin scenarios`."""

from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_actors.engine.scenarios import AT_MONEY, Provenance, ScenarioSet
from margin_cluster.cli.console import (
    count_of,
    opened_workspace,
    out,
    percent,
    print_json,
    print_plain,
    settings,
    synthetic_banner,
)
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.options import AsJson, Data, Model, Snapshot
from margin_cluster.cli.schemas import ScenariosDocument, ScenariosListDocument
from margin_cluster.sources import ParquetStore
from margin_cluster.wiring import build_scenarios, load_market, load_model, load_scenarios

scenarios_app = typer.Typer(help="Scenario sets.", no_args_is_help=True)
_FALLS = 8


@scenarios_app.command("build")
@reporting_errors
def build(
    data: Data = None,
    snapshot: Snapshot = None,
    model: Model = DEFAULT_PRESET,
    as_json: AsJson = False,
) -> None:
    """Build a model's scenario set and store it under its id."""
    parameters = load_model(model)
    with opened_workspace(data, quiet=as_json) as (workspace, progress):
        market, _ = load_market(workspace, snapshot, parameters)
        scenarios, _ = build_scenarios(workspace, parameters, market.time, progress=progress)
    _present(scenarios, as_json=as_json)


@scenarios_app.command("list")
@reporting_errors
def list_sets(as_json: AsJson = False) -> None:
    """List the scenario sets in the store, the newest last."""
    ids = ParquetStore(settings().store).ids("scenarios")
    if as_json:
        print_json(ScenariosListDocument(ids=ids))
        return
    for scenarios_id in ids:
        print_plain(scenarios_id)
    if not ids:
        out.print("The store has no scenario set; build one with `margin scenarios build`.")


@scenarios_app.command("show")
@reporting_errors
def show_set(
    scenarios_id: Annotated[str, typer.Argument(help="Id, as `list` prints it.")],
    as_json: AsJson = False,
) -> None:
    """Show the contents of a scenario set and its largest falls."""
    with opened_workspace(None, quiet=True) as (workspace, _):
        scenarios = load_scenarios(workspace, scenarios_id)
    _present(scenarios, as_json=as_json)


def _present(scenarios: ScenarioSet, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(scenarios))
    else:
        _show(scenarios)


def _span(scenarios: ScenarioSet) -> tuple[np.datetime64, np.datetime64]:
    """Return the earliest and latest end of a window; NaT if no scenario is a window."""
    return np.fmin.reduce(scenarios.end_time), np.fmax.reduce(scenarios.end_time)


def _document(scenarios: ScenarioSet) -> ScenariosDocument:
    first, last = (None if np.isnat(t) else str(t) for t in _span(scenarios))
    return ScenariosDocument(
        id=scenarios.id,
        engine=scenarios.engine,
        count=len(scenarios),
        underlyings=list(scenarios.underlyings),
        horizon_hours=scenarios.horizon_hours,
        sections={name: scenarios.section(name).count for name in scenarios.section_names},
        first=first,
        last=last,
        volatility={
            u: {
                p.name.lower(): int((scenarios.provenance[:, i] == p).sum())
                for p in Provenance
                if (scenarios.provenance[:, i] == p).any()
            }
            for i, u in enumerate(scenarios.underlyings)
        },
        calibration=scenarios.calibration.named_values(),
        synthetic=scenarios.is_synthetic,
        notes=list(scenarios.notes),
    )


def _show(scenarios: ScenarioSet) -> None:
    if scenarios.is_synthetic:
        out.print(synthetic_banner())
    first, last = _span(scenarios)
    closing = "" if np.isnat(first) else f", windows closing {first} to {last}"
    out.print(
        f"[bold]{scenarios.id}[/]\n{count_of(len(scenarios), 'scenario')} of the engine "
        f"{scenarios.engine} for {', '.join(scenarios.underlyings)} over "
        f"{scenarios.horizon_hours:g} h{closing}",
        highlight=False,
    )
    table = Table(title="Largest falls", title_justify="left")
    table.add_column("window closes")
    for u in scenarios.underlyings:
        table.add_column(f"{u} return", justify="right")
        table.add_column(f"{u} 30 d ATM vol", justify="right")
        table.add_column("volatility from")
    for row in np.argsort(scenarios.spot_return.min(axis=1), kind="stable")[:_FALLS].tolist():
        cells = [scenarios.row_name(row)]
        for i, _ in enumerate(scenarios.underlyings):
            vol_change = float(scenarios.vol_change[row, i, scenarios.month, AT_MONEY])
            cells += [
                percent(float(np.expm1(scenarios.spot_return[row, i])), signed=True),
                percent(float(np.expm1(vol_change)), signed=True),
                Provenance(int(scenarios.provenance[row, i])).name.lower().replace("_", " "),
            ]
        table.add_row(*cells)
    out.print(table)
    for note in scenarios.notes:
        out.print(f"[dim]{note}[/]", highlight=False)
