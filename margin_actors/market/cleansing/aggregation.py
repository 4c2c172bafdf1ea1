"""Aggregation of several sources of one underlying into one cleansed price per grid point.

A price is dropped if it repeats the previous one for too long, or if it is contradicted: by the
other sources or, if there are none, by the next price of its own source, when that returns to the
earlier level. A crash meets none of these conditions, however large it is.
"""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray
from margin_actors.errors import MissingMarketData, Problem
from margin_actors.market.candles import Candles
from margin_actors.market.cleansing.alignment import AlignedSource, GridSpec, align, grid_over
from margin_actors.market.cleansing.report import PriceGrid, QualityReport, Repair, SourceQuality
from margin_actors.market.cleansing.rolling import rolling_median_and_mad
from margin_actors.market.cleansing.rules import CleansingRules, QualityLimits
from margin_actors.numerics.jit import compiled

_REPAIRS_LISTED_MAX = 10_000
_MAD_TO_DEVIATION = 1.4826
_SPREAD_FLOOR = 5e-4
"""Smallest robust deviation, as a fraction of the rolling median.

Without it, every price change after a quiet period would be an outlier.
"""


OK, STALE, OUTLIER, DISAGREEMENT = 0, 1, 2, 3
_RULES = ("", "stale", "outlier", "disagreement")


@compiled
def _median_of(values: FloatArray, count: int) -> float:
    for i in range(1, count):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value
    half = count // 2
    return values[half] if count % 2 == 1 else 0.5 * (values[half - 1] + values[half])


@compiled
def _judge(
    price: FloatArray,
    median: FloatArray,
    mad: FloatArray,
    score_max: float,
    disagreement_max: float,
    verdict: IntArray,
    reference: FloatArray,
) -> None:
    """Write the verdict and its reference price for each dropped (source, point).

    All arrays have shape (n_sources, n_points).
    """
    n_sources, n = price.shape
    others = np.empty(max(n_sources, 3))
    for i in range(n):
        for s in range(n_sources):
            p = price[s, i]
            if not np.isfinite(p) or verdict[s, i] != OK:
                continue
            count = 0
            for o in range(n_sources):
                if o != s and np.isfinite(price[o, i]) and verdict[o, i] == OK:
                    others[count] = price[o, i]
                    count += 1
            centre = median[s, i]
            spread = max(_MAD_TO_DEVIATION * mad[s, i], _SPREAD_FLOOR * centre)
            score = abs(p - centre) / spread if np.isfinite(centre) else 0.0
            if count >= 1:
                # Two other sources are not a majority, since one of them may be wrong; then the
                # median of all three decides.
                if count == 2:
                    others[count] = p
                rest = _median_of(others, 3 if count == 2 else count)
                distance = abs(p / rest - 1.0)
                if count >= 2 and distance > disagreement_max:
                    verdict[s, i], reference[s, i] = DISAGREEMENT, rest
                elif distance > disagreement_max:
                    # With only two sources, the one further from its own past is wrong.
                    rest_score = abs(rest - centre) / spread if np.isfinite(centre) else 0.0
                    if score > rest_score:
                        verdict[s, i], reference[s, i] = DISAGREEMENT, rest
                elif score > score_max and distance > 0.25 * disagreement_max:
                    rest_score = abs(rest - centre) / spread
                    if rest_score < 0.5 * score:
                        verdict[s, i], reference[s, i] = OUTLIER, centre
            elif score > score_max and i + 1 < n and np.isfinite(price[s, i + 1]):
                back = abs(price[s, i + 1] - centre) / spread
                if back < 0.25 * score:
                    verdict[s, i], reference[s, i] = OUTLIER, centre


@compiled
def _mark_stale(price: FloatArray, points_max: int, verdict: IntArray) -> None:
    """Mark all repeats of a close that is unchanged for more than `points_max` points.

    All repeats of the run are marked, so that a frozen source cannot contradict one that moves.
    """
    first = 0
    for i in range(1, price.size + 1):
        if i < price.size and price[i] == price[first]:
            continue
        if i - first > points_max:
            for j in range(first + 1, i):
                verdict[j] = STALE
        first = i


