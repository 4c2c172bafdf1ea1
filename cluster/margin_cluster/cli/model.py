"""`margin model`."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.markup import escape
from rich.table import Table

from margin_actors.engine.parameters import EARLIER, PRESETS, ModelParameters, changes_between
from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_actors.errors import InvalidParameters, Problem
from margin_cluster.cli.console import out, print_json, print_plain, settings
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.options import AsJson
from margin_cluster.cli.schemas import (
    ListedModel,
    ModelDiffDocument,
    ModelDocument,
    ModelListDocument,
    ParameterChange,
)
from margin_cluster.sources import ModelRegistry
from margin_cluster.wiring import load_model

model_app = typer.Typer(help="Model parameters.", no_args_is_help=True)


@model_app.command("list")
@reporting_errors
def list_models(as_json: AsJson = False) -> None:
    """List the presets with their versions, one per line; name@1 selects an earlier version."""
    models = [
        ListedModel(
            name=name,
            version=item.version,
            id=item.id,
            description=item.description,
            is_default=name == DEFAULT_PRESET,
        )
        for name, item in {**PRESETS, **EARLIER}.items()
    ]
    if as_json:
        print_json(ModelListDocument(models=models))
        return
    for item in models:
        default = " (default)" if item.is_default else ""
        brief = item.description.split(":")[0].split(";")[0].removesuffix(".")
        print_plain(f"{item.name:<13} {item.version:<3} {brief}{default}")


@model_app.command("show")
@reporting_errors
def show_model(
    model: Annotated[
        str | None, typer.Argument(help="Preset or TOML file; omit it to list the presets.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's parameters with their descriptions."""
    if model is None:
        list_models(as_json=as_json)
        return
    p = load_model(model)
    if as_json:
        print_json(ModelDocument(id=p.id, parameters=p))
        return
    out.print(f"[bold]{p.name}[/] {p.version}  [dim]{p.id}[/]\n{p.description}\n")
    _show_sections(p, "")


def _show_sections(section: BaseModel, where: str) -> None:
    """Print the fields of a parameter section, then its subsections."""
    table = Table(title=f"[{where}]".replace("[", "\\["), title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=2)
    table.add_column(style="dim", ratio=3)
    below: list[tuple[str, BaseModel]] = []
    for name, field in type(section).model_fields.items():
        value: object = getattr(section, name)
        if isinstance(value, BaseModel):
            below.append((f"{where}.{name}".lstrip("."), value))
        elif where:
            meaning = " ".join((field.description or "").split())
            table.add_row(name, escape(_plain(value)), escape(meaning))
    if table.row_count:
        out.print(table)
    for name, value in below:
        _show_sections(value, name)


def _plain(value: object) -> str:
    """Return the value of a parameter as text on one line."""
    if isinstance(value, BaseModel):
        return " ".join(f"{k}={_plain(v)}" for k, v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        separator = "; " if value and isinstance(value[0], BaseModel) else ", "
        return separator.join(_plain(v) for v in value)
    return str(value)


@model_app.command("diff")
@reporting_errors
def diff_models(
    before: Annotated[
        str, typer.Argument(help="Preset, TOML file, or NAME@VERSION of a recorded model.")
    ],
    after: Annotated[str, typer.Argument(help="The other model, in the same form.")],
    as_json: AsJson = False,
) -> None:
    """Show every parameter that differs between two models."""
    changes = changes_between(find_model(before), find_model(after))
    if as_json:
        listed = [ParameterChange(field=c.field, before=c.before, after=c.after) for c in changes]
        print_json(ModelDiffDocument(before=before, after=after, changes=listed))
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


def find_model(name: str) -> ModelParameters:
    """Return a model by preset, TOML file, or NAME@VERSION of a recorded model.

    Raises
    ------
    InvalidParameters
        If there is no such model, or its file is not valid.
    """
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
