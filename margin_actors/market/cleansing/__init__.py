"""Cleansing of prices from several sources: alignment, checks, aggregation and a report."""

from margin_actors.market.cleansing.aggregation import aggregate_prices
from margin_actors.market.cleansing.plausibility import implausible_prices, implausible_volatilities
from margin_actors.market.cleansing.report import (
    FAULT_MEANING,
    FAULTS,
    PriceGrid,
    QualityMapping,
    QualityReport,
    Repair,
    SourceQuality,
)
from margin_actors.market.cleansing.rules import (
    CleansingRules,
    PlausibilityLimits,
    QualityLimits,
)

__all__ = [
    "FAULTS",
    "FAULT_MEANING",
    "CleansingRules",
    "PlausibilityLimits",
    "PriceGrid",
    "QualityLimits",
    "QualityMapping",
    "QualityReport",
    "Repair",
    "SourceQuality",
    "aggregate_prices",
    "implausible_prices",
    "implausible_volatilities",
]