@compiled
def _combine(
    price: FloatArray, volume: FloatArray, verdict: IntArray, mode: int, out: FloatArray
) -> None:
    n_sources, n = price.shape
    values, weights = np.empty(n_sources), np.empty(n_sources)
    for i in range(n):
        count = 0
        for s in range(n_sources):
            if np.isfinite(price[s, i]) and verdict[s, i] == OK:
                values[count] = price[s, i]
                weights[count] = volume[s, i] if volume[s, i] > 0.0 else 0.0
                count += 1
        if count == 0:
            out[i] = np.nan
        elif mode == 0:
            out[i] = values[0]
        elif mode == 1 or weights[:count].sum() <= 0.0:
            out[i] = _median_of(values, count)
        else:
            for a in range(1, count):
                v, w, b = values[a], weights[a], a
                while b > 0 and values[b - 1] > v:
                    values[b], weights[b] = values[b - 1], weights[b - 1]
                    b -= 1
                values[b], weights[b] = v, w
            half, running, at = 0.5 * weights[:count].sum(), 0.0, 0
            while at < count - 1 and running + weights[at] < half:
                running += weights[at]
                at += 1
            out[i] = values[at]


def aggregate_prices(
    candles: list[Candles],
    *,
    underlying: str,
    interval_seconds: int,
    as_of_ms: int,
    rules: CleansingRules,
    limits: QualityLimits | None = None,
    judged_points: int | None = None,
) -> tuple[PriceGrid, QualityReport]:
    """Return (prices, report): the cleansed prices of one underlying and the quality findings.

    Parameters
    ----------
    candles : list of Candles
        Raw sources with candles of `interval_seconds`, in order of preference.
    underlying : str
    interval_seconds : int
    as_of_ms : int
        Candles that close later are ignored; milliseconds since 1970, UTC.
    rules : CleansingRules
    limits : QualityLimits, optional
        Without limits the report has no breaches.
    judged_points : int, optional
        Number of last grid points (the lookback) to which the limits apply; by default all.

    Raises
    ------
    MissingMarketData
        If no source has a usable row.
    """
    grid = grid_over(candles, interval_seconds=interval_seconds, until_ms=as_of_ms)
    if grid.n == 0:
        raise MissingMarketData(
            f"no usable price of {underlying}",
            [Problem(c.source, f"no usable row up to {_iso(as_of_ms)}") for c in candles],
        )
    aligned = [align(c, grid, until_ms=as_of_ms) for c in candles]
    price = np.array([a.price for a in aligned])
    volume = np.array([a.volume for a in aligned])
    verdict, reference = _verdicts(price, rules)
    out = np.empty(grid.n)
    mode = {"first": 0, "median": 1, "volume_weighted_median": 2}[rules.aggregate]
    _combine(price, volume, verdict, mode, out)
    repairs = _drops(aligned, price, verdict, reference, grid)
    filled = _fill(out, rules)
    repairs += [
        Repair(
            _iso(_ms(grid, int(i))), "aggregate", f"filled:{rules.gap_rule}", float("nan"), out[i]
        )
        for i in np.flatnonzero(filled)
    ]
    cleansed = _Cleansed(underlying, grid, aligned, verdict, out, filled, repairs)
    report = _report(cleansed, as_of_ms, limits, judged_points)
    time = (grid.first_ms + grid.step_ms * np.arange(grid.n)).astype("datetime64[ms]")
    is_synthetic = any(c.is_synthetic for c in candles)
    return PriceGrid(underlying, interval_seconds, time, out, is_synthetic), report


def _verdicts(price: FloatArray, rules: CleansingRules) -> tuple[IntArray, FloatArray]:
    """Return the verdict on each price, and the price that contradicts a dropped one, else NaN.

    All arrays have shape (n_sources, n_points); prices are in US dollars.
    """
    verdict = np.zeros(price.shape, np.int64)
    reference = np.full(price.shape, np.nan)
    if rules.cleanse:
        median, mad = np.empty_like(price), np.empty_like(price)
        for s in range(price.shape[0]):
            _mark_stale(price[s], rules.stale_points_max, verdict[s])
            rolling_median_and_mad(price[s], rules.outlier_window, median[s], mad[s])
        _judge(
            price, median, mad, rules.outlier_score_max, rules.disagreement_max, verdict, reference
        )
    return verdict, reference


def _ms(grid: GridSpec, i: int) -> int:
    return grid.first_ms + int(i) * grid.step_ms


def _iso(ms: int) -> str:
    return f"{np.datetime_as_string(np.datetime64(ms, 'ms'), 's')}Z"


