"""Functions shared by all commands: console output, progress and formats."""

import errno
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from margin_actors.progress import ProgressCallback
from margin_cluster.cli.schemas import Document
from margin_cluster.settings import Settings, settings_from_environment
from margin_cluster.wiring import Workspace, open_workspace

Amount: TypeAlias = Callable[[float], str]
"""Formats an amount in US dollars for display."""


class _Output(Console):
    """Console on standard output that raises BrokenPipeError if the reader has closed it."""

    def on_broken_pipe(self) -> None:
        """Raise the error, which `reporting_errors` handles, instead of exiting."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


out = _Output()
err = Console(stderr=True)


def settings() -> Settings:
    """Return the settings of this process, from the environment."""
    return settings_from_environment()


def print_json(document: Document) -> None:
    """Print a document as JSON on standard output."""
    sys.stdout.write(document.model_dump_json(by_alias=True, indent=1) + "\n")


@contextmanager
def stages(*, quiet: bool) -> Generator[ProgressCallback]:
    """Yield a progress callback that reports on standard error.

    On a terminal it draws a spinner or a progress bar, otherwise one line per stage; if `quiet`,
    nothing.
    """
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
def opened_workspace(
    data: Path | None, *, quiet: bool
) -> Generator[tuple[Workspace, ProgressCallback]]:
    """Yield the workspace and a progress callback."""
    with stages(quiet=quiet) as report:
        yield open_workspace(settings(), data, progress=report), report


def synthetic_banner() -> Panel:
    """Return the label that is printed above all results from synthetic data."""
    text = Text("SYNTHETIC DATA: generated; no price was observed in a market", "bold black")
    return Panel(text, style="on yellow", expand=False)


def amounts_in(largest: float) -> tuple[str, Amount]:
    """Return (name of the unit, formatter) for amounts of up to `largest` US dollars.

    The formatter takes an amount in US dollars and returns it in that unit with two decimals.
    """
    if largest < 1e6:
        return "US dollars", lambda value: f"{round(value, 2) + 0.0:,.2f}"
    return "million US dollars", lambda value: f"{round(value / 1e6, 2) + 0.0:,.2f}"


def percent(fraction: float, digits: int = 1, *, signed: bool = False) -> str:
    """Return a fraction in percent, for example "-1.5 %"; never a negative zero."""
    rounded = round(100.0 * fraction, digits) + 0.0
    return f"{rounded:+,.{digits}f} %" if signed else f"{rounded:,.{digits}f} %"


def print_plain(text: str, *, style: str = "") -> None:
    """Print a text on standard output as it is: without markup, highlighting or line breaks."""
    out.print(text, style=style, highlight=False, soft_wrap=True, markup=False)


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, for example "1 account" or "1,000 accounts"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
