"""One account in one scenario: every input of every price, before and after."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin import PreparedMarket
from margin_actors.engine.margin.slabs import applied_scenarios
from margin_actors.engine.pricing import FIELDS, LINEAR
from margin_actors.engine.revaluation import build_cube, total_deviations
from margin_actors.engine.revaluation.states import curve_states
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.portfolios import Book
from margin_actors.numerics.black76 import black76_implied_deviation, black76_price


@dataclass(frozen=True, slots=True)
class TracedPosition:
    """A position before and after a scenario; money is US dollars, volatilities annual."""

    instrument: str
    quantity: float
    tenor_years: float
    strike_usd: float
    """NaN but for options."""
    forward_usd: float
    """Forward, or index of perpetuals and spot."""
    forward_after_usd: float
    vol: float
    """NaN but for options."""
    vol_after: float
    """The volatility that gives the price after; NaN where the price is intrinsic."""
    scale: float
    """US dollars a dollar of undiscounted price: S / F of inverse options, else a discount."""
    scale_after: float
    unit_value_usd: float
    """Value of one unit before."""
    unit_value_after_usd: float
    profit_usd: float
    """quantity times the difference, rounded to ticks where the model rounds."""


def trace_account(
    market: PreparedMarket, book: Book, account: int, scenarios: ScenarioSet, row: int
) -> tuple[TracedPosition, ...]:
    """Return every position of an account in one row of a scenario set.

    The profits add up to the account's profit in that row. With Black's formula, undiscounted, the
    value before is scale * B76(forward, strike, vol * sqrt(tenor)), and likewise after.

    Parameters
    ----------
    market : PreparedMarket
        At least the book's instruments laid out.
    book : Book
    account : int
    scenarios : ScenarioSet
        As built: repaired here as the calculation repairs it.
    row : int
    """
    contracts, rules = market.contracts, market.parameters.revaluation
    applied, _ = applied_scenarios(market, scenarios.rows(row, row + 1))
    cube = build_cube(contracts, market.snapshot, applied, rules, base_value=market.value_today)
    before = curve_states(contracts, market.snapshot, None, rules)[0]
    after = curve_states(contracts, market.snapshot, applied, rules)[0]
    tenors = np.array([c.tenor_years for c in contracts.curves])
    deviation = total_deviations(contracts, rules)
    out: list[TracedPosition] = []
    for p in range(int(book.start[account]), int(book.start[account + 1])):
        name = book.instruments[book.instrument_index[p]]
        i = contracts.place[name]
        c, is_option = int(contracts.curve[i]), contracts.kind[i] != LINEAR
        quantity = float(book.quantity[p])
        moved = float(cube.values[0, i, 0] / contracts.ticks_per_usd[i])
        now, then = float(market.value_today[i]), float(market.value_today[i]) + moved
        tenor = float(tenors[c])
        forward = float(after[c, FIELDS.forward, 0])
        scale = float(after[c, FIELDS.value_scale, 0])
        vol = vol_after = np.nan
        if is_option:
            vol = float(deviation[i]) / np.sqrt(tenor)
            vol_after = _implied(then / scale, forward, contracts.strike[i], contracts.sign[i])
            vol_after /= np.sqrt(tenor)
        out.append(
            TracedPosition(
                instrument=name,
                quantity=quantity,
                tenor_years=tenor,
                strike_usd=float(contracts.strike[i]) if is_option else np.nan,
                forward_usd=float(before[c, FIELDS.forward, 0]),
                forward_after_usd=forward,
                vol=vol,
                vol_after=vol_after,
                scale=float(before[c, FIELDS.value_scale, 0]) if is_option else np.nan,
                scale_after=scale if is_option else np.nan,
                unit_value_usd=now,
                unit_value_after_usd=then,
                profit_usd=quantity * moved,
            )
        )
    return tuple(out)


def _implied(price: float, forward: float, strike: float, sign: float) -> float:
    """Return sigma * sqrt(T) of an undiscounted price, NaN where only intrinsic value is left.

    Read from the out-of-the-money side, where little is lost.
    """
    intrinsic = max(sign * (forward - strike), 0.0)
    outer = max(price - intrinsic, 0.0)
    is_call = np.array([forward <= strike])
    found: FloatArray = black76_implied_deviation(
        np.array([outer]), np.array([forward]), np.array([strike]), is_call
    )
    deviation = float(found[0])
    if not deviation > 0.0:
        return np.nan
    # A price rounded to ticks far from the money says little; give nothing rather than noise.
    again = black76_price(np.array([forward]), np.array([strike]), found, is_call)
    return deviation if abs(float(again[0]) - outer) <= 1e-3 + 1e-9 * forward else np.nan
