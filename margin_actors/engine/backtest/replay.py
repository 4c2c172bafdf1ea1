"""Historical replay: scenarios and margins on each past date, and the profits realised afterwards.

The margin of a date uses only data known by then: prices and the volatility index up to the date,
and parameters fitted to them. Recorded option chains are not used: the smile of a date is flat at
the volatility index and moves with it, as `surface_moves = "index"` describes. Realised profits are
computed over the margin period of risk from the subsequent prices and index values, with the time
to expiry of each contract held constant, as in the margin calculation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np

from margin_actors.arrays import FloatArray, TimeArray
from margin_actors.engine.backtest.portfolios import MarketLevels, benchmark_book
from margin_actors.engine.margin import (
    PreparedMarket,
    measures_over,
    prepare_book,
    prepare_inputs,
    prepare_market,
    price_own_slice,
    sample_of,
    slice_pnl,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet, VolatilityIndex
from margin_actors.engine.scenarios.build import core_rows, is_filtered
from margin_actors.engine.scenarios.engines.filtered import (
    Filter,
    build_filter,
    garch_recursions,
)
from margin_actors.engine.scenarios.engines.historical import SurfaceSources, historical_rows
from margin_actors.engine.scenarios.history.volatility import Recursion
from margin_actors.engine.scenarios.history.windows import (
    PriceTable,
    Windows,
    price_table,
    recent_windows,
)
from margin_actors.engine.scenarios.sets.scenario_set import MONEYNESS, Provenance
from margin_actors.engine.scenarios.surface_moves import index_spread
from margin_actors.errors import InvalidScenario, Problem
from margin_actors.market.books import Book
from margin_actors.market.cleansing import PriceGrid
from margin_actors.market.instruments import EXPIRY_HOUR_UTC
from margin_actors.market.snapshots import (
    ExpiryForward,
    MarketSnapshot,
    OptionQuotes,
    tenor_years,
)
from margin_actors.market.surfaces import VolatilitySurface
from margin_actors.market.surfaces.svi import SviSlice

NEAR_DAYS, FAR_DAYS = 30, 90

GarchFits: TypeAlias = dict[tuple[str, int], tuple[Recursion | None, ...]]
"""GARCH recursions of the underlyings by engine name and refit period, so that each is fitted
once."""


@dataclass(frozen=True)
class ReplayInputs:
    """Price and volatility index histories, and the models to replay."""

    table: PriceTable
    vol_index: Mapping[str, VolatilityIndex]
    """Volatility index of each underlying."""
    models: Mapping[str, ModelParameters]
    """Models by engine name; all have the same underlyings, horizon, step and windows."""
    confidences: tuple[float, ...]
    """Confidence levels of VaR and ES, each in (0, 1)."""

    @property
    def lead(self) -> ModelParameters:
        """The first model; all models use its windows."""
        return next(iter(self.models.values()))


@dataclass(frozen=True)
class ReplayResult:
    """Margins and realised profits of every portfolio on every date, in US dollars."""

    portfolios: tuple[str, ...]
    engines: tuple[str, ...]
    confidences: tuple[float, ...]
    time: TimeArray
    """datetime64[ms] (n_dates,)."""
    var_usd: FloatArray
    """float64 (n_dates, n_engines, n_confidences, n_portfolios); a loss is positive."""
    es_usd: FloatArray
    """float64 (n_dates, n_engines, n_confidences, n_portfolios); a loss is positive."""
    profit_usd: FloatArray
    """float64 (n_dates, n_portfolios): profit over the horizon after the date; a profit is
    positive."""


def replay_inputs(
    prices: Mapping[str, PriceGrid],
    vol_index: Mapping[str, VolatilityIndex],
    models: Mapping[str, ModelParameters],
    confidences: Sequence[float],
) -> ReplayInputs:
    """Return the inputs of a replay.

    Parameters
    ----------
    prices : mapping of str to PriceGrid
        Price history of each underlying.
    vol_index : mapping of str to VolatilityIndex
        Volatility index of each underlying.
    models : mapping of str to ModelParameters
        At least one model, by engine name; all must use the same windows.
    confidences : sequence of float
        Confidence levels of VaR and ES, each in (0, 1).

    Raises
    ------
    InvalidScenario
        If the models use different windows, or the price grids do not fit the model.
    MissingMarketData
        If an underlying has no prices.
    """
    lead = next(iter(models.values()))
    same = ("underlyings", "windows", "horizon_hours", "extension_hours", "step_hours", "sampling")
    problems = [
        Problem(f"{name}, scenarios.{field}", f"{getattr(model.scenarios, field)}")
        for name, model in models.items()
        for field in same
        if getattr(model.scenarios, field) != getattr(lead.scenarios, field)
    ]
    if problems:
        raise InvalidScenario("the models to compare use different windows", problems)
    last = max(grid.time[-1] for grid in prices.values())
    table = price_table(prices, lead.scenarios, last)
    return ReplayInputs(table, vol_index, dict(models), tuple(confidences))


def replay_dates(inputs: ReplayInputs, dates: TimeArray) -> ReplayResult:
    """Return margins and profits of the benchmark portfolios on the given dates.

    Parameters
    ----------
    inputs : ReplayInputs
    dates : datetime64[ms] array of shape (n_dates,)
        Times of the price grid, at least one.

    Raises
    ------
    InvalidScenario
        If the volatility index does not cover a date, or no price closes its window.
    """
    table, engines = inputs.table, tuple(inputs.models)
    n, n_alpha = dates.size, len(inputs.confidences)
    names: tuple[str, ...] = ()
    var = es = profit = np.empty(0)
    fitted: GarchFits = {}
    for d, now in enumerate(dates):
        known = table.until(now)
        levels = market_levels_at(inputs, known, now)
        book = benchmark_book(levels)
        market = flat_smile_market(inputs.lead, levels, book)
        if d == 0:
            names = book.accounts
            shape = (n, len(engines), n_alpha, len(names))
            var, es, profit = np.empty(shape), np.empty(shape), np.empty((n, len(names)))
        rows = known_rows(inputs, known, now)
        for e, (name, model) in enumerate(inputs.models.items()):
            core = core_rows(rows, known, model, filter_at(name, model, known, fitted))
            pnl, sample = profits_over(market, book, core), sample_of(core, model)
            for c, confidence in enumerate(inputs.confidences):
                at = replace(sample, confidence=confidence)
                var[d, e, c], es[d, e, c] = measures_over(pnl, at)
        profit[d] = profits_over(market, book, _realised_move(inputs, now))[:, 0]
    return ReplayResult(names, engines, inputs.confidences, dates, var, es, profit)


def join_replays(parts: Sequence[ReplayResult]) -> ReplayResult:
    """Return the results of consecutive date ranges joined along the dates, in the given order."""
    lead = parts[0]
    return ReplayResult(
        lead.portfolios,
        lead.engines,
        lead.confidences,
        np.concatenate([p.time for p in parts]),
        np.concatenate([p.var_usd for p in parts]),
        np.concatenate([p.es_usd for p in parts]),
        np.concatenate([p.profit_usd for p in parts]),
    )


def known_rows(inputs: ReplayInputs, known: PriceTable, now: np.datetime64) -> ScenarioSet:
    """Return the historical scenarios of a date, from which every engine derives its own."""
    parameters = inputs.lead.scenarios
    windows = recent_windows(known, parameters)
    return historical_rows(known, windows, parameters, now, SurfaceSources({}, inputs.vol_index))


def filter_at(
    name: str, model: ModelParameters, known: PriceTable, fitted: GarchFits
) -> Filter | None:
    """Return the filter of an engine on a date, or None if the model does not filter.

    `known` are the prices up to the date; GARCH recursions are taken from `fitted`, or added to it.
    """
    if not is_filtered(model):
        return None
    rules = model.scenarios.filter
    garch = None
    if rules.volatility == "garch":
        days = int(known.time[known.last].astype("datetime64[D]").astype(np.int64))
        key = name, days // rules.garch_refit_days
        if key not in fitted:
            fitted[key] = garch_recursions(known, rules)
        garch = fitted[key]
    return build_filter(known, rules, garch)


def market_levels_at(inputs: ReplayInputs, known: PriceTable, now: np.datetime64) -> MarketLevels:
    """Return the prices and volatilities from which the strikes of a date are set.

    Raises
    ------
    InvalidScenario
        If the volatility index does not cover `now`.
    """
    time = now.astype("datetime64[ms]").astype(datetime).replace(tzinfo=UTC)
    expiries = [
        (time + timedelta(days=days)).replace(hour=EXPIRY_HOUR_UTC, minute=0, second=0)
        for days in (NEAR_DAYS, FAR_DAYS)
    ]
    index = {u: float(np.exp(known.ln_price[i, -1])) for i, u in enumerate(known.underlyings)}
    vol = {
        u: float(np.exp(_index_values(inputs, u, np.array([now]))[0])) / 100.0
        for u in known.underlyings
    }
    return MarketLevels(time, expiries[0], expiries[1], index, vol)


def _index_values(inputs: ReplayInputs, underlying: str, wanted: TimeArray) -> FloatArray:
    """Return the natural logarithm of the volatility index, interpolated at the times `wanted`.

    Raises
    ------
    InvalidScenario
        If the index does not cover one of the times.
    """
    index = inputs.vol_index[underlying]
    values = index.ln_at(wanted)
    if np.isnan(values).any():
        raise InvalidScenario(
            f"the volatility index of {underlying} does not cover every date",
            [
                Problem(
                    "dates",
                    f"{wanted[np.isnan(values)][0]}",
                    f"choose dates from {index.time[0]} to {index.time[-1]}",
                )
            ],
        )
    return values


def flat_smile_market(model: ModelParameters, levels: MarketLevels, book: Book) -> PreparedMarket:
    """Return the market of a date.

    Smiles are flat at the volatility index, forwards equal the spot price, and there are no quotes.
    """
    none = np.empty(0)
    expiries = tuple(
        ExpiryForward(u, expiry, levels.index_usd[u], tenor_years(levels.now, expiry))
        for u in levels.index_usd
        for expiry in (levels.near, levels.far)
    )
    quotes = OptionQuotes(
        (),
        np.empty(0, np.int32),
        none,
        np.empty(0, np.bool_),
        np.empty(0, np.bool_),
        none,
        none,
        none,
        none,
        none,
        none,
    )
    snapshot = MarketSnapshot(levels.now, dict(levels.index_usd), expiries, quotes)
    surfaces = {
        u: VolatilitySurface(
            u,
            "svi",
            tuple(e for e in expiries if e.underlying == u),
            tuple(
                SviSlice(levels.vol[u] ** 2 * e.tenor_years, 0.0, 0.0, 0.0, 1.0)
                for e in expiries
                if e.underlying == u
            ),
            (),
        )
        for u in levels.index_usd
    }
    return prepare_market(snapshot, model, names=book.instruments, surfaces=surfaces)


def profits_over(market: PreparedMarket, book: Book, rows: ScenarioSet) -> FloatArray:
    """Return the profit of every portfolio in every scenario.

    The array is float64 of shape (n_portfolios, n_scenarios), in US dollars; a profit is positive.
    """
    prepared = prepare_book(market, book, prepare_inputs(market, rows))
    found = slice_pnl(price_own_slice(market, rows, 0), prepared, keep_pnl=True)
    assert found.accounts.pnl is not None
    return found.accounts.pnl * prepared.holdings.quantum_usd


def _realised_move(inputs: ReplayInputs, now: np.datetime64) -> ScenarioSet:
    """Return the realised move over the horizon after a date as a set of one scenario.

    Raises
    ------
    InvalidScenario
        If a price at either end of the window is missing, or the volatility index does not cover
        it.
    """
    table, parameters = inputs.table, inputs.lead.scenarios
    start = int(np.searchsorted(table.time, now))
    end = start + table.length
    if end >= table.time.size or not table.complete[[start, end]].all():
        raise InvalidScenario(
            f"a price at the start or the end of the window that starts at {now} is missing",
            [Problem("dates", str(now), "end the dates earlier")],
        )
    window = Windows(np.array([start]), np.array([end]))
    bare = parameters.model_copy(update={"surface_moves": "none"})
    row = historical_rows(table, window, bare, table.time[end], SurfaceSources({}, {}))
    spread = index_spread(parameters)
    vol = np.zeros_like(row.vol_change)
    for i, u in enumerate(parameters.underlyings):
        ends = _index_values(inputs, u, table.time[[start, end]])
        vol[0, i] = np.repeat((ends[1] - ends[0]) * spread[:, None], len(MONEYNESS), axis=1)
    provenance = np.full(
        (1, len(parameters.underlyings)), Provenance.PROXIED_BY_VOL_INDEX, np.uint8
    )
    return ScenarioSet(
        engine="historical",
        underlyings=row.underlyings,
        horizon_hours=row.horizon_hours,
        start_time=row.start_time,
        end_time=row.end_time,
        spot_return=row.spot_return,
        path_hours=row.path_hours,
        path_return=row.path_return,
        basis_change=row.basis_change,
        vol_change=vol,
        weight=row.weight,
        provenance=provenance,
    )
