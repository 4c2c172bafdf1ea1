"""Procyclicality tool (c): floors from the long lookback and from the stress period."""

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import LONG, STRESS_PERIOD
from margin_actors.engine.scenarios.procyclicality import floor_amount


def amount(context: RequirementContext) -> FloatArray:
    """Return what raises the margin to the floors of the model, (n_accounts,), US dollars."""
    tools, measures = context.model.procyclicality, context.measures
    floors: list[FloatArray] = []
    if tools.long_floor.enabled:
        floors.append(measures.long_usd)
        context.record("long_lookback_usd", measures.long_usd)
    if tools.stress_period.floor:
        floors.append(measures.stress_period_usd)
        context.record("stress_period_usd", measures.stress_period_usd)
    return floor_amount(context.total_usd(), tuple(floors))


def _is_enabled(model: ModelParameters) -> bool:
    return model.procyclicality.long_floor.enabled or model.procyclicality.stress_period.floor


def _sections(model: ModelParameters) -> frozenset[str]:
    tools = model.procyclicality
    wanted = {LONG: tools.long_floor.enabled, STRESS_PERIOD: tools.stress_period.floor}
    return frozenset(name for name, is_needed in wanted.items() if is_needed)


FLOOR = Component(
    name="floor",
    amount=amount,
    is_add_on=False,
    is_floor=True,
    is_enabled=_is_enabled,
    sections=_sections,
)
