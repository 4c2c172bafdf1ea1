"""Explanations of a requirement: its inputs by position and scenario, and what changed it."""

from margin_actors.engine.explain.changes import STEPS, State, Waterfall, changes_of_margin
from margin_actors.engine.explain.trace import TracedPosition, trace_account

__all__ = [
    "STEPS",
    "State",
    "TracedPosition",
    "Waterfall",
    "changes_of_margin",
    "trace_account",
]
