"""Initial margin: the core measure and what is added to it."""

from margin_actors.engine.margin.calculation import (
    MarginResult,
    attribute_account,
    calculate_margin,
    collateral_values,
    fit_model_surfaces,
    margin_from_cube,
)

__all__ = [
    "MarginResult",
    "attribute_account",
    "calculate_margin",
    "collateral_values",
    "fit_model_surfaces",
    "margin_from_cube",
]
