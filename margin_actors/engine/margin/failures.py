"""Accounts that a calculation could not margin, with the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AccountProblem:
    """One reason why an account cannot be margined."""

    instrument_name: str
    """Instrument concerned; empty if the reason concerns the account as a whole."""
    description: str
    """What is wrong, with the value at fault, and what to do about it."""


@dataclass(frozen=True, slots=True)
class AccountFailure:
    """An account that cannot be margined; other accounts are not affected."""

    account_id: str
    member_id: str
    positions: int
    """Positions held, those that have expired included."""
    problems: tuple[AccountProblem, ...]
    """At least one, in the order of instrument names."""


def failures_content(failures: Sequence[AccountFailure]) -> list[Any]:
    """Return what a digest covers of failures, as plain lists."""
    return [
        [f.account_id, f.member_id, f.positions]
        + [[p.instrument_name, p.description] for p in f.problems]
        for f in failures
    ]
