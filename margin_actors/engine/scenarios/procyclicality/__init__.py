"""Anti-procyclicality tools: buffer, reference margins, stress period, and what they add."""

from margin_actors.engine.scenarios.procyclicality.buffer import (
    BufferState,
    advance,
    full_buffer,
    replay,
)
from margin_actors.engine.scenarios.procyclicality.outright import outright_var
from margin_actors.engine.scenarios.procyclicality.reference import (
    reference_margin,
    reference_margins,
)
from margin_actors.engine.scenarios.procyclicality.stress_period import (
    StressPeriod,
    choose_stress_period,
)
from margin_actors.engine.scenarios.procyclicality.tools import (
    blended,
    buffer_amount,
    floor_amount,
    pooled_weights,
    stressed_weight_amount,
)

__all__ = [
    "BufferState",
    "StressPeriod",
    "advance",
    "blended",
    "buffer_amount",
    "choose_stress_period",
    "floor_amount",
    "full_buffer",
    "outright_var",
    "pooled_weights",
    "reference_margin",
    "reference_margins",
    "replay",
    "stressed_weight_amount",
]
