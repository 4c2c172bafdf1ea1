"""Changes of margin over the years under each anti-procyclicality tool.

On every date the strikes of each portfolio are set again, and the portfolio is margined three
times: over the model's core scenarios, over the long lookback and over the stress days of the year.
The state of the buffer is carried from date to date. Margins are expressed as fractions of the
index price of the model's first underlying, so that they show the effect of the model and not the
price of bitcoin.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray, TimeArray
from margin_actors.engine.backtest.portfolios import benchmark_book
from margin_actors.engine.backtest.replay import (
    ReplayInputs,
    engine_rows,
    made_market,
    profits_over,
    strike_at,
)
from margin_actors.engine.measures import expected_shortfall, value_at_risk
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios.build import long_windows
from margin_actors.engine.scenarios.engines.historical import SurfaceSources, historical_rows
from margin_actors.engine.scenarios.history.volatility import Recursion
from margin_actors.engine.scenarios.history.windows import Windows, all_windows, recent_windows
from margin_actors.engine.scenarios.procyclicality.buffer import advance, full_buffer
from margin_actors.engine.scenarios.procyclicality.stress_period import choose_stress_period
from margin_actors.market.books import Book
from margin_actors.numerics.elementary import exponentials

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
    reference: FloatArray
    """float64 (n_dates, n_underlyings): VaR of an outright, the larger of long and short, as a
    fraction of its price; it drives the buffer."""
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
    """Largest rise from one date to the next, as a fraction of the earlier margin."""
    rise_5d: float
    """Largest rise over five dates, as a fraction of the earlier margin."""
    rise_30d: float
    """Largest rise over 30 dates, as a fraction of the earlier margin."""


def replay_tools(
    inputs: ReplayInputs,
    dates: TimeArray,
    *,
    advance_to: Callable[[int], None] = lambda _done: None,
) -> Procyclicality:
    """Return the margin series of the first model of `inputs` on the given dates.

    Parameters
    ----------
    inputs : ReplayInputs
    dates : datetime64[ms] array of shape (n_dates,)
        Times of the price grid, at least one.
    advance_to : callable
        Progress callback; receives the number of dates done.

    Raises
    ------
    InvalidScenario
        If the volatility index does not cover a date.
    """
    name, model = next(iter(inputs.models.items()))
    parameters, alpha = model.scenarios, model.measure.confidence
    of = expected_shortfall if model.measure.core == "es" else value_at_risk
    fitted: dict[tuple[str, int], tuple[Recursion | None, ...]] = {}
    series: list[list[FloatArray]] = [[], [], []]
    reference: list[FloatArray] = []
    levels: list[float] = []
    book = None
    for d, now in enumerate(dates):
        known = inputs.table.until(now)
        strike = strike_at(inputs, known, now)
        book = benchmark_book(strike)
        market = made_market(model, strike, book)
        every = all_windows(known, parameters)
        period = choose_stress_period(
            known,
            every,
            model.procyclicality.stress_period,
            confidence=alpha,
            long_years=model.procyclicality.long_floor.years,
        )
        # The proxies are fitted once, and the rows shared by all three margins.
        sources = SurfaceSources({}, inputs.vol_index)
        rows = historical_rows(known, every, parameters, now, sources)
        recent = rows.select(_places(every, recent_windows(known, parameters)))
        core = engine_rows(name, model, recent, known, fitted)
        long = rows.select(_places(every, long_windows(known, every, model, [])))
        stress = rows.select(_places(every, period.windows))
        sets = ((core, alpha), (long, alpha), (stress, period.confidence))
        scale = strike.index_usd[parameters.underlyings[0]]
        for kept, (part, level) in zip(series, sets, strict=True):
            kept.append(of(profits_over(market, book, part), confidence=level) / scale)
        change = exponentials(core.spot_return.T) - 1.0
        sides = [value_at_risk(side, confidence=alpha) for side in (change, -change)]
        reference.append(np.maximum(*sides))
        levels.append(period.confidence)
        advance_to(d + 1)
    assert book is not None
    holds = np.array(
        [
            [
                float(any(book.instruments[i].startswith(u) for i in _held(book, a)))
                for u in parameters.underlyings
            ]
            for a in range(len(book.accounts))
        ]
    )
    core_series, long_series, stress_series = (np.array(kept) for kept in series)
    return Procyclicality(
        time=dates,
        portfolios=book.accounts,
        core=core_series,
        long=long_series,
        stress=stress_series,
        reference=np.array(reference),
        holds=holds,
        stress_confidence=np.array(levels),
    )


def _places(every: Windows, some: Windows) -> IntArray:
    return np.searchsorted(every.end, some.end)


def _held(book: Book, account: int) -> Sequence[int]:
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
        reference=np.concatenate([p.reference for p in parts]),
        holds=lead.holds,
        stress_confidence=np.concatenate([p.stress_confidence for p in parts]),
    )


def tool_margins(series: Procyclicality, model: ModelParameters) -> dict[str, FloatArray]:
    """Return the margins under every tool, computed as in margin requirements.

    The parameters of the tools are those of the model, whether or not it enables them.

    Returns
    -------
    dict of str to float64 array of shape (n_dates, n_portfolios)
        Margins by tool (see TOOLS), as fractions of the index price.
    """
    tools = model.procyclicality
    core = np.maximum(series.core, 0.0)
    share = np.zeros_like(series.reference)
    for u in range(series.reference.shape[1]):
        state = full_buffer(tools.buffer)
        for d, margin in enumerate(series.reference[:, u]):
            state = advance(state, float(margin), tools.buffer)
            share[d, u] = state.share
    of_portfolio = (share[:, None, :] * series.holds[None, :, :]).max(axis=2)
    buffered = core * (1.0 + of_portfolio)
    weight = tools.stressed_weight.weight
    mixed = np.maximum((1.0 - weight) * core + weight * series.stress, core)
    everything = np.maximum((1.0 - weight) * buffered + weight * series.stress, buffered)
    return {
        "none": core,
        "buffer": buffered,
        "stressed weight": mixed,
        "long floor": np.maximum(core, series.long),
        "stress period floor": np.maximum(core, series.stress),
        "all": np.maximum(np.maximum(everything, series.long), series.stress),
    }


def responsiveness(
    series: Procyclicality, margins: dict[str, FloatArray]
) -> tuple[ResponsivenessRow, ...]:
    """Return statistics of the changes of margin for every portfolio and tool.

    `margins` is as returned by `tool_margins`: float64 (n_dates, n_portfolios) for each tool.
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
                    _largest_rise(path, 1),
                    _largest_rise(path, 5),
                    _largest_rise(path, 30),
                )
            )
    return tuple(rows)


def _largest_rise(path: FloatArray, days: int) -> float:
    if len(path) <= days:
        return 0.0
    before, after = path[:-days], path[days:]
    return float((after / np.maximum(before, 1e-12)).max()) - 1.0
