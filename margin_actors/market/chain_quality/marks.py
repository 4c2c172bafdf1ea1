"""Gates of the quotes and marks within one expiry."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray
from margin_actors.market.chain_quality.chain import ExpiryChain
from margin_actors.market.chain_quality.findings import ChainFinding, Effect, Gate
from margin_actors.market.chain_quality.limits import ChainQualityLimits
from margin_actors.market.chain_quality.robust import NORMAL_MAD, outliers

NEAR_MONEY = 2.0
"""Largest standardised moneyness of options that are near the money."""
_JUDGED_MIN = 4
"""Smallest number of marks or quotes from which an expiry is judged."""


@dataclass(frozen=True)
class JudgedExpiry:
    """The options of an expiry with their faults; arrays have shape (n_options,)."""

    chain: ExpiryChain
    no_mark: BoolArray
    """Options whose bid, ask and mark are not used."""
    no_quote: BoolArray
    """Options whose bid and ask are not used."""
    dropped: BoolArray
    """Repeated rows of an option, except the first."""
    findings: tuple[ChainFinding, ...]

    @property
    def is_quarantined(self) -> bool:
        """True if the options of the expiry are not priced."""
        return any(f.effect != "quote_excluded" for f in self.findings)

    @property
    def good_vol(self) -> FloatArray:
        """Mark volatilities that are used, NaN for the others."""
        return np.where(self.no_mark, np.nan, self.chain.mark_vol)


def judge_expiry(chain: ExpiryChain, limits: ChainQualityLimits) -> JudgedExpiry:
    """Return the faults of an expiry's options, found by the gates of single quotes and of all."""
    found: list[ChainFinding] = []
    bad, dropped = _repeated(chain, found)
    for gate in (_old, _implausible, _inconsistent, _off_smile):
        bad |= gate(chain, limits, bad | dropped, found)
    crossed = _crossed(chain, limits, bad | dropped, found)
    judged = JudgedExpiry(chain, bad | dropped, bad | dropped | crossed, dropped, tuple(found))
    return JudgedExpiry(
        chain,
        judged.no_mark,
        judged.no_quote,
        dropped,
        (*found, *_expiry_findings(judged, limits)),
    )


def _repeated(chain: ExpiryChain, found: list[ChainFinding]) -> tuple[BoolArray, BoolArray]:
    """Return (options whose rows contradict each other, rows to drop)."""
    bad, dropped = np.zeros(chain.rows.size, np.bool_), np.zeros(chain.rows.size, np.bool_)
    counts = Counter(chain.names)
    if len(counts) == len(chain.names):
        return bad, dropped
    names = np.array(chain.names)
    for name, n in counts.items():
        if n == 1:
            continue
        rows = np.flatnonzero(names == name)
        dropped[rows[1:]] = True
        columns = (chain.bid, chain.ask, chain.mark, chain.mark_vol)
        if not all(np.array_equal(c[rows], np.full(n, c[rows[0]]), equal_nan=True)
                   for c in columns):  # fmt: skip
            bad[rows[0]] = True
            what = f"is listed {n} times with different quotes (limit 1)"
            found.append(_of_option("duplicate", chain, int(rows[0]), what, float(n), 1.0))
    return bad, dropped


def _old(
    chain: ExpiryChain, limits: ChainQualityLimits, bad: BoolArray, found: list[ChainFinding]
) -> BoolArray:
    limit = limits.age_seconds_max
    if limit is None:
        return np.zeros_like(bad)
    age = np.abs(chain.age)
    return _record("age", chain, ~bad & (age > limit), age, limit, found,
                   lambda v: f"quote is {v:,.0f} s from the time of the snapshot "
                             f"(limit {limit:,.0f} s)")  # fmt: skip


def _implausible(
    chain: ExpiryChain, limits: ChainQualityLimits, bad: BoolArray, found: list[ChainFinding]
) -> BoolArray:
    out = np.zeros_like(bad)
    for limit, sign in ((limits.volatility_min, -1.0), (limits.volatility_max, 1.0)):
        if limit is None:
            continue
        beyond = ~bad & (sign * chain.mark_vol > sign * limit)
        side = "at least" if sign < 0.0 else "at most"
        out |= _record("volatility_range", chain, beyond, chain.mark_vol, limit, found,
                       lambda v, limit=limit, side=side: f"mark volatility {100 * v:.1f} % is not "
                       f"plausible (limit {side} {100 * limit:.0f} %)")  # fmt: skip
    return out


def _inconsistent(
    chain: ExpiryChain, limits: ChainQualityLimits, bad: BoolArray, found: list[ChainFinding]
) -> BoolArray:
    limit = limits.mark_price_max
    if limit is None:
        return np.zeros_like(bad)
    size = np.maximum(chain.forward, chain.strike)
    distance = np.abs(chain.mark - chain.model_price()) * chain.unit_usd / size
    return _record("mark_price", chain, ~bad & (distance > limit), distance, limit, found,
                   lambda v: f"mark price contradicts the mark volatility by {100 * v:.2f} % of "
                             f"the forward or strike (limit {100 * limit:.2f} %)")  # fmt: skip


