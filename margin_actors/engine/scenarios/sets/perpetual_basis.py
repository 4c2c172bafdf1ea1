"""Moves of the basis of perpetuals in the rows of a scenario set."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from margin_actors.arrays import FloatArray


class BasisProvenance(IntEnum):
    """Source of the move of a perpetual's basis in a row."""

    NONE = 0
    """The row does not move it."""
    OBSERVED = 1
    """Measured between recorded prices of the perpetual and of spot."""
    PROXIED_BY_SPOT = 2
    """Regression on the spot return, plus a residual drawn at random."""
    MADE = 3
    """Drawn from a fitted distribution, or prescribed."""


@dataclass(frozen=True)
class PerpetualBasisMoves:
    """Changes of ln(perpetual / index) in the rows of a scenario set."""

    change: FloatArray
    """float64 (n_scenarios, n_underlyings): change of ln(perpetual / index); positive if the
    perpetual rises relative to the index."""
    provenance: np.ndarray
    """uint8 (n_scenarios, n_underlyings): values of `BasisProvenance`."""

    def select(self, chosen: slice | np.ndarray) -> "PerpetualBasisMoves":
        """Return the moves of the selected rows; `chosen` as in `ScenarioSet.select`."""
        return PerpetualBasisMoves(self.change[chosen], self.provenance[chosen])

    def content(self) -> list[np.ndarray]:
        """Return the arrays that the content id of a scenario set covers."""
        return [self.change, self.provenance]


def unmoved(n_scenarios: int, n_underlyings: int) -> PerpetualBasisMoves:
    """Return the moves of rows in which perpetuals move as the index."""
    shape = (n_scenarios, n_underlyings)
    return PerpetualBasisMoves(np.zeros(shape), np.full(shape, BasisProvenance.NONE, np.uint8))


def join_moves(
    moves: Sequence[PerpetualBasisMoves | None], sizes: Sequence[int], n_underlyings: int
) -> PerpetualBasisMoves | None:
    """Return the moves of consecutive groups of rows; None if no group has any.

    Parameters
    ----------
    moves : sequence of PerpetualBasisMoves or None
        Moves of each group; None if perpetuals move as the index.
    sizes : sequence of int
        Number of rows of each group.
    n_underlyings : int
    """
    if all(item is None for item in moves):
        return None
    whole = [
        unmoved(size, n_underlyings) if item is None else item
        for item, size in zip(moves, sizes, strict=True)
    ]
    return PerpetualBasisMoves(
        np.concatenate([item.change for item in whole]),
        np.concatenate([item.provenance for item in whole]),
    )
