"""The recorded basis of perpetuals: ln(perpetual / spot) on one exchange, in one quote currency."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray, TimeArray
from margin_actors.engine.measures import value_at_risk
from margin_actors.errors import InvalidMarketData, Problem
from margin_actors.market.candles import Candles
from margin_actors.numerics.elementary import logarithms

_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class PerpetualBasisHistory:
    """ln(perpetual / spot) of one underlying, in ascending order of time."""

    underlying: str
    time: TimeArray
    """datetime64[ms] (n,): time at which each value was known, the close of its candle."""
    log_basis: FloatArray
    """float64 (n,): ln(perpetual / spot)."""

    def until(self, as_of: np.datetime64) -> "PerpetualBasisHistory":
        """Return the values known at `as_of`."""
        known = self.time <= as_of.astype("datetime64[ms]")
        return PerpetualBasisHistory(self.underlying, self.time[known], self.log_basis[known])

    def at(self, wanted: TimeArray, *, tolerance_hours: float) -> FloatArray:
        """Return the last value known at each time.

        Parameters
        ----------
        wanted : datetime64 (m,), UTC
        tolerance_hours : float
            Largest age of the value.

        Returns
        -------
        float64 (m,)
            ln(perpetual / spot); NaN if the last value is older than the tolerance.
        """
        if self.time.size == 0:
            return np.full(wanted.size, np.nan)
        targets = wanted.astype("datetime64[ms]").astype(np.int64)
        stamps = self.time.astype(np.int64)
        row: IntArray = np.searchsorted(stamps, targets, side="right") - 1
        age = targets - stamps[np.maximum(row, 0)]
        known = (row >= 0) & (age <= tolerance_hours * _HOUR_MS)
        return np.where(known, self.log_basis[np.maximum(row, 0)], np.nan)

    def moves(self, horizon_hours: float) -> FloatArray:
        """Return the moves over all pairs of values that are `horizon_hours` apart, float64 (m,).

        Consecutive moves overlap. A rise of the perpetual relative to spot is positive.
        """
        stamps = self.time.astype(np.int64)
        starts = stamps - round(horizon_hours * _HOUR_MS)
        row = np.minimum(np.searchsorted(stamps, starts), max(stamps.size - 1, 0))
        paired = stamps[row] == starts if stamps.size else np.zeros(0, np.bool_)
        return self.log_basis[paired] - self.log_basis[row[paired]]

    def quantile(self, horizon_hours: float, confidence: float) -> float:
        """Return the quantile of the absolute moves over `horizon_hours`, as a log change.

        At least the share `confidence` of the moves is not larger; 0 without moves.
        """
        moves = self.moves(horizon_hours)
        if moves.size == 0:
            return 0.0
        return float(value_at_risk(-np.abs(moves)[None, :], confidence=confidence)[0])


def basis_from_candles(
    underlying: str, perpetual: Candles, spot: Candles, *, first: np.datetime64
) -> PerpetualBasisHistory:
    """Return the basis at the closes that both histories have.

    A candle without volume, or next to a missing candle or to one without volume, is not used: the
    market was stopped for part of the interval, so that the two last prices are not of one time.

    Parameters
    ----------
    underlying : str
    perpetual, spot : Candles
        Of one interval.
    first : datetime64
        Closes before it are not used.

    Raises
    ------
    InvalidMarketData
        If the intervals of the candles differ.
    """
    if perpetual.interval_seconds != spot.interval_seconds:
        raise InvalidMarketData(
            f"the basis of the {underlying} perpetual cannot be computed",
            [
                Problem(
                    f"{perpetual.source}, {spot.source}",
                    f"candles of {perpetual.interval_seconds:,} s and {spot.interval_seconds:,} s",
                    "use prices of one interval",
                )
            ],
        )
    sides = [_traded(candles) for candles in (perpetual, spot)]
    time, first_row, second_row = np.intersect1d(
        sides[0][0], sides[1][0], assume_unique=True, return_indices=True
    )
    basis = logarithms(sides[0][1][first_row] / sides[1][1][second_row])[0]
    kept = time >= first.astype("datetime64[ms]").astype(np.int64)
    return PerpetualBasisHistory(underlying, time[kept].astype("datetime64[ms]"), basis[kept])


def _traded(candles: Candles) -> tuple[IntArray, FloatArray]:
    """Return (close times in ms, closes) of candles with trading around both of their ends."""
    step = candles.interval_seconds * 1000
    good: BoolArray = ~np.isnat(candles.open_time) & np.isfinite(candles.close)
    good &= (candles.close > 0.0) & ~(candles.volume <= 0.0)
    opened = candles.open_time[good].astype(np.int64)
    stamps, row = np.unique(opened, return_index=True)
    complete = np.isin(stamps - step, stamps) & np.isin(stamps + step, stamps)
    return stamps[complete] + step, candles.close[good][row][complete]
