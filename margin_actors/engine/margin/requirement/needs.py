"""What the enabled components of a model need besides the profits of accounts."""

from collections.abc import Mapping
from dataclasses import dataclass

from margin_actors.engine.addons import GroupKind
from margin_actors.engine.margin.requirement.registry import components_of
from margin_actors.engine.parameters import ModelParameters, RevaluationParameters
from margin_actors.errors import InvalidParameters, Problem, raise_if_any


@dataclass(frozen=True)
class Needs:
    """Needs of all enabled components of a model together."""

    contract_risk: bool
    """Greeks, spreads and market depth."""
    groups: frozenset[GroupKind]
    """Kinds of position groups that are measured separately."""
    sections: frozenset[str]
    """Names of the sections of the scenario set besides the core."""
    alternatives: Mapping[str, RevaluationParameters]
    """Alternative revaluation rules by label."""
    all_profits: bool
    """Profits of accounts in all rows."""


def _fault(rules: RevaluationParameters, own: RevaluationParameters) -> str:
    """Return why an alternative cannot be priced beside the model's own rules; empty if it can."""
    if rules.smile == "mark" != own.smile:
        return "marks are not an alternative to a fitted smile"
    permitted = {"smile": rules.smile, "dynamics": rules.dynamics, "time": rules.time}
    if rules != own.model_copy(update=permitted):
        return "only the smile, its dynamics and the time may differ from the model's own rules"
    return ""


def needs_of(model: ModelParameters) -> Needs:
    """Return the needs of a model's components.

    Raises
    ------
    InvalidParameters
        As `components_of`; also if two components use one label for different rules, or if an
        alternative differs from the model's own rules in more than smile, dynamics and time.
    """
    components = components_of(model)
    groups = frozenset(kind for c in components for kind in c.groups)
    alternatives: dict[str, RevaluationParameters] = {}
    problems: list[Problem] = []
    for component in components:
        for label, rules in component.alternatives(model).items():
            fault = _fault(rules, model.revaluation)
            if alternatives.setdefault(label, rules) != rules:
                fault = f"the label {label!r} already has other rules"
            if fault:
                problems.append(Problem(f"component {component.name}, alternatives", fault))
    raise_if_any(problems, InvalidParameters, f"the model {model.name} cannot be used")
    return Needs(
        contract_risk=bool(groups) or any(c.needs_contract_risk for c in components),
        groups=groups,
        sections=frozenset(name for c in components for name in c.sections(model)),
        alternatives=alternatives,
        all_profits=any(c.all_profits(model) for c in components),
    )
