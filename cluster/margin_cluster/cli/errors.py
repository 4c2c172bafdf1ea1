"""Errors of commands: messages or JSON documents, and exit codes."""

import errno
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import ParamSpec, TypeVar

import typer
from pydantic_core import PydanticSerializationError
from rich.text import Text
from typer.core import TyperGroup

from margin_actors import errors
from margin_actors.errors import MarginError, Problem
from margin_cluster.cli.console import err, print_json
from margin_cluster.cli.schemas import ErrorDocument, ErrorKind, ErrorProblem

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
KINDS: Mapping[type[MarginError], ErrorKind] = {
    errors.InvalidPortfolio: "invalid_portfolio",
    errors.InvalidScenario: "invalid_scenario",
    errors.InvalidParameters: "invalid_parameters",
    errors.InvalidMarketData: "invalid_market_data",
    errors.InvalidRequest: "invalid_request",
    errors.MissingMarketData: "missing_market_data",
    errors.DataQualityFailure: "data_quality",
    errors.SourceUnavailable: "source_unavailable",
    errors.UnknownAccount: "unknown_account",
    errors.UnknownCalculation: "unknown_calculation",
    errors.UnknownScenarioSet: "unknown_scenario_set",
    errors.KeyReused: "key_reused",
    errors.NotReady: "not_ready",
    errors.RefusedByRule: "refused_by_rule",
    errors.NotStarted: "not_started",
    errors.Overloaded: "overloaded",
    errors.ClusterUnavailable: "cluster_unavailable",
    errors.LedgerUnavailable: "ledger_unavailable",
    errors.LedgerDamaged: "ledger_damaged",
    errors.OutdatedSnapshot: "outdated_snapshot",
    errors.DeadlinePassed: "deadline_passed",
}
"""Code of each error in JSON documents."""
_EXIT_CODES: Mapping[type[MarginError], int] = {
    errors.DataQualityFailure: EXIT_QUALITY,
    errors.SourceUnavailable: EXIT_UNAVAILABLE,
}
"""Exit codes other than EXIT_INVALID."""


def reporting_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap `command` so that expected errors are printed as messages and become exit codes.

    Expected errors are MarginError, errors of the operating system, a keyboard interrupt, and a
    closed standard output. Any other exception is a defect of this program and shows its traceback.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        as_json = kwargs.get("as_json") is True
        try:
            result = command(*args, **kwargs)
            sys.stdout.flush()
        except MarginError as error:
            code = _EXIT_CODES.get(type(error), EXIT_INVALID)
            report_error(error, kind_of(error), code, as_json=as_json)
            raise typer.Exit(code) from None
        except (KeyboardInterrupt, PydanticSerializationError) as fault:
            # pydantic turns every exception in a serializer, an interrupt as well, into its own.
            if not isinstance(fault, KeyboardInterrupt) and "KeyboardInterrupt" not in str(fault):
                raise
            error = MarginError("interrupted")
            report_error(error, "interrupted", EXIT_INTERRUPTED, as_json=as_json)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            _leave_stdout()
            raise typer.Exit(EXIT_PIPE) from None
        except (ConnectionError, TimeoutError):
            raise
        except OSError as fault:
            if fault.errno is None:
                raise
            is_output = fault.filename is None  # standard output may be what failed
            error = _refused_operation(fault)
            report_error(error, "operating_system", EXIT_INVALID, as_json=as_json and not is_output)
            if is_output:
                _leave_stdout()
            raise typer.Exit(EXIT_INVALID) from None
        return result

    return run


def kind_of(error: MarginError) -> ErrorKind:
    """Return the code of an error, which is that of its class or of the nearest base class."""
    for base in type(error).__mro__:
        if base in KINDS:
            return KINDS[base]
    return "other"


def report_error(error: MarginError, kind: ErrorKind, exit_code: int, *, as_json: bool) -> None:
    """Print an error: a message on standard error, or a document on standard output."""
    if not as_json:
        _print_error(error)
        return
    problems = [
        ErrorProblem(where=p.where, description=p.what, remedy=p.remedy) for p in error.problems
    ]
    print_json(
        ErrorDocument(kind=kind, exit_code=exit_code, summary=error.summary, problems=problems)
    )
    sys.stdout.flush()


class JsonErrorGroup(TyperGroup):
    """The command group of `margin`; with ``--json``, usage errors are documents as well."""

    def parse_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, ctx: typer.Context, args: list[str]
    ) -> list[str]:
        """Note whether JSON was requested, and parse the options of the group."""
        ctx.obj = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, ctx: typer.Context
    ) -> object:
        """Run the subcommand; exit with the code of a usage error after reporting it as JSON."""
        try:
            return super().invoke(ctx)
        except typer.TyperException as fault:
            if ctx.obj is not True:
                raise
            error = MarginError(
                "the command line cannot be used",
                [Problem("arguments", fault.format_message(), "see the help, option --help")],
            )
            report_error(error, "usage", fault.exit_code, as_json=True)
            raise typer.Exit(fault.exit_code) from None


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
