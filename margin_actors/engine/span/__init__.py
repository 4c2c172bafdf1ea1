"""SPAN and the venue grid: risk arrays of contracts, and the charges of accounts based on them."""

from margin_actors.engine.span.arrays import RiskArrays, risk_arrays
from margin_actors.engine.span.charges import (
    SPAN_INPUTS,
    SpanCharges,
    grid_charges,
    span_charges,
)
from margin_actors.engine.span.ranges import ScanRanges, scan_ranges
from margin_actors.engine.span.table import risk_arrays_to_table

__all__ = [
    "SPAN_INPUTS",
    "RiskArrays",
    "ScanRanges",
    "SpanCharges",
    "grid_charges",
    "risk_arrays",
    "risk_arrays_to_table",
    "scan_ranges",
    "span_charges",
]
