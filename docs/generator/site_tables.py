"""Pages of the reference that are tables: errors, parameters of the model, commands."""

import typing
from collections.abc import Iterator
from pathlib import Path

import typer
from margin_client import MarginClientError
from margin_client._status import TABLE as RAISED
from margin_cluster.cli import app
from margin_cluster.gateway.status import TABLE
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from site_contract import cell

from margin_actors.engine.parameters import PRESETS, ModelParameters


def errors_page() -> str:
    """Return the page of errors: class, status, details, and what the client raises."""
    details = {
        "fields": "`BadRequest`: every invalid field",
        "precondition": "`PreconditionFailure`: what is missing",
        "retry": "`RetryInfo`: delay before a retry",
        "none": "",
    }
    lines = [
        "# Errors and statuses", "",
        "Every error of the service becomes a gRPC status with `google.rpc` details by the table",
        "below: an `ErrorInfo` with the name of the error, a `RequestInfo` with the id of the",
        "request in the service's log, and the details listed. The client raises the class in the",
        "last column. An unexpected error is INTERNAL and exposes only the id of the request.", "",
        "| error | meaning | status | details | client |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for error, row in TABLE.items():
        meaning = cell(" ".join((error.__doc__ or "").split("\n\n")[0].split()))
        raised = RAISED.get(row.code, MarginClientError).__name__
        lines.append(
            f"| `{error.__name__}` | {meaning} | {row.code.name} | {details[row.detail]} "
            f"| [`{raised}`](client.md#margin_client.{raised}) |"
        )
    return "\n".join(lines) + "\n"


def _sections(kind: type[BaseModel], where: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield where, kind
    for name, info in kind.model_fields.items():
        for inner in (info.annotation, *typing.get_args(info.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _sections(inner, f"{where}.{name}".lstrip("."))


def _type_of(annotation: object) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{value!r}`" for value in typing.get_args(annotation))
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return f"`{annotation.__name__}`"
    return f"`{str(annotation).replace('margin_actors.engine.parameters.', '')}`"


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    text = repr(value)
    return f"`{text}`" if len(text) <= 60 else "see `margin model show`"


def parameters_page() -> str:
    """Return the page of all parameters of a model, by section, and of the presets."""
    lines = [
        "# Model parameters", "",
        "A model is a TOML file: `extends` names a preset, and each section below lists the fields",
        "that can differ from it. `margin model show NAME` prints the values of a preset or file.",
        "", "## Presets", "", "| name | version | description |", "|---|---|---|",
        *(f"| `{m.name}` | {m.version} | {cell(m.description)} |" for m in PRESETS.values()), "",
    ]  # fmt: skip
    for where, kind in _sections(ModelParameters, ""):
        fields = {
            name: info
            for name, info in kind.model_fields.items()
            if info.description
            and not (isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel))
        }
        if not fields:
            continue
        lines += [f"## {where or 'Model'}", "", " ".join((kind.__doc__ or "").split()), "",
                  "| field | type | default | meaning |", "|---|---|---|---|"]  # fmt: skip
        for name, info in fields.items():
            meaning = cell(" ".join((info.description or "").replace("``", "`").split()))
            value = _default(info.get_default(call_default_factory=True))
            lines.append(f"| `{name}` | {cell(_type_of(info.annotation))} | {value} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


_VALUES: dict[object, str] = {Path: "path", str: "text", int: "whole number", float: "number"}


def _commands(command: typing.Any, path: str) -> Iterator[tuple[str, typing.Any]]:
    """Yield (words, command) of every command below a group; typer gives their classes no name."""
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name in below:
        yield from _commands(below[name], f"{path} {name}")


def commands_page() -> str:
    """Return the page of all commands with their arguments and options."""
    lines = [
        "# Commands",
        "",
        "Every command ends with one of the [exit codes](../data.md#exit-codes).",
        "",
    ]
    for path, command in _commands(typer.main.get_command(app), "margin"):
        usage = command.get_usage(typer.Context(command, info_name=path)).removeprefix("Usage: ")
        lines += [
            f"## {path}",
            "",
            "```",
            usage,
            "```",
            "",
            (command.help or "").split("\f")[0],
            "",
        ]
        lines += ["| argument or option | value | default | meaning |", "|---|---|---|---|"]
        for option in command.params:
            names = ", ".join(f"`{n}`" for n in (*option.opts, *option.secondary_opts))
            if option.param_type_name == "argument":
                names = f"`{option.name.upper()}`"
            flag = getattr(option, "is_flag", False)
            value = "" if flag else _VALUES.get(option.type_descriptor.annotation, "text")
            default = "required" if option.required else _shown(option.default)
            lines.append(f"| {names} | {value} | {default} | {cell(option.help or '')} |")
        lines.append("")
    return "\n".join(lines)


def _shown(default: object) -> str:
    if default is None or default is False or callable(default):
        return ""
    return f"`{default}`"
