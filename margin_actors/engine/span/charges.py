"""What SPAN and the venue's grid ask of accounts, from risk arrays and quantities.

For each underlying of an account ("combined commodity"):

1. scan risk: the largest loss of its sixteen sums, at least 0;
2. calendar spread charge: composite deltas of opposite sign between tiers of expiries, and between
   expiries within a tier, in the order of the parameters; a delta that has been used is gone;
3. inter-commodity credit: net deltas of opposite sign in two underlyings, in dollars; each leg
   gives back `credit` of its price risk, which is the scan risk without its volatility part;
4. short option minimum, a floor.

    requirement = sum over underlyings of max(scan risk + calendar charge - credit, minimum)

All sums run in the order of an account's positions.
"""

from dataclasses import dataclass, fields

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray, IntArray
from margin_actors.engine.parameters import SpanParameters
from margin_actors.engine.span.arrays import RiskArrays
from margin_actors.numerics.jit import compiled

_PAIRS = 7
"""Rows 2 i and 2 i + 1 have one price, with volatility up and down."""


@dataclass(frozen=True)
class SpanCharges:
    """Of n_accounts accounts in n_underlyings underlyings; US dollars unless said."""

    scan_risk: FloatArray
    """float64 (n_accounts, n_underlyings)."""
    active_row: IndexArray
    """int32 (n_accounts, n_underlyings): the row of the scan risk."""
    net_delta: FloatArray
    """float64 (n_accounts, n_underlyings): composite delta, coins."""
    price_risk: FloatArray
    """float64 (n_accounts, n_underlyings): scan risk at the active price, its two volatility rows
    averaged; at least 0."""
    calendar: FloatArray
    """float64 (n_accounts, n_underlyings): calendar spread charge."""
    credit: FloatArray
    """float64 (n_accounts, n_underlyings): inter-commodity credit, positive."""
    minimum: FloatArray
    """float64 (n_accounts, n_underlyings): short option minimum."""
    total: FloatArray
    """float64 (n_accounts,)."""


SPAN_INPUTS: tuple[str, ...] = tuple(f.name for f in fields(SpanCharges) if f.name != "total")


@compiled
def _sums(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    underlying: IndexArray,
    loss: FloatArray,
    out: FloatArray,
) -> None:
    for a in range(start.size - 1):
        for p in range(start[a], start[a + 1]):
            i = index[p]
            u = underlying[i]
            for r in range(loss.shape[1]):
                out[a, u, r] += quantity[p] * loss[i, r]


@compiled
def _deltas(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    underlying: IndexArray,
    tier: IndexArray,
    expiry: IndexArray,
    option: IndexArray,
    delta: FloatArray,
    by_expiry: FloatArray,
    tier_of: IndexArray,
    shorts: FloatArray,
) -> None:
    """Add deltas to their expiry (the one without expiry first), and short calls and puts."""
    for a in range(start.size - 1):
        for p in range(start[a], start[a + 1]):
            i = index[p]
            u, e = underlying[i], expiry[i] + 1
            by_expiry[a, u, e] += quantity[p] * delta[i]
            tier_of[u, e] = tier[i]
            if option[i] != 0 and quantity[p] < 0.0:
                shorts[a, u, 0 if option[i] > 0 else 1] -= quantity[p]


def _scenario_sums(
    start: IntArray, index: IndexArray, quantity: FloatArray, arrays: RiskArrays
) -> FloatArray:
    shape = (start.size - 1, len(arrays.underlyings), arrays.loss.shape[1])
    out = np.zeros(shape)
    _sums(start, index, quantity, arrays.underlying, arrays.loss, out)
    return out


def grid_charges(
    start: IntArray, index: IndexArray, quantity: FloatArray, arrays: RiskArrays
) -> tuple[FloatArray, IndexArray]:
    """Return (largest loss of each underlying, its row), each (n_accounts, n_underlyings).

    Underlyings are not offset against each other; a loss is positive, at least 0.
    """
    sums = _scenario_sums(start, index, quantity, arrays)
    return np.maximum(sums.max(axis=2), 0.0), sums.argmax(axis=2).astype(np.int32)


