"""Concentration add-on: positions that take longer to close than the margin period of risk."""

from margin_actors.arrays import FloatArray
from margin_actors.engine.addons import GroupKind, GroupMeasures, concentration_charges
from margin_actors.engine.margin.requirement.component import Component, RequirementContext


def amount(context: RequirementContext) -> FloatArray:
    """Return the concentration charge of every account, (n_accounts,), US dollars."""
    book, measures = context.book, context.measures
    charge = concentration_charges(
        book.holdings,
        book.quantity,
        context.risk,
        measures.exposures,
        GroupMeasures(context.groups, measures.for_add_ons(measures.groups), measures.add_on_kind),
        context.model,
        book.members,
        context.inputs.hedge,
    )
    return context.record_charge(charge)


CONCENTRATION = Component(
    name="concentration",
    amount=amount,
    is_enabled=lambda model: model.addons.concentration.enabled,
    groups=frozenset({GroupKind.BUCKET, GroupKind.STRIKE}),
)
