"""`margin model` and `margin scenarios`."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pydantic import BaseModel
from rich.markup import escape
from rich.table import Table

from margin_actors.engine.parameters import PRESETS, ModelParameters, changes_between
from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_actors.engine.scenarios import Provenance, ScenarioSet
from margin_actors.errors import InvalidParameters, Problem
from margin_cluster.cli.console import (
    DataOption,
    JsonOption,
    out,
    print_json,
    reporting_errors,
    settings,
    synthetic_banner,
    workplace,
)
from margin_cluster.sources import ModelRegistry, ParquetStore
from margin_cluster.wiring import build_scenarios as build_set
from margin_cluster.wiring import load_market, load_model
from margin_cluster.wiring import load_scenarios as load_set

model_app = typer.Typer(help="Model parameters.", no_args_is_help=True)
scenarios_app = typer.Typer(help="Scenario sets.", no_args_is_help=True)


@model_app.command("show")
@reporting_errors
def show_model(
    model: Annotated[
        str | None, typer.Argument(help="Preset or TOML file; omit it to list the presets.")
    ] = None,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Show a model's parameters with their descriptions, or list the presets."""
    if model is None:
        if as_json:
            print_json({n: p.model_dump(mode="json") | {"id": p.id} for n, p in PRESETS.items()})
            return
        for name, item in PRESETS.items():
            default = "  (default)" if name == DEFAULT_PRESET else ""
            out.print(f"[bold]{name}[/] {item.version}{default}\n  {item.description}")
            out.print(f"  [dim]{item.id}[/]")
        return
    parameters = load_model(model)
    if as_json:
        print_json(parameters.model_dump(mode="json") | {"id": parameters.id})
        return
    p = parameters
    out.print(f"[bold]{p.name}[/] {p.version}  [dim]{p.id}[/]\n{p.description}\n")
    _show_sections(parameters, "")


def _show_sections(part: BaseModel, where: str) -> None:
    """Print the fields of a parameter section, then its subsections."""
    table = Table(title=f"[{where}]".replace("[", "\\["), title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=2)
    table.add_column(style="dim", ratio=3)
    below: list[tuple[str, BaseModel]] = []
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            below.append((f"{where}.{name}".lstrip("."), value))
        elif where:
            meaning = " ".join((field.description or "").split())
            table.add_row(name, escape(_plain(value)), escape(meaning))
    if table.row_count:
        out.print(table)
    for name, value in below:
        _show_sections(value, name)


