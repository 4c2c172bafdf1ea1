"""Initial margin: the core measure and what is added to it."""

from margin_actors.engine.margin.calculation import (
    MarginResult,
    account_values,
    attribute_account,
    calculate_margin,
    collateral_values,
    fit_model_surfaces,
    margin_from_cube,
)
from margin_actors.engine.margin.margins import (
    MARGIN_FIELDS,
    Margins,
    Sample,
    concatenate_margins,
    margins_from_profits,
    position_sums,
    result_digest,
    sample_of,
    select_margins,
)
from margin_actors.engine.margin.prepared import (
    LaidOut,
    PreparedMarket,
    PricedMarket,
    Slab,
    prepare_market,
    price_slab,
    revalue_slice,
    slab_profits,
)

__all__ = [
    "MARGIN_FIELDS",
    "LaidOut",
    "MarginResult",
    "Margins",
    "PreparedMarket",
    "PricedMarket",
    "Sample",
    "Slab",
    "account_values",
    "attribute_account",
    "calculate_margin",
    "collateral_values",
    "concatenate_margins",
    "fit_model_surfaces",
    "margin_from_cube",
    "margins_from_profits",
    "position_sums",
    "prepare_market",
    "price_slab",
    "result_digest",
    "revalue_slice",
    "sample_of",
    "select_margins",
    "slab_profits",
]
