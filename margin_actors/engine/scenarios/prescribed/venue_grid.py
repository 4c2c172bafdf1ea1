"""The rows of the venue grid; see `rows`."""

from collections.abc import Sequence

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.parameters import VenueGridParameters
from margin_actors.engine.scenarios.prescribed.rows import prescribed_set, tenors_of_expiries
from margin_actors.engine.scenarios.sets.scenario_set import ScenarioSet


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
    nodes = tenors_of_expiries(tenors_days)
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
    return prescribed_set(
        "venue_grid", underlyings, nodes, spot_moves, vol_moves, share, [row[3] for row in rows]
    )
