"""What was traded, as seen in the log of the clearing house."""

from collections.abc import Iterable

from margin_actors.clearing.house import HouseEvent, HouseState
from margin_actors.clearing.house.group_folding import trade_of
from margin_actors.clearing.house.valuing import asset_price, contract_of
from margin_actors.clearing.journal import Group
from margin_actors.market.instruments import Kind


def booked_trades_usd(state: HouseState, events: Iterable[HouseEvent]) -> float:
    """Return the value of the underlying of all trades among events, US dollars.

    Each trade counts once, by its purchases. A coin without a price counts as one US dollar.
    """
    total = 0.0
    for event in events:
        if isinstance(event, Group) and trade_of(event) is not None:
            for entry in event.positions:
                if entry.quantity > 0:
                    total += _value_usd(state, entry.instrument, float(entry.quantity))
    return total


def _value_usd(state: HouseState, instrument: str, quantity: float) -> float:
    contract = contract_of(state, instrument)
    size = quantity * float(contract.multiplier)
    if contract.is_inverse and contract.kind is not Kind.OPTION:
        return size
    price = asset_price(contract.underlying, state.prices)
    return size if price is None else size * float(price)


__all__ = ["booked_trades_usd"]
