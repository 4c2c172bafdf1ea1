"""The extended rows of a scenario set and the shares of the loss that count in them."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.scenarios import EXTENDED, ScenarioSet


@dataclass(frozen=True)
class ExtendedShares:
    """The names of the extended rows and the shares of the loss that count."""

    names: tuple[str, ...]
    """Names of the rows, distinct."""
    share: FloatArray
    """float64 (n_rows,): share of the loss that counts, in (0, 1]."""


def extended_shares(scenarios: ScenarioSet) -> ExtendedShares | None:
    """Return names and shares of the extended rows; None if the set has no such section."""
    if EXTENDED not in scenarios.section_names:
        return None
    rows = scenarios.section(EXTENDED).rows
    share = np.ones(len(scenarios)) if scenarios.loss_share is None else scenarios.loss_share
    return ExtendedShares(scenarios.row_names[rows], share[rows].copy())
