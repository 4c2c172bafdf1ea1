"""Requirements from profits: max(core after the procyclicality tools, floors) + add-ons.

Reported as components (PARTS) that sum to the requirement; each is at least 0, so that switching
one off never raises the requirement.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray
from margin_actors.engine.addons import (
    GroupKind,
    bucket_exposures,
    concentration_charges,
    liquidity_charges,
)
from margin_actors.engine.margin.margins import Margins, Sample, measures_of
from margin_actors.engine.margin.parts import PARTS, InputRows
from margin_actors.engine.margin.records import EXPIRING, BookProfits, HeldPositions
from margin_actors.engine.margin.sheet import Sheet
from margin_actors.engine.margin.terms import Terms
from margin_actors.engine.measures import (
    es_standard_error_from_tail,
    expected_shortfall,
    value_at_risk,
    var_interval_from_tail,
)
from margin_actors.engine.revaluation import AccountProfits, Holdings, select_tails
from margin_actors.engine.scenarios import LONG, STRESS, STRESS_PERIOD
from margin_actors.engine.scenarios.procyclicality import (
    blended,
    buffer_amount,
    floor_amount,
    pooled_weights,
    stressed_weight_amount,
)
from margin_actors.engine.span import grid_charges, span_charges


def requirements(profits: BookProfits, held: HeldPositions, terms: Terms) -> Margins:
    """Return the margins of accounts from their profits over all rows of the scenario set."""
    sample, parameters = terms.sample, terms.parameters
    n_accounts, n = held.holdings.n_accounts, sample.n_scenarios
    tail, tail_rows = profits.accounts.tail_usd, profits.accounts.tail_scenario
    pnl = profits.accounts.pnl_usd
    if sample.needs_all:
        assert pnl is not None
        tail, tail_rows = select_tails(pnl[:, :n], sample.n_tail)
    bound = profits.accounts.rounding_bound_usd
    var, es = measures_of(AccountProfits(tail, tail_rows, pnl, bound), sample)
    alpha, size = sample.confidence, sample.effective_size
    low, high = var_interval_from_tail(tail, n_scenarios=n, confidence=alpha, effective_size=size)
    error = es_standard_error_from_tail(tail, n_scenarios=n, confidence=alpha, effective_size=size)
    unknown = np.full(n_accounts, np.nan)
    measured: dict[str, Any] = {
        "positions": held.positions,
        "value_usd": held.value_usd,
        "var_usd": var,
        "var_low_usd": low,
        "var_high_usd": high,
        "es_usd": es,
        "es_standard_error_usd": error,
        "worst_usd": -tail[:, 0],
        "worst_scenario": tail_rows[:, 0].copy(),
        "rounding_bound_usd": bound,
        "tail_usd": tail,
        "tail_scenario": tail_rows,
    }
    if terms.is_core_only and not profits.alternatives:
        core = _core(var, es, unknown, unknown, unknown, terms)
        parts = np.zeros((n_accounts, len(PARTS)))
        parts[:, 0] = core
        return Margins(
            **measured,
            undiversified_usd=unknown,
            span_usd=unknown,
            venue_grid_usd=unknown,
            long_usd=unknown,
            stress_period_usd=unknown,
            stress_usd=unknown,
            stress_scenario=np.full(n_accounts, -1, np.int32),
            core_usd=core,
            parts_usd=parts,
            initial_margin_usd=core.copy(),
        )
    sheet = Sheet(np.zeros((n_accounts, len(PARTS))), InputRows())
    measure = es if parameters.measure.core in ("es",) else var
    long = _section_measure(pnl, terms, LONG, sample.confidence, unknown)
    stressed = unknown
    if terms.calibration.stress_confidence is not None:
        level = terms.calibration.stress_confidence
        stressed = _section_measure(pnl, terms, STRESS_PERIOD, level, unknown)
    stress, stress_row = _stress(pnl, terms, n_accounts)
    span, grid = _written_down(held, terms, sheet, unknown)
    core = _core(var, es, stressed, span, grid, terms)
    sheet["core"][:] = core
    undiversified = _diversify(sheet, measure, core, profits, held, terms)
    _procyclicality(sheet, pnl, stressed, long, held, terms)
    _add_ons(sheet, var, profits, held, terms)
    sheet.figure("core", "var_usd", var)
    sheet.figure("core", "es_usd", es)
    return Margins(
        **measured,
        undiversified_usd=undiversified,
        span_usd=span,
        venue_grid_usd=grid,
        long_usd=long,
        stress_period_usd=stressed,
        stress_usd=stress,
        stress_scenario=stress_row,
        core_usd=core,
        parts_usd=sheet.parts,
        initial_margin_usd=sheet.so_far(),
        inputs=sheet.rows.sorted(),
    )


def _core(
    var: FloatArray,
    es: FloatArray,
    stressed: FloatArray,
    span: FloatArray,
    grid: FloatArray,
    terms: Terms,
) -> FloatArray:
    """Return the core measure that the model selects, at least 0, (n_accounts,), US dollars."""
    measure = terms.parameters.measure
    if measure.core == "span":
        core = span
    elif measure.core == "venue_grid":
        core = grid
    elif measure.core == "hybrid":
        core = np.maximum(span, terms.parameters.hybrid.var_floor * var)
    elif measure.core == "blend":
        share = measure.blend_var_share
        core = share * var + (1.0 - share) * stressed
    else:
        core = var if measure.core == "var" else es
    return np.maximum(core, 0.0)


def _measure(
    pnl: FloatArray, terms: Terms, confidence: float, weight: FloatArray | None = None
) -> FloatArray:
    """Return ES over the given rows if the core is ES, else VaR."""
    of = expected_shortfall if terms.parameters.measure.core == "es" else value_at_risk
    return of(pnl, confidence=confidence, weight=weight)


def _section_measure(
    pnl: FloatArray | None, terms: Terms, name: str, confidence: float, unknown: FloatArray
) -> FloatArray:
    section = terms.section(name)
    if section is None or pnl is None:
        return unknown
    return _measure(pnl[:, section.rows], terms, confidence)


def _stress(pnl: FloatArray | None, terms: Terms, n_accounts: int) -> tuple[FloatArray, IndexArray]:
    """Return (largest loss in the stress rows, at least 0; its row), or (NaN, -1) without any."""
    section = terms.section(STRESS)
    if section is None or pnl is None or section.count == 0:
        return np.full(n_accounts, np.nan), np.full(n_accounts, -1, np.int32)
    losses = -pnl[:, section.rows]
    row = losses.argmax(axis=1)
    worst = np.maximum(losses[np.arange(n_accounts), row], 0.0)
    return worst, (row + section.first).astype(np.int32)


def _written_down(
    held: HeldPositions, terms: Terms, sheet: Sheet, unknown: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return (SPAN, venue grid), `unknown` if not required; add their inputs to the sheet."""
    at = held.holdings.start, held.holdings.index, held.quantity
    span, grid = unknown, unknown
    if terms.span is not None:
        found = span_charges(*at, terms.span, terms.parameters.span)
        span = found.total
        for name, values in (
            ("scan_risk_usd", found.scan_risk),
            ("active_row", found.active_row.astype(np.float64) + 1.0),
            ("composite_delta_coins", found.net_delta),
            ("price_risk_usd", found.price_risk),
            ("calendar_charge_usd", found.calendar),
            ("inter_commodity_credit_usd", found.credit),
            ("short_option_minimum_usd", found.minimum),
        ):
            for u, underlying in enumerate(terms.span.underlyings):
                sheet.figure("core", name, values[:, u], underlying)
    if terms.grid is not None:
        worst, row = grid_charges(*at, terms.grid)
        grid = np.zeros(worst.shape[0])
        for u, underlying in enumerate(terms.grid.underlyings):
            grid += worst[:, u]
            sheet.figure("core", "grid_loss_usd", worst[:, u], underlying)
            sheet.figure("core", "active_row", row[:, u].astype(np.float64) + 1.0, underlying)
    return span, grid


