"""Gates of the forwards: put-call parity, the other expiries of the underlying, and the index."""

from collections.abc import Sequence

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray
from margin_actors.market.chain_quality.chain import ExpiryChain
from margin_actors.market.chain_quality.findings import ChainFinding, Gate
from margin_actors.market.chain_quality.limits import ChainQualityLimits
from margin_actors.market.chain_quality.robust import outliers
from margin_actors.numerics.elementary import logarithms

PAIRS = 7
"""Number of pairs of a call and a put, nearest to the money, from which parity is judged."""
_PAIRS_MIN = 3
_OTHERS_MIN = 3
"""Smallest number of other expiries with which a forward is compared."""


def forward_findings(
    chains: Sequence[ExpiryChain], limits: ChainQualityLimits
) -> list[ChainFinding]:
    """Return the findings on the forwards of one underlying, at most one per expiry and gate.

    `chains` are its expiries in the order of their tenors, with or without options. Expiries whose
    forward violates put-call parity or is too far from the index do not take part in the
    comparison between expiries.
    """
    found: list[ChainFinding] = []
    use = np.ones(len(chains), np.bool_)
    basis = np.array([_ln(chain.forward / chain.index_usd) for chain in chains])
    for i, chain in enumerate(chains):
        own = [*_parity(chain, limits), *_against_index(chain, float(basis[i]), limits)]
        use[i] = not own
        found += own
    return [*found, *_against_others(chains, basis, use, limits)]


def parity_distances(chain: ExpiryChain) -> tuple[float, float]:
    """Return how far the forward is from put-call parity, |ln(F / F')|, NaN if unknown.

    The first value is the median over the pairs nearest to the money of the distance from the
    forward that their marks imply; the second the median of the distance from the range that their
    bids and asks allow, 0 inside. The pairs nearest to the money are those with the smallest
    difference between the call's and the put's price, which does not depend on the forward.
    """
    calls = {float(k): i for i, k in enumerate(chain.strike) if chain.is_call[i]}
    pairs = [
        (calls[float(k)], i)
        for i, k in enumerate(chain.strike)
        if not chain.is_call[i] and float(k) in calls
    ]
    if not pairs:
        return float("nan"), float("nan")
    call, put = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    strike, inverse = chain.strike[call], chain.is_inverse[call]
    discount = chain.discount

    def forwards(difference: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            coin = np.where(difference < 1.0, strike / (1.0 - difference), np.nan)
        return np.where(inverse, coin, strike + difference / discount)

    difference = chain.mark[call] - chain.mark[put]
    by_marks = _nearest(difference, strike, inverse)
    marks = forwards(difference)[by_marks]
    from_marks = float("nan")
    if marks.size >= _PAIRS_MIN:
        from_marks = float(np.median(np.abs(logarithms(chain.forward / marks)[0])))
    low = chain.bid[call] - chain.ask[put]
    high = chain.ask[call] - chain.bid[put]
    by_quotes = _nearest(0.5 * (low + high), strike, inverse)
    low, high = forwards(low)[by_quotes], forwards(high)[by_quotes]
    positive = np.isfinite(low) & np.isfinite(high) & (low > 0.0) & (high >= low)
    from_quotes = float("nan")
    if positive.sum() >= _PAIRS_MIN:
        nearest = np.clip(chain.forward, low[positive], high[positive])
        from_quotes = float(np.median(np.abs(logarithms(chain.forward / nearest)[0])))
    return from_marks, from_quotes


def _nearest(difference: FloatArray, strike: FloatArray, inverse: BoolArray) -> np.ndarray:
    """Return the indices of the pairs nearest to the money, from their price differences."""
    relative = np.abs(np.where(inverse, difference, difference / strike))
    order = np.argsort(relative, kind="stable")
    return order[np.isfinite(relative[order])][:PAIRS]


def _parity(chain: ExpiryChain, limits: ChainQualityLimits) -> list[ChainFinding]:
    limit = limits.forward_parity_max
    if limit is None or chain.rows.size == 0:
        return []
    marks, quotes = parity_distances(chain)
    against = "marks" if np.nan_to_num(marks) >= np.nan_to_num(quotes) else "bids and asks"
    value = float(np.nanmax([marks, quotes, 0.0]))
    if value <= limit:
        return []
    what = f"contradicts put-call parity of its {against} by"
    return [_finding("forward_parity", chain, what, value, limit)]


def _against_index(
    chain: ExpiryChain, basis: float, limits: ChainQualityLimits
) -> list[ChainFinding]:
    if limits.forward_index_max is None:
        return []
    limit = limits.forward_index_max + limits.forward_carry_max * chain.tenor
    if abs(basis) <= limit:
        return []
    what = f"differs from the index {chain.index_usd:,.2f} by"
    return [_finding("forward_index", chain, what, abs(basis), limit)]


def _against_others(
    chains: Sequence[ExpiryChain], basis: FloatArray, use: BoolArray, limits: ChainQualityLimits
) -> list[ChainFinding]:
    limit = limits.forward_term_max
    if limit is None or int(use.sum()) <= _OTHERS_MIN:
        return []
    tenor = np.array([chain.tenor for chain in chains])

    def score(residual: FloatArray, spread: FloatArray, _kept: BoolArray) -> FloatArray:
        return (np.abs(residual) - spread) / limit

    found, residual, _ = outliers(tenor, basis, use, score, anchor=True)
    what = "differs from the forwards of the other expiries by"
    return [
        _finding("forward_term", chains[i], what, abs(float(residual[i])), limit)
        for i in np.flatnonzero(found).tolist()
    ]


def _finding(gate: Gate, chain: ExpiryChain, what: str, value: float, limit: float) -> ChainFinding:
    text = f"forward {chain.forward:,.2f} {what} {100 * value:.2f} % (limit {100 * limit:.2f} %)"
    return ChainFinding(
        gate, chain.item.underlying, chain.label, "", text, value, limit, "expiry_quarantined"
    )


def _ln(value: float) -> float:
    return float(logarithms(np.array([value]))[0][0])
