"""The stress period and the confidence for its floor, both chosen once a year.

The stress period consists of the windows, among all windows known at the start of the year, in
which any underlying moved most relative to its own long-run volatility. Since these are all large
moves, the model's confidence would give far too large a measure. The confidence is therefore
calibrated so that, on average, long and short outrights have the same VaR as over the long lookback
at the model's confidence (as Eurex Prisma calibrates its stress period). The VaR that is compared
is that of the log return, in which the losses of long and short are symmetric.
"""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import DAY_MS, FloatArray, IntArray
from margin_actors.engine.measures import tail_count, value_at_risk
from margin_actors.engine.parameters import StressPeriodParameters
from margin_actors.engine.scenarios.history.windows import PriceTable, Windows, spot_returns

WINDOWS_MIN = 40
"""Smallest number of windows from which a stress period is chosen."""


@dataclass(frozen=True)
class StressPeriod:
    """The windows of the stress period and their calibration."""

    windows: Windows
    """In order of time."""
    confidence: float
    """Confidence over the stress period."""
    known_until: np.datetime64
    """Time up to which windows were considered."""
    ratio: dict[str, float]
    """VaR over the stress period divided by long-run VaR, by outright, for example ``BTC long``."""

    def notes(self) -> tuple[str, ...]:
        """Return a note that describes the calibration."""
        ratios = ", ".join(f"{name} {value:.2f}" for name, value in self.ratio.items())
        return (
            f"stress period: {self.windows.end.size} windows known by "
            f"{self.known_until.astype('datetime64[D]')}, confidence "
            f"{100 * self.confidence:.2f} %; VaR over long-run VaR: {ratios}",
        )


def choose_stress_period(
    table: PriceTable,
    windows: Windows,
    parameters: StressPeriodParameters,
    *,
    confidence: float,
    long_years: float,
) -> StressPeriod:
    """Return the stress period for the year in which the table ends.

    If fewer windows than needed were known at the start of the year, all windows are considered.

    Parameters
    ----------
    table, windows : PriceTable, Windows
        All windows of the table.
    parameters : StressPeriodParameters
    confidence : float
        Confidence of the long-run VaR.
    long_years : float
        Lookback of the long-run VaR, years.
    """
    year = table.time[table.last].astype("datetime64[Y]").astype("datetime64[ms]")
    known = windows.chosen(table.time[windows.end] <= year)
    if known.end.size < max(WINDOWS_MIN, parameters.days):
        known, year = windows, table.time[table.last]
    returns = spot_returns(table, known)
    rms = np.sqrt(np.mean(returns * returns, axis=0))
    score = np.max(np.abs(returns) / np.maximum(rms, 1e-12), axis=1)
    # Reversing a stable order selects the later of two windows with equal scores.
    order = np.argsort(score[::-1], kind="stable")[::-1]
    chosen = np.sort(known.end.size - 1 - order[: parameters.days])
    since = year - np.timedelta64(round(long_years * 365.25 * DAY_MS), "ms")
    long_run = returns[table.time[known.end] > since]
    level, ratio = _calibrate(table, returns[chosen], long_run, parameters, confidence)
    return StressPeriod(known.chosen(chosen), level, year, ratio)


def _calibrate(
    table: PriceTable,
    stress: FloatArray,
    long_run: FloatArray,
    parameters: StressPeriodParameters,
    confidence: float,
) -> tuple[float, dict[str, float]]:
    n = stress.shape[0]
    names: list[str] = []
    ratios: list[FloatArray] = []  # by rank of the stress losses
    for u, name in enumerate(table.underlyings):
        for side, sign in (("long", 1.0), ("short", -1.0)):
            target = value_at_risk(sign * long_run[:, u][None, :], confidence=confidence)[0]
            losses = -np.sort(sign * stress[:, u])
            names.append(f"{name} {side}")
            ratios.append(losses / max(target, 1e-12))
    by_rank = np.array(ratios)
    if parameters.confidence is not None:
        level = parameters.confidence
        _, rank = tail_count(n, level)
    else:
        rank = _closest(by_rank.mean(axis=0))
        level = 1.0 - (rank + 0.5) / n
    return level, {name: float(row[rank]) for name, row in zip(names, by_rank, strict=True)}


def _closest(mean_ratio: FloatArray) -> int:
    ranks: IntArray = np.argsort(np.abs(mean_ratio - 1.0), kind="stable")
    return int(ranks[0])
