"""Formulas of the tools against procyclical margins, and their calibrated values.

Amounts are float64 arrays of one shape, in US dollars: what a tool adds to `before`, the margin
without any tool.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from margin_actors.arrays import FloatArray


def buffer_amount(before: FloatArray, share: FloatArray) -> FloatArray:
    """Return the buffer, a share of the margin, (n_accounts,), US dollars.

    Parameters
    ----------
    before : float64 (n_accounts,), US dollars
    share : float64 (n_accounts,)
        Share of the margin that the buffer holds.
    """
    return share * before


def weighted_margin(before: FloatArray, stressed: FloatArray, weight: float) -> FloatArray:
    """Return the weighted mean of the margin and the measure over the stress period.

    Parameters
    ----------
    before, stressed : float64 (n_accounts,), US dollars
    weight : float in [0, 1]
        Weight of the stress period.
    """
    return (1.0 - weight) * before + weight * stressed


def increase_to(before: FloatArray, least: FloatArray) -> FloatArray:
    """Return what raises the margin to `least`, at least 0.

    Parameters
    ----------
    before, least : float64 (n_accounts,), US dollars
    """
    return np.maximum(least - before, 0.0)


def stress_period_confidence(figures: Mapping[str, float]) -> float:
    """Return the confidence calibrated for the stress period."""
    return figures.get("stress_period.confidence", 0.0)


def buffer_shares(figures: Mapping[str, float], underlyings: Sequence[str]) -> FloatArray:
    """Return the calibrated buffer share of each underlying, float64 (n_underlyings,)."""
    return np.array([figures.get(f"buffer.share.{u}", 0.0) for u in underlyings])


def has_buffer_shares(figures: Mapping[str, float]) -> bool:
    """Return whether a scenario set has calibrated buffer shares."""
    return any(name.startswith("buffer.share.") for name in figures)
