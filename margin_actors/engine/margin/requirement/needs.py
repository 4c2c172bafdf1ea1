"""What the enabled components of a model need besides the profits of accounts."""

from collections.abc import Mapping
from dataclasses import dataclass

from margin_actors.engine.addons import GroupKind
from margin_actors.engine.margin.requirement.registry import components_of
from margin_actors.engine.parameters import ModelParameters, RevaluationParameters


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


def needs_of(model: ModelParameters) -> Needs:
    """Return the needs of a model's components.

    Raises
    ------
    InvalidParameters
        As `components_of`.
    """
    components = components_of(model)
    groups = frozenset(kind for c in components for kind in c.groups)
    alternatives: dict[str, RevaluationParameters] = {}
    for component in components:
        alternatives |= component.alternatives(model)
    return Needs(
        contract_risk=bool(groups) or any(c.needs_contract_risk for c in components),
        groups=groups,
        sections=frozenset(name for c in components for name in c.sections(model)),
        alternatives=alternatives,
    )
