"""Changes of margin over the years under each anti-procyclicality tool.

On every date the strikes of each portfolio are set again, and the portfolio is margined three
times: over the model's core scenarios, over the long lookback and over the stress days of the year.
The state of the buffer is carried from date to date. Margins are expressed as fractions of the
index price of the model's first underlying, so that they show the effect of the model and not the
price of bitcoin.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray, TimeArray
from margin_actors.engine.backtest.portfolios import benchmark_book
from margin_actors.engine.backtest.replay import (
    GarchFits,
    ReplayInputs,
    filter_at,
    flat_smile_market,
    market_levels_at,
    profits_over,
)
from margin_actors.engine.backtest.responsiveness import largest_rise
from margin_actors.engine.margin import measures_over, sample_of
from margin_actors.engine.measures import expected_shortfall, value_at_risk
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios.build import (
    drawn_rows,
    long_windows,
    scaled_rows,
    stress_period_of,
    weighted_rows,
)
from margin_actors.engine.scenarios.engines.historical import SurfaceSources, historical_rows
from margin_actors.engine.scenarios.history.windows import Windows, all_windows, recent_windows
from margin_actors.engine.scenarios.procyclicality import (
    advance,
    blended,
    buffer_amount,
    floor_amount,
    full_buffer,
    pooled_weights,
    reference_margin,
    stressed_weight_amount,
)
from margin_actors.market.books import Book
from margin_actors.market.instruments import instrument_from_name

TOOLS: tuple[str, ...] = (
    "none",
    "buffer",
    "stressed weight",
    "long floor",
    "stress period floor",
    "all",
)
"""Tools compared: the core without a tool, each tool on its own, and all tools together."""


@dataclass(frozen=True)
class Procyclicality:
    """Margin series of one model; margins are fractions of the index price, a loss is positive."""

    time: TimeArray
    """datetime64[ms] (n_dates,)."""
    portfolios: tuple[str, ...]
    core: FloatArray
    """float64 (n_dates, n_portfolios): measure over the core scenarios."""
    long: FloatArray
    """float64 (n_dates, n_portfolios): measure over the long lookback."""
    stress: FloatArray
    """float64 (n_dates, n_portfolios): measure over the stress days."""
    weighted: FloatArray
    """float64 (n_dates, n_portfolios): weighted measure of the stressed weight, in the model's
    form."""
    reference: FloatArray
    """float64 (n_dates, n_underlyings): reference margin as of the date, from which the buffer
    follows; see `reference_margins`."""
    holds: FloatArray
    """float64 (n_portfolios, n_underlyings): 1 if the portfolio holds the underlying, else 0."""
    stress_confidence: FloatArray
    """float64 (n_dates,): confidence level over the stress days, calibrated once a year."""


@dataclass(frozen=True, slots=True)
class ResponsivenessRow:
    """Changes of one portfolio's margin under one tool."""

    portfolio: str
    tool: str
    """One of TOOLS."""
    mean: float
    """Mean margin, as a fraction of the index price."""
    peak_to_trough: float
    """Largest margin divided by smallest margin."""
    rise_1d: float
    """Largest rise over one day, as a fraction of the earlier margin."""
    rise_5d: float
    """Largest rise over five days, as a fraction of the earlier margin."""
    rise_30d: float
    """Largest rise over 30 days, as a fraction of the earlier margin."""


@dataclass(frozen=True)
class _DateSeries:
    """One date of `Procyclicality`."""

    book: Book
    core: FloatArray
    long: FloatArray
    stress: FloatArray
    weighted: FloatArray
    """float64 (n_portfolios,), as fractions of the index price."""
    reference: FloatArray
    """float64 (n_underlyings,)."""
    stress_confidence: float


def replay_tools(inputs: ReplayInputs, dates: TimeArray) -> Procyclicality:
    """Return the margin series of the first model of `inputs` on the given dates.

    Parameters
    ----------
    inputs : ReplayInputs
    dates : datetime64[ms] array of shape (n_dates,)
        Times of the price grid, at least one.

    Raises
    ------
    InvalidScenario
        If the volatility index does not cover a date.
    """
    fitted: GarchFits = {}
    series = [_series_at(inputs, now, fitted) for now in dates]
    underlyings, book = inputs.lead.scenarios.underlyings, series[-1].book
    of = [instrument_from_name(name).underlying for name in book.instruments]
    holds = np.array(
        [
            [float(any(of[i] == u for i in _instruments_of(book, a))) for u in underlyings]
            for a in range(len(book.accounts))
        ]
    )
    return Procyclicality(
        time=dates,
        portfolios=book.accounts,
        core=np.array([date.core for date in series]),
        long=np.array([date.long for date in series]),
        stress=np.array([date.stress for date in series]),
        weighted=np.array([date.weighted for date in series]),
        reference=np.array([date.reference for date in series]),
        holds=holds,
        stress_confidence=np.array([date.stress_confidence for date in series]),
    )


