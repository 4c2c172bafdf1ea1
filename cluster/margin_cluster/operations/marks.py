"""Marks of contracts: the prices from which the clearing house values positions."""

from collections.abc import Iterable
from decimal import Decimal

from margin_actors.engine.margin import PreparedMarket
from margin_actors.engine.pricing import LINEAR
from margin_actors.market.instruments import Kind, instrument_from_name

PRICE_DECIMALS = 4
"""Decimals of the marks of futures and perpetuals, US dollars per coin."""
LINEAR_OPTION_DECIMALS = 6
"""Decimals of the marks of linear options, US dollars per coin."""
INVERSE_OPTION_DECIMALS = 10
"""Decimals of the marks of inverse options, coins per coin."""


def decimal_of(value: float, decimals: int) -> Decimal:
    """Return a number rounded to a number of decimals, as the decimal that it prints as."""
    return Decimal(f"{value:.{decimals}f}")


def marks_of(market: PreparedMarket, names: Iterable[str]) -> dict[str, Decimal]:
    """Return the marks of contracts of a prepared market, by name.

    Futures and perpetuals have the price of their curve; options have the value that the model
    gives them, so that resources and requirement are those of one market. Spot has no mark.

    Parameters
    ----------
    market : PreparedMarket
    names : iterable of str
        Contracts that the market does not hold are left out.

    Returns
    -------
    dict of str to Decimal
        US dollars per coin for futures, perpetuals and linear options, coins per coin for inverse
        options; rounded half to even.
    """
    contracts, index = market.contracts, market.snapshot.index_usd
    values = market.unit_value_usd
    found: dict[str, Decimal] = {}
    for name in names:
        place = contracts.place.get(name)
        if place is None:
            continue
        item = instrument_from_name(name)
        if item.kind is Kind.OPTION:
            value = float(values[place])
            if item.is_inverse:
                coins = value / index[item.underlying]
                found[name] = decimal_of(coins, INVERSE_OPTION_DECIMALS)
            else:
                found[name] = decimal_of(value, LINEAR_OPTION_DECIMALS)
        elif item.kind is not Kind.SPOT:
            assert contracts.kind[place] == LINEAR
            level = contracts.curves[contracts.curve[place]].level_usd
            found[name] = decimal_of(level, PRICE_DECIMALS)
    return found


__all__ = ["decimal_of", "marks_of"]
