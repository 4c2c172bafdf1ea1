"""Functions shared by all commands: console output, progress, error messages, exit codes."""

import errno
import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from margin_actors.errors import DataQualityFailure, MarginError, Problem, SourceUnavailable
from margin_cluster.settings import Settings, settings_from_environment
from margin_cluster.wiring import Stage, Workplace, open_workplace

P = ParamSpec("P")
R = TypeVar("R")

EXIT_INVALID, EXIT_QUALITY, EXIT_UNAVAILABLE, EXIT_INCOMPLETE = 2, 3, 4, 5
"""Exit codes: an input or a path cannot be used; data fail a quality limit; a data source does not
answer; the results were written but some accounts could not be margined."""
EXIT_INTERRUPTED, EXIT_PIPE = 130, 141
"""Exit codes: interrupted from the keyboard; the reader of standard output has closed it. A shell
reports SIGINT and SIGPIPE in the same way."""
_FULL = "free some space, or name a folder on another disk"
_ACCESS = "check the owner and the permissions, or name another path"
_REMEDIES = {
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: "the file system is read-only; name a path on another one",
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "the limit on the size of a file is too low; see `ulimit -f`",
    errno.ENOENT: "check the path; it may have been moved or deleted during the command",
    errno.ENOTDIR: "a part of the path is a file; correct the path",
    errno.EISDIR: "name a file instead of a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the device reports a fault; check the disk, or name a path on another one",
    errno.EMFILE: "the limit on open files is too low; see `ulimit -n`",
}


class _Output(Console):
    """Console on standard output that raises BrokenPipeError if the reader has closed it."""

    def on_broken_pipe(self) -> None:
        """Raise the error, which `reporting_errors` handles, instead of exiting."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


out = _Output()
err = Console(stderr=True)

DataOption = typer.Option(
    "--data",
    help="Folder of market data; default MARGIN_DATA, otherwise synthetic data.",
)
JsonOption = typer.Option("--json", help="Print JSON instead of tables.")


def settings() -> Settings:
    """Return the settings of this process, from the environment."""
    return settings_from_environment()


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


@contextmanager
def stages(*, quiet: bool) -> Generator[Stage]:
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
def workplace(data: Path | None, *, quiet: bool) -> Generator[tuple[Workplace, Stage]]:
    """Yield the workplace and a progress callback."""
    with stages(quiet=quiet) as tell:
        yield open_workplace(settings(), data, tell=tell), tell


def synthetic_banner() -> Panel:
    """Return the label that is printed above all results from synthetic data."""
    text = Text("SYNTHETIC DATA: generated; no price was observed in a market", "bold black")
    return Panel(text, style="on yellow", expand=False)


def reporting_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap `command` so that expected errors are printed as messages and become exit codes.

    Expected errors are MarginError, errors of the operating system, a keyboard interrupt, and a
    closed standard output. Any other exception is a defect of this program and shows its traceback.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            result = command(*args, **kwargs)
            sys.stdout.flush()
        except MarginError as error:
            _print_error(error)
            code = EXIT_INVALID
            if isinstance(error, DataQualityFailure):
                code = EXIT_QUALITY
            if isinstance(error, SourceUnavailable):
                code = EXIT_UNAVAILABLE
            raise typer.Exit(code) from None
        except KeyboardInterrupt:
            err.print(Text("margin: interrupted", "bold red"))
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            _leave_stdout()
            raise typer.Exit(EXIT_PIPE) from None
        except (ConnectionError, TimeoutError):
            raise
        except OSError as fault:
            if fault.errno is None:
                raise
            _print_error(_refused_operation(fault))
            if fault.filename is None:
                _leave_stdout()
            raise typer.Exit(EXIT_INVALID) from None
        return result

    return run


def _leave_stdout() -> None:
    """Redirect standard output to the null device, so that flushing it at exit does not fail."""
    with suppress(OSError):  # Standard output may have no file descriptor, as in tests.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refused_operation(fault: OSError) -> MarginError:
    """Return the error to report for an operation that the operating system refused."""
    code = fault.errno or 0
    what = os.strerror(code)
    nameless = "standard output or an open file" if code in _REMEDIES else "operating system"
    where = nameless if fault.filename is None else str(fault.filename)
    remedy = _REMEDIES.get(code, "check the path and the device")
    return MarginError("the operating system refused an operation", [Problem(where, what, remedy)])


def _print_error(error: MarginError) -> None:
    lines = str(error).split("\n")
    err.print(Text(f"margin: {lines[0]}", "bold red"), soft_wrap=True)
    for line in lines[1:]:
        err.print(Text(line), soft_wrap=True)


def amounts_in(largest: float) -> tuple[str, Callable[[float], str]]:
    """Return (name of the unit, formatter) for amounts of up to `largest` US dollars.

    The formatter takes an amount in US dollars and returns it in that unit with two decimals.
    """
    if largest < 1e6:
        return "US dollars", lambda value: f"{round(value, 2) + 0.0:,.2f}"
    return "million US dollars", lambda value: f"{round(value / 1e6, 2) + 0.0:,.2f}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, for example "1 account" or "1,000 accounts"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
