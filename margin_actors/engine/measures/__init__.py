"""Measures of a loss distribution: VaR, ES, their standard errors, and position contributions."""

from margin_actors.engine.measures.attribution import Attribution, attribute
from margin_actors.engine.measures.tail import (
    es_from_tail,
    es_standard_error_from_tail,
    expected_shortfall,
    tail_count,
    tail_shares,
    tail_size,
    value_at_risk,
    var_from_tail,
    var_interval_from_tail,
)

__all__ = [
    "Attribution",
    "attribute",
    "es_from_tail",
    "es_standard_error_from_tail",
    "expected_shortfall",
    "tail_count",
    "tail_shares",
    "tail_size",
    "value_at_risk",
    "var_from_tail",
    "var_interval_from_tail",
]
