"""Moves of the basis of perpetuals over historical windows: recorded, or proxied.

Where the basis was not recorded at both ends of a window, its move is a regression on the log
return r of the index,

    move = a + b r + c max(-r, 0) + residual,

fitted to the windows in which the bases of all underlyings were recorded. The residuals of one of
these windows, the same for all underlyings, are drawn by a number that depends on the seed and on
the end of the window.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray
from margin_actors.engine.measures import value_at_risk
from margin_actors.engine.parameters import ScenarioParameters
from margin_actors.engine.scenarios.history.perpetual_basis import PerpetualBasisHistory
from margin_actors.engine.scenarios.sets.perpetual_basis import (
    BasisProvenance,
    PerpetualBasisMoves,
)
from margin_actors.engine.scenarios.sets.scenario_set import ScenarioSet
from margin_actors.engine.scenarios.surface_moves.nodes import (
    PERPETUAL_STREAM,
    WindowMoves,
    drawn_residuals,
    residual_draws,
)
from margin_actors.engine.scenarios.surface_moves.proxy import (
    WINDOWS_MIN,
    design_matrix,
    fit_proxy,
)
from margin_actors.errors import MissingMarketData, Problem

WITHOUT_PERPETUAL_BASIS = (
    "add prices of the perpetual and of spot, or write a model file with "
    '[scenarios.perpetual_basis] moves = "none"'
)
"""Remedy if the basis of a perpetual is not recorded."""


def perpetual_basis_moves(
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    windows: WindowMoves,
    histories: Mapping[str, PerpetualBasisHistory],
) -> tuple[PerpetualBasisMoves, tuple[str, ...]]:
    """Return the moves of the basis of perpetuals over windows, and notes on them.

    Parameters
    ----------
    parameters : ScenarioParameters
    as_of : datetime64
        Later values are not used.
    windows : WindowMoves
    histories : mapping from underlying to PerpetualBasisHistory

    Raises
    ------
    MissingMarketData
        If the basis of an underlying is not recorded at all, or in too few windows for a proxy.
    """
    underlyings = parameters.underlyings
    missing = [
        Problem(f"basis of the {u} perpetual", "not recorded", WITHOUT_PERPETUAL_BASIS)
        for u in underlyings
        if u not in histories
    ]
    if missing:
        raise MissingMarketData("moves of the basis require recorded prices", missing)
    change = np.empty(windows.spot_return.shape)
    hours = parameters.perpetual_basis.tolerance_hours
    for i, u in enumerate(underlyings):
        history = histories[u].until(as_of)
        end = history.at(windows.end_time, tolerance_hours=hours)
        change[:, i] = end - history.at(windows.start_time, tolerance_hours=hours)
    known = np.isfinite(change)
    provenance = np.where(known, BasisProvenance.OBSERVED, BasisProvenance.PROXIED_BY_SPOT)
    notes: list[str] = []
    if not known.all():
        change, notes = _completed(parameters, windows, change, known)
    return PerpetualBasisMoves(change, provenance.astype(np.uint8)), tuple(notes)


def _completed(
    parameters: ScenarioParameters, windows: WindowMoves, change: FloatArray, known: BoolArray
) -> tuple[FloatArray, list[str]]:
    """Return the moves with those that are not known proxied by the spot return, and notes.

    `change` and the result are float64 (n_windows, n_underlyings), `known` is bool of this shape.
    """
    fitted = np.flatnonzero(known.all(axis=1))
    if fitted.size < WINDOWS_MIN:
        span = "no window" if fitted.size == 0 else f"only {fitted.size} windows"
        raise MissingMarketData(
            f"the basis of the perpetuals is recorded over {span}",
            [
                Problem(
                    "scenarios.perpetual_basis",
                    f"a proxy for {int((~known).any(axis=1).sum())} windows requires "
                    f"{WINDOWS_MIN} recorded ones",
                    WITHOUT_PERPETUAL_BASIS,
                )
            ],
        )
    draws = residual_draws(parameters, windows.end_time, stream=PERPETUAL_STREAM)
    out, notes = change.copy(), list[str]()
    for i, u in enumerate(parameters.underlyings):
        spot, rest = windows.spot_return[:, i], np.flatnonzero(~known[:, i])
        if rest.size == 0:
            continue
        proxy = fit_proxy(
            u,
            design_matrix(spot[fitted]),
            change[fitted, i][:, None],
            names=("1", "r", "max(-r, 0)"),
        )
        moved = proxy.moves(design_matrix(spot[rest]))
        moved += drawn_residuals(proxy.residuals, None if draws is None else draws[rest])
        out[rest, i] = moved[:, 0]
        notes.append(
            f"{u} perpetual basis of {rest.size} windows without records proxied by spot: R² "
            f"{proxy.r_squared[0]:.2f}, residual {1e4 * proxy.residual_deviation[0]:.1f} bp over "
            f"{fitted.size} windows"
        )
    return out, notes


def with_basis_floor(
    rows: ScenarioSet,
    parameters: ScenarioParameters,
    as_of: np.datetime64,
    histories: Mapping[str, PerpetualBasisHistory],
) -> ScenarioSet:
    """Return core rows whose moves of the perpetual basis are scaled up to the recorded history.

    See `perpetual_basis.floor_confidence`: with Q the quantile of the absolute moves of the whole
    recorded history and q the smaller one of the two one-sided quantiles of the rows, all at that
    confidence, the moves of an underlying are multiplied by max(1, Q / q).
    """
    basis, confidence = rows.perpetual_basis, parameters.perpetual_basis.floor_confidence
    if basis is None:
        return rows
    change, notes = basis.change.copy(), list[str]()
    for i, u in enumerate(rows.underlyings):
        observed = int((basis.provenance[:, i] == BasisProvenance.OBSERVED).sum())
        text = f"{u} perpetual basis: {observed} of {len(rows)} moves recorded"
        if confidence is not None:
            recorded = histories[u].until(as_of).quantile(rows.horizon_hours, confidence)
            sides = value_at_risk(
                np.stack([change[:, i], -change[:, i]]), confidence=confidence, weight=_uneven(rows)
            )
            own = float(sides.min())
            factor = max(1.0, recorded / own) if own > 0.0 else 1.0
            change[:, i] *= factor
            text += (
                f"; {100 * confidence:g} % quantile of all recorded moves {1e4 * recorded:.1f} bp, "
                f"moves scaled by {factor:.2f}"
            )
        notes.append(text)
    moved = PerpetualBasisMoves(change, basis.provenance)
    return replace(rows, perpetual_basis=moved, notes=(*rows.notes, *notes))


def _uneven(rows: ScenarioSet) -> FloatArray | None:
    """Return the weights of rows; None if they are equal."""
    return rows.weight if np.any(rows.weight != rows.weight[0]) else None
