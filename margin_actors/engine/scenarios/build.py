"""The complete scenario set of a model: the core rows and all other sections that it requires."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from margin_actors.arrays import DAY_MS, IntArray
from margin_actors.engine.parameters import ModelParameters, ScenarioParameters
from margin_actors.engine.scenarios.engines.filtered import Filter, build_filter, filter_rows
from margin_actors.engine.scenarios.engines.historical import (
    SurfaceSources,
    historical_rows,
    sampling_notes,
)
from margin_actors.engine.scenarios.engines.monte_carlo import build_monte_carlo
from margin_actors.engine.scenarios.history.depth_history import DepthHistory, calibrate_depth
from margin_actors.engine.scenarios.history.perpetual_basis import PerpetualBasisHistory
from margin_actors.engine.scenarios.history.surface_history import SurfaceHistory
from margin_actors.engine.scenarios.history.volatility import Recursion
from margin_actors.engine.scenarios.history.windows import (
    PriceTable,
    Windows,
    all_windows,
    price_table,
    recent_windows,
)
from margin_actors.engine.scenarios.prescribed import (
    basis_rows,
    event_windows,
    extended_rows,
    hypothetical_rows,
    stress_rows,
    with_past_days,
)
from margin_actors.engine.scenarios.procyclicality import (
    StressPeriod,
    choose_stress_period,
    full_buffer,
    reference_margins,
    replay,
)
from margin_actors.engine.scenarios.sets.calibration import CalibratedDepth, Calibration
from margin_actors.engine.scenarios.sets.scenario_set import (
    CORE,
    EXTENDED,
    LONG,
    STRESS,
    STRESS_PERIOD,
    ScenarioSet,
    join_sections,
    with_short_tenors,
)
from margin_actors.engine.scenarios.surface_moves import VolatilityIndex, with_basis_floor
from margin_actors.market.cleansing import PriceGrid
from margin_actors.numerics.elementary import exponentials

_YEAR_MS = 365.25 * DAY_MS


def build_scenarios(
    prices: Mapping[str, PriceGrid],
    model: ModelParameters,
    *,
    as_of: np.datetime64,
    sections: Collection[str] = (),
    surfaces: Mapping[str, SurfaceHistory] | None = None,
    vol_index: Mapping[str, VolatilityIndex] | None = None,
    perpetual_basis: Mapping[str, PerpetualBasisHistory] | None = None,
    garch: tuple[Recursion | None, ...] | None = None,
    depth: DepthHistory | None = None,
) -> ScenarioSet:
    """Return the scenario set of a model at a time.

    Parameters
    ----------
    prices, model, as_of, surfaces, vol_index, perpetual_basis
        As in `build_historical`.
    sections : collection of str, optional
        Sections besides the core that the requirement needs, see `engine.margin.needs_of`. Stress
        rows are also built if the model's parameters enable them.
    garch : tuple of Recursion or None, optional
        Recursions fitted by `garch_recursions`; by default they are fitted here.
    depth : DepthHistory, optional

    Raises
    ------
    InvalidScenario, MissingMarketData
        If the history is not sufficient; see `build_historical`.
    InvalidParameters
        If a hypothetical or extended move names an underlying that the model does not have.
    """
    parameters = model.scenarios
    table = price_table(prices, parameters, as_of)
    every = all_windows(table, parameters)
    notes: list[str] = []
    wanted, confidence = _lookbacks(table, every, model, sections, notes)
    names: tuple[str, ...] = ()
    stress = STRESS in sections or parameters.stress.enabled
    if stress or (EXTENDED in sections and model.tails.extended_moves.past_days_share > 0.0):
        wanted[STRESS], names = _past_days(table, every, parameters, notes)
    sources = SurfaceSources(surfaces or {}, vol_index or {}, perpetual_basis or {})
    sets = _rows_of(table, wanted, model, as_of, sources)
    following = build_filter(table, parameters.filter, garch) if is_filtered(model) else None
    sets[CORE] = core_rows(sets[CORE], table, model, following)
    past = sets.pop(STRESS, None)
    if past is not None and stress:
        sets[STRESS] = _stress_section(past, sets[CORE], names, parameters, as_of, sources)
    if EXTENDED in sections:
        sets = _with_extended(model, sets, past, names)
    shares = _buffer_shares(table, every, model, following, notes)
    whole = join_sections(list(sets.items()))
    found = Calibration(shares, confidence, _depth(depth, model, as_of, notes))
    return replace(whole, notes=(*whole.notes, *notes), calibration=found)


def _lookbacks(
    table: PriceTable,
    every: Windows,
    model: ModelParameters,
    sections: Collection[str],
    notes: list[str],
) -> tuple[dict[str, Windows], float | None]:
    """Return (windows by section, confidence over the stress period or None), and append notes.

    The sections are the core and, if they are in `sections`, the long lookback and the stress
    period.
    """
    windows = {CORE: recent_windows(table, model.scenarios)}
    if LONG in sections:
        windows[LONG] = long_windows(table, every, model, notes)
    if STRESS_PERIOD not in sections:
        return windows, None
    period = stress_period_of(table, every, model)
    notes += period.notes()
    return windows | {STRESS_PERIOD: period.windows}, period.confidence


def _buffer_shares(
    table: PriceTable,
    every: Windows,
    model: ModelParameters,
    following: Filter | None,
    notes: list[str],
) -> dict[str, float]:
    """Return the buffer share of each underlying, and append a note, if the model has a buffer."""
    if not model.procyclicality.buffer.enabled:
        return {}
    shares = current_buffer_shares(table, every, model, following)
    shown = ", ".join(f"{u} {100 * share:.1f} %" for u, share in shares.items())
    notes.append(f"procyclicality buffer, a share of the core: {shown}")
    return shares


def _depth(
    history: DepthHistory | None, model: ModelParameters, as_of: np.datetime64, notes: list[str]
) -> CalibratedDepth | None:
    """Return the market depth of recorded days, and append a note, if the model uses it."""
    if not uses_recorded_depth(model):
        return None
    found, note = calibrate_depth(history, model.addons, as_of)
    notes.append(note)
    return found


def uses_recorded_depth(model: ModelParameters) -> bool:
    """Return whether a charge of the model depends on the market depth of recorded days."""
    addons = model.addons
    is_charged = addons.concentration.enabled or addons.liquidity.enabled
    return is_charged and addons.depth.days > 0


def _past_days(
    table: PriceTable, every: Windows, parameters: ScenarioParameters, notes: list[str]
) -> tuple[Windows, tuple[str, ...]]:
    """Return (windows, names) of the stress days, and append a note on those without prices."""
    windows, names, missing = event_windows(table, every, parameters.stress.events)
    if missing:
        notes.append(f"stress days that the history does not cover: {', '.join(missing)}")
    return windows, names


def _stress_section(
    past: ScenarioSet,
    core: ScenarioSet,
    event_names: tuple[str, ...],
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    sources: SurfaceSources,
) -> ScenarioSet:
    """Return the stress rows: past events, the model's hypothetical moves, those of the basis."""
    moves = parameters.stress.hypothetical
    if parameters.stress.basis_rows:
        moves += basis_rows(parameters, as_of, sources.perpetual_basis, sources.surfaces)
    written = hypothetical_rows(moves, parameters, core.path_hours)
    return stress_rows(past, event_names, written)


