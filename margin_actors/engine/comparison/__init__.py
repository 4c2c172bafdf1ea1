"""The same book under several methods, and which offsets each of them recognises."""

from margin_actors.engine.comparison.methods import (
    LEVELS,
    Comparison,
    MethodMargins,
    compare_methods,
    split_book,
)

__all__ = ["LEVELS", "Comparison", "MethodMargins", "compare_methods", "split_book"]
