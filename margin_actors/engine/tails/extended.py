"""The largest counted loss of accounts in the extended rows of a scenario set."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
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


def largest_share(pnl_usd: FloatArray, share: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the largest counted loss of each account, and its row; the first of equal ones.

    Parameters
    ----------
    pnl_usd : float64 (n_accounts, n_rows), US dollars
        A profit is positive.
    share : float64 (n_rows,)
        Share of the loss that counts.

    Returns
    -------
    float64 (n_accounts,), US dollars
        max over rows of share * loss; negative if the account gains in every row.
    int64 (n_accounts,)
    """
    counted = -pnl_usd * share
    row = counted.argmax(axis=1)
    return counted[np.arange(row.size), row], row