def _diversify(
    sheet: Sheet,
    measure: FloatArray,
    core: FloatArray,
    profits: BookProfits,
    held: HeldPositions,
    terms: Terms,
) -> FloatArray:
    """Return the undiversified measure; fill the limits to cross-underlying diversification."""
    rules = terms.parameters.diversification
    if not rules.enabled:
        return np.full(measure.size, np.nan)
    assert held.groups is not None
    assert profits.groups is not None
    assert terms.risk is not None
    own = measures_of(profits.groups, terms.sample)[terms.parameters.measure.core == "es"]
    chosen = np.flatnonzero(held.groups.kind == GroupKind.UNDERLYING)
    alone = np.maximum(own[chosen], 0.0)
    owner = held.groups.owner[chosen]
    summed = np.bincount(owner, weights=alone, minlength=measure.size).astype(np.float64)
    several = np.zeros(measure.size, np.bool_)
    several[owner] = True
    total = np.where(several, summed, np.maximum(measure, 0.0))
    names, key = terms.risk.depth.underlyings, held.groups.key[chosen]
    sheet.rows.add("diversification_cap", "alone_usd", owner, alone, names, key)
    if terms.parameters.measure.core in ("var", "es"):
        help_given = np.maximum(total - core, 0.0)
        sheet["diversification_cap"][:] = (1.0 - rules.reduction_max) * help_given
        left = rules.reduction_max * help_given
        sheet["correlation_stress"][:] = rules.correlation_stress * left
        sheet.figure("diversification_cap", "undiversified_usd", total)
    return total


