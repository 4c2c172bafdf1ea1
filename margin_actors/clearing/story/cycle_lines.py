"""Lines on requirements: what changed since the last line, and which inputs changed."""

from dataclasses import dataclass
from decimal import Decimal

from margin_actors.clearing.house.book_events import CycleRecorded
from margin_actors.clearing.house.state import HouseState
from margin_actors.clearing.story.lines import (
    Statement,
    Tone,
    Topic,
    listed,
    moment,
    money,
    number,
    share,
    signed_money,
)


@dataclass(frozen=True)
class CycleView:
    """One account in one cycle; amounts in US cents."""

    cycle: CycleRecorded
    row: int
    positions_number: int
    """Number of the last entry that changed a quantity of the account."""

    @property
    def requirement(self) -> int:
        """The requirement."""
        return self.cycle.requirement_cents[self.row]

    @property
    def excess(self) -> int:
        """Resources less requirement; negative for a deficit."""
        return self.cycle.excess_cents(self.row)

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """Components of the resources."""
        c = self.cycle
        return (
            ("collateral after haircut", c.collateral_cents[self.row]),
            ("option value", c.option_cents[self.row]),
            ("unsettled variation", c.unsettled_cents[self.row]),
        )


def cycle_view(state: HouseState, event: CycleRecorded, account: str) -> CycleView | None:
    """Return the account in a cycle; None if the cycle does not include it."""
    row = event.rows.get(account)
    if row is None:
        return None
    return CycleView(event, row, state.last_change(account).quantities)


def is_notable(
    now: CycleView, last: CycleView | None, *, requirement_share: Decimal, price_share: Decimal
) -> bool:
    """Return whether a cycle has a line of its own.

    It has one if it is the first; if the account becomes short or covered again; if the
    requirement changed by `requirement_share` or the index by `price_share` since the last line;
    or if the model, the scenario set or the positions changed.
    """
    if last is None or (now.excess < 0) != (last.excess < 0):
        return True
    if now.cycle.model_id != last.cycle.model_id or now.positions_number != last.positions_number:
        return True
    if abs(now.requirement - last.requirement) > requirement_share * max(last.requirement, 1):
        return True
    before = last.cycle.prices
    return any(
        abs(price - before[asset]) > price_share * before[asset]
        for asset, price in now.cycle.prices.items()
        if asset in before
    )


def cycle_line(now: CycleView, last: CycleView | None) -> Statement:
    """Return the line on a cycle; `last` is the cycle of the line before."""
    cycle = now.cycle
    resources = now.requirement + now.excess
    parts = listed(f"{name} {money(cents)}" for name, cents in now.parts if cents)
    of_parts = f" ({parts})" if parts else ""
    word = "a deficit" if now.excess < 0 else "an excess"
    standing = f"{word} of {money(abs(now.excess))}"
    text = (
        f"Requirement {money(now.requirement)}; resources {money(resources)}{of_parts}: {standing}."
    )
    if last is not None:
        text += f" {_changes(now, last)}"
    references = (
        ("cycle", str(cycle.number)),
        ("calculation", cycle.calculation_id),
        ("market snapshot", cycle.snapshot_id),
        ("market and scenarios", cycle.generation_id),
        ("model", cycle.model_id),
    )
    was_short = last is not None and last.excess < 0
    if now.excess < 0 and not was_short:
        return Statement(Topic.REQUIREMENT, "Account is short", text, Tone.WARNING, (), references)
    if was_short and now.excess >= 0:
        return Statement(
            Topic.REQUIREMENT, "Account is covered again", text, Tone.GOOD, (), references
        )
    title = "Requirement calculated" if last is None else "Requirement changed"
    return Statement(Topic.REQUIREMENT, title, text, Tone.PLAIN, (), references)


def _changes(now: CycleView, last: CycleView) -> str:
    changed = now.requirement - last.requirement
    relative = f" ({share(changed / last.requirement)})" if last.requirement else ""
    return (
        f"Since {moment(last.cycle.valued_at)} the requirement changed by {signed_money(changed)}"
        f"{relative}{_resource_changes(now, last)}. Inputs: {_inputs(now, last)}."
    )


def _resource_changes(now: CycleView, last: CycleView) -> str:
    pairs = zip(now.parts, last.parts, strict=True)
    moved = [(name, a - b) for (name, a), (_, b) in pairs if a != b]
    if not moved:
        return ", the resources not at all"
    return ", " + ", ".join(f"{name} by {signed_money(change)}" for name, change in moved)


def _inputs(now: CycleView, last: CycleView) -> str:
    found: list[str] = []
    before = last.cycle.prices
    for asset, price in sorted(now.cycle.prices.items()):
        if asset in before and price != before[asset]:
            move = share((price - before[asset]) / before[asset])
            found.append(f"{asset} index {move}, {number(before[asset])} to {number(price)}")
    if not found:
        found.append("index prices are unchanged")
    if now.positions_number != last.positions_number:
        found.append(f"positions changed, last by entry {now.positions_number}")
    else:
        found.append("positions are unchanged")
    if now.cycle.model_id != last.cycle.model_id:
        found.append("the model was replaced")
    return ", ".join(found)
