"""Plausibility of the market that is margined, against the price history and common bounds."""

from collections.abc import Mapping

import numpy as np

from margin_actors.errors import Problem
from margin_actors.market.cleansing.report import PriceGrid
from margin_actors.market.cleansing.rules import PlausibilityLimits
from margin_actors.market.instruments import expiry_label
from margin_actors.market.snapshots import MarketSnapshot

_SECTION = "quality.plausibility"


def implausible_prices(
    snapshot: MarketSnapshot, prices: Mapping[str, PriceGrid], limits: PlausibilityLimits
) -> list[Problem]:
    """Return a problem for each index price and forward that is beyond a limit.

    Parameters
    ----------
    snapshot : MarketSnapshot
    prices : mapping of str to PriceGrid
        Cleansed price history of each underlying, US dollars, up to the snapshot's time. An index
        without a history is not compared.
    limits : PlausibilityLimits
    """
    problems: list[Problem] = []
    for underlying, index in snapshot.index_usd.items():
        last = _last_price(prices.get(underlying))
        if limits.index_move_max is None or last is None:
            continue
        time, close = last
        move = float(np.log(index / close))
        if not abs(move) <= limits.index_move_max:
            problems.append(
                _problem(
                    f"index of {underlying}",
                    f"{index:,.10g} US dollars is {index / close:,.4g} times the last price of the "
                    f"history, {close:,.10g} at {np.datetime_as_string(time, 'm')} UTC: the "
                    f"logarithm of the ratio is {move:+.3f}, and the limit is "
                    f"{limits.index_move_max:g}",
                    "index_move_max",
                )
            )
    problems += _implausible_forwards(snapshot, limits)
    return problems


def _last_price(grid: PriceGrid | None) -> tuple[np.datetime64, float] | None:
    """Return (time, price) of the last price of a history; None without one."""
    if grid is None:
        return None
    present = np.flatnonzero(np.isfinite(grid.price_usd))
    if not present.size:
        return None
    last = int(present[-1])
    return grid.time[last], float(grid.price_usd[last])


def _implausible_forwards(snapshot: MarketSnapshot, limits: PlausibilityLimits) -> list[Problem]:
    if limits.forward_basis_max is None:
        return []
    problems: list[Problem] = []
    for item in snapshot.expiries:
        index = snapshot.index_usd[item.underlying]
        basis = float(np.log(item.forward_usd / index))
        most = limits.forward_basis_max + limits.forward_carry_max * item.tenor_years
        if not abs(basis) <= most:
            problems.append(
                _problem(
                    f"forward of {item.underlying}-{expiry_label(item.expiry)}",
                    f"{item.forward_usd:,.10g} US dollars is {item.forward_usd / index:,.4g} times "
                    f"the index, {index:,.10g}: the logarithm of the ratio is {basis:+.3f}, and "
                    f"the limit at {item.tenor_years:.2f} years is {most:.3f}",
                    "forward_basis_max",
                )
            )
    return problems


def implausible_volatilities(snapshot: MarketSnapshot, limits: PlausibilityLimits) -> list[Problem]:
    """Return a problem for each option whose mark volatility is beyond a limit.

    Options without a mark volatility are not checked.
    """
    low = 0.0 if limits.volatility_min is None else limits.volatility_min
    high = np.inf if limits.volatility_max is None else limits.volatility_max
    vol = snapshot.options.mark_vol
    problems: list[Problem] = []
    for row in np.flatnonzero((vol < low) | (vol > high)).tolist():
        too_low = bool(vol[row] < low)
        bound = f"below the limit of {low:g}" if too_low else f"above the limit of {high:g}"
        problems.append(
            _problem(
                snapshot.options.names[row],
                f"the annual volatility is {vol[row]:g} ({100 * vol[row]:,.6g} %), {bound}",
                "volatility_min" if too_low else "volatility_max",
                "write 0.56 for 56 %",
            )
        )
    return problems


def _problem(location: str, what: str, limit: str, hint: str = "correct the value") -> Problem:
    return Problem(location, what, f"{hint}, or accept it: {_SECTION}.{limit} in the model file")
