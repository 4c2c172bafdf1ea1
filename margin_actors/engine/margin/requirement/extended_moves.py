"""Floor of the extended moves: a share of the loss in each of a list of large moves."""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.scenarios import EXTENDED

COUNTED = "counted_loss_usd"
"""Figure with the largest counted loss; its label is the name of the row."""


def amount(context: RequirementContext) -> FloatArray:
    """Return what raises the margin to the extended moves, (n_accounts,), US dollars.

    The figures of the row with the largest counted loss carry its name as their label.
    """
    section, tail = context.inputs.section(EXTENDED), context.measures.tail_of(EXTENDED)
    rows = context.inputs.extended
    assert section is not None
    assert tail is not None
    assert rows is not None
    counted, row = -tail.profit[:, 0], tail.scenario[:, 0].astype(np.int64) - section.first
    account, share = np.arange(row.size), rows.share[row]
    for figure, value in (("loss_usd", counted / share), ("loss_share", share), (COUNTED, counted)):
        context.record_some(figure, account, value, rows.names, row)
    return np.maximum(counted - context.total_usd(), 0.0)


EXTENDED_MOVES = Component(
    name="extended_moves",
    amount=amount,
    is_add_on=False,
    is_floor=True,
    is_later=True,
    is_enabled=lambda model: model.tails.extended_moves.enabled,
    sections=lambda _model: frozenset({EXTENDED}),
)
