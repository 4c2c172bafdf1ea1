"""Backtest of a given book on recorded markets: margins on a date and the profits that followed.

The book is held unchanged. On each date the margin covers the positions that are listed both then
and at the end of the margin period of risk. Positions that expire in between, or are not listed on
both dates, are excluded from margin and profit, and counted. Profits are differences of marked
values with the time to expiry held constant, as in the margin calculation: the later market's
volatilities and forwards are applied to the maturities of the earlier market.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin import (
    calculate_margin,
    measures_over,
    prepare_market,
    sample_of,
    screened_snapshot,
)
from margin_actors.engine.margin.margins import position_sums
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import total_deviations
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book, select_instruments
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.numerics.black76 import black76_price


@dataclass(frozen=True)
class BookDate:
    """Margins and realised profits of a book on one date, in US dollars."""

    var_usd: FloatArray
    """float64 (n_engines, n_confidences, n_accounts); a loss is positive."""
    es_usd: FloatArray
    """float64 (n_engines, n_confidences, n_accounts); a loss is positive."""
    profit_usd: FloatArray
    """float64 (n_accounts,); a profit is positive."""
    held: int
    """Number of positions margined."""
    left_out: int
    """Number of positions excluded."""


def margin_and_outcome(
    now: MarketSnapshot,
    then: MarketSnapshot,
    book: Book,
    engines: Mapping[str, tuple[ModelParameters, ScenarioSet]],
    confidences: tuple[float, ...],
) -> BookDate:
    """Return the margins of a book on a date and its profits until the next snapshot.

    Parameters
    ----------
    now, then : MarketSnapshot
        Markets on the margin date and at the end of the margin period of risk.
    book : Book
    engines : mapping of str to (ModelParameters, ScenarioSet)
        Models by name, each with its scenario set of the date. All must use the same smiles; the
        first model also values the book for the realised profits.
    confidences : tuple of float
        Confidence levels of VaR and ES, each in (0, 1).
    """
    first = next(iter(engines.values()))[0]
    now, then = screened_snapshot(now, first), screened_snapshot(then, first)
    kept = _listed_in_both(book, now, then)
    part = select_instruments(book, kept)
    shape = (len(engines), len(confidences), len(book.accounts))
    var, es = np.zeros(shape), np.zeros(shape)
    for e, (model, scenarios) in enumerate(engines.values()):
        result = calculate_margin(now, scenarios, part, model, keep_pnl=True).complete()
        assert result.pnl_usd is not None
        sample = sample_of(scenarios, model)
        for c, confidence in enumerate(confidences):
            at = replace(sample, confidence=confidence)
            var[e, c], es[e, c] = measures_over(result.pnl_usd[:, : sample.n_scenarios], at)
    profit = position_sums(
        _unit_profits(now, then, part, first), part.start, part.instrument_index, part.quantity
    )
    return BookDate(var, es, profit, part.n_positions, book.n_positions - part.n_positions)


def _listed_in_both(book: Book, now: MarketSnapshot, then: MarketSnapshot) -> np.ndarray:
    """Return, as bool (n_instruments,), which instruments of the book are kept.

    A dated instrument must expire after the second date and have its expiry listed on both dates,
    an option also a mark volatility. Perpetuals and spot require an index price on both dates.
    """
    out = np.zeros(len(book.instruments), np.bool_)
    for i, name in enumerate(book.instruments):
        instrument = instrument_from_name(name)
        if instrument.expiry is None:
            out[i] = all(instrument.underlying in market.index_usd for market in (now, then))
        elif instrument.expiry > then.time:
            key = instrument.underlying, instrument.expiry
            out[i] = key in now.expiry_row and key in then.expiry_row
            if instrument.kind is Kind.OPTION:
                for market in (now, then):
                    row = market.option_row.get(name)
                    has_mark = row is not None and np.isfinite(market.options.mark_vol[row])
                    out[i] = out[i] and has_mark
    return out


def _unit_profits(
    now: MarketSnapshot, then: MarketSnapshot, book: Book, model: ModelParameters
) -> FloatArray:
    """Return the profit of one unit of each instrument between the snapshots.

    The array is float64 of shape (n_instruments,), in US dollars; a profit is positive.
    """
    rules = model.revaluation
    market = prepare_market(now, model, names=book.instruments)
    contracts = market.contracts
    today = total_deviations(contracts, rules)
    out = np.empty(len(contracts))
    for i, name in enumerate(contracts.names):
        instrument = instrument_from_name(name)
        curve = contracts.curves[contracts.curve[i]]
        level = then.index_usd[instrument.underlying]
        if instrument.expiry is not None:
            row = then.expiry_row[instrument.underlying, instrument.expiry]
            level = then.expiries[row].forward_usd
        if instrument.kind is not Kind.OPTION:
            out[i] = contracts.unit_value[i] * (level - curve.level_usd)
            if instrument.kind is Kind.SPOT:
                out[i] = level - curve.level_usd
            continue
        vol = then.options.mark_vol[then.option_row[name]]
        values: list[float] = []
        for forward, index, deviation in (
            (curve.level_usd, now.index_usd[instrument.underlying], today[i]),
            (level, then.index_usd[instrument.underlying], vol * np.sqrt(curve.tenor_years)),
        ):
            price = black76_price(
                np.array([forward]),
                np.array([instrument.strike]),
                np.array([deviation]),
                np.array([bool(instrument.is_call)]),
            )[0]
            scale = curve.discount if curve.discount is not None else index / forward
            values.append(scale * float(price))
        out[i] = values[1] - values[0]
    return out
