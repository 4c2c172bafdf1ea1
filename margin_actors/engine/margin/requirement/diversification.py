"""Limits to the diversification between underlyings: a cap, and a stress of correlations.

The diversification benefit is the sum over underlyings of the core's measure less the core. The cap
disallows the share 1 - reduction_max of it; the correlation stress charges a share of the rest.
"""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.addons import GroupKind
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.parameters import ModelParameters


def _benefit(context: RequirementContext) -> FloatArray:
    """Return the diversification benefit, (n_accounts,), US dollars, at least 0."""
    total = context.measures.undiversified_usd
    return np.maximum(total - context.amounts_usd["core"], 0.0)


def _limits_apply(context: RequirementContext) -> bool:
    return context.model.measure.core in ("var", "es")


def cap_amount(context: RequirementContext) -> FloatArray:
    """Return the disallowed diversification benefit, (n_accounts,), US dollars."""
    found = context.measures.undiversified
    assert found is not None
    names = context.risk.depth.underlyings
    key = found.underlying.astype(np.int64)
    context.record_some("alone_usd", found.owner, found.alone_usd, names, key)
    if not _limits_apply(context):
        return np.zeros(context.n_accounts)
    context.record("undiversified_usd", found.total_usd)
    return (1.0 - context.model.diversification.reduction_max) * _benefit(context)


def stress_amount(context: RequirementContext) -> FloatArray:
    """Return the charge on the diversification benefit that remains, (n_accounts,), US dollars."""
    if not _limits_apply(context):
        return np.zeros(context.n_accounts)
    rules = context.model.diversification
    left = rules.reduction_max * _benefit(context)
    return rules.correlation_stress * left


def _is_enabled(model: ModelParameters) -> bool:
    return model.diversification.enabled


DIVERSIFICATION_CAP = Component(
    name="diversification_cap",
    amount=cap_amount,
    is_add_on=False,
    is_enabled=_is_enabled,
    groups=frozenset({GroupKind.UNDERLYING}),
)
CORRELATION_STRESS = Component(
    name="correlation_stress",
    amount=stress_amount,
    is_add_on=False,
    is_enabled=_is_enabled,
    groups=frozenset({GroupKind.UNDERLYING}),
)
