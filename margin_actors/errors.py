"""Every error this project raises on purpose.

An error carries all problems found in one input, not the first: each says where it is, what is
wrong with which value, and what to do about it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input."""

    where: str
    """File, row, field or argument."""
    what: str
    """The fault, with the value that is at fault."""
    remedy: str = ""
    """What to do about it; empty where the fault says it all."""

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


class MarginError(Exception):
    """Root of the errors that a caller may want to handle.

    Attributes
    ----------
    summary : str
        One sentence.
    problems : tuple of Problem
        Everything found, in the order of the input.
    """

    def __init__(self, summary: str, problems: Iterable[Problem] = ()) -> None:
        self.summary = summary
        self.problems = tuple(problems)
        super().__init__(summary)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what rebuilds the error in another process, problems included."""
        return type(self), (self.summary, self.problems), self.__dict__

    def __str__(self) -> str:
        """Return the summary and at most 20 problems, a line each."""
        lines = [self.summary, *(f"  - {problem}" for problem in self.problems[:_SHOWN])]
        if len(self.problems) > _SHOWN:
            lines.append(f"  - … and {len(self.problems) - _SHOWN} more")
        return "\n".join(lines)


class InvalidPortfolio(MarginError):  # noqa: N818
    """A book, position or collateral record is unusable; raised by readers and by revaluation."""

    too_large: tuple[str, ...] = ()
    """Accounts whose profits cannot be summed exactly, if that is the fault."""


class InvalidScenario(MarginError):  # noqa: N818
    """A scenario set cannot be built as asked, or an id is unknown; change the request."""


class InvalidParameters(MarginError):  # noqa: N818
    """A model parameter is out of its range or unknown; correct the model file."""


class MissingMarketData(MarginError):  # noqa: N818
    """Something the calculation needs is not in the market data; load it and try again."""


class InvalidMarketData(MarginError):  # noqa: N818
    """A market file has the wrong form: a missing column, a wrong type, a damaged file."""


class DataQualityFailure(MarginError):  # noqa: N818
    """The cleansed data fail a limit of the model; the report says which and by how much."""


class SourceUnavailable(MarginError):  # noqa: N818
    """A remote source did not answer usefully within its retries; try again later."""


class InvalidRequest(MarginError):  # noqa: N818
    """A request has the wrong form: a field that is missing, too large or out of its range."""


class UnknownAccount(MarginError):  # noqa: N818
    """No positions are kept for the account; upload them, or open it with a first trade."""


class UnknownCalculation(MarginError):  # noqa: N818
    """No calculation is recorded under the id."""


class KeyReused(MarginError):  # noqa: N818
    """An idempotency key came again with other content; choose a new key."""


class NotReady(MarginError):  # noqa: N818
    """No market, scenario set or book is in use yet, or another one than asked for; load it."""


class Overloaded(MarginError):  # noqa: N818
    """More work is in progress than may be; raised before any work is done. Try again later."""

    retry_seconds: float = 1.0


class ClusterUnavailable(MarginError):  # noqa: N818
    """A part of the cluster is lost and not yet replaced; nothing was answered. Try again."""

    retry_seconds: float = 2.0


class LedgerUnavailable(MarginError):  # noqa: N818
    """The ledger cannot be read or written at the moment; nothing was changed. Try again."""

    retry_seconds: float = 2.0


class LedgerDamaged(MarginError):  # noqa: N818
    """The ledger's content is not what was committed; raised at start-up and by commands.

    Restore a backup, or accept the loss explicitly; a running service never returns it.
    """


class OutdatedSnapshot(MarginError):  # noqa: N818
    """A snapshot is older than the one in use; publish a newer one, or allow it explicitly."""


class UnknownScenarioSet(MarginError):  # noqa: N818
    """No scenario set is stored under the id; build it, or choose one that is listed."""


class NotStarted(MarginError):  # noqa: N818
    """The service accepts no changes until its start-up is complete. Try again."""

    retry_seconds: float = 1.0


class DeadlinePassed(MarginError):  # noqa: N818
    """The caller's deadline came before the answer; the work was stopped."""


def raise_if_any(problems: list[Problem], error: type[MarginError], summary: str) -> None:
    """Raise `error` with all `problems` if there are any."""
    if problems:
        count = len(problems)
        noun = "problem" if count == 1 else "problems"
        raise error(f"{summary} ({count} {noun})", problems)
