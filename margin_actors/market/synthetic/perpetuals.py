"""Synthetic prices of the perpetual and of spot on one exchange, from which its basis follows."""

import numpy as np

from margin_actors.arrays import DAY_MS, FloatArray
from margin_actors.market.candles import Candles
from margin_actors.market.synthetic.prices import UNDERLYINGS, SyntheticPath
from margin_actors.numerics.counter_random import normals, uniforms
from margin_actors.numerics.elementary import exponentials

_STREAM = 910_000
_PERSISTENCE = 0.6
"""Share of the basis that remains after a day."""
_SHOCK = {"BTC": 3e-4, "ETH": 4e-4}
"""Standard deviation of the daily shock of ln(perpetual / spot) in the calm regime."""
_WILD_FACTOR = 3.0
"""Factor on the shock in the turbulent regime."""


def perpetual_candles(path: SyntheticPath, seed: int, underlying: str) -> tuple[Candles, Candles]:
    """Return daily candles of (perpetual, spot), whose closes differ by a mean-reverting basis.

    Spot closes at the price of the path. The shocks of the basis are larger in the turbulent
    regime.
    """
    stream = _STREAM + 10 * UNDERLYINGS.index(underlying)
    spot = path.price_usd[underlying]
    shocks = normals(seed, stream, spot.size) * _SHOCK[underlying]
    shocks *= 1.0 + (_WILD_FACTOR - 1.0) * path.is_wild
    log_basis, basis = np.empty(spot.size), 0.0
    for day, shock in enumerate(shocks.tolist()):
        basis = _PERSISTENCE * basis + shock
        log_basis[day] = basis
    closes = {"perp": spot * exponentials(log_basis), "spot": spot}
    perpetual, own = (
        _candles(path, seed, stream + 1 + i, f"synthetic_{kind}_{underlying}_1d", underlying, close)
        for i, (kind, close) in enumerate(closes.items())
    )
    return perpetual, own


def _candles(
    path: SyntheticPath, seed: int, stream: int, source: str, underlying: str, close: FloatArray
) -> Candles:
    """Return candles that open at the previous close."""
    close = np.round(close, 2)
    opened = np.append(close[0], close[:-1])
    return Candles(
        source=source,
        underlying=underlying,
        interval_seconds=86_400,
        open_time=path.time - np.timedelta64(DAY_MS, "ms"),
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.round(20_000.0 * (1.0 + uniforms(seed, stream, close.size)), 3),
        is_synthetic=True,
    )