def _with_extended(
    model: ModelParameters,
    sets: Mapping[str, ScenarioSet],
    past: ScenarioSet | None,
    event_names: tuple[str, ...],
) -> dict[str, ScenarioSet]:
    """Return the sections and the extended moves of a model, all with the same tenors.

    `past` holds the past days, with the given names; None if the model has none.
    """
    parameters = model.tails.extended_moves
    tenors = parameters.short_tenors_days
    out = {name: with_short_tenors(rows, tenors) for name, rows in sets.items()}
    core = out[CORE]
    written = extended_rows(
        parameters,
        core.underlyings,
        tenors_days=core.tenors_days,
        path_hours=core.path_hours,
        horizon_hours=core.horizon_hours,
    )
    if past is not None and parameters.past_days_share > 0.0:
        events = with_short_tenors(past, tenors)
        written = with_past_days(written, events, event_names, parameters.past_days_share)
    return {**out, EXTENDED: written}


def stress_period_of(table: PriceTable, every: Windows, model: ModelParameters) -> StressPeriod:
    """Return the stress period of a model; `every` holds all windows of the table."""
    return choose_stress_period(
        table,
        every,
        model.procyclicality.stress_period,
        confidence=model.measure.confidence,
        long_years=model.procyclicality.long_floor.years,
    )


