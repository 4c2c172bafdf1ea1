"""The built-in components in summation order, and further components that a model names.

A model may name components beyond the built-in ones, for example an add-on of one venue. Their
implementations are found by name among the installed packages, which declare them as entry points
of the group `ENTRY_POINTS`, and in the modules listed in the environment variable `MODULES`, which
processes on the same machine inherit. Installing a package or setting the variable has no effect on
models that name none of its components.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points

from margin_actors.engine.margin.margins import MARGIN_ARRAYS
from margin_actors.engine.margin.requirement.buffer import BUFFER
from margin_actors.engine.margin.requirement.component import Component
from margin_actors.engine.margin.requirement.concentration import CONCENTRATION
from margin_actors.engine.margin.requirement.core import CORE_COMPONENT
from margin_actors.engine.margin.requirement.diversification import (
    CORRELATION_STRESS,
    DIVERSIFICATION_CAP,
)
from margin_actors.engine.margin.requirement.expiry_risk import EXPIRY_RISK
from margin_actors.engine.margin.requirement.extended_moves import EXTENDED_MOVES
from margin_actors.engine.margin.requirement.floor import FLOOR
from margin_actors.engine.margin.requirement.liquidity import LIQUIDITY
from margin_actors.engine.margin.requirement.model_risk import MODEL_RISK
from margin_actors.engine.margin.requirement.short_option_minimum import SHORT_OPTION_MINIMUM
from margin_actors.engine.margin.requirement.stressed_weight import STRESSED_WEIGHT
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidParameters, Problem, raise_if_any

ENTRY_POINTS = "margin_cluster.components"
"""Group of the entry points of packages that provide components; each loads one `Component`."""
MODULES = "MARGIN_COMPONENTS"
"""Environment variable: modules, separated by commas, with a list `COMPONENTS` each."""

COMPONENTS: tuple[Component, ...] = (
    CORE_COMPONENT,
    DIVERSIFICATION_CAP,
    CORRELATION_STRESS,
    BUFFER,
    STRESSED_WEIGHT,
    FLOOR,
    EXTENDED_MOVES,
    SHORT_OPTION_MINIMUM,
    CONCENTRATION,
    LIQUIDITY,
    MODEL_RISK,
    EXPIRY_RISK,
)
"""Built-in components, in the order in which they are calculated and summed."""
COMPONENT_NAMES: tuple[str, ...] = tuple(c.name for c in COMPONENTS)
"""Names of the built-in components: each in US dollars and at least 0, summed in this order."""
FLOORS: tuple[str, ...] = tuple(c.name for c in COMPONENTS if c.is_floor)
"""Names of the components that raise the requirement to a floor."""
ADD_ONS: tuple[str, ...] = tuple(c.name for c in COMPONENTS if c.is_add_on)
"""Names of the built-in components that are added to the core and its floors."""

_RESERVED = {
    *COMPONENT_NAMES,
    *(name.removesuffix("_usd") for name in MARGIN_ARRAYS),
    "collateral",
    "collateral_market_value",
    "option_value",
    "excess",
}
"""Names whose column ``NAME_usd`` has another meaning in results."""


def columns_of(model: ModelParameters) -> tuple[str, ...]:
    """Return the names of a model's component columns: the built-in ones, then its further ones.

    A component that is `is_later` has a column only if the model enables it.
    """
    built_in = (c.name for c in COMPONENTS if not c.is_later or c.is_enabled(model))
    return (*built_in, *(item.name for item in model.components))


def components_of(model: ModelParameters) -> tuple[Component, ...]:
    """Return the components that a model enables, in summation order.

    Raises
    ------
    InvalidParameters
        If the model names a component that is not installed, or gives parameters other than those
        of the component; names all of them.
    """
    built_in = [c for c in COMPONENTS if c.is_enabled(model)]
    return (*built_in, *_further_components(model)) if model.components else tuple(built_in)


def _further_components(model: ModelParameters) -> Iterator[Component]:
    available = _available(os.environ.get(MODULES, ""))
    problems: list[Problem] = []
    for item in model.components:
        where = f"components, {item.name}"
        if item.name in _RESERVED:
            problems.append(Problem(where, "the name is reserved", "choose another name"))
        elif item.name not in available:
            known = ", ".join(sorted(available)) or "there is none"
            remedy = f"install its package or list its module in {MODULES}; available: {known}"
            problems.append(Problem(where, "the component is not installed", remedy))
        elif set(item.parameters) != set(available[item.name].parameters):
            given = ", ".join(sorted(item.parameters)) or "none"
            needed = ", ".join(available[item.name].parameters) or "none"
            problems.append(Problem(where, f"parameters are {given}", f"give: {needed}"))
    raise_if_any(problems, InvalidParameters, f"the model {model.name} cannot be used")
    return (available[item.name] for item in model.components)


@lru_cache(maxsize=4)
def _available(modules: str) -> Mapping[str, Component]:
    """Return the components of installed packages and of `modules`, by name.

    Raises
    ------
    InvalidParameters
        If one of them cannot be loaded; names all of them.
    """
    found: dict[str, Component] = {}
    problems: list[Problem] = []
    for point in entry_points(group=ENTRY_POINTS):
        try:
            found |= _by_name([point.load()])
        except Exception as fault:
            problems.append(_not_loaded(f"entry point {point.name} ({point.value})", fault))
    for name in filter(None, (text.strip() for text in modules.split(","))):
        try:
            found |= _by_name(import_module(name).COMPONENTS)
        except Exception as fault:
            problems.append(_not_loaded(f"{MODULES}, module {name}", fault))
    raise_if_any(problems, InvalidParameters, "requirement components cannot be loaded")
    return found


def _by_name(loaded: Iterable[object]) -> dict[str, Component]:
    found: dict[str, Component] = {}
    for item in loaded:
        if not isinstance(item, Component):
            raise TypeError(f"{item!r} is not a Component")
        found[item.name] = item
    return found


def _not_loaded(source: str, fault: Exception) -> Problem:
    return Problem(source, f"{type(fault).__name__}: {fault}", "correct or remove it")
