"""Prescribed scenario sets: the sixteen rows of SPAN and the venue grid.

Each row applies the same scenario to every underlying; in SPAN, each underlying has its own ranges.
The profits of an account are summed within an underlying, and the worst row is taken per
underlying. Volatility moves depend on the expiry, so the tenors of the set are those of the
snapshot and no interpolation is needed.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.parameters import SpanParameters, VenueGridParameters
from margin_actors.engine.scenarios.sets.scenario_set import (
    MONEYNESS,
    NEVER,
    Provenance,
    ScenarioSet,
)
from margin_actors.numerics.elementary import logarithms

_THIRDS = (0, 1, -1, 2, -2, 3, -3)
_NAMES = {0: "unchanged", 1: "up 1/3", 2: "up 2/3", 3: "up 3/3"} | {
    -1: "down 1/3",
    -2: "down 2/3",
    -3: "down 3/3",
}


def _made(
    engine: str,
    underlyings: Sequence[str],
    tenors_days: FloatArray,
    spot: FloatArray,
    vol: FloatArray,
    share: FloatArray,
    names: Sequence[str],
) -> ScenarioSet:
    """Return a scenario set from relative moves, which are converted to log moves.

    Parameters
    ----------
    engine : str
    underlyings : sequence of str
    tenors_days : float64 (n_tenors,)
        Tenors, days.
    spot : float64 (n, n_underlyings)
        Relative changes of the index.
    vol : float64 (n, n_underlyings, n_tenors)
        Relative changes of volatility, equal at all strikes.
    share : float64 (n,)
        Share of the loss that is counted.
    names : sequence of str
        Names of the rows.
    """
    n, nu = spot.shape
    ln_spot = logarithms(1.0 + spot)[0]
    ln_vol = logarithms(1.0 + vol)[0]
    moves = bool(np.any(vol != 0.0))
    return ScenarioSet(
        engine=engine,
        underlyings=tuple(underlyings),
        horizon_hours=0.0,
        start_time=np.full(n, NEVER),
        end_time=np.full(n, NEVER),
        spot_return=ln_spot,
        path_hours=np.array([0.0]),
        path_return=ln_spot[:, :, None].copy(),
        basis_change=np.zeros((n, nu, tenors_days.size)),
        vol_change=np.repeat(ln_vol[:, :, :, None], len(MONEYNESS), axis=3),
        weight=np.full(n, 1.0 / n),
        provenance=np.full((n, nu), Provenance.MADE if moves else Provenance.NONE, np.uint8),
        tenors_days=tenors_days,
        loss_share=share,
        row_names=tuple(names),
    )


def _nodes(tenors_days: Sequence[float]) -> FloatArray:
    return np.unique(np.asarray(tenors_days if len(tenors_days) else [30.0], np.float64))


def span_rows(
    underlyings: Sequence[str],
    tenors_days: Sequence[float],
    price_scan: Mapping[str, float],
    vol_scan: Mapping[str, float],
    parameters: SpanParameters,
) -> ScenarioSet:
    """Return the sixteen scenarios of SPAN.

    Rows 0 to 13: the price unchanged, and up and down by thirds of the price scan range, each with
    volatility up and down by the volatility scan range. Rows 14 and 15: the price up and down by
    `extreme_multiple` scan ranges, volatility unchanged, `extreme_share` of the loss counted.

    Parameters
    ----------
    underlyings : sequence of str
    tenors_days : sequence of float
        Tenors of the expiries in the snapshot, days.
    price_scan, vol_scan : mappings from underlying to float
        Scan ranges, as fractions of the price and of the volatility.
    parameters : SpanParameters
    """
    nodes = _nodes(tenors_days)
    steps = [(third / 3.0, sign) for third in _THIRDS for sign in (1.0, -1.0)]
    steps += [(parameters.extreme_multiple, 0.0), (-parameters.extreme_multiple, 0.0)]
    names = [
        f"price {_NAMES[third]}, volatility {way}" for third in _THIRDS for way in ("up", "down")
    ]
    names += ["price up, extreme", "price down, extreme"]
    spot = np.array([[move * price_scan[u] for u in underlyings] for move, _ in steps])
    level = np.array([[way * vol_scan[u] for u in underlyings] for _, way in steps])
    share = np.append(np.ones(14), [parameters.extreme_share] * 2)
    vol = np.repeat(level[:, :, None], nodes.size, axis=2)
    return _made("span", underlyings, nodes, spot, vol, share, names)


def composite_delta_rows(
    underlyings: Sequence[str],
    tenors_days: Sequence[float],
    price_scan: Mapping[str, float],
    *,
    bump: float,
) -> ScenarioSet:
    """Return the rows for composite deltas: two for each of the seven prices of SPAN.

    The prices are in the order of `DELTA_WEIGHTS`; at each of them the price is moved up, then
    down, by `bump`.

    Parameters
    ----------
    underlyings, tenors_days, price_scan
        As in `span_rows`.
    bump : float
        Fraction of the index.
    """
    nodes = _nodes(tenors_days)
    moves = [(third / 3.0, way) for third in _THIRDS for way in (bump, -bump)]
    spot = np.array([[move * price_scan[u] + way for u in underlyings] for move, way in moves])
    vol = np.zeros((len(moves), len(underlyings), nodes.size))
    names = [f"price {_NAMES[t]}, {way}" for t in _THIRDS for way in ("bumped up", "bumped down")]
    return _made("span", underlyings, nodes, spot, vol, np.ones(len(moves)), names)


def venue_grid_rows(
    underlyings: Sequence[str], tenors_days: Sequence[float], parameters: VenueGridParameters
) -> ScenarioSet:
    """Return the venue grid: each change of spot with volatility up and down, and the extreme rows.

    The volatility at a tenor of d days changes by the relative change of the 30-day volatility
    times (30 / max(1, d))^p, and falls by at most 95 %.

    Parameters
    ----------
    underlyings : sequence of str
    tenors_days : sequence of float
        Tenors of the expiries in the snapshot, days.
    parameters : VenueGridParameters
    """
    nodes = _nodes(tenors_days)
    days = np.maximum(nodes, 1.0)
    power = np.where(days < 30.0, parameters.power_short, parameters.power_long)
    growth = (30.0 / days) ** power
    up = parameters.vol_up * growth
    down = np.maximum(parameters.vol_down * growth, -0.95)
    rows: list[tuple[float, FloatArray, float, str]] = []
    for spot in (*parameters.spot, 0.0):
        rows.append((spot, up, 1.0, f"spot {100 * spot:+g} %, volatility up"))
        if spot not in parameters.only_up:
            rows.append((spot, down, 1.0, f"spot {100 * spot:+g} %, volatility down"))
    for extreme in parameters.extremes:
        name = f"spot {100 * extreme.spot:+g} %, {100 * extreme.share:g} % of the loss"
        rows.append((extreme.spot, up, extreme.share, name))
    nu = len(underlyings)
    spot_moves = np.repeat(np.array([[row[0]] for row in rows]), nu, axis=1)
    vol_moves = np.repeat(np.array([row[1] for row in rows])[:, None, :], nu, axis=1)
    share = np.array([row[2] for row in rows])
    return _made(
        "venue_grid", underlyings, nodes, spot_moves, vol_moves, share, [row[3] for row in rows]
    )
