"""Comparison of margin methods on one book, and the offsets that each method recognises."""

from margin_actors.engine.comparison.methods import (
    LEVELS,
    Comparison,
    MethodMargins,
    compare_methods,
    split_book,
)

__all__ = ["LEVELS", "Comparison", "MethodMargins", "compare_methods", "split_book"]
