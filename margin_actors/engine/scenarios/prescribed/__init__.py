"""Prescribed rows: SPAN, the venue grid, stress, hypothetical and extended moves."""

from margin_actors.engine.scenarios.prescribed.basis import basis_rows
from margin_actors.engine.scenarios.prescribed.extended import (
    ExtendedMove,
    extended_moves,
    extended_rows,
    with_past_days,
)
from margin_actors.engine.scenarios.prescribed.span import composite_delta_rows, span_rows
from margin_actors.engine.scenarios.prescribed.stress import (
    event_windows,
    hypothetical_rows,
    stress_rows,
)
from margin_actors.engine.scenarios.prescribed.venue_grid import venue_grid_rows

__all__ = [
    "ExtendedMove",
    "basis_rows",
    "composite_delta_rows",
    "event_windows",
    "extended_moves",
    "extended_rows",
    "hypothetical_rows",
    "span_rows",
    "stress_rows",
    "with_past_days",
    "venue_grid_rows",
]
