"""Model risk add-on: the increase of the measure under alternative smiles and dynamics."""

from collections.abc import Mapping

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.margin.sample import measures_of
from margin_actors.engine.parameters import ModelParameters, RevaluationParameters


def amount(context: RequirementContext) -> FloatArray:
    """Return the largest increase of the measure, at least a share of it, (n_accounts,).

    US dollars; the measure is VaR or expected shortfall, see `AddOnParameters.measure`.
    """
    measures = context.measures
    own = measures.add_on_base_usd
    largest = np.zeros(own.size)
    for label in alternatives(context.model):
        profits = context.alternative(label)
        if profits is not None:
            other = measures.for_add_ons(measures_of(profits, context.sample))
            largest = np.maximum(largest, other - own)
            context.record(f"{measures.add_on_kind}_usd", other, label)
    least = context.model.addons.model_risk.share_min * np.maximum(own, 0.0)
    context.record("least_usd", least)
    return np.maximum(largest, least)


def alternatives(model: ModelParameters) -> Mapping[str, RevaluationParameters]:
    """Return the alternative rules that differ from the model's own, by label."""
    own = model.revaluation
    found: dict[str, RevaluationParameters] = {}
    for item in model.addons.model_risk.alternatives:
        rules = own.model_copy(update={"smile": item.smile, "dynamics": item.dynamics})
        if rules != own:
            found[f"{item.smile} {item.dynamics}"] = rules
    return found


MODEL_RISK = Component(
    name="model_risk",
    amount=amount,
    is_enabled=lambda model: model.addons.model_risk.enabled,
    alternatives=alternatives,
)
