"""SPAN and venue grid charges of accounts, from risk arrays and quantities.

For each underlying of an account ("combined commodity"), SPAN computes:

1. the scan risk: the largest loss of the account over the sixteen rows, at least 0;
2. the calendar spread charge on composite deltas of opposite sign between tiers of expiries, and
   between expiries within a tier; spreads are formed in the order of the parameters, and a delta is
   used in one spread only;
3. the inter-commodity credit for net deltas of opposite sign in two underlyings, in US dollars;
   each leg is credited `credit` times the matched share of its delta times its price risk, which is
   the scan risk without its volatility component;
4. the basis charge for deltas of perpetuals against those of other contracts, if the scenario set
   moves the basis; see `basis`;
5. the short option minimum, which is a floor.

    requirement = sum over underlyings of
                  max(scan risk + calendar charge + basis charge - credit, minimum)

All sums run in the order of the positions of the account.
"""

from dataclasses import dataclass, fields

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray, IntArray
from margin_actors.engine.parameters import SpanParameters
from margin_actors.engine.span.arrays import RiskArrays
from margin_actors.engine.span.basis import basis_charges
from margin_actors.numerics.jit import compiled

_PAIRS = 7
"""Number of price moves; rows 2 i and 2 i + 1 have one price, volatility up and down."""


@dataclass(frozen=True)
class SpanCharges:
    """SPAN charges by account and underlying; US dollars unless stated otherwise."""

    scan_risk: FloatArray
    """float64 (n_accounts, n_underlyings): largest loss over the rows, at least 0."""
    active_row: IndexArray
    """int32 (n_accounts, n_underlyings): index of the row with the largest loss."""
    net_delta: FloatArray
    """float64 (n_accounts, n_underlyings): net composite delta, coins."""
    price_risk: FloatArray
    """float64 (n_accounts, n_underlyings): loss at the price of the active row, averaged over its
    two volatility rows, less the same average at the unchanged price; the loss itself if the active
    row is an extreme row. At least 0."""
    calendar: FloatArray
    """float64 (n_accounts, n_underlyings): calendar spread charge."""
    credit: FloatArray
    """float64 (n_accounts, n_underlyings): inter-commodity credit, at least 0."""
    minimum: FloatArray
    """float64 (n_accounts, n_underlyings): short option minimum."""
    total: FloatArray
    """float64 (n_accounts,): requirement."""
    basis: FloatArray | None = None
    """float64 (n_accounts, n_underlyings): basis charge; None without one."""


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
    """Add deltas to `by_expiry`, column 0 for contracts without expiry, and count short options."""
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
    """Return the venue grid charges of accounts; there is no offset between underlyings.

    The basis charge, if there is one, is added to the largest loss.

    Parameters
    ----------
    start, index, quantity
        Positions of the accounts, as in `span_charges`.
    arrays : RiskArrays
        Risk arrays over the rows of the venue grid.

    Returns
    -------
    float64 (n_accounts, n_underlyings), US dollars
        Largest loss in each underlying plus the basis charge; a loss is positive, at least 0.
    int32 (n_accounts, n_underlyings)
        Index of its row.
    """
    sums = _scenario_sums(start, index, quantity, arrays)
    worst = np.maximum(sums.max(axis=2), 0.0)
    basis = _basis(start, index, quantity, arrays)
    return (
        worst if basis is None else worst + basis,
        sums.argmax(axis=2).astype(np.int32),
    )


def _basis(
    start: IntArray, index: IndexArray, quantity: FloatArray, arrays: RiskArrays
) -> FloatArray | None:
    if arrays.basis is None:
        return None
    return basis_charges(start, index, quantity, arrays.basis, arrays.underlying, arrays.index_usd)


def span_charges(
    start: IntArray,
    index: IndexArray,
    quantity: FloatArray,
    arrays: RiskArrays,
    parameters: SpanParameters,
) -> SpanCharges:
    """Return the SPAN charges of accounts.

    Parameters
    ----------
    start : int64 (n_accounts + 1,)
        Indices of positions: account a holds positions start[a] to start[a + 1] - 1.
    index : int32 (n_positions,)
        Index of the contract of each position in `arrays`.
    quantity : float64 (n_positions,)
        Units of the contract, long positive.
    arrays : RiskArrays
        Risk arrays over the rows of SPAN.
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
    basis = _basis(start, index, quantity, arrays)
    charged = scan + calendar if basis is None else scan + calendar + basis
    total = np.maximum(charged - credit, minimum).sum(axis=1)
    return SpanCharges(scan, active, net, price_risk, calendar, credit, minimum, total, basis)


def _price_risk(sums: FloatArray, active: IndexArray) -> FloatArray:
    """Return the price risk, (n_accounts, n_underlyings), USD; see `SpanCharges.price_risk`."""
    pairs = 0.5 * (sums[:, :, 0 : 2 * _PAIRS : 2] + sums[:, :, 1 : 2 * _PAIRS : 2])
    chosen = np.take_along_axis(pairs, np.minimum(active // 2, _PAIRS - 1)[:, :, None], axis=2)
    extreme = np.take_along_axis(sums, active[:, :, None].astype(np.int64), axis=2)
    # Extreme rows do not move volatility. No row contains time decay: the loss at the unchanged
    # price comes from the volatility moves alone.
    unmoved = pairs[:, :, :1]
    risk = np.where(active[:, :, None] >= 2 * _PAIRS, extreme, chosen - unmoved)
    return np.maximum(risk[:, :, 0], 0.0)


def _calendar(by_expiry: FloatArray, tier_of: IndexArray, parameters: SpanParameters) -> FloatArray:
    """Return the calendar spread charge, (n_accounts, n_underlyings), coins.

    Spreads within a tier match long with short expiries, spreads between tiers long deltas of one
    tier with short deltas of the other; each spread uses the deltas that earlier ones have left.
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
    """Return the inter-commodity credit, (n_accounts, n_underlyings), US dollars, at least 0."""
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
