"""One account in one scenario: the inputs of every price before and after the scenario."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin import PreparedMarket, applied_scenarios
from margin_actors.engine.pricing import FIELDS, LINEAR
from margin_actors.engine.revaluation import build_cube, total_deviations
from margin_actors.engine.revaluation.states import curve_states
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book
from margin_actors.numerics.black76 import black76_implied_deviation, black76_price


@dataclass(frozen=True, slots=True)
class TracedPosition:
    """A position before and after a scenario; amounts in US dollars, volatilities annual."""

    instrument: str
    quantity: float
    tenor_years: float
    strike_usd: float
    """NaN for everything except options."""
    forward_usd: float
    """Forward before the scenario; for perpetuals and spot, the index."""
    forward_after_usd: float
    vol: float
    """NaN for everything except options."""
    vol_after: float
    """Volatility implied by the price after the scenario; NaN for everything except options, and if
    the price is intrinsic value alone or too coarsely rounded to imply a volatility."""
    scale: float
    """US dollars of value per dollar of undiscounted price: S / F for inverse options, the discount
    factor for linear ones; NaN for everything except options."""
    scale_after: float
    unit_value_usd: float
    """Value of one unit before the scenario and before daily settlement."""
    unit_value_after_usd: float
    profit_usd: float
    """Quantity times the difference of the unit values, which is a whole number of ticks per lot if
    the model rounds."""


def trace_account(
    market: PreparedMarket, book: Book, account: int, scenarios: ScenarioSet, row: int
) -> tuple[TracedPosition, ...]:
    """Return every position of an account before and after one row of a scenario set.

    The profits sum to the account's profit in that row. With B76 the undiscounted Black formula, an
    option's unit value before is scale * B76(forward, strike, vol * sqrt(tenor)); likewise after.

    Parameters
    ----------
    market : PreparedMarket
        With at least the account's instruments.
    book : Book
    account : int
        Index of the account in the book.
    scenarios : ScenarioSet
        As built; its surface moves are repaired here as in the calculation.
    row : int
        Row of the set.
    """
    contracts, rules = market.contracts, market.model.revaluation
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
        moved = float(cube.values[0, i, 0] / contracts.ticks_per_usd[i])
        now, then = float(market.value_today[i]), float(market.value_today[i]) + moved
        tenor = float(tenors[c])
        forward, scale = _forward_and_scale(after[c])
        forward_before, scale_before = _forward_and_scale(before[c])
        vol = vol_after = np.nan
        if is_option:
            vol = float(deviation[i]) / np.sqrt(tenor)
            vol_after = _implied(then / scale, forward, contracts.strike[i], contracts.sign[i])
            vol_after /= np.sqrt(tenor)
        out.append(
            TracedPosition(
                instrument=name,
                quantity=float(book.quantity[p]),
                tenor_years=tenor,
                strike_usd=float(contracts.strike[i]) if is_option else np.nan,
                forward_usd=forward_before,
                forward_after_usd=forward,
                vol=vol,
                vol_after=vol_after,
                scale=scale_before if is_option else np.nan,
                scale_after=scale if is_option else np.nan,
                unit_value_usd=now,
                unit_value_after_usd=then,
                profit_usd=float(book.quantity[p]) * moved,
            )
        )
    return tuple(out)


def _forward_and_scale(state: FloatArray) -> tuple[float, float]:
    """Return the forward and the value scale of a curve's state; see `curve_states`.

    `state` is float64 (n_fields, TILE), of which the first column is used: US dollars, and US
    dollars of value per dollar of undiscounted price.
    """
    return float(state[FIELDS.forward, 0]), float(state[FIELDS.value_scale, 0])


def _implied(price: float, forward: float, strike: float, sign: float) -> float:
    """Return sigma * sqrt(T) of an undiscounted price; NaN if only intrinsic value is left.

    Computed from the out-of-the-money side, where less precision is lost to cancellation.
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
    # Far from the money, a price rounded to ticks does not determine the volatility: return NaN.
    again = black76_price(np.array([forward]), np.array([strike]), found, is_call)
    return deviation if abs(float(again[0]) - outer) <= 1e-3 + 1e-9 * forward else np.nan
