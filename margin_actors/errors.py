"""All errors that this project raises deliberately.

An error carries every problem found in one input, not only the first. Each problem states where it
was found, which value is wrong and why, and what to do about it.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace

_SHOWN = 20
_TEXT_FILES = (".csv", ".csv.gz", ".tsv", ".txt")


@dataclass(frozen=True, slots=True)
class Location:
    """Place in an input, as calculations report it.

    A calculation does not know the file from which its input was read. It states only which input
    it means; the code that read the file adds its name, see `named_input`.
    """

    source: str
    """The input, for example "book"; its name once that has been added."""
    account: str = ""
    """Account id; empty if not applicable."""
    row: int | None = None
    """The first row concerned, from 0; None if not applicable. In a text file it is shown as the
    line, which counts from 1 and includes the header."""
    more_rows: int = 0
    """Number of further rows concerned."""

    def __str__(self) -> str:
        """Return the place as text, for example ``book.csv, line 5 and 2 more``."""
        text = self.source
        if self.account:
            text += f", account {self.account}"
        if self.row is not None:
            text += f", {row_name(self.source, self.row)}"
        if self.more_rows:
            text += f" and {self.more_rows} more"
        return text


def row_name(source: str, row: int) -> str:
    """Return how a row (from 0) of the input `source` is called: by its line in a text file.

    Examples
    --------
    >>> row_name("book.csv", 0), row_name("book.parquet", 0)
    ('line 2', 'row 0')
    """
    return f"line {row + 2}" if source.endswith(_TEXT_FILES) else f"row {row}"


@dataclass(frozen=True)
class Problem:
    """One problem found in an input."""

    location: str | Location
    """File, row, field or argument."""
    what: str
    """Description of the problem, including the value that causes it."""
    remedy: str = ""
    """What to do about the problem; empty if the description is sufficient."""

    @property
    def where(self) -> str:
        """The location as text."""
        return str(self.location)

    def named(self, source: str, name: str) -> "Problem":
        """Return the problem with the input `source` called `name`; unchanged if elsewhere."""
        if not isinstance(self.location, Location) or self.location.source != source:
            return self
        return replace(self, location=replace(self.location, source=name))

    def __str__(self) -> str:
        """Return the problem as one line of text."""
        return f"{self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


class MarginError(Exception):
    """Base class of the errors that a caller may handle.

    Attributes
    ----------
    summary : str
        One sentence that describes the error.
    problems : tuple of Problem
        All problems found, in the order of the input.
    """

    def __init__(self, summary: str, problems: Iterable[Problem] = ()) -> None:
        self.summary = summary
        self.problems = tuple(problems)
        super().__init__(summary)

    def __reduce__(
        self,
    ) -> tuple[type["MarginError"], tuple[str, tuple[Problem, ...]], dict[str, object]]:
        """Return the state from which pickle rebuilds the error, including its problems."""
        return type(self), (self.summary, self.problems), self.__dict__

    def __str__(self) -> str:
        """Return the summary followed by at most 20 problems, one per line."""
        lines = [self.summary, *(f"  - {problem}" for problem in self.problems[:_SHOWN])]
        if len(self.problems) > _SHOWN:
            lines.append(f"  - … and {len(self.problems) - _SHOWN} more")
        return "\n".join(lines)


class InvalidPortfolio(MarginError):  # noqa: N818
    """A book, position or collateral record is unusable; raised by readers and by revaluation."""

    too_large: tuple[str, ...] = ()
    """Ids of accounts whose profits are too large to be summed exactly; empty for other errors."""


class InvalidScenario(MarginError):  # noqa: N818
    """A scenario set cannot be built as requested, or an id is unknown; change the request."""


class InvalidParameters(MarginError):  # noqa: N818
    """A model parameter is out of range or unknown; correct the model file."""


class MissingMarketData(MarginError):  # noqa: N818
    """The market data lack something that the calculation requires; load it and try again."""


class InvalidMarketData(MarginError):  # noqa: N818
    """A market file has the wrong form: a missing column, a wrong type, a damaged file."""


class DataQualityFailure(MarginError):  # noqa: N818
    """The cleansed data violate a limit of the model; the report states which and by how much."""


class SourceUnavailable(MarginError):  # noqa: N818
    """A remote source gave no usable answer within the allowed retries; try again later."""


class InvalidRequest(MarginError):  # noqa: N818
    """A request has the wrong form: a field is missing, too large or out of range."""


class UnknownAccount(MarginError):  # noqa: N818
    """The account has no stored positions; upload them, or open the account with a first trade."""


class UnknownCalculation(MarginError):  # noqa: N818
    """No calculation is recorded under the id."""


class KeyReused(MarginError):  # noqa: N818
    """An idempotency key was reused with different content; choose a new key."""


class RefusedByRule(MarginError):  # noqa: N818
    """The clearing house refuses a request in its present state; the problem names the rule."""


class NotReady(MarginError):  # noqa: N818
    """The required market, scenario set or book is not in use; load it.

    Either nothing is in use yet, or what is in use differs from what the request names.
    """


class Overloaded(MarginError):  # noqa: N818
    """The limit of concurrent work is reached; raised before any work is done. Try again later."""

    retry_seconds: float = 1.0


class ClusterUnavailable(MarginError):  # noqa: N818
    """A component of the cluster is lost and not yet replaced; there is no result. Try again."""

    retry_seconds: float = 2.0


class LedgerUnavailable(MarginError):  # noqa: N818
    """The ledger cannot be read or written at the moment; nothing was changed. Try again."""

    retry_seconds: float = 2.0


class LedgerDamaged(MarginError):  # noqa: N818
    """The content of the ledger differs from what was committed.

    Raised at start-up and by commands, never returned by a running service. Restore a backup, or
    accept the loss explicitly.
    """


class OutdatedSnapshot(MarginError):  # noqa: N818
    """A snapshot is older than the one in use; publish a newer one, or allow older explicitly."""


class UnknownScenarioSet(MarginError):  # noqa: N818
    """No scenario set is stored under the id; build it, or choose one that is listed."""


class NotStarted(MarginError):  # noqa: N818
    """The service accepts no changes until its start-up is complete. Try again."""

    retry_seconds: float = 1.0


class DeadlinePassed(MarginError):  # noqa: N818
    """The caller's deadline passed before the result was ready; the work was stopped."""


def raise_if_any(problems: list[Problem], error: type[MarginError], summary: str) -> None:
    """Raise `error` with all `problems`, unless the list is empty."""
    if problems:
        count = len(problems)
        noun = "problem" if count == 1 else "problems"
        raise error(f"{summary} ({count} {noun})", problems)


@contextmanager
def named_input(source: str, name: str) -> Generator[None]:
    """Call the input `source` by its name in the problems of errors that are raised within.

    Parameters
    ----------
    source : str
        The input as calculations call it (`Location.source`), for example "book".
    name : str
        Its name for the user, for example the path of the file.

    Examples
    --------
    >>> with named_input("book", "book.csv"):
    ...     raise InvalidPortfolio("unusable", [Problem(Location("book", row=3), "is empty")])
    Traceback (most recent call last):
    ...
    margin_actors.errors.InvalidPortfolio: unusable
      - book.csv, line 5: is empty
    """
    try:
        yield
    except MarginError as error:
        error.problems = tuple(problem.named(source, name) for problem in error.problems)
        raise
