"""Hypothetical moves of the basis: perpetuals and dated forwards, from their recorded moves."""

from collections.abc import Mapping

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.measures import value_at_risk
from margin_actors.engine.parameters import HypotheticalMove, ScenarioParameters
from margin_actors.engine.scenarios.history.perpetual_basis import PerpetualBasisHistory
from margin_actors.engine.scenarios.history.surface_history import (
    SurfaceHistory,
    basis_moves,
    windows_of,
)
from margin_actors.numerics.elementary import exponentials

BASIS_CONFIDENCE = 0.995
"""Confidence of the quantile rows."""
_TENOR_DAYS_MAX = 180.0
"""Longer tenors are not used for the moves of dated forwards; their forwards are extrapolated from
one or two expiries."""


def basis_rows(
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    perpetual: Mapping[str, PerpetualBasisHistory],
    surfaces: Mapping[str, SurfaceHistory],
    *,
    confidence: float = BASIS_CONFIDENCE,
) -> tuple[HypotheticalMove, ...]:
    """Return moves in which the basis alone changes, of all underlyings in the same direction.

    For perpetuals and for dated forwards there are four moves each: up and down by the largest
    absolute move over the margin period of risk that is recorded, and by the quantile of the
    absolute moves. A move of forwards is the largest one over the tenors up to 180 days.

    Parameters
    ----------
    parameters : ScenarioParameters
    as_of : datetime64
        Later values are not used.
    perpetual : mapping from underlying to PerpetualBasisHistory
        Underlyings without a history do not move; without any, there are no rows of perpetuals.
    surfaces : mapping from underlying to SurfaceHistory
        Likewise, for dated forwards.
    confidence : float in (0, 1)
        Confidence of the quantiles.
    """
    horizon = parameters.horizon_hours + parameters.extension_hours
    of_perpetuals = {
        u: perpetual[u].until(as_of).moves(horizon)[:, None]
        for u in parameters.underlyings
        if u in perpetual
    }
    of_forwards = _forward_moves(parameters, as_of, surfaces)
    quantile = f"{100 * confidence:g} % quantile"
    rows: list[HypotheticalMove] = []
    for what, moves in (("perpetual", of_perpetuals), ("forward", of_forwards)):
        sizes = {u: _sizes(m, confidence) for u, m in moves.items() if m.size}
        for which, label in enumerate(("largest recorded move", quantile)):
            for sign, way in ((1.0, "up"), (-1.0, "down")):
                change = {
                    u: float(exponentials(np.array([sign * size[which]]))[0]) - 1.0
                    for u, size in sizes.items()
                }
                if change:
                    name = f"{what} basis {way}, {label}"
                    rows.append(
                        HypotheticalMove.model_validate(
                            {"name": name, "spot": {}, f"{what}_basis": change}
                        )
                    )
    return tuple(rows)


def _sizes(moves: FloatArray, confidence: float) -> tuple[float, float]:
    """Return (largest absolute move, quantile) of `moves` (n_moves, n_tenors) over all tenors."""
    size = np.abs(moves)
    quantile = value_at_risk(-np.ascontiguousarray(size.T), confidence=confidence)
    return float(size.max()), float(quantile.max())


def _forward_moves(
    parameters: ScenarioParameters, as_of: np.datetime64, surfaces: Mapping[str, SurfaceHistory]
) -> dict[str, FloatArray]:
    """Return the recorded moves of ln(F / S), float64 (n_moves, n_tenors), by underlying."""
    out: dict[str, FloatArray] = {}
    for u in parameters.underlyings:
        if u not in surfaces or surfaces[u].time.size == 0:
            continue
        history = surfaces[u]
        [(start, end)] = windows_of(
            [history],
            horizon_hours=parameters.horizon_hours + parameters.extension_hours,
            tolerance_hours=parameters.surface_tolerance_hours,
        )
        known = history.time[end] <= as_of.astype("datetime64[ms]")
        out[u] = basis_moves(history, start[known], end[known], tenor_days_max=_TENOR_DAYS_MAX)
    return out
