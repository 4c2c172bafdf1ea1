"""Which component determines the requirement of an account before add-ons."""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.margins import Margins
from margin_actors.engine.margin.requirement.core import CORE_COMPONENT
from margin_actors.engine.margin.requirement.extended_moves import COUNTED, EXTENDED_MOVES
from margin_actors.engine.margin.requirement.registry import FLOORS, components_of
from margin_actors.engine.parameters import ModelParameters


def has_floors(model: ModelParameters) -> bool:
    """Return whether a model enables a floor, so that not only the core can determine margins."""
    return any(component.is_floor for component in components_of(model))


def binding_components(margins: Margins) -> tuple[str, ...]:
    """Return the component that determines the requirement of each account before add-ons.

    It is the last floor with a positive amount, since every floor raises the sum of the components
    before it to its own level. Without such a floor it is the core, to which limits of
    diversification, the buffer and the stressed weight belong here.
    """
    binding = [CORE_COMPONENT.name] * margins.positions.size
    for name in FLOORS:
        if name in margins.components:
            for account in (margins.component_usd(name) > 0.0).nonzero()[0].tolist():
                binding[account] = name
    return tuple(binding)


def worst_extended_moves(margins: Margins) -> tuple[FloatArray, tuple[str, ...]] | None:
    """Return the largest counted loss of each account in the extended moves, and the row's name.

    The losses are float64 (n_accounts,), US dollars, at least 0; the row of an account without a
    loss has an empty name. None if the model has no extended moves.
    """
    account, label, counted = margins.inputs.found(EXTENDED_MOVES.name, COUNTED)
    if counted.size == 0:
        return None
    worst, names = np.zeros(margins.positions.size), [""] * margins.positions.size
    for a, of, loss in zip(account.tolist(), label.tolist(), counted.tolist(), strict=True):
        if loss > 0.0:
            worst[a], names[a] = loss, margins.inputs.labels[of]
    return worst, tuple(names)
