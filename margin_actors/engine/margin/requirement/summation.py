"""Requirements from profits: max(core after the procyclicality tools, floors) + add-ons.

Reported as components that sum to the requirement; each is at least 0, so that switching one off
never raises the requirement. The functions depend on profits alone, not on whether these were
computed from one cube in one process or from slices revalued by many: equal profits give equal
results, bit for bit.
"""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.component_inputs import NO_INPUTS, InputRecorder
from margin_actors.engine.margin.margins import Margins
from margin_actors.engine.margin.prepared_book import BookPnl, PreparedBook
from margin_actors.engine.margin.requirement.account_measures import AccountMeasures
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.margin.requirement.core import CORE_COMPONENT
from margin_actors.engine.margin.requirement.registry import columns_of, components_of
from margin_actors.engine.margin.risk_inputs import RiskInputs


def requirements(pnl: BookPnl, book: PreparedBook) -> Margins:
    """Return the margins of accounts from their profits over all rows of the scenario set.

    Raises
    ------
    InvalidParameters
        As `components_of`.
    """
    inputs = book.inputs
    columns, enabled = columns_of(inputs.model), components_of(inputs.model)
    measures, recorder = AccountMeasures(book, pnl), InputRecorder(columns)
    amounts = _amounts(enabled, measures, recorder)
    components = np.zeros((book.holdings.n_accounts, len(columns)))
    for name, amount in amounts.items():
        components[:, columns.index(name)] = amount
    core = amounts[CORE_COMPONENT.name]
    if _is_core_only(enabled, inputs):
        total, figures = core.copy(), NO_INPUTS
    else:
        recorder.add(CORE_COMPONENT.name, "var_usd", np.arange(core.size), measures.var_usd)
        recorder.add(CORE_COMPONENT.name, "es_usd", np.arange(core.size), measures.es_usd)
        total, figures = _sum(components), recorder.sorted()
    tail, tail_rows = measures.tails
    low, high = measures.var_interval_usd
    stress, stress_row = measures.stress
    return Margins(
        positions=book.positions,
        value_usd=book.value_usd,
        var_usd=measures.var_usd,
        var_low_usd=low,
        var_high_usd=high,
        es_usd=measures.es_usd,
        es_standard_error_usd=measures.es_standard_error_usd,
        worst_usd=-tail[:, 0],
        worst_scenario=tail_rows[:, 0].copy(),
        undiversified_usd=measures.undiversified_usd,
        span_usd=measures.span_usd,
        venue_grid_usd=measures.venue_grid_usd,
        long_usd=measures.long_usd,
        stress_period_usd=measures.stress_period_usd,
        stress_usd=stress,
        stress_scenario=stress_row,
        core_usd=core,
        components_usd=components,
        initial_margin_usd=total,
        rounding_bound_usd=pnl.accounts.rounding_bound_usd,
        tail_usd=tail,
        tail_scenario=tail_rows,
        components=columns,
        inputs=figures,
    )


def _amounts(
    components: tuple[Component, ...], measures: AccountMeasures, recorder: InputRecorder
) -> dict[str, FloatArray]:
    """Return the amounts of all components, float64 (n_accounts,) each, in summation order.

    If the model bounds the requirement by the largest possible loss, each component adds at most
    what remains below it, so that components stay at least 0 and still sum to the requirement.
    """
    book = measures.book
    charged = np.zeros(book.holdings.n_accounts)
    parameters = {item.name: item.parameters for item in book.inputs.model.components}
    amounts: dict[str, FloatArray] = {}
    for component in components:
        context = RequirementContext(
            component.name,
            book,
            measures.pnl,
            measures,
            dict(amounts),
            parameters.get(component.name, {}),
            recorder,
        )
        amount = component.amount(context)
        if book.loss_max_usd is not None:
            amount = _limited(amount, np.maximum(book.loss_max_usd - charged, 0.0), context)
            charged += amount
        amounts[component.name] = amount
    return amounts


def _limited(amount: FloatArray, left: FloatArray, context: RequirementContext) -> FloatArray:
    """Return the amounts, at most `left` each, and record those that were larger."""
    larger = np.flatnonzero(amount > left)
    context.record_some("unbounded_usd", larger, amount[larger])
    context.record_some("left_usd", larger, left[larger])
    return np.minimum(amount, left)


def _is_core_only(components: tuple[Component, ...], inputs: RiskInputs) -> bool:
    """Return whether the requirement is VaR or expected shortfall alone."""
    return (
        len(components) == 1
        and inputs.span is None
        and inputs.grid is None
        and len(inputs.sections) == 1
    )


def _sum(components: FloatArray) -> FloatArray:
    """Return the sum of the columns, (n_accounts,), in their order."""
    total = np.zeros(components.shape[0])
    for column in range(components.shape[1]):
        total += components[:, column]
    return total