def span_charges(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    arrays: RiskArrays,
    parameters: SpanParameters,
) -> SpanCharges:
    """Return SPAN's parts for accounts.

    Parameters
    ----------
    start : int64 (n_accounts + 1,)
        Account a owns positions start[a] to start[a + 1].
    index : int32 (n_positions,)
        Contract of each position.
    quantity : float64 (n_positions,)
        Units, long positive.
    arrays : RiskArrays
    parameters : SpanParameters
    """
    sums = _scenario_sums(start, index, quantity, arrays)
    n, nu = sums.shape[:2]
    scan, active = np.maximum(sums.max(axis=2), 0.0), sums.argmax(axis=2).astype(np.int32)
    n_expiries = int(arrays.expiry.max(initial=-1)) + 2
    by_expiry, shorts = np.zeros((n, nu, n_expiries)), np.zeros((n, nu, 2))
    tier_of = np.zeros((nu, n_expiries), np.int32)
    _deltas(
        start,
        index,
        quantity,
        arrays.underlying,
        arrays.tier,
        arrays.expiry,
        arrays.option,
        arrays.delta,
        by_expiry,
        tier_of,
        shorts,
    )
    net = by_expiry.sum(axis=2)
    calendar = _calendar(by_expiry, tier_of, parameters) * arrays.index_usd
    price_risk = _price_risk(sums, active)
    credit = _credits(net, price_risk, arrays, parameters)
    short = shorts.max(axis=2) if parameters.short_option_count == "larger_side" else shorts.sum(2)
    minimum = short * parameters.short_option_minimum * arrays.index_usd
    total = np.maximum(scan + calendar - credit, minimum).sum(axis=1)
    return SpanCharges(scan, active, net, price_risk, calendar, credit, minimum, total)


def _price_risk(sums: FloatArray, active: IndexArray) -> FloatArray:
    """Return the loss at the active row's price with volatility averaged out, at least 0."""
    pairs = 0.5 * (sums[:, :, 0 : 2 * _PAIRS : 2] + sums[:, :, 1 : 2 * _PAIRS : 2])
    chosen = np.take_along_axis(pairs, np.minimum(active // 2, _PAIRS - 1)[:, :, None], axis=2)
    extreme = np.take_along_axis(sums, active[:, :, None].astype(np.int64), axis=2)
    # Extreme rows leave volatility as it is; what the passing of time costs is in no row.
    unmoved = pairs[:, :, :1]
    risk = np.where(active[:, :, None] >= 2 * _PAIRS, extreme, chosen - unmoved)
    return np.maximum(risk[:, :, 0], 0.0)


def _calendar(by_expiry: FloatArray, tier_of: IndexArray, parameters: SpanParameters) -> FloatArray:
    """Return the calendar spread charge, (n_accounts, n_underlyings), as a fraction of the index.

    Within a tier, long against short expiries; between tiers, what is left of them.
    """
    n, nu = by_expiry.shape[:2]
    n_tiers = len(parameters.tier_days) + 1
    long, short = np.zeros((n, nu, n_tiers)), np.zeros((n, nu, n_tiers))
    for t in range(n_tiers):
        held = np.where(tier_of == t, by_expiry, 0.0)
        long[:, :, t] = np.maximum(held, 0.0).sum(axis=2)
        short[:, :, t] = np.maximum(-held, 0.0).sum(axis=2)
    charge = np.zeros((n, nu))
    for spread in parameters.calendar_spreads:
        a, b = spread.tiers
        for first, second in ((a, b),) if a == b else ((a, b), (b, a)):
            count = np.minimum(long[:, :, first], short[:, :, second])
            long[:, :, first] -= count
            short[:, :, second] -= count
            charge += spread.rate * count
    return charge


def _credits(
    net: FloatArray, price_risk: FloatArray, arrays: RiskArrays, parameters: SpanParameters
) -> FloatArray:
    """Return the inter-commodity credit of each leg, positive."""
    dollars = net * arrays.index_usd
    left = dollars.copy()
    credit = np.zeros_like(net)
    place = {u: i for i, u in enumerate(arrays.underlyings)}
    for spread in parameters.inter_commodity:
        if not all(u in place for u in spread.underlyings):
            continue
        a, b = (place[u] for u in spread.underlyings)
        opposite = left[:, a] * left[:, b] < 0.0
        size = np.where(opposite, np.minimum(np.abs(left[:, a]), np.abs(left[:, b])), 0.0)
        for leg in (a, b):
            held = np.abs(dollars[:, leg])
            share = np.divide(size, held, out=np.zeros_like(size), where=held > 0.0)
            credit[:, leg] += spread.credit * share * price_risk[:, leg]
            left[:, leg] -= np.sign(left[:, leg]) * size
    return credit