@model_app.command("diff")
@reporting_errors
def diff_models(
    before: Annotated[
        str, typer.Argument(help="Preset, TOML file, or NAME@VERSION of a recorded model.")
    ],
    after: Annotated[str, typer.Argument(help="The other model, in the same form.")],
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Show every parameter that differs between two models."""
    changes = changes_between(_find_model(before), _find_model(after))
    if as_json:
        print_json([{"field": c.field, "before": c.before, "after": c.after} for c in changes])
        return
    if not changes:
        out.print("The two models have the same parameters.")
        return
    table = Table(show_header=True)
    for name in ("field", before, after):
        table.add_column(escape(name), overflow="fold")
    for c in changes:
        table.add_row(c.field, escape(c.before), escape(c.after))
    out.print(table)


def _find_model(name: str) -> ModelParameters:
    known, at, version = name.partition("@")
    if not at:
        return load_model(name)
    record = ModelRegistry(settings().store).find(known, version)
    if record is None:
        raise InvalidParameters(
            f"version {version!r} of the model {known!r} is not recorded in this store",
            [Problem("model", name, "`margin model versions` lists the recorded versions")],
        )
    return record.parameters


@model_app.command("register")
@reporting_errors
def register_model(
    model: Annotated[str, typer.Argument(help="Preset or TOML file.")],
    approved_by: Annotated[str, typer.Option("--approved-by", help="Who approved it.")] = "",
) -> None:
    """Record a version of a model; the parameters of a recorded version cannot change."""
    record = ModelRegistry(settings().store).use(load_model(model), approved_by=approved_by)
    p = record.parameters
    who = f", approved by {record.approved_by}" if record.approved_by else ""
    out.print(
        f"{p.name} {p.version}: {record.model_id}, recorded since {record.first_used:%F %T}{who}"
    )


@model_app.command("versions")
@reporting_errors
def list_versions(as_json: Annotated[bool, JsonOption] = False) -> None:
    """List the model versions that were used with this store."""
    records = ModelRegistry(settings().store).records()
    if as_json:
        print_json(
            [
                {
                    "name": r.parameters.name,
                    "version": r.parameters.version,
                    "id": r.model_id,
                    "first_used": r.first_used.isoformat(),
                    "approved_by": r.approved_by,
                }
                for r in records
            ]
        )
        return
    table = Table()
    for name in ("model", "version", "id", "first used", "approved by"):
        table.add_column(name)
    for r in records:
        p = r.parameters
        table.add_row(p.name, p.version, r.model_id, f"{r.first_used:%F %T}", r.approved_by)
    out.print(table)


def _plain(value: Any) -> str:
    if isinstance(value, BaseModel):
        return " ".join(f"{k}={_plain(v)}" for k, v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, tuple):
        return ("; " if value and isinstance(value[0], BaseModel) else ", ").join(
            _plain(v) for v in value
        )
    return str(value)


@scenarios_app.command("build")
@reporting_errors
def build(
    data: Annotated[Path | None, DataOption] = None,
    snapshot: Annotated[
        str | None,
        typer.Option(
            "--snapshot",
            help="Time up to which data are used, or a .toml file; default the latest.",
        ),
    ] = None,
    model: Annotated[str, typer.Option("--model", help="Preset or TOML file.")] = DEFAULT_PRESET,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Build a model's scenario set and store it under its id."""
    parameters: ModelParameters = load_model(model)
    with workplace(data, quiet=as_json) as (place, tell):
        market, _ = load_market(place, snapshot)
        scenarios, _ = build_set(place, parameters, market.time, tell=tell)
    _present(scenarios, as_json=as_json)


@scenarios_app.command("list")
@reporting_errors
def list_sets(as_json: Annotated[bool, JsonOption] = False) -> None:
    """List the scenario sets in the store, the newest last."""
    ids = ParquetStore(settings().store).ids("scenarios")
    if as_json:
        print_json(ids)
        return
    for scenarios_id in ids:
        out.print(scenarios_id)
    if not ids:
        out.print("The store has no scenario set; build one with `margin scenarios build`.")


@scenarios_app.command("show")
@reporting_errors
def show_set(
    scenarios_id: Annotated[str, typer.Argument(help="Id, as `list` prints it.")],
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Show the contents of a scenario set and its largest falls."""
    with workplace(None, quiet=True) as (place, _):
        scenarios = load_set(place, scenarios_id)
    _present(scenarios, as_json=as_json)


def _present(scenarios: ScenarioSet, *, as_json: bool) -> None:
    counts = {
        u: {
            p.name.lower(): int((scenarios.provenance[:, i] == p).sum())
            for p in Provenance
            if (scenarios.provenance[:, i] == p).any()
        }
        for i, u in enumerate(scenarios.underlyings)
    }
    if as_json:
        print_json(
            {
                "id": scenarios.id,
                "engine": scenarios.engine,
                "count": len(scenarios),
                "underlyings": scenarios.underlyings,
                "horizon_hours": scenarios.horizon_hours,
                "sections": {
                    name: scenarios.section(name).count for name in scenarios.section_names
                },
                "figures": scenarios.calibration.named_values(),
                "first": str(np.fmin.reduce(scenarios.end_time)),
                "last": str(np.fmax.reduce(scenarios.end_time)),
                "volatility": counts,
                "synthetic": scenarios.is_synthetic,
                "notes": scenarios.notes,
            }
        )
        return
    if scenarios.is_synthetic:
        out.print(synthetic_banner())
    first, last = np.fmin.reduce(scenarios.end_time), np.fmax.reduce(scenarios.end_time)
    closing = "" if np.isnat(first) else f", windows closing {first} to {last}"
    out.print(
        f"[bold]{scenarios.id}[/]\n{len(scenarios):,} {scenarios.engine} scenarios of "
        f"{', '.join(scenarios.underlyings)} over {scenarios.horizon_hours:g} h{closing}",
        highlight=False,
    )
    table = Table(title="Largest falls", title_justify="left")
    table.add_column("window closes")
    for u in scenarios.underlyings:
        table.add_column(f"{u} return", justify="right")
        table.add_column(f"{u} 30 d ATM vol", justify="right")
        table.add_column("volatility from")
    for row in np.argsort(scenarios.spot_return.min(axis=1), kind="stable")[:8]:
        cells = [scenarios.row_name(int(row))]
        for i, _ in enumerate(scenarios.underlyings):
            cells += [
                f"{100 * (np.exp(scenarios.spot_return[row, i]) - 1):+.1f} %",
                f"{100 * (np.exp(scenarios.vol_change[row, i, 2, 3]) - 1):+.1f} %",
                Provenance(int(scenarios.provenance[row, i])).name.lower().replace("_", " "),
            ]
        table.add_row(*cells)
    out.print(table)
    for note in scenarios.notes:
        out.print(f"[dim]{note}[/]", highlight=False)
