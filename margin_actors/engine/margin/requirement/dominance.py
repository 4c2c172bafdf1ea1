"""Accounts whose requirement is mostly one add-on, which deserves an explanation."""

import numpy as np

from margin_actors.engine.margin.margins import Margins
from margin_actors.engine.margin.requirement.registry import COMPONENTS

DOMINANT_SHARE = 0.5
"""Share of the requirement above which an add-on is reported as dominant."""


def dominant_add_ons(margins: Margins) -> tuple[str, ...]:
    """Return, per account, the add-on that exceeds half of its requirement; empty if none does.

    At most one component can exceed half. Components that the model names count as add-ons.
    """
    tools = {component.name for component in COMPONENTS if not component.is_add_on}
    limit = DOMINANT_SHARE * margins.initial_margin_usd
    found = np.full(margins.positions.size, -1)
    for k, name in enumerate(margins.components):
        if name not in tools:
            found[margins.components_usd[:, k] > limit] = k
    return tuple(margins.components[k] if k >= 0 else "" for k in found.tolist())
