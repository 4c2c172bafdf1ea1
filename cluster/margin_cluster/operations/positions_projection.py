"""The margin book as a projection of the clearing house: both agree in every committed state.

The clearing house is the source of positions of clearing accounts. Whatever changes a quantity in
its log (a trade, an expiry, a cancellation) is recorded as a change of the margin book in the same
transaction, so that no reader ever finds one without the other.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from margin_actors.clearing.house import HouseEvent, HouseState
from margin_actors.clearing.journal import Group
from margin_actors.clearing.journal.positions import EXACT
from margin_cluster.ledger import Origin, PositionChange, Trade
from margin_cluster.ledger.steps import append_change
from margin_cluster.ledger.writer import Writer
from margin_cluster.positions import trades_id

_ORIGIN = Origin(caller="clearing house")


def project_positions(
    writer: Writer, state: HouseState, events: Sequence[HouseEvent], now: datetime
) -> None:
    """Append what the events change in quantities as one change of the margin book.

    Parameters
    ----------
    writer : Writer
        The transaction that records the events.
    state : HouseState
        The state after the events.
    events : sequence of HouseEvent
    now : datetime
        Time at which the events are recorded, UTC.
    """
    changes = quantity_changes(state, events)
    if changes:
        change = PositionChange(accounts=0, positions=0, trades=changes)
        content = trades_id(changes)
        append_change(writer, "trades", change, key="", content=content, origin=_ORIGIN, now=now)


def quantity_changes(state: HouseState, events: Sequence[HouseEvent]) -> tuple[Trade, ...]:
    """Return the net change of each position, by account and instrument, without zeros.

    A settlement replaces lots by others of the same quantity and changes nothing here.
    """
    sums: dict[tuple[str, str], Decimal] = {}
    for event in events:
        if isinstance(event, Group):
            for entry in event.positions:
                key = entry.account, entry.instrument
                sums[key] = EXACT.add(sums.get(key, Decimal(0)), entry.quantity)
    return tuple(
        Trade(account, state.accounts[account].member, instrument, float(quantity))
        for (account, instrument), quantity in sorted(sums.items())
        if quantity
    )


__all__ = ["project_positions", "quantity_changes"]
