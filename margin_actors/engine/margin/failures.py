"""Accounts that could not be margined, with the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AccountProblem:
    """One reason why an account cannot be margined."""

    instrument_name: str
    """The instrument concerned; empty if the reason applies to the whole account."""
    description: str
    """The fault, including the offending value, and its remedy."""


@dataclass(frozen=True, slots=True)
class AccountFailure:
    """An account that cannot be margined; other accounts are not affected."""

    account_id: str
    member_id: str
    positions: int
    """Number of positions held, including expired ones."""
    problems: tuple[AccountProblem, ...]
    """At least one; ordered by instrument name."""


def failures_content(failures: Sequence[AccountFailure]) -> list[Sequence[object]]:
    """Return the fields of failures that a digest covers, as nested lists."""
    return [
        [f.account_id, f.member_id, f.positions]
        + [[p.instrument_name, p.description] for p in f.problems]
        for f in failures
    ]