def _procyclicality(
    sheet: Sheet,
    pnl: FloatArray | None,
    stressed: FloatArray,
    long: FloatArray,
    held: HeldPositions,
    terms: Terms,
) -> None:
    """Fill buffer, stressed weight and floor."""
    tools = terms.parameters.procyclicality
    before = sheet.so_far()
    if tools.buffer.enabled:
        share = _buffer_shares(held, terms)
        sheet["buffer"][:] = buffer_amount(before, share)
        sheet.figure("buffer", "buffer_share", share)
    if tools.stressed_weight.enabled:
        rules = tools.stressed_weight
        if rules.form == "blend":
            mixed = blended(before, stressed, rules.weight)
        else:
            mixed = _with_stressed_observations(pnl, terms)
        sheet["stressed_weight"][:] = stressed_weight_amount(before, mixed)
        sheet.figure("stressed_weight", "stress_period_usd", stressed)
        sheet.figure("stressed_weight", "weighted_usd", mixed)
    floors: list[FloatArray] = []
    if tools.long_floor.enabled:
        floors.append(long)
        sheet.figure("floor", "long_lookback_usd", long)
    if tools.stress_period.floor:
        floors.append(stressed)
        sheet.figure("floor", "stress_period_usd", stressed)
    sheet["floor"][:] = floor_amount(sheet.so_far(), tuple(floors))


def _buffer_shares(held: HeldPositions, terms: Terms) -> FloatArray:
    """Return each account's buffer share: the largest share of the underlyings that it holds."""
    assert terms.risk is not None
    holdings = held.holdings
    shares = terms.calibration.buffer_shares
    # The snapshot may have underlyings that the scenario set lacks; no account holds them.
    of = np.array([shares.get(u, np.nan) for u in terms.risk.depth.underlyings])
    per_position = of[terms.risk.underlying[holdings.index]]
    assert not np.isnan(per_position).any()
    out = np.zeros(holdings.n_accounts)
    account = np.repeat(np.arange(holdings.n_accounts), np.diff(holdings.start))
    np.maximum.at(out, account, per_position)
    return out


def _with_stressed_observations(pnl: FloatArray | None, terms: Terms) -> FloatArray:
    """Return the measure over core rows and stress days; the latter have equal weights."""
    section = terms.section(STRESS_PERIOD)
    assert section is not None
    assert pnl is not None
    sample: Sample = terms.sample
    share = terms.parameters.procyclicality.stressed_weight.weight
    core = sample.weight
    if core is None:
        core = np.full(sample.n_scenarios, 1.0 / sample.n_scenarios)
    rows = np.concatenate([pnl[:, : sample.n_scenarios], pnl[:, section.rows]], axis=1)
    weight = pooled_weights(core, section.count, share)
    return _measure(rows, terms, sample.confidence, weight)


def _add_ons(
    sheet: Sheet, var: FloatArray, profits: BookProfits, held: HeldPositions, terms: Terms
) -> None:
    addons, sample = terms.parameters.addons, terms.sample
    if addons.concentration.enabled or addons.liquidity.enabled:
        assert terms.risk is not None
        exposures = bucket_exposures(held.holdings, held.quantity, terms.risk, terms.parameters)
        if addons.concentration.enabled:
            assert held.groups is not None
            group_var = np.empty(0)
            if profits.groups is not None:
                group_var = measures_of(profits.groups, sample)[0]
            charge = concentration_charges(
                held.holdings,
                held.quantity,
                terms.risk,
                exposures,
                held.groups,
                group_var,
                terms.parameters,
            )
            sheet.charge("concentration", charge)
        if addons.liquidity.enabled:
            sheet.charge("liquidity", liquidity_charges(exposures, terms.risk, terms.parameters))
    if addons.model_risk.enabled:
        largest = np.zeros(var.size)
        for label, other in profits.alternatives:
            if label != EXPIRING:
                other_var = measures_of(other, sample)[0]
                largest = np.maximum(largest, other_var - var)
                sheet.figure("model_risk", "var_usd", other_var, label)
        least = addons.model_risk.share_min * np.maximum(var, 0.0)
        sheet.figure("model_risk", "least_usd", least)
        sheet["model_risk"][:] = np.maximum(largest, least)
    if addons.expiry_risk.enabled:
        assert terms.risk is not None
        for label, other in profits.alternatives:
            if label == EXPIRING:
                settled = measures_of(other, sample)[0]
                affected = _holds(held.holdings, terms.risk.expires_within)
                more = np.maximum(settled - var, 0.0)
                sheet["expiry_risk"][:] = np.where(affected, more, 0.0)
                places = np.flatnonzero(affected)
                sheet.rows.add("expiry_risk", "var_settled_usd", places, settled[places])


def _holds(holdings: Holdings, wanted: Sequence[bool] | np.ndarray) -> np.ndarray:
    """Return which accounts hold any contract that `wanted` marks, bool (n_accounts,)."""
    account = np.repeat(np.arange(holdings.n_accounts), np.diff(holdings.start))
    out = np.zeros(holdings.n_accounts, np.bool_)
    out[account[np.asarray(wanted)[holdings.index]]] = True
    return out
