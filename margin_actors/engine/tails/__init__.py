"""Floors for large losses: extended moves, and a minimum for short options."""

from margin_actors.engine.tails.extended import ExtendedShares, extended_shares
from margin_actors.engine.tails.short_options import (
    ShortMinimum,
    ShortRates,
    minimum_fractions,
    short_minimum,
    short_rates,
)

__all__ = [
    "ExtendedShares",
    "ShortMinimum",
    "ShortRates",
    "extended_shares",
    "minimum_fractions",
    "short_minimum",
    "short_rates",
]
