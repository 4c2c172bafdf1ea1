"""Values that are calibrated with a scenario set and on which requirements depend."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_CONFIDENCE = "stress_period.confidence"
_SHARE = "buffer.share."
_DEPTH_DATE, _DEPTH_DAYS = "depth.date", "depth.days"
_DEPTH_FIELDS = ("delta_coins", "vega_coins", "half_spread_vol")


@dataclass(frozen=True)
class CalibratedDepth:
    """Daily volumes and spreads of expiry buckets, from recorded days.

    Each mapping is by (underlying, name of the bucket); buckets without recorded options are
    missing.
    """

    date: int
    """The last recorded day, days since 1970-01-01 (UTC)."""
    days: int
    """Number of recorded days among those whose median is the depth."""
    delta_coins: Mapping[tuple[str, str], float]
    """Absolute option delta traded per day, coins."""
    vega_coins: Mapping[tuple[str, str], float]
    """Vega traded per day, coins per unit of volatility: US dollars divided by the index."""
    half_spread_vol: Mapping[tuple[str, str], float]
    """Half the bid-ask spread, in volatility as a fraction."""

    def named_values(self) -> dict[str, float]:
        """Return the values by name, for example ``depth.delta_coins.BTC.7-30 d``."""
        values = {_DEPTH_DATE: float(self.date), _DEPTH_DAYS: float(self.days)}
        for field_name in _DEPTH_FIELDS:
            found: Mapping[tuple[str, str], float] = getattr(self, field_name)
            values |= {f"depth.{field_name}.{u}.{b}": value for (u, b), value in found.items()}
        return values


@dataclass(frozen=True)
class Calibration:
    """Calibrated values of a scenario set; each exists only if the model of the set requires it."""

    buffer_shares: Mapping[str, float] = field(default_factory=dict[str, float])
    """Buffer share of each underlying, a fraction; empty if the model has no buffer."""
    stress_confidence: float | None = None
    """Confidence of the measure over the stress period, in (0, 1); None without a stress period."""
    depth: CalibratedDepth | None = None
    """Market depth; None if the model takes it from the snapshot, or no day is recorded."""

    def named_values(self) -> dict[str, float]:
        """Return the values by name, as they enter the id and the table of a scenario set.

        Examples
        --------
        >>> Calibration({"BTC": 0.25}, 0.97).named_values()
        {'stress_period.confidence': 0.97, 'buffer.share.BTC': 0.25}
        """
        values: dict[str, float] = {}
        if self.stress_confidence is not None:
            values[_CONFIDENCE] = self.stress_confidence
        values |= {f"{_SHARE}{u}": share for u, share in self.buffer_shares.items()}
        return values if self.depth is None else values | self.depth.named_values()


def calibration_from_values(values: Mapping[str, float]) -> Calibration:
    """Return the calibration with the given values by name; see `Calibration.named_values`.

    Raises
    ------
    ValueError
        Naming every unknown name.
    """
    shares = {n.removeprefix(_SHARE): v for n, v in values.items() if n.startswith(_SHARE)}
    found = Calibration(shares, values.get(_CONFIDENCE), _depth_from_values(values))
    unknown = sorted(set(values) - set(found.named_values()))
    if unknown:
        raise ValueError(f"unknown calibrated values: {', '.join(unknown)}")
    return found


def _depth_from_values(values: Mapping[str, float]) -> CalibratedDepth | None:
    if _DEPTH_DATE not in values or _DEPTH_DAYS not in values:
        return None
    found: dict[str, dict[tuple[str, str], float]] = {}
    for name in _DEPTH_FIELDS:
        prefix = f"depth.{name}."
        keys = {n: n.removeprefix(prefix).partition(".") for n in values if n.startswith(prefix)}
        found[name] = {(u, bucket): values[n] for n, (u, _, bucket) in keys.items()}
    date, days = (int(values[name]) for name in (_DEPTH_DATE, _DEPTH_DAYS))
    return CalibratedDepth(date, days, **found)
