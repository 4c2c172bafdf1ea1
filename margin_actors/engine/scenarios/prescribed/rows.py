"""A scenario set of prescribed moves, the common form of the SPAN and venue grid rows.

Each row applies the same scenario to every underlying; in SPAN, each underlying has its own ranges.
The profits of an account are summed within an underlying, and the worst row is taken per
underlying. Volatility moves depend on the expiry, so the tenors of the set are those of the
snapshot and no interpolation is needed.
"""

from collections.abc import Sequence

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.scenarios.sets.scenario_set import (
    MONEYNESS,
    NEVER,
    Provenance,
    ScenarioSet,
)
from margin_actors.numerics.elementary import logarithms


def prescribed_set(
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


def tenors_of_expiries(tenors_days: Sequence[float]) -> FloatArray:
    """Return the tenors of a set: those given, ascending and distinct, float64 (n_tenors,), days.

    Without any, the single tenor is 30 days.
    """
    return np.unique(np.asarray(tenors_days if len(tenors_days) else [30.0], np.float64))
