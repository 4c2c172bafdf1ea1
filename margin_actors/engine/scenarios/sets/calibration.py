"""Values that are calibrated with a scenario set and on which requirements depend."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_CONFIDENCE = "stress_period.confidence"
_SHARE = "buffer.share."


@dataclass(frozen=True)
class Calibration:
    """Calibrated values of a scenario set; each exists only if the model of the set requires it."""

    buffer_shares: Mapping[str, float] = field(default_factory=dict[str, float])
    """Buffer share of each underlying, a fraction; empty if the model has no buffer."""
    stress_confidence: float | None = None
    """Confidence of the measure over the stress period, in (0, 1); None without a stress period."""

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
        return values | {f"{_SHARE}{u}": share for u, share in self.buffer_shares.items()}


def calibration_from_values(values: Mapping[str, float]) -> Calibration:
    """Return the calibration with the given values by name; see `Calibration.named_values`.

    Raises
    ------
    ValueError
        Naming every unknown name.
    """
    shares = {n.removeprefix(_SHARE): v for n, v in values.items() if n.startswith(_SHARE)}
    found = Calibration(shares, values.get(_CONFIDENCE))
    unknown = sorted(set(values) - set(found.named_values()))
    if unknown:
        raise ValueError(f"unknown calibrated values: {', '.join(unknown)}")
    return found
