"""Requirement components, one file each, and the requirement as their sum."""

from margin_actors.engine.margin.requirement.account_measures import AccountMeasures
from margin_actors.engine.margin.requirement.binding import (
    binding_components,
    has_floors,
    worst_extended_moves,
)
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.margin.requirement.dominance import dominant_add_on, dominant_add_ons
from margin_actors.engine.margin.requirement.expiry_risk import EXPIRING
from margin_actors.engine.margin.requirement.needs import Needs, needs_of
from margin_actors.engine.margin.requirement.registry import (
    ADD_ONS,
    COMPONENT_NAMES,
    COMPONENTS,
    ENTRY_POINTS,
    FLOORS,
    MODULES,
    columns_of,
    components_of,
)
from margin_actors.engine.margin.requirement.summation import requirements

__all__ = [
    "ADD_ONS",
    "COMPONENTS",
    "COMPONENT_NAMES",
    "ENTRY_POINTS",
    "EXPIRING",
    "FLOORS",
    "MODULES",
    "AccountMeasures",
    "Component",
    "Needs",
    "RequirementContext",
    "binding_components",
    "columns_of",
    "components_of",
    "has_floors",
    "dominant_add_on",
    "dominant_add_ons",
    "needs_of",
    "requirements",
    "worst_extended_moves",
]
