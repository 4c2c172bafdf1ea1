"""Synthetic option chains on a volatility surface that varies from day to day without arbitrage.

The surface is SSVI: the slice of each expiry is an SVI smile whose wings follow from its
at-the-money total variance theta,
w(k) = theta/2 (1 + rho phi k + sqrt((phi k + rho)**2 + 1 - rho**2)),
phi = eta / sqrt(theta (1 + theta)). With eta (1 + |rho|) <= 2 no slice has butterfly arbitrage, and
since theta increases with maturity there is no calendar arbitrage either.

References
----------
Gatheral, J. and Jacquier, A. (2014), "Arbitrage-free SVI volatility surfaces", Theorem 4.2 and
remark 4.4.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray
from margin_actors.market.instruments import EXPIRY_HOUR_UTC, expiry_label
from margin_actors.market.snapshots import tenor_years
from margin_actors.market.synthetic.prices import UNDERLYINGS, SyntheticPath
from margin_actors.numerics.black76 import black76_price, black76_vega
from margin_actors.numerics.counter_random import normals, uniforms
from margin_actors.numerics.elementary import exponentials, logarithms

_LONG_RUN_VOL = {"BTC": 0.55, "ETH": 0.68}
_REVERSION = 2.2
_CARRY = 0.045
STRIKES_FULL, STRIKES_HISTORY = 21, 12
"""Approximate number of strikes per expiry: on the last day, and on the days before it."""
_TICK = 0.0001
_STREAM = 1000


def expiries_after(now: datetime) -> list[datetime]:
    """Return the listed expiries after `now`, ascending, without duplicates.

    These are the next four daily expiries, the next four Fridays, then three month ends and three
    quarter ends (last Fridays), all at 08:00 UTC.
    """
    first = now.replace(hour=EXPIRY_HOUR_UTC, minute=0, second=0, microsecond=0)
    first += timedelta(days=1) if first <= now else timedelta(0)
    days = [first + timedelta(days=i) for i in range(4)]
    friday = first + timedelta(days=(4 - first.weekday()) % 7)
    weeks = [friday + timedelta(days=7 * i) for i in range(4)]
    months: list[datetime] = []
    year, month = now.year, now.month
    while len(months) < 14:
        following = datetime(year + month // 12, month % 12 + 1, 1, EXPIRY_HOUR_UTC, tzinfo=UTC)
        last = following - timedelta(days=1)
        months.append(last - timedelta(days=(last.weekday() - 4) % 7))
        year, month = following.year, following.month
    monthly = [m for m in months if m > weeks[-1]][:3]
    quarterly = [m for m in months if m.month % 3 == 0 and m > monthly[-1]][:3]
    return sorted({*days, *weeks, *monthly, *quarterly})


def slice_variance(
    k: FloatArray, tenor: float, level: float, long_run: float, rho: float, eta: float
) -> FloatArray:
    """Return the total variance of the SSVI slice at `tenor`.

    Parameters
    ----------
    k : float64 array of any shape
        Log-moneyness ln(K / F).
    tenor : float
        Years, positive.
    level, long_run : float
        Annual volatility at short maturities, and the level to which it reverts.
    rho, eta : float
        Correlation and curvature of SSVI.

    Returns
    -------
    float64 array shaped like `k`, dimensionless
    """
    decay = float(exponentials(np.array([-_REVERSION * tenor]))[0])
    average = long_run**2 + (level**2 - long_run**2) * (1.0 - decay) / (_REVERSION * tenor)
    theta = average * tenor
    phi = eta / np.sqrt(theta * (1.0 + theta))
    x = phi * k
    return 0.5 * theta * (1.0 + rho * x + np.sqrt((x + rho) ** 2 + 1.0 - rho * rho))


def surface_parameters(
    path: SyntheticPath, seed: int, day: int, underlying: str
) -> tuple[float, float]:
    """Return (rho, eta) of one day; rho falls in the turbulent regime, and both vary slowly."""
    shift = UNDERLYINGS.index(underlying)
    n = path.time.size
    wander = normals(seed, _STREAM + shift, n)
    recent = wander[max(0, day - 19) : day + 1].mean()
    rho = -0.12 - 0.22 * path.is_wild[max(0, day - 9) : day + 1].mean() + 0.18 * recent
    eta = 1.15 + 0.12 * recent
    return float(min(max(rho, -0.6), 0.3)), float(min(max(eta, 0.8), 1.4))


def chain_rows(
    path: SyntheticPath, seed: int, day: int, *, n_strikes: int
) -> dict[str, list[object] | FloatArray]:
    """Return the columns of one day's chain of both underlyings, in the format of chain files.

    One row per option. Prices are in coins per coin, forward and index in US dollars, volatilities
    annual fractions, open interest and volume in coins.
    """
    now = path.time[day].astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC)
    parts: dict[str, list[FloatArray]] = {}
    names: list[object] = []
    for u in UNDERLYINGS:
        spot = float(path.price_usd[u][day])
        level = float(path.volatility[u][day])
        rho, eta = surface_parameters(path, seed, day, u)
        for e, expiry in enumerate(expiries_after(now)):
            tenor = tenor_years(now, expiry)
            forward = round(spot * float(exponentials(np.array([_CARRY * tenor]))[0]), 2)
            strikes = _strikes(forward, level, tenor, n_strikes)
            k = logarithms(strikes / forward)[0]
            w = slice_variance(k, tenor, level, _LONG_RUN_VOL[u], rho, eta)
            for is_call in (True, False):
                stream = ((day * 2 + UNDERLYINGS.index(u)) * 64 + e) * 2 + int(is_call)
                columns = _quotes(strikes, forward, w, tenor, is_call, seed, _STREAM + 8 + stream)
                names += [
                    f"{u}-{expiry_label(expiry)}-{strike:.0f}-{'C' if is_call else 'P'}"
                    for strike in strikes
                ]
                columns["underlying"] = np.full(strikes.size, forward)
                columns["index_price"] = np.full(strikes.size, round(spot, 2))
                for name, values in columns.items():
                    parts.setdefault(name, []).append(values)
    out: dict[str, list[object] | FloatArray] = {n: np.concatenate(v) for n, v in parts.items()}
    out["instrument_name"] = names
    out["snapshot"] = [now] * len(names)
    return out


def _strikes(forward: float, level: float, tenor: float, count: int) -> FloatArray:
    """Return about `count` round strikes, spanning three standard deviations on either side."""
    reach = min(3.0 * max(level, 0.35) * float(np.sqrt(max(tenor, 0.004))), 1.6)
    low, high = forward * exponentials(np.array([-reach, reach]))
    rough = (high - low) / count
    magnitude = 10.0 ** np.floor(np.log10(rough))
    step = min((1.0, 2.0, 2.5, 5.0, 10.0), key=lambda m: abs(m * magnitude - rough)) * magnitude
    step = max(step, 1.0)
    first = max(np.floor(low / step), 1.0)
    return step * np.arange(first, np.ceil(high / step) + 1.0)


def _quotes(
    strikes: FloatArray,
    forward: float,
    w: FloatArray,
    tenor: float,
    is_call: bool,
    seed: int,
    stream: int,
) -> dict[str, FloatArray]:
    vol = np.asarray(np.round(np.sqrt(w / tenor), 4), np.float64)
    root = float(np.sqrt(tenor))
    call = np.full(strikes.size, is_call)
    mark = black76_price(forward, strikes, vol * root, call) / forward
    forwards, tenors = np.full(strikes.size, forward), np.full(strikes.size, tenor)
    vega = black76_vega(forwards, strikes, vol, tenors) / forward
    z = np.abs(logarithms(strikes / forward)[0]) / (vol * root)
    half_vol = (0.006 + 0.006 * z) * (1.0 + uniforms(seed, stream, strikes.size))
    half = np.maximum(half_vol * vega, 0.6 * _TICK)
    bid = np.floor((mark - half) / _TICK) * _TICK
    ask = np.ceil((mark + half) / _TICK) * _TICK
    liquid = uniforms(seed, stream + (1 << 30), strikes.size)
    bid = np.where((bid < _TICK) | (liquid < 0.03), np.nan, np.round(bid, 4))
    ask = np.where(liquid > 0.985, np.nan, np.round(np.maximum(ask, _TICK), 4))
    size = exponentials(1.2 * normals(seed, stream + (1 << 31), strikes.size) - 0.45 * z * z)
    return {
        "bid_price": bid,
        "ask_price": ask,
        "mark_price": np.round(mark, 8),
        "implied_volatility": vol,
        "open_interest": np.round(220.0 * size, 1),
        "volume": np.round(18.0 * size * liquid, 1),
    }


def chain_table(
    path: SyntheticPath, seed: int, *, history_days: int, n_strikes: int = STRIKES_FULL
) -> pa.Table:
    """Return the chains of the last `history_days` days of the path as one table.

    The last day lists about `n_strikes` strikes per expiry, the days before it about
    `STRIKES_HISTORY`. Columns and units as in `chain_rows`.
    """
    n = path.time.size
    tables: list[pa.Table] = []
    for day in range(n - history_days, n):
        columns = chain_rows(
            path, seed, day, n_strikes=n_strikes if day == n - 1 else STRIKES_HISTORY
        )
        arrays = {
            name: pa.array(values, pa.timestamp("us", "UTC"))
            if name == "snapshot"
            else pa.array(values, from_pandas=True)
            for name, values in columns.items()
        }
        tables.append(pa.table(arrays))
    return pa.concat_tables(tables)
