"""Accounts whose requirement is mostly one add-on, which deserves an explanation."""

from collections.abc import Mapping

import numpy as np

from margin_actors.engine.margin.margins import Margins
from margin_actors.engine.margin.requirement.registry import COMPONENTS

DOMINANT_SHARE = 0.5
"""Share of the requirement above which an add-on is reported as dominant."""
_TOOLS = frozenset(component.name for component in COMPONENTS if not component.is_add_on)


def dominant_add_ons(margins: Margins) -> tuple[str, ...]:
    """Return, per account, the add-on that exceeds half of its requirement; empty if none does.

    At most one component can exceed half. Components that the model names count as add-ons.
    """
    limit = DOMINANT_SHARE * margins.initial_margin_usd
    found = np.full(margins.positions.size, -1)
    for k, name in enumerate(margins.components):
        if name not in _TOOLS:
            found[margins.components_usd[:, k] > limit] = k
    return tuple(margins.components[k] if k >= 0 else "" for k in found.tolist())


def dominant_add_on(amounts_usd: Mapping[str, float], requirement_usd: float) -> str:
    """Return the add-on that exceeds half of one requirement; empty if none does.

    Parameters
    ----------
    amounts_usd : mapping of str to float
        Amounts of the components by name, US dollars.
    requirement_usd : float
        Their sum, US dollars.
    """
    limit = DOMINANT_SHARE * requirement_usd
    names = (name for name, amount in amounts_usd.items() if name not in _TOOLS and amount > limit)
    return next(names, "")
