"""Postings rounded per account, with the residual on one rounding account.

Amounts that sum to zero exactly no longer do after each has been rounded to smallest units. The
difference is posted once per kind, contract and asset to `ROUNDING_ACCOUNT`, so that
amounts + rounding = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from margin_actors.clearing.amounts import Asset
from margin_actors.clearing.settlement.events import (
    Inputs,
    SettlementEvent,
    Subject,
    entry_list,
)
from margin_actors.clearing.settlement.exact import rounded_units
from margin_actors.clearing.settlement.positions import ROUNDING_ACCOUNT, PositionChange


@dataclass(frozen=True)
class Posting:
    """The exact result of a settlement for one account."""

    account: str
    value: Fraction
    """In whole coins or dollars; positive if received."""
    changes: tuple[PositionChange, ...] = ()


def rounded_events(
    subject: Subject, asset: Asset, postings: Sequence[Posting], inputs: Inputs
) -> tuple[SettlementEvent, ...]:
    """Return one event per posting, and one for the rounding account unless the residual is 0.

    Parameters
    ----------
    subject : Subject
    asset : Asset
        Asset of all values.
    postings : sequence of Posting
        At most one per account. Their values must sum to zero exactly.
    inputs : Inputs
        What the values were computed from.

    Returns
    -------
    tuple of SettlementEvent
        Units are rounded half to even, so that a long and a short position of the same size receive
        opposite amounts. The residual is at most half a unit per posting.
    """
    events: list[SettlementEvent] = []
    residual = 0
    for posting in postings:
        units = rounded_units(posting.value, asset)
        residual -= units
        events.append(
            SettlementEvent(
                subject, posting.account, entry_list(posting.account, asset, units),
                posting.changes, inputs,
            )
        )  # fmt: skip
    assert 2 * abs(residual) <= len(postings), "the values do not sum to zero"
    if residual:
        entries = entry_list(ROUNDING_ACCOUNT, asset, residual)
        events.append(SettlementEvent(subject, ROUNDING_ACCOUNT, entries, (), inputs))
    return tuple(events)
