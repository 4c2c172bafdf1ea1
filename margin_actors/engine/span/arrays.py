"""Risk arrays: the loss of one unit of each contract in each row of SPAN or the venue grid.

The composite delta is the weighted mean of the deltas of a contract at the seven prices of SPAN.
The weights, published by CME, are 27 % for the unchanged price, 21.7 % for a third of the scan
range on either side, 11 % for two thirds and 3.7 % for the whole range. Each delta is a central
difference of full revaluations.

References
----------
CME (2019), "SPAN methodology overview"; the weights are in the "delta scaling" section of the
SPAN risk parameter file layout.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray
from margin_actors.engine.parameters import SpanParameters
from margin_actors.engine.pricing import LINEAR
from margin_actors.engine.revaluation import Contracts
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.engine.scenarios.prescribed import composite_delta_rows, span_rows
from margin_actors.engine.span.basis import BasisRisk
from margin_actors.engine.span.ranges import ScanRanges

DELTA_WEIGHTS = np.array([0.270, 0.217, 0.217, 0.110, 0.110, 0.037, 0.037]) / 0.998
"""Weights of the unchanged price, then of the price up and down by one, two and three thirds of the
scan range; they sum to 1."""
_BUMP = 0.001

Price = Callable[[ScenarioSet], FloatArray]
"""Function that returns the profit of one unit of each contract in each row of a set: float64 array
(n_contracts, n_rows), US dollars, a profit positive."""


@dataclass(frozen=True)
class RiskArrays:
    """Risk arrays of n_contracts contracts; amounts are US dollars per unit of the contract."""

    names: tuple[str, ...]
    row_names: tuple[str, ...]
    underlyings: tuple[str, ...]
    underlying: IndexArray
    """int32 (n_contracts,): index into `underlyings`."""
    loss: FloatArray
    """float64 (n_contracts, n_rows): loss times the loss share of the row; a loss is positive."""
    delta: FloatArray
    """float64 (n_contracts,): composite delta, coins; zeros for the venue grid."""
    tier: IndexArray
    """int32 (n_contracts,): index of the tier of the expiry, from 0."""
    expiry: IndexArray
    """int32 (n_contracts,): index into the ascending distinct expiries of all contracts; -1 for
    contracts without expiry."""
    option: IndexArray
    """int32 (n_contracts,): 1 for calls, -1 for puts, 0 for other contracts."""
    index_usd: FloatArray
    """float64 (n_underlyings,): index, US dollars."""
    price_scan: FloatArray
    """float64 (n_underlyings,): price scan range, as a fraction of the index; zeros for the venue
    grid."""
    basis: BasisRisk | None = None
    """What the basis charge needs; None if the scenario set does not move the basis."""


def risk_arrays(
    contracts: Contracts,
    index_usd: dict[str, float],
    rows: ScenarioSet,
    price: Price,
    *,
    tier_days: tuple[float, ...],
    scan: tuple[ScanRanges, SpanParameters] | None = None,
) -> RiskArrays:
    """Return the risk arrays of contracts over the rows of SPAN or the venue grid.

    Parameters
    ----------
    contracts : Contracts
    index_usd : dict
        Index of each underlying, US dollars.
    rows : ScenarioSet
        Result of `span_rows` or `venue_grid_rows`.
    price : callable
        Prices the contracts in the rows of a set; see `Price`.
    tier_days : tuple of float
        Upper ends of the tiers of expiries, days.
    scan : (ScanRanges, SpanParameters), optional
        For SPAN: the ranges over which composite deltas are computed; without it, deltas are 0.
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


def with_basis_charge(
    arrays: RiskArrays,
    contracts: Contracts,
    rate: FloatArray | None,
    price: Price | None = None,
) -> RiskArrays:
    """Return risk arrays with what the basis charge needs; unchanged without a rate.

    Parameters
    ----------
    arrays : RiskArrays
    contracts : Contracts
        Contracts of the arrays.
    rate : float64 (n_underlyings,), optional
        Basis charge per coin, as a fraction of the index.
    price : callable, optional
        If given, deltas are central differences at the current prices; else the composite deltas of
        the arrays.
    """
    if rate is None:
        return arrays
    delta = arrays.delta
    if price is not None:
        tenors, unmoved = tenors_of(contracts), dict.fromkeys(arrays.underlyings, 0.0)
        moved = price(composite_delta_rows(arrays.underlyings, tenors, unmoved, bump=_BUMP))
        slope = (moved[:, 0] - moved[:, 1]) / (2.0 * _BUMP)
        delta = slope / arrays.index_usd[arrays.underlying]
    kinds = np.array([c.is_perpetual for c in contracts.curves], np.bool_)
    return replace(arrays, basis=BasisRisk(kinds[contracts.curve], delta, rate))


def span_set(
    contracts: Contracts,
    ranges: ScanRanges,
    underlyings: tuple[str, ...],
    parameters: SpanParameters,
) -> ScenarioSet:
    """Return the sixteen rows of SPAN at the tenors of the contracts; see `span_rows`."""
    return span_rows(underlyings, tenors_of(contracts), ranges.price, ranges.vol, parameters)


def tenors_of(contracts: Contracts) -> list[float]:
    """Return the distinct positive tenors of the contracts, days, ascending."""
    return sorted({c.tenor_years * 365.0 for c in contracts.curves if c.tenor_years > 0.0})