def _drops(
    aligned: list[AlignedSource],
    price: FloatArray,
    verdict: IntArray,
    reference: FloatArray,
    grid: GridSpec,
) -> list[Repair]:
    repairs: list[Repair] = []
    for s, i in np.argwhere(verdict != OK)[:_REPAIRS_LISTED_MAX]:
        repairs.append(
            Repair(
                _iso(_ms(grid, i)),
                aligned[s].source,
                _RULES[verdict[s, i]],
                float(price[s, i]),
                float(reference[s, i]),
            )
        )
    return repairs


def _fill(out: FloatArray, rules: CleansingRules) -> BoolArray:
    """Fill short gaps in place by the gap rule; return a mask of the filled points."""
    filled = np.zeros(out.size, np.bool_)
    if rules.gap_rule == "none" or rules.gap_points_max == 0:
        return filled
    missing = np.isnan(out)
    edges = np.diff(np.concatenate([[0], missing.astype(np.int8), [0]]))
    for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if start == 0 or stop - start > rules.gap_points_max:
            continue
        if rules.gap_rule == "previous":
            out[start:stop] = out[start - 1]
        elif stop < out.size:
            share = np.arange(1, stop - start + 1) / (stop - start + 1)
            out[start:stop] = out[start - 1] + share * (out[stop] - out[start - 1])
        else:
            continue
        filled[start:stop] = True
    return filled


@dataclass(frozen=True)
class _Cleansed:
    """The cleansed prices of one underlying and what was done to its sources."""

    underlying: str
    grid: GridSpec
    aligned: list[AlignedSource]
    """The sources on the grid."""
    verdict: IntArray
    """int64 (n_sources, n_points): verdict on each price, see `_RULES`."""
    price: FloatArray
    """float64 (n_points,), US dollars; NaN if missing."""
    filled: BoolArray
    """bool (n_points,): True if the price fills a gap."""
    repairs: list[Repair]


def _report(
    cleansed: _Cleansed, as_of_ms: int, limits: QualityLimits | None, judged_points: int | None
) -> QualityReport:
    underlying, grid, verdict = cleansed.underlying, cleansed.grid, cleansed.verdict
    judged = min(grid.n, judged_points or grid.n)
    window = slice(grid.n - judged, grid.n)
    missing = int(np.isnan(cleansed.price[window]).sum())
    dropped = int((verdict[:, window] != OK).sum())
    n_filled = int(cleansed.filled[window].sum())
    present = np.flatnonzero(np.isfinite(cleansed.price))
    last_ms = _ms(grid, present[-1]) if present.size else grid.first_ms
    age = (as_of_ms - last_ms) / 3.6e6
    breaches: list[str] = []
    if limits is not None:
        have = {
            "missing": (missing / judged, limits.missing_fraction_max),
            "repaired": (
                (dropped + n_filled) / (judged * len(cleansed.aligned)),
                limits.repaired_fraction_max,
            ),
        }
        breaches = [
            f"{underlying}: {100 * value:.2f} % of the last {judged} grid points are {name}, "
            f"more than {100 * most:.2f} %"
            for name, (value, most) in have.items()
            if value > most
        ]
        if age > limits.end_age_hours_max:
            breaches.append(
                f"{underlying}: the last price is {age:.1f} h old ({_iso(last_ms)}), "
                f"more than {limits.end_age_hours_max:g} h"
            )
    sources = tuple(_source_quality(a, verdict[s]) for s, a in enumerate(cleansed.aligned))
    return QualityReport(
        underlying,
        grid.step_ms // 1000,
        sources,
        tuple(cleansed.repairs),
        judged,
        missing,
        n_filled,
        dropped,
        age,
        tuple(breaches),
    )


def _source_quality(aligned: AlignedSource, verdict: IntArray) -> SourceQuality:
    have = np.flatnonzero(np.isfinite(aligned.price))
    inner = aligned.price[have[0] : have[-1] + 1] if have.size else aligned.price[:0]
    faults = {
        **aligned.faults,
        "stale": int((verdict == STALE).sum()),
        "outlier": int((verdict == OUTLIER).sum()),
        "disagreement": int((verdict == DISAGREEMENT).sum()),
    }
    return SourceQuality(
        aligned.source,
        aligned.rows,
        aligned.first,
        aligned.last,
        faults,
        int(np.isnan(inner).sum()),
        aligned.not_used,
    )
