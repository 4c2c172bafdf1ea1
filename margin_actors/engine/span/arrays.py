"""Risk arrays: what one unit of every contract loses in each of SPAN's rows, by the risk cube.

The composite delta is the mean of the contract's deltas at SPAN's seven prices, weighted 27 % for
the price as it is, 21.7 % for a third of the range on either side, 11 % for two thirds and 3.7 %
for the whole, as CME publishes; each delta is a central difference of full revaluations.

References
----------
CME (2019), "SPAN methodology overview"; the weights are in the "delta scaling" section of the
SPAN risk parameter file layout.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray
from margin_actors.engine.parameters import SpanParameters
from margin_actors.engine.pricing import LINEAR
from margin_actors.engine.revaluation import Contracts
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.engine.scenarios.rules import composite_delta_rows, span_rows
from margin_actors.engine.span.ranges import ScanRanges

DELTA_WEIGHTS = np.array([0.270, 0.217, 0.217, 0.110, 0.110, 0.037, 0.037]) / 0.998
"""At the price as it is, then up and down by one, two and three thirds; sums to 1."""
_BUMP = 0.001

Price = Callable[[ScenarioSet], FloatArray]
"""Returns the profit of one unit of every contract, (n_contracts, n_rows), US dollars."""


@dataclass(frozen=True)
class RiskArrays:
    """Arrays in the order of the contracts; money is US dollars for one unit of each."""

    names: tuple[str, ...]
    row_names: tuple[str, ...]
    underlyings: tuple[str, ...]
    underlying: IndexArray
    """int32 (n_contracts,): place in `underlyings`."""
    loss: FloatArray
    """float64 (n_contracts, n_rows): a loss is positive, the row's share taken."""
    delta: FloatArray
    """float64 (n_contracts,): composite delta, coins; zeros where none is asked for."""
    tier: IndexArray
    """int32 (n_contracts,): tier of the expiry."""
    expiry: IndexArray
    """int32 (n_contracts,): place of the expiry among those of the underlying; -1 for none."""
    option: IndexArray
    """int32 (n_contracts,): 1 for calls, -1 for puts, 0 for others."""
    index_usd: FloatArray
    """float64 (n_underlyings,)."""
    price_scan: FloatArray
    """float64 (n_underlyings,): fraction of the index; zeros for the venue's grid."""


def risk_arrays(
    contracts: Contracts,
    index_usd: dict[str, float],
    rows: ScenarioSet,
    price: Price,
    *,
    tier_days: tuple[float, ...],
    scan: tuple[ScanRanges, SpanParameters] | None = None,
) -> RiskArrays:
    """Return the risk arrays of contracts over written-down rows.

    Parameters
    ----------
    contracts : Contracts
    index_usd : dict
        Index of each underlying, US dollars.
    rows : ScenarioSet
        Of `span_rows` or `venue_grid_rows`.
    price : callable
        Prices the contracts over a set; see `Price`.
    tier_days : tuple of float
        Upper ends of the tiers.
    scan : (ScanRanges, SpanParameters), optional
        For SPAN: composite deltas are computed over these ranges.
    """
    share = np.ones(len(rows)) if rows.loss_share is None else rows.loss_share
    loss = -price(rows) * share
    days = np.array([c.tenor_years * 365.0 for c in contracts.curves])[contracts.curve]
    expiries = {
        e: i for i, e in enumerate(sorted({c.expiry for c in contracts.curves if c.expiry}))
    }
    expiry_of = np.array(
        [expiries[c.expiry] if c.expiry else -1 for c in contracts.curves], np.int32
    )
    place = {u: i for i, u in enumerate(rows.underlyings)}
    underlying_of = np.array([place[c.underlying] for c in contracts.curves], np.int32)
    delta, ranges = np.zeros(len(contracts)), np.zeros(len(place))
    index = np.array([index_usd[u] for u in rows.underlyings])
    if scan is not None:
        ranges = np.array([scan[0].price[u] for u in rows.underlyings])
        bumps = composite_delta_rows(
            rows.underlyings, rows.tenors_days.tolist(), scan[0].price, bump=_BUMP
        )
        moved = price(bumps)
        slope = (moved[:, 0::2] - moved[:, 1::2]) / (2.0 * _BUMP)
        delta = (slope * DELTA_WEIGHTS).sum(axis=1) / index[underlying_of[contracts.curve]]
    return RiskArrays(
        names=contracts.names,
        row_names=rows.row_names,
        underlyings=rows.underlyings,
        underlying=underlying_of[contracts.curve],
        loss=np.ascontiguousarray(loss),
        delta=delta,
        tier=np.searchsorted(np.array(tier_days), days).astype(np.int32),
        expiry=expiry_of[contracts.curve],
        option=np.where(contracts.kind != LINEAR, contracts.sign, 0.0).astype(np.int32),
        index_usd=index,
        price_scan=ranges,
    )


def span_set(
    contracts: Contracts,
    ranges: ScanRanges,
    underlyings: tuple[str, ...],
    parameters: SpanParameters,
) -> ScenarioSet:
    """Return SPAN's sixteen rows at the maturities of the contracts."""
    return span_rows(underlyings, tenors_of(contracts), ranges.price, ranges.vol, parameters)


def tenors_of(contracts: Contracts) -> list[float]:
    """Return the maturities of the contracts' expiries, days, ascending."""
    return sorted({c.tenor_years * 365.0 for c in contracts.curves if c.tenor_years > 0.0})
