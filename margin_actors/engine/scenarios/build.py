"""The complete scenario set of a model: the core rows and all other sections that it requires."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios.engines.filtered import Filter, build_filter, filter_rows
from margin_actors.engine.scenarios.engines.historical import (
    SurfaceSources,
    historical_rows,
    sampling_notes,
)
from margin_actors.engine.scenarios.engines.monte_carlo import build_monte_carlo
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
    event_windows,
    hypothetical_rows,
    stress_rows,
)
from margin_actors.engine.scenarios.procyclicality.buffer import BufferState, full_buffer, replay
from margin_actors.engine.scenarios.procyclicality.reference import reference_margins
from margin_actors.engine.scenarios.procyclicality.stress_period import choose_stress_period
from margin_actors.engine.scenarios.sets.scenario_set import (
    CORE,
    LONG,
    STRESS,
    STRESS_PERIOD,
    ScenarioSet,
    join_sections,
)
from margin_actors.engine.scenarios.surface_moves import VolatilityIndex
from margin_actors.market.cleansing import PriceGrid
from margin_actors.numerics.elementary import exponentials

_DAY_MS = 86_400_000.0
_YEAR_MS = 365.25 * _DAY_MS


def build_scenarios(
    prices: Mapping[str, PriceGrid],
    model: ModelParameters,
    *,
    as_of: np.datetime64,
    surfaces: Mapping[str, SurfaceHistory] | None = None,
    vol_index: Mapping[str, VolatilityIndex] | None = None,
    garch: tuple[Recursion | None, ...] | None = None,
) -> ScenarioSet:
    """Return the scenario set of a model at a time.

    Parameters
    ----------
    prices, as_of, surfaces, vol_index
        As in `build_historical`.
    model : ModelParameters
    garch : tuple of Recursion or None, optional
        Recursions already fitted by `garch_recursions`; by default they are fitted here.

    Raises
    ------
    InvalidScenario, MissingMarketData
        If the history is not sufficient; see `build_historical`.
    InvalidParameters
        If a hypothetical move names an underlying that the model does not have.
    """
    parameters = model.scenarios
    table = price_table(prices, parameters, as_of)
    recent = recent_windows(table, parameters)
    every = all_windows(table, parameters)
    wanted: dict[str, Windows] = {CORE: recent}
    notes: list[str] = []
    figures: dict[str, float] = {}
    if model.procyclicality.long_floor.enabled:
        wanted[LONG] = long_windows(table, every, model, notes)
    if model.needs_stress_period:
        period = choose_stress_period(
            table,
            every,
            model.procyclicality.stress_period,
            confidence=model.measure.confidence,
            long_years=model.procyclicality.long_floor.years,
        )
        wanted[STRESS_PERIOD] = period.windows
        notes += period.notes()
        figures["stress_period.confidence"] = period.confidence
    event_names: tuple[str, ...] = ()
    if parameters.stress.enabled:
        events, event_names, missing = event_windows(table, every, parameters.stress.events)
        wanted[STRESS] = events
        if missing:
            notes.append(f"stress days that the history does not cover: {', '.join(missing)}")
    sets = _rows_of(table, wanted, model, as_of, SurfaceSources(surfaces or {}, vol_index or {}))
    following: Filter | None = None
    if is_filtered(model):
        following = build_filter(table, parameters.filter, garch)
    sets[CORE] = core_rows(sets[CORE], table, model, following)
    if model.procyclicality.buffer.enabled:
        shares = buffer_states(table, every, model, following)
        figures |= {f"buffer.share.{u}": state.share for u, state in shares.items()}
        shown = ", ".join(f"{u} {100 * s.share:.1f} %" for u, s in shares.items())
        notes.append(f"procyclicality buffer, a share of the core: {shown}")
    if parameters.stress.enabled:
        written = hypothetical_rows(
            parameters.stress.hypothetical, parameters, sets[CORE].path_hours
        )
        sets[STRESS] = stress_rows(sets[STRESS], event_names, written)
    whole = join_sections(list(sets.items()))
    return replace(whole, notes=(*whole.notes, *notes), figures=figures)


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
    parameters = model.scenarios
    if following is not None:
        rows = filter_rows(rows, table, parameters.filter, following)
    if parameters.engine == "monte_carlo":
        rows = build_monte_carlo(rows, parameters.monte_carlo)
    return rows


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
        place: IntArray = np.searchsorted(ends, windows.end)
        part = rows.select(place)
        notes = (*sampling_notes(part, parameters), *rows.notes) if name == CORE else ()
        weight = np.full(place.size, 1.0 / max(place.size, 1))
        if name == CORE and parameters.half_life_days is not None:
            weight = _aged(part, parameters.half_life_days)
        out[name] = replace(part, weight=weight, notes=notes)
    return out


def _aged(rows: ScenarioSet, half_life_days: float) -> FloatArray:
    """Return weights with the given half-life (Boudoukh, Richardson, Whitelaw 1998); sum 1."""
    age = (rows.end_time[-1] - rows.end_time).astype(np.float64) / _DAY_MS
    weight = exponentials(-np.log(2.0) / half_life_days * age)
    return weight / weight.sum()


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


def buffer_states(
    table: PriceTable, every: Windows, model: ModelParameters, following: Filter | None
) -> dict[str, BufferState]:
    """Return the state of the buffer of each underlying at the end of the table."""
    rules = model.procyclicality.buffer
    _, margins = reference_margins(table, every, model, following)
    return {
        u: replay(full_buffer(rules), margins[i].tolist(), rules)
        for i, u in enumerate(table.underlyings)
    }
