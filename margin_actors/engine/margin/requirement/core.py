"""The core: the risk measure that the model selects, at least 0."""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.requirement.component import Component, RequirementContext
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import STRESS_PERIOD

_SPAN_FIGURES = (
    "scan_risk_usd",
    "active_row",
    "composite_delta_coins",
    "price_risk_usd",
    "calendar_charge_usd",
    "inter_commodity_credit_usd",
    "short_option_minimum_usd",
)


def core_amount(context: RequirementContext) -> FloatArray:
    """Return the core measure, (n_accounts,), US dollars; record the inputs of SPAN and grid."""
    _record_span(context)
    _record_grid(context)
    measures, model = context.measures, context.model
    kind = model.measure.core
    if kind == "span":
        core = measures.span_usd
    elif kind == "venue_grid":
        core = measures.venue_grid_usd
    elif kind == "hybrid":
        core = np.maximum(measures.span_usd, model.hybrid.var_floor * measures.var_usd)
    elif kind == "blend":
        share = model.measure.blend_var_share
        core = share * measures.var_usd + (1.0 - share) * measures.stress_period_usd
    else:
        core = measures.core_measure_usd
    return np.maximum(core, 0.0)


def _record_span(context: RequirementContext) -> None:
    found, arrays = context.measures.span, context.inputs.span
    if found is None or arrays is None:
        return
    values = (
        found.scan_risk,
        found.active_row.astype(np.float64) + 1.0,
        found.net_delta,
        found.price_risk,
        found.calendar,
        found.credit,
        found.minimum,
    )
    for name, value in zip(_SPAN_FIGURES, values, strict=True):
        for u, underlying in enumerate(arrays.underlyings):
            context.record(name, value[:, u], underlying)
    if found.basis is not None:
        for u, underlying in enumerate(arrays.underlyings):
            context.record("basis_charge_usd", found.basis[:, u], underlying)


def _record_grid(context: RequirementContext) -> None:
    found, arrays = context.measures.grid, context.inputs.grid
    if found is None or arrays is None:
        return
    worst, row = found
    for u, underlying in enumerate(arrays.underlyings):
        context.record("grid_loss_usd", worst[:, u], underlying)
        context.record("active_row", row[:, u].astype(np.float64) + 1.0, underlying)


def _sections(model: ModelParameters) -> frozenset[str]:
    return frozenset({STRESS_PERIOD} if model.measure.core == "blend" else ())


CORE_COMPONENT = Component(name="core", amount=core_amount, is_add_on=False, sections=_sections)
