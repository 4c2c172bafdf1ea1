"""The sixteen rows of SPAN, and the rows for its composite deltas; see `rows`."""

from collections.abc import Mapping, Sequence

import numpy as np

from margin_actors.engine.parameters import SpanParameters
from margin_actors.engine.scenarios.prescribed.rows import prescribed_set, tenors_of_expiries
from margin_actors.engine.scenarios.sets.scenario_set import ScenarioSet

_THIRDS = (0, 1, -1, 2, -2, 3, -3)
_NAMES = {0: "unchanged", 1: "up 1/3", 2: "up 2/3", 3: "up 3/3"} | {
    -1: "down 1/3",
    -2: "down 2/3",
    -3: "down 3/3",
}


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
    nodes = tenors_of_expiries(tenors_days)
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
    return prescribed_set("span", underlyings, nodes, spot, vol, share, names)


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
    nodes = tenors_of_expiries(tenors_days)
    moves = [(third / 3.0, way) for third in _THIRDS for way in (bump, -bump)]
    spot = np.array([[move * price_scan[u] + way for u in underlyings] for move, way in moves])
    vol = np.zeros((len(moves), len(underlyings), nodes.size))
    names = [f"price {_NAMES[t]}, {way}" for t in _THIRDS for way in ("bumped up", "bumped down")]
    return prescribed_set("span", underlyings, nodes, spot, vol, np.ones(len(moves)), names)
