"""Settlement events: what one account receives, pays and holds, under an id derived from the cause.

Events are immutable. The id states what is settled; the content hash states with which result. The
same cause therefore has the same id whenever it is computed, and a different result under the same
id is detected. A correction never changes an event: it reverses it and books a new version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal, get_args
from urllib.parse import quote

from margin_actors.clearing.amounts import Asset
from margin_actors.clearing.settlement.exact import canonical, utc_text
from margin_actors.clearing.settlement.positions import PositionChange
from margin_actors.market.identity import content_id

EventKind = Literal[
    "funding", "variation", "premium", "trade", "exercise", "lapse", "delivery", "fee"
]
"""In the order in which the events of one group are listed: funding and variation close before an
exercise, and the delivery follows the exercise."""
KIND_ORDER: Mapping[str, int] = {kind: i for i, kind in enumerate(get_args(EventKind))}

Inputs = tuple[tuple[str, str], ...]
"""Names and values, as text, of what an event was computed from; for example the price."""


@dataclass(frozen=True)
class Subject:
    """What an event settles; together with the account it determines the id of the event."""

    kind: EventKind
    instrument: str
    time: datetime
    """The time for which the event is made, UTC; not the time at which it is recorded."""
    version: int = 1
    """1, and one more with each correction."""
    reference: str = ""
    """Id of the trade; empty for events that the instrument and the time identify."""

    def id_for(self, account: str) -> str:
        """Return the id of the event of one account.

        Examples
        --------
        >>> from datetime import UTC
        >>> subject = Subject("variation", "BTC-PERPETUAL", datetime(2026, 3, 2, 8, tzinfo=UTC))
        >>> subject.id_for("A/1")
        'variation:BTC-PERPETUAL:A%2F1:2026-03-02T08%3A00%3A00Z:v1'
        """
        parts = [self.kind, self.instrument, account, utc_text(self.time), f"v{self.version}"]
        if self.reference:
            parts.append(self.reference)
        return joined_id(parts)


def joined_id(parts: list[str]) -> str:
    """Return parts joined by colons; characters within parts are escaped so that ids are unique."""
    return ":".join(quote(part, safe="") for part in parts)


@dataclass(frozen=True)
class Entry:
    """An amount that an account receives or pays."""

    account: str
    asset: Asset
    units: int
    """In smallest units; positive if received, negative if paid; never 0."""


@dataclass(frozen=True)
class SettlementEvent:
    """The effect of one settlement on one account."""

    subject: Subject
    account: str
    entries: tuple[Entry, ...]
    """Cash; empty if nothing is paid."""
    changes: tuple[PositionChange, ...]
    """Changes of positions; empty if none change."""
    inputs: Inputs
    """What the event was computed from."""
    reverses: str = ""
    """Id of the event that this one undoes; empty otherwise."""

    @cached_property
    def id(self) -> str:
        """Deterministic id: what is settled, for whom, for when, in which version."""
        if self.reverses:
            return f"{self.reverses}:reversal"
        return self.subject.id_for(self.account)

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything that the event states."""
        return content_id(
            "event",
            {
                "id": self.id,
                "entries": [[e.account, e.asset.name, e.asset.decimals, e.units]
                            for e in self.entries],
                "changes": [_change_content(c) for c in self.changes],
                "inputs": [list(pair) for pair in self.inputs],
            },
        )  # fmt: skip

    def reversal(self) -> "SettlementEvent":
        """Return the event that undoes this one; each event has exactly one reversal."""
        return SettlementEvent(
            self.subject,
            self.account,
            tuple(Entry(e.account, e.asset, -e.units) for e in self.entries),
            tuple(change.reversed() for change in self.changes),
            (("reversed_content", self.content_hash),),
            reverses=self.id,
        )


def _change_content(change: PositionChange) -> list[str | None]:
    base = None if change.base_price is None else canonical(change.base_price)
    return [
        change.account, change.instrument, canonical(change.quantity),
        base, utc_text(change.time),
    ]  # fmt: skip


def entry_list(account: str, asset: Asset, units: int) -> tuple[Entry, ...]:
    """Return the entry of an amount, or nothing if it is 0."""
    return (Entry(account, asset, units),) if units else ()
