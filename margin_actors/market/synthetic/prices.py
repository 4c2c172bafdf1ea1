"""Synthetic joint prices and volatilities: fat tails, regimes, crashes; determined by the seed."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import DAY_MS, FloatArray, TimeArray
from margin_actors.market.candles import Candles
from margin_actors.numerics.counter_random import normals, uniforms
from margin_actors.numerics.elementary import exponentials

UNDERLYINGS = ("BTC", "ETH")
_START_USD = {"BTC": 12_000.0, "ETH": 420.0}
_BASE_VOL = {"BTC": 0.46, "ETH": 0.58}
_CORRELATION = 0.83
_DEGREES = 5  # of freedom of the Student-t shocks
_CALM_TO_WILD, _WILD_TO_CALM = 0.012, 0.035
_CRASHES_A_YEAR, _CRASH_MEAN, _CRASH_DEVIATION = 0.9, -0.14, 0.06
_DRIFT_A_DAY = 0.0015
_FIRST, _NOISE, _FAULTS = 0, 100, 200


@dataclass(frozen=True)
class SyntheticPath:
    """Daily history at 00:00 UTC. All arrays have shape (n_days,)."""

    time: TimeArray
    """datetime64[ms]: the close of each day."""
    price_usd: dict[str, FloatArray]
    """US dollars per coin, by underlying."""
    volatility: dict[str, FloatArray]
    """Short-dated annual volatility, a fraction, by underlying."""
    is_wild: FloatArray
    """1.0 on days of the turbulent regime, else 0.0."""


def synthetic_path(seed: int, end: np.datetime64, n_days: int) -> SyntheticPath:
    """Return a path of `n_days` days, the last of which closes at `end`.

    Log returns are correlated Student-t draws with 5 degrees of freedom, scaled by a volatility
    that reverts to the level of its regime and rises when prices fall. Crashes affect both
    underlyings.
    """
    time = end.astype("datetime64[ms]") - np.timedelta64(DAY_MS, "ms") * np.arange(n_days)[::-1]
    switch, crash = uniforms(seed, _FIRST, n_days), uniforms(seed, _FIRST + 1, n_days)
    depth = normals(seed, _FIRST + 2, n_days)
    shocks = [_student(seed, 10 + 10 * i, n_days) for i in range(2)]
    vol_noise = [normals(seed, 50 + i, n_days) for i in range(2)]
    other = np.sqrt(1.0 - _CORRELATION**2)
    wild = np.zeros(n_days)
    prices = {u: np.empty(n_days) for u in UNDERLYINGS}
    vols = {u: np.empty(n_days) for u in UNDERLYINGS}
    ln_price = dict.fromkeys(UNDERLYINGS, 0.0)
    excess = dict.fromkeys(UNDERLYINGS, 0.0)
    ln_paths = {u: np.empty(n_days) for u in UNDERLYINGS}
    ln_vols = {u: np.empty(n_days) for u in UNDERLYINGS}
    state = 0.0
    for day in range(n_days):
        threshold = _WILD_TO_CALM if state else _CALM_TO_WILD
        state = (1.0 - state) if switch[day] < threshold else state
        wild[day] = state
        hit = crash[day] < _CRASHES_A_YEAR / 365.0
        for i, u in enumerate(UNDERLYINGS):
            z = shocks[0][day] if i == 0 else _CORRELATION * shocks[0][day] + other * shocks[1][day]
            level = 0.0 if state == 0.0 else 0.5596157879354227  # ln 1.75, the turbulent regime
            factor = float(exponentials(np.array([excess[u]]))[0])
            move = _DRIFT_A_DAY + _BASE_VOL[u] * factor * z / 19.1049731745428  # sqrt(365)
            if hit:
                move += min(_CRASH_MEAN + _CRASH_DEVIATION * depth[day], -0.04) * (1.0 + 0.25 * i)
            move = min(max(move, -0.5), 0.45)
            ln_price[u] += move
            excess[u] += 0.07 * (level - excess[u]) + 0.04 * vol_noise[i][day]
            excess[u] += 0.75 * max(-move, 0.0) - 0.3 * max(move, 0.0)
            excess[u] = min(max(excess[u], -0.75), 1.1)
            ln_paths[u][day], ln_vols[u][day] = ln_price[u], excess[u]
    for u in UNDERLYINGS:
        prices[u] = _START_USD[u] * exponentials(ln_paths[u])
        vols[u] = _BASE_VOL[u] * exponentials(ln_vols[u])
    return SyntheticPath(time, prices, vols, wild)


def _student(seed: int, stream: int, n: int) -> FloatArray:
    """Return `n` Student-t draws, scaled to unit variance."""
    chi = np.zeros(n)
    for i in range(_DEGREES):
        draw = normals(seed, stream + 1 + i, n)
        chi += draw * draw
    return normals(seed, stream, n) / np.sqrt(chi / _DEGREES) * np.sqrt((_DEGREES - 2) / _DEGREES)


def synthetic_candles(path: SyntheticPath, seed: int, underlying: str) -> list[Candles]:
    """Return two daily sources of one underlying, the second with typical faults.

    These are the faults that the cleansing must find: two spikes, a missing day, a repeated row and
    a price that stays unchanged for nine days.
    """
    price = path.price_usd[underlying]
    n, shift = price.size, UNDERLYINGS.index(underlying) * 10
    sources: list[Candles] = []
    for s, letter in enumerate("ab"):
        noise = 3e-4 * normals(seed, _NOISE + shift + s, n)
        close = np.round(price * (1.0 + noise), 2)
        opened = np.append(close[0], close[:-1])
        wiggle = 0.012 * np.abs(normals(seed, _NOISE + shift + 4 + s, n))
        high = np.round(np.maximum(opened, close) * (1.0 + wiggle), 2)
        low = np.round(np.minimum(opened, close) * (1.0 - wiggle), 2)
        volume = np.round(
            20_000.0 * (1.0 + 2.0 * path.is_wild) * uniforms(seed, _NOISE + 8 + s, n), 3
        )
        open_time = path.time - np.timedelta64(DAY_MS, "ms")
        order = np.arange(n)
        if letter == "b":
            where = (uniforms(seed, _FAULTS + shift, 6) * (n - 400) + 100).astype(np.int64)
            close[where[0]] *= 1.35
            close[where[1]] *= 0.62
            close[where[2] : where[2] + 9] = close[where[2]]
            order = np.delete(order, where[3])
            order = np.insert(order, int(where[4]), int(where[4]))
        sources.append(
            Candles(
                source=f"synthetic_{letter}_{underlying}USD_1d",
                underlying=underlying,
                interval_seconds=86_400,
                open_time=open_time[order],
                open=opened[order],
                high=high[order],
                low=low[order],
                close=close[order],
                volume=volume[order],
                is_synthetic=True,
            )
        )
    return sources
