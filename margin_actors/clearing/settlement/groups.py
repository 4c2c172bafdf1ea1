"""Linked groups: events that are applied as a whole or not at all, and sum to zero."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Literal

from margin_actors.clearing.settlement.decisions import Decision
from margin_actors.clearing.settlement.events import (
    KIND_ORDER,
    Inputs,
    SettlementEvent,
    joined_id,
)
from margin_actors.clearing.settlement.exact import EXACT, time_problems, utc_text
from margin_actors.errors import InvalidRequest, KeyReused, Problem, raise_if_any
from margin_actors.market.identity import content_id

Purpose = Literal["daily", "expiry", "trade"]


@dataclass(frozen=True)
class SettlementGroup:
    """Linked events. Over a group, units sum to zero per asset and quantities per contract.

    Construct groups with `linked_group` or `correction`, which check this.
    """

    purpose: Purpose
    scope: str
    """The contract, underlying or trade that the group settles."""
    time: datetime
    """The time for which the group is made, UTC."""
    version: int
    events: tuple[SettlementEvent, ...]
    """Reversals first, then in the order of `EventKind`, contracts and accounts."""
    inputs: Inputs = ()
    """Who decided a correction and why; empty otherwise."""
    reverses: str = ""
    """Id of the group that is corrected; empty otherwise."""

    @cached_property
    def id(self) -> str:
        """Deterministic id: purpose, scope, time and version."""
        return joined_id([self.purpose, self.scope, utc_text(self.time), f"v{self.version}"])

    @cached_property
    def content_hash(self) -> str:
        """Hash of everything that the group states."""
        return content_id(
            "group",
            {
                "id": self.id,
                "events": [[event.id, event.content_hash] for event in self.events],
                "inputs": [list(pair) for pair in self.inputs],
                "reverses": self.reverses,
            },
        )


def linked_group(
    purpose: Purpose,
    scope: str,
    time: datetime,
    events: Iterable[SettlementEvent],
    *,
    version: int = 1,
) -> SettlementGroup:
    """Return events as one linked group, in an order that does not depend on that of `events`.

    Raises
    ------
    InvalidRequest
        If the sum of an asset or the net quantity of a contract is not zero, an id occurs twice, an
        event is for another time or version, or the time is not in UTC.
    """
    group = SettlementGroup(purpose, scope, time, version, _in_order(events))
    _require_sound(group)
    return group


def correction(
    former: SettlementGroup, corrected: SettlementGroup, decision: Decision
) -> SettlementGroup:
    """Return one linked group that reverses what `former` booked and books `corrected`.

    Parameters
    ----------
    former : SettlementGroup
        What was booked; may itself be a correction, whose reversals stay.
    corrected : SettlementGroup
        The same purpose, scope and time, in a later version.
    decision : Decision
        The two people who decided, and why.

    Returns
    -------
    SettlementGroup
        With the id of `corrected`. History stays: nothing is deleted or changed.

    Raises
    ------
    InvalidRequest
        If `corrected` is not a later version of what `former` settles, or is a correction itself.
    """
    problems: list[Problem] = []
    if (former.purpose, former.scope, former.time) != (
        corrected.purpose, corrected.scope, corrected.time,
    ):  # fmt: skip
        problems.append(Problem(corrected.id, f"does not settle the same as {former.id}"))
    if corrected.version <= former.version:
        what = f"has version {corrected.version}, not one after {former.version}"
        problems.append(Problem(corrected.id, what))
    if corrected.reverses:
        problems.append(Problem(corrected.id, "is a correction already"))
    raise_if_any(problems, InvalidRequest, "the group cannot be corrected")
    undone = [event.reversal() for event in former.events if not event.reverses]
    group = SettlementGroup(
        corrected.purpose, corrected.scope, corrected.time, corrected.version,
        _in_order([*undone, *corrected.events]), decision.inputs, former.id,
    )  # fmt: skip
    _require_sound(group)
    return group


def is_repetition(recorded: SettlementGroup, group: SettlementGroup) -> bool:
    """Return whether `group` was recorded before, so that applying it again changes nothing.

    Raises
    ------
    KeyReused
        If the ids are equal and the contents differ.
    """
    if recorded.id != group.id:
        return False
    if recorded.content_hash == group.content_hash:
        return True
    before = {event.id: event.content_hash for event in recorded.events}
    after = {event.id: event.content_hash for event in group.events}
    problems = [
        Problem(name, "was recorded with another content", "book a correction with a new version")
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    raise KeyReused(
        f"{group.id} was recorded with another content",
        problems or [Problem(group.id, "differs in what it corrects or in who decided")],
    )


def _in_order(events: Iterable[SettlementEvent]) -> tuple[SettlementEvent, ...]:
    def order(event: SettlementEvent) -> tuple[bool, int, str, str]:
        kind = KIND_ORDER[event.subject.kind]
        return not event.reverses, kind, event.subject.instrument, event.id

    return tuple(sorted(events, key=order))


def _require_sound(group: SettlementGroup) -> None:
    problems = time_problems(group.time, group.id)
    units: dict[str, int] = {}
    quantities: dict[str, Decimal] = {}
    seen: set[str] = set()
    for event in group.events:
        if event.id in seen:
            problems.append(Problem(event.id, "occurs twice"))
        seen.add(event.id)
        if not event.reverses and event.subject.version != group.version:
            problems.append(Problem(event.id, f"is not of version {group.version}"))
        if event.subject.time != group.time:
            problems.append(Problem(event.id, f"is not for {utc_text(group.time)}"))
        for entry in event.entries:
            units[entry.asset.name] = units.get(entry.asset.name, 0) + entry.units
        for change in event.changes:
            net = quantities.get(change.instrument, Decimal(0))
            quantities[change.instrument] = EXACT.add(net, change.quantity)
    problems += [Problem(name, f"sums to {n} units, not 0") for name, n in units.items() if n]
    problems += [Problem(name, f"has net quantity {q}") for name, q in quantities.items() if q]
    raise_if_any(problems, InvalidRequest, f"the group {group.id} cannot be booked")
