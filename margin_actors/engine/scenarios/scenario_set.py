"""A scenario set: rows of joint moves of all underlyings, immutable and named by its content."""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray, TimeArray
from margin_actors.market.identity import content_id

TENORS_DAYS: tuple[float, ...] = (7.0, 14.0, 30.0, 60.0, 90.0, 180.0, 365.0)
"""Constant maturities of the factor grid."""
MONEYNESS: tuple[float, ...] = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
"""Standardised moneyness z = ln(K / F) / (sigma_atm * sqrt(T)) of the factor grid."""
AT_MONEY = MONEYNESS.index(0.0)


class Provenance(IntEnum):
    """Where a row's volatility moves come from."""

    NONE = 0
    """The set moves no volatility."""
    OBSERVED = 1
    """Measured between two chain snapshots."""
    PROXIED_BY_VOL_INDEX = 2
    """Regression on the spot return and the volatility index."""
    PROXIED_BY_SPOT = 3
    """Regression on the spot return alone."""


@dataclass(frozen=True)
class ScenarioSet:
    """Moves over the margin period of risk; row s moves all underlyings together."""

    engine: str
    underlyings: tuple[str, ...]
    horizon_hours: float
    start_time: TimeArray
    """datetime64[ms] (n_scenarios,): beginning of each row's window."""
    end_time: TimeArray
    """datetime64[ms] (n_scenarios,): end of each row's window."""
    spot_return: FloatArray
    """float64 (n_scenarios, n_underlyings), log return of the index; a rise is positive."""
    path_hours: FloatArray
    """float64 (n_path,): hours into the window at which `path_return` is given; ends at h."""
    path_return: FloatArray
    """float64 (n_scenarios, n_underlyings, n_path), log return since the window's start."""
    basis_change: FloatArray
    """float64 (n_scenarios, n_underlyings, n_tenors), change of ln(F / S) at constant maturity."""
    vol_change: FloatArray
    """float64 (n_scenarios, n_underlyings, n_tenors, n_moneyness), change of ln(volatility) at the
    log-moneyness that z names under the window's first surface."""
    weight: FloatArray
    """float64 (n_scenarios,), sums to 1."""
    provenance: np.ndarray
    """uint8 (n_scenarios, n_underlyings), a `Provenance` each."""
    is_synthetic: bool = False
    notes: tuple[str, ...] = ()
    """What people should know: proxies with their fit, how many windows are independent."""

    def __len__(self) -> int:
        """Return the number of scenarios."""
        return int(self.weight.size)

    @property
    def has_surface_moves(self) -> bool:
        """True where the set moves volatilities."""
        return bool(np.any(self.provenance != Provenance.NONE))

    @property
    def effective_size(self) -> float:
        """Number of windows that do not overlap, which is what the tail really rests on."""
        span = (self.end_time.max() - self.start_time.min()) / np.timedelta64(1, "h")
        return float(min(len(self), max(1.0, span / self.horizon_hours)))

    @cached_property
    def id(self) -> str:
        """Content id."""
        return content_id(
            "scenarios",
            {
                "engine": self.engine,
                "underlyings": self.underlyings,
                "horizon": self.horizon_hours,
                "tenors": TENORS_DAYS,
                "moneyness": MONEYNESS,
                "arrays": [
                    self.start_time,
                    self.end_time,
                    self.spot_return,
                    self.path_hours,
                    self.path_return,
                    self.basis_change,
                    self.vol_change,
                    self.weight,
                    self.provenance,
                ],
                "synthetic": self.is_synthetic,
            },
        )

    def rows(self, start: int, stop: int) -> "ScenarioSet":
        """Return the slice of rows [start, stop), weights as they are."""
        part = slice(start, stop)
        return ScenarioSet(
            self.engine,
            self.underlyings,
            self.horizon_hours,
            self.start_time[part],
            self.end_time[part],
            self.spot_return[part],
            self.path_hours,
            self.path_return[part],
            self.basis_change[part],
            self.vol_change[part],
            self.weight[part],
            self.provenance[part],
            self.is_synthetic,
            self.notes,
        )