def _off_smile(
    chain: ExpiryChain, limits: ChainQualityLimits, bad: BoolArray, found: list[ChainFinding]
) -> BoolArray:
    limit = limits.smile_score_max
    use = ~bad & np.isfinite(chain.mark_vol)
    if limit is None or int(use.sum()) < _JUDGED_MIN:
        return np.zeros_like(bad)

    def score(residual: FloatArray, spread: FloatArray, kept: BoolArray) -> FloatArray:
        known = np.abs(residual[kept & np.isfinite(residual)])
        scale = NORMAL_MAD * float(np.median(known)) if known.size else 0.0
        return np.abs(residual) / (max(scale, limits.smile_scale_min) + spread) / limit

    outside, residual, scores = outliers(chain.log_moneyness, chain.mark_vol, use, score)
    vol = chain.mark_vol
    for row in np.flatnonzero(outside):
        what = (
            f"mark volatility {100 * vol[row]:.1f} % is {100 * abs(residual[row]):.1f} points from "
            f"the smile, score {limit * scores[row]:.1f} (limit {limit:g})"
        )
        value = float(limit * scores[row])
        found.append(_of_option("smile", chain, int(row), what, value, limit))
    return outside


def _crossed(
    chain: ExpiryChain, limits: ChainQualityLimits, bad: BoolArray, found: list[ChainFinding]
) -> BoolArray:
    if not limits.crossed:
        return np.zeros_like(bad)
    over = chain.bid - chain.ask
    return _record("crossed", chain, ~bad & (over >= 0.0), over, 0.0, found,
                   lambda v: f"bid is above ask by {v:g}" if v > 0.0
                   else "bid equals ask")  # fmt: skip


def _expiry_findings(judged: JudgedExpiry, limits: ChainQualityLimits) -> list[ChainFinding]:
    """Return the findings on the whole expiry."""
    chain, listed = judged.chain, ~judged.dropped
    total = int(listed.sum())
    if total == 0:
        return []
    found: list[ChainFinding] = []
    excluded = int((judged.no_quote & listed).sum())
    limit = limits.excluded_share_max
    if limit is not None and excluded / total > limit:
        what = f"{excluded} of {total} quotes are excluded (limit {100 * limit:.0f} %)"
        found.append(_of_expiry("excluded_share", chain, what, excluded / total, limit))
    quoted = np.isfinite(chain.bid) & np.isfinite(chain.ask) & ~judged.no_quote
    usable = int(((np.isfinite(judged.good_vol) | quoted) & listed).sum())
    if usable < limits.quotes_min:
        what = (
            f"{usable} of {total} options have a usable mark (limit at least {limits.quotes_min})"
        )
        found.append(
            _of_expiry("too_few_quotes", chain, what, float(usable), float(limits.quotes_min))
        )
    return [*found, *_outside(judged, limits)]


def _outside(judged: JudgedExpiry, limits: ChainQualityLimits) -> list[ChainFinding]:
    limit = limits.outside_share_max
    if limit is None:
        return []
    share, count = outside_share(judged)
    if count < _JUDGED_MIN or share <= limit:
        return []
    what = (
        f"{100 * share:.0f} % of {count} marks near the money are outside their bid and ask by "
        f"more than the spread (limit {100 * limit:.0f} %)"
    )
    return [_of_expiry("outside_quotes", judged.chain, what, share, limit)]


def outside_share(judged: JudgedExpiry) -> tuple[float, int]:
    """Return (share of the marks that contradict their quotes, number of marks judged).

    Judged are the marks near the money of options with a bid and an ask, priced at the mark
    volatility; a mark contradicts its quotes if it is outside by more than their spread.
    """
    chain = judged.chain
    z = np.abs(chain.log_moneyness) / (chain.mark_vol * np.sqrt(chain.tenor))
    near = ~judged.no_quote & (chain.ask > chain.bid) & (z <= NEAR_MONEY)
    if not near.any():
        return 0.0, 0
    price = chain.model_price()[near]
    bid, ask = chain.bid[near], chain.ask[near]
    beyond = np.maximum(bid - price, price - ask) > ask - bid
    return float(beyond.mean()), int(near.sum())


def _record(
    gate: Gate,
    chain: ExpiryChain,
    found: BoolArray,
    value: FloatArray,
    limit: float,
    findings: list[ChainFinding],
    sentence: Callable[[float], str],
) -> BoolArray:
    for row in np.flatnonzero(found):
        measured = float(value[row])
        findings.append(_of_option(gate, chain, int(row), sentence(measured), measured, limit))
    return found


def _of_option(
    gate: Gate, chain: ExpiryChain, row: int, what: str, value: float, limit: float
) -> ChainFinding:
    name, effect = chain.names[row], "quote_excluded"
    return ChainFinding(gate, chain.item.underlying, chain.label, name, what, value, limit, effect)


def _of_expiry(
    gate: Gate, chain: ExpiryChain, what: str, value: float, limit: float
) -> ChainFinding:
    effect: Effect = "options_quarantined"
    return ChainFinding(gate, chain.item.underlying, chain.label, "", what, value, limit, effect)