def is_filtered(model: ModelParameters) -> bool:
    """Return whether the core rows are based on windows scaled to the current volatility."""
    scenarios = model.scenarios
    return scenarios.engine == "filtered" or (
        scenarios.engine == "monte_carlo" and scenarios.monte_carlo.filtered
    )


def core_rows(
    rows: ScenarioSet, table: PriceTable, model: ModelParameters, following: Filter | None
) -> ScenarioSet:
    """Return the core section of the model's engine, built from its historical rows."""
    return drawn_rows(scaled_rows(weighted_rows(rows, model), table, following), model)


def scaled_rows(rows: ScenarioSet, table: PriceTable, following: Filter | None) -> ScenarioSet:
    """Return historical rows scaled to the current volatility; unchanged without a filter."""
    return rows if following is None else filter_rows(rows, table, following)


def drawn_rows(rows: ScenarioSet, model: ModelParameters) -> ScenarioSet:
    """Return rows drawn from a Monte Carlo model's fit to `rows`; unchanged for other engines."""
    if model.scenarios.engine != "monte_carlo":
        return rows
    return build_monte_carlo(rows, model.scenarios.monte_carlo)


def _rows_of(
    table: PriceTable,
    wanted: dict[str, Windows],
    model: ModelParameters,
    as_of: np.datetime64,
    sources: SurfaceSources,
) -> dict[str, ScenarioSet]:
    """Return the historical rows of each section, with proxies fitted once for all sections."""
    parameters = model.scenarios
    ends = np.unique(np.concatenate([windows.end for windows in wanted.values()]))
    union = Windows(ends - table.length, ends)
    rows = historical_rows(table, union, parameters, as_of, sources)
    out: dict[str, ScenarioSet] = {}
    for name, windows in wanted.items():
        index: IntArray = np.searchsorted(ends, windows.end)
        section = rows.select(index)
        notes = (*sampling_notes(section, parameters), *rows.notes) if name == CORE else ()
        weight = np.full(index.size, 1.0 / max(index.size, 1))
        out[name] = replace(section, weight=weight, notes=notes)
    # Its floor compares weighted quantiles.
    weighted = weighted_rows(out[CORE], model)
    out[CORE] = with_basis_floor(weighted, parameters, as_of, sources.perpetual_basis)
    return out


def weighted_rows(rows: ScenarioSet, model: ModelParameters) -> ScenarioSet:
    """Return rows with the model's weights, which sum to 1; unchanged without a half-life.

    The weights fall with age (Boudoukh, Richardson, Whitelaw 1998).
    """
    half_life_days = model.scenarios.half_life_days
    if half_life_days is None:
        return rows
    age = (rows.end_time[-1] - rows.end_time).astype(np.float64) / DAY_MS
    weight = exponentials(-np.log(2.0) / half_life_days * age)
    return replace(rows, weight=weight / weight.sum())


def long_windows(
    table: PriceTable, every: Windows, model: ModelParameters, notes: list[str]
) -> Windows:
    """Return the windows of the long lookback and append a note on the period that they cover."""
    years = model.procyclicality.long_floor.years
    since = table.time[table.last] - np.timedelta64(round(years * _YEAR_MS), "ms")
    windows = every.chosen(table.time[every.end] > since)
    covered = float((table.time[windows.end[-1]] - table.time[windows.start[0]]).astype(np.int64))
    text = f"long lookback: {windows.end.size} windows over {covered / _YEAR_MS:.1f} years"
    if covered < 0.99 * years * _YEAR_MS:
        text += f" (the history is shorter than the {years:g} years asked for)"
    notes.append(text)
    return windows


def current_buffer_shares(
    table: PriceTable, every: Windows, model: ModelParameters, following: Filter | None
) -> dict[str, float]:
    """Return the buffer share of each underlying at the end of the table, a fraction."""
    rules = model.procyclicality.buffer
    _, margins = reference_margins(table, every, model, following)
    return {
        u: replay(full_buffer(rules), margins[i].tolist(), rules).share
        for i, u in enumerate(table.underlyings)
    }
