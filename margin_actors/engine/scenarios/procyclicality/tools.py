"""Amounts that the anti-procyclicality tools add to a margin, in margins and in studies alike.

The tools apply in this order: buffer, stressed weight, floor. The first two refer to the margin
before any tool, so that the buffer does not enter the weighted mean; the floor refers to the sum.
All arrays have the same shape and unit (of margins: US dollars, or fractions of a price).
"""

import numpy as np

from margin_actors.arrays import FloatArray


def buffer_amount(margin: FloatArray, share: FloatArray) -> FloatArray:
    """Return the buffer.

    Parameters
    ----------
    margin : float64 (n,)
        Margin before any tool, US dollars or a fraction of a price; so are the amounts.
    share : float64 (n,)
        Share of the margin that the buffer holds, in [0, 1].
    """
    return share * margin


def blended(margin: FloatArray, stressed: FloatArray, weight: float) -> FloatArray:
    """Return the mean of the margin and the measure over the stress period, of weight `weight`.

    `margin` and `stressed` are float64 (n,), US dollars or fractions of a price.
    """
    return (1.0 - weight) * margin + weight * stressed


def pooled_weights(core: FloatArray, n_stress: int, weight: float) -> FloatArray:
    """Return the weights of one sample of core rows and rows of the stress period.

    Parameters
    ----------
    core : float64 (n_core,)
        Weights of the core rows, which sum to 1.
    n_stress : int
        Number of rows of the stress period.
    weight : float in [0, 1]
        Weight of all rows of the stress period; it is spread equally over them.

    Returns
    -------
    float64 (n_core + n_stress,)
        Weights, which sum to 1.
    """
    pooled = np.concatenate([(1.0 - weight) * core, np.full(n_stress, weight / n_stress)])
    return pooled / pooled.sum()


def stressed_weight_amount(margin: FloatArray, weighted: FloatArray) -> FloatArray:
    """Return the excess of the weighted measure over the margin before any tool, at least 0.

    `margin` and `weighted` are float64 (n,), US dollars or fractions of a price.
    """
    return np.maximum(weighted - margin, 0.0)


def floor_amount(margin: FloatArray, floors: tuple[FloatArray, ...]) -> FloatArray:
    """Return the excess of the largest floor over the margin including the other tools, at least 0.

    Without floors, it is 0. `margin` and each of `floors` are float64 (n,), US dollars or fractions
    of a price.
    """
    floor = np.zeros(margin.shape)
    for measure in floors:
        floor = np.maximum(floor, measure)
    return np.maximum(floor - margin, 0.0)
