"""What the commands share: one console, progress, errors in red, exit codes."""

import json
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from margin_actors.errors import DataQualityFailure, MarginError, SourceUnavailable
from margin_cluster.settings import Settings, settings_from_environment
from margin_cluster.wiring import Stage, Workplace, open_workplace

P = ParamSpec("P")
R = TypeVar("R")

EXIT_INVALID, EXIT_QUALITY, EXIT_UNAVAILABLE = 2, 3, 4
"""Exit codes: an input is unusable; data fail a quality limit; a source does not answer."""

out = Console()
err = Console(stderr=True)

DataOption = typer.Option(
    "--data",
    help="Folder of market data, or MARGIN_DATA; without either the synthetic set.",
)
JsonOption = typer.Option("--json", help="Print JSON for machines instead of tables.")


def settings() -> Settings:
    """Return the settings of this process."""
    return settings_from_environment()


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


@contextmanager
def stages(*, quiet: bool) -> Generator[Stage]:
    """Yield a teller of stages that draws a spinner or bar on the terminal's standard error."""
    if quiet or not err.is_terminal:
        last = [""]

        def say(what: str, _done: int, _total: int) -> None:
            if not quiet and what != last[0]:
                last[0] = what
                err.print(f"{what} …", highlight=False)

        yield say
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("Starting", total=None, count="")

        def show(what: str, done: int, total: int) -> None:
            progress.update(
                task,
                description=what,
                total=total or None,
                completed=done,
                count=f"{done}/{total}" if total else "",
            )

        yield show


@contextmanager
def workplace(data: Path | None, *, quiet: bool) -> Generator[tuple[Workplace, Stage]]:
    """Yield the opened workplace and a teller of stages."""
    with stages(quiet=quiet) as tell:
        yield open_workplace(settings(), data, tell=tell), tell


def synthetic_banner() -> Panel:
    """Return the label that stands over everything made from made-up data."""
    text = Text("SYNTHETIC DATA — made up by the generator, no price was ever paid", "bold black")
    return Panel(text, style="on yellow", expand=False)


def reporting_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Return `command` with our errors printed as messages and turned into exit codes."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except MarginError as error:
            _print_error(error)
            code = EXIT_INVALID
            if isinstance(error, DataQualityFailure):
                code = EXIT_QUALITY
            if isinstance(error, SourceUnavailable):
                code = EXIT_UNAVAILABLE
            raise typer.Exit(code) from None

    return run


def _print_error(error: MarginError) -> None:
    lines = str(error).split("\n")
    err.print(Text(f"margin: {lines[0]}", "bold red"), soft_wrap=True)
    for line in lines[1:]:
        err.print(Text(line), soft_wrap=True)


def amounts_in(largest: float) -> tuple[str, Callable[[float], str]]:
    """Return (unit, formatter) that suit amounts of up to `largest` US dollars."""
    if largest < 1e6:
        return "US dollars", lambda value: f"{round(value, 2) + 0.0:,.2f}"
    return "million US dollars", lambda value: f"{round(value / 1e6, 2) + 0.0:,.2f}"
