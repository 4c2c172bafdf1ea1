"""Which component determines the requirement of an account before add-ons."""

from margin_actors.engine.margin.margins import Margins
from margin_actors.engine.margin.requirement.core import CORE_COMPONENT
from margin_actors.engine.margin.requirement.registry import FLOORS


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
