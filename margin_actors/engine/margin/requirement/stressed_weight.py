"""Procyclicality tool (b): weight on stressed observations."""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.requirement.buffer import BUFFER
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.scenarios import STRESS_PERIOD
from margin_actors.engine.scenarios.procyclicality import (
    blended,
    pooled_weights,
    stressed_weight_amount,
)


def amount(context: RequirementContext) -> FloatArray:
    """Return what the weight on the stress period adds, (n_accounts,), US dollars.

    It is compared with the margin before the buffer.
    """
    rules = context.model.procyclicality.stressed_weight
    before = context.total_usd(before=BUFFER.name)
    stressed = context.measures.stress_period_usd
    if rules.form == "blend":
        weighted = blended(before, stressed, rules.weight)
    else:
        weighted = _with_stressed_observations(context)
    context.record("stress_period_usd", stressed)
    context.record("weighted_usd", weighted)
    return stressed_weight_amount(before, weighted)


def _with_stressed_observations(context: RequirementContext) -> FloatArray:
    """Return the measure over core rows and stress days; the latter have equal weights."""
    section, pnl = context.inputs.section(STRESS_PERIOD), context.pnl.accounts.pnl_usd
    assert section is not None
    assert pnl is not None
    sample = context.sample
    share = context.model.procyclicality.stressed_weight.weight
    core = sample.weight
    if core is None:
        core = np.full(sample.n_scenarios, 1.0 / sample.n_scenarios)
    rows = np.concatenate([pnl[:, : sample.n_scenarios], pnl[:, section.rows]], axis=1)
    weight = pooled_weights(core, section.count, share)
    return context.measures.measure_usd(rows, sample.confidence, weight)


STRESSED_WEIGHT = Component(
    name="stressed_weight",
    amount=amount,
    is_add_on=False,
    is_enabled=lambda model: model.procyclicality.stressed_weight.enabled,
    sections=lambda _model: frozenset({STRESS_PERIOD}),
    all_profits=lambda model: model.procyclicality.stressed_weight.form == "observations",
)