def _series_at(inputs: ReplayInputs, now: np.datetime64, fitted: GarchFits) -> _DateSeries:
    name, model = next(iter(inputs.models.items()))
    parameters, alpha = model.scenarios, model.measure.confidence
    known = inputs.table.until(now)
    levels = market_levels_at(inputs, known, now)
    book = benchmark_book(levels)
    market = flat_smile_market(model, levels, book)
    every = all_windows(known, parameters)
    period = stress_period_of(known, every, model)
    # The proxies are fitted once, and the rows shared by all three margins.
    rows = historical_rows(known, every, parameters, now, SurfaceSources({}, inputs.vol_index))
    recent = rows.select(_indices(every, recent_windows(known, parameters)))
    weighted_recent = weighted_rows(recent, model)
    scaled = scaled_rows(weighted_recent, known, filter_at(name, model, known, fitted))
    core_section = drawn_rows(scaled, model)
    core, sample = profits_over(market, book, core_section), sample_of(core_section, model)
    long_rows = rows.select(_indices(every, long_windows(known, every, model, [])))
    long = profits_over(market, book, long_rows)
    stress = profits_over(market, book, rows.select(_indices(every, period.windows)))
    of = expected_shortfall if model.measure.core == "es" else value_at_risk
    core_measure = measures_over(core, sample)[model.measure.core == "es"]
    stress_measure = of(stress, confidence=period.confidence)
    tool = model.procyclicality.stressed_weight
    if tool.form == "blend":
        weighted = blended(np.maximum(core_measure, 0.0), stress_measure, tool.weight)
    else:
        pooled = pooled_weights(core_section.weight, stress.shape[1], tool.weight)
        weighted = of(np.hstack([core, stress]), confidence=alpha, weight=pooled)
    scale = levels.index_usd[parameters.underlyings[0]]
    return _DateSeries(
        book,
        core_measure / scale,
        of(long, confidence=alpha) / scale,
        stress_measure / scale,
        weighted / scale,
        reference_margin(scaled.spot_return, confidence=alpha),
        period.confidence,
    )


def _indices(every: Windows, some: Windows) -> IntArray:
    return np.searchsorted(every.end, some.end)


def _instruments_of(book: Book, account: int) -> Sequence[int]:
    held = book.instrument_index[int(book.start[account]) : int(book.start[account + 1])]
    return held.tolist()


def join_series(parts: Sequence[Procyclicality]) -> Procyclicality:
    """Return the series of consecutive date ranges joined along the dates, in the given order."""
    lead = parts[0]
    return Procyclicality(
        time=np.concatenate([p.time for p in parts]),
        portfolios=lead.portfolios,
        core=np.concatenate([p.core for p in parts]),
        long=np.concatenate([p.long for p in parts]),
        stress=np.concatenate([p.stress for p in parts]),
        weighted=np.concatenate([p.weighted for p in parts]),
        reference=np.concatenate([p.reference for p in parts]),
        holds=lead.holds,
        stress_confidence=np.concatenate([p.stress_confidence for p in parts]),
    )


def tool_margins(series: Procyclicality, model: ModelParameters) -> dict[str, FloatArray]:
    """Return the margins under every tool, computed as in margin requirements.

    The parameters of the tools are those of the model, whether or not it enables them. The buffer
    is full before the first date of the series; in a requirement, before the first day of the
    price history.

    Parameters
    ----------
    series : Procyclicality
    model : ModelParameters
        The model of the series.

    Returns
    -------
    dict of str to float64 array of shape (n_dates, n_portfolios)
        Margins by tool (see TOOLS), as fractions of the index price.
    """
    rules = model.procyclicality.buffer
    core = np.maximum(series.core, 0.0)
    share = np.zeros_like(series.reference)
    for u in range(series.reference.shape[1]):
        state = full_buffer(rules)
        for d, margin in enumerate(series.reference[:, u]):
            state = advance(state, float(margin), rules)
            share[d, u] = state.share
    of_portfolio = (share[:, None, :] * series.holds[None, :, :]).max(axis=2)
    buffered = core + buffer_amount(core, of_portfolio)
    weight_added = stressed_weight_amount(core, series.weighted)
    before_floors = buffered + weight_added
    long, stress = series.long, series.stress
    return {
        "none": core,
        "buffer": buffered,
        "stressed weight": core + weight_added,
        "long floor": core + floor_amount(core, (long,)),
        "stress period floor": core + floor_amount(core, (stress,)),
        "all": before_floors + floor_amount(before_floors, (long, stress)),
    }


def responsiveness(
    series: Procyclicality, margins: dict[str, FloatArray]
) -> tuple[ResponsivenessRow, ...]:
    """Return statistics of the changes of margin for every portfolio and tool.

    `margins` is as returned by `tool_margins`: float64 (n_dates, n_portfolios) for each
    tool, as a fraction of the index.
    """
    rows: list[ResponsivenessRow] = []
    for p, portfolio in enumerate(series.portfolios):
        for tool, values in margins.items():
            path = values[:, p]
            rows.append(
                ResponsivenessRow(
                    portfolio,
                    tool,
                    float(path.mean()),
                    float(path.max()) / max(float(path.min()), 1e-12),
                    largest_rise(series.time, path, 1),
                    largest_rise(series.time, path, 5),
                    largest_rise(series.time, path, 30),
                )
            )
    return tuple(rows)
