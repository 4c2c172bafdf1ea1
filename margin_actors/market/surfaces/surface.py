"""Volatility surfaces of a snapshot: one smile per expiry; the fit penalises arbitrage."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray
from margin_actors.errors import MissingMarketData, Problem, raise_if_any
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import expiry_label
from margin_actors.market.snapshots import ExpiryForward, MarketSnapshot
from margin_actors.market.surfaces.calibration import SABR, SVI, SliceProblem, fit_slice
from margin_actors.market.surfaces.sabr import SabrSlice
from margin_actors.market.surfaces.svi import SviSlice
from margin_actors.numerics.black76 import (
    black76_implied_deviation,
    black76_price,
    black76_vega,
)
from margin_actors.numerics.elementary import logarithms

SmileModel: TypeAlias = Literal["svi", "sabr"]
Slice: TypeAlias = SviSlice | SabrSlice

QUOTES_MIN = 5
"""Smallest number of quotes to which a slice is fitted."""

# Log-moneyness, dense near the money, from 1/20 to 20 times the forward.
_U = np.linspace(-1.0, 1.0, 121)
_GRID = np.copysign(np.abs(_U) ** 1.5 * 3.0, _U)
_V = np.linspace(-1.0, 1.0, 401)
_CHECK = np.copysign(np.abs(_V) ** 1.5 * 3.0, _V)
_NO_START = np.empty(0)


@dataclass(frozen=True, slots=True)
class QuoteFilter:
    """Limits on the quotes that a fit uses."""

    spread_vol_max: float = 0.5
    """Largest bid-ask spread, annual volatility (a fraction)."""
    vega_min: float = 1e-6
    """Smallest vega, coins per coin for a change of 1 in volatility."""
    half_spread_vol_min: float = 1e-5
    """Lower bound on half the spread, annual volatility; it keeps the weight of a quote finite."""


@dataclass(frozen=True, slots=True)
class SliceDiagnostics:
    """Quality of the fit of one slice to the quotes of its expiry."""

    underlying: str
    expiry: str
    """Label as in instrument names, for example ``3JAN26``."""
    tenor_days: float
    quotes: int
    """Number of options with bid, ask and open interest."""
    inside: int
    """Number of these whose model price is between bid and ask."""
    fitted: int
    """Number of quotes or marks used in the fit."""
    fitted_to: Literal["quotes", "marks"]
    """Bid and ask; or the marks, if requested or if fewer than five quotes were usable."""
    no_bid: int
    """Number of options without a bid; an option may be in several of these counts."""
    no_ask: int
    crossed: int
    too_wide: int
    tiny_vega: int
    rmse_vol: float
    """Root mean square distance of the slice from the fitted quotes' middles, annual volatility."""
    least_density: float
    """Smallest Durrleman g; the slice has no butterfly arbitrage if it is not negative."""
    least_calendar_rise: float
    """Smallest relative rise of total variance over the previous expiry at equal log-moneyness."""

    @property
    def is_arbitrage_free(self) -> bool:
        """True if neither check found a violation."""
        return self.least_density >= 0.0 and self.least_calendar_rise >= 0.0


@dataclass(frozen=True)
class VolatilitySurface:
    """Smiles of all expiries of one underlying, ordered by tenor."""

    underlying: str
    model: SmileModel
    expiries: tuple[ExpiryForward, ...]
    slices: tuple[Slice, ...]
    diagnostics: tuple[SliceDiagnostics, ...]

    @cached_property
    def id(self) -> str:
        """Content id."""
        return content_id(
            "surface",
            {
                "underlying": self.underlying,
                "model": self.model,
                "tenors": [e.tenor_years for e in self.expiries],
                "parameters": [list(slice_parameters(s)) for s in self.slices],
            },
        )

    def total_variance(self, log_moneyness: FloatArray, tenor_years: float) -> FloatArray:
        """Return total variance at ln(K / F) and one maturity, shaped like `log_moneyness`.

        `log_moneyness` is float64 of any shape, dimensionless; so is the result.

        Between expiries it is linear in time at equal log-moneyness, which excludes calendar
        arbitrage; before the first and after the last expiry the volatility is constant in time.
        """
        tenors = np.array([e.tenor_years for e in self.expiries])
        right = int(np.searchsorted(tenors, tenor_years))
        if right == 0:
            return self.slices[0].total_variance(log_moneyness) * (tenor_years / tenors[0])
        if right == tenors.size:
            return self.slices[-1].total_variance(log_moneyness) * (tenor_years / tenors[-1])
        weight = (tenor_years - tenors[right - 1]) / (tenors[right] - tenors[right - 1])
        earlier = self.slices[right - 1].total_variance(log_moneyness)
        later = self.slices[right].total_variance(log_moneyness)
        return (1.0 - weight) * earlier + weight * later

    def volatility(self, log_moneyness: FloatArray, tenor_years: float) -> FloatArray:
        """Return annual volatilities at ln(K / F) and one maturity.

        `log_moneyness` is float64 of any shape, dimensionless; the result has the same shape.
        """
        w = self.total_variance(log_moneyness, tenor_years)
        return np.sqrt(np.maximum(w, 0.0) / tenor_years)


def slice_parameters(smile: Slice) -> tuple[float, float, float, float, float]:
    """Return the kernel parameters: (a, b, rho, m, sigma) or (alpha, beta, rho, nu, tenor)."""
    if isinstance(smile, SviSlice):
        return smile.a, smile.b, smile.rho, smile.m, smile.sigma
    return smile.alpha, smile.beta, smile.rho, smile.nu, smile.tenor_years


def smile_from_parameters(model: str, parameters: FloatArray) -> Slice:
    """Return the slice of a model, "svi" or "sabr", with the given parameters.

    `parameters` is float64 (5,), in the order and units of `slice_parameters`.
    """
    values = [float(v) for v in parameters]
    return SabrSlice(*values) if model == "sabr" else SviSlice(*values)


@dataclass(frozen=True, slots=True)
class _Quotes:
    """The options of one expiry as volatilities; arrays have shape (n_options,)."""

    k: FloatArray
    middle: FloatArray
    half_spread: FloatArray
    use: BoolArray
    counts: dict[str, int]
    kind: Literal["quotes", "marks"]


def fit_surfaces(
    snapshot: MarketSnapshot,
    *,
    model: SmileModel = "svi",
    beta: float = 1.0,
    target: Literal["quotes", "marks"] = "quotes",
    quote_filter: QuoteFilter | None = None,
    thin: Literal["refuse", "omit"] = "refuse",
) -> dict[str, VolatilitySurface]:
    """Return one fitted surface per underlying of the snapshot.

    Parameters
    ----------
    snapshot : MarketSnapshot
    model : "svi" or "sabr"
    beta : float in [0, 1]
        Exponent of SABR; ignored by SVI.
    target : "quotes" or "marks"
        Fit between bid and ask, or to the mark volatilities with a half-spread of one volatility
        point.
    quote_filter : QuoteFilter, optional
    thin : "refuse" or "omit"
        Treatment of expiries with fewer than five usable quotes and fewer than five marks: refuse
        the snapshot, or fit the other expiries as if these were not listed. An underlying without
        any other expiry has no surface then.

    Raises
    ------
    MissingMarketData
        Naming every such expiry; if they are omitted, only if there is no other expiry.
    """
    limits = quote_filter or QuoteFilter()
    problems: list[Problem] = []
    surfaces: dict[str, VolatilitySurface] = {}
    for underlying in sorted({e.underlying for e in snapshot.expiries}):
        chain = _chain_of(snapshot, underlying)
        quotes = [_quotes_of(snapshot, item, rows, target, limits) for item, rows in chain]
        usable = [int(q.use.sum()) for q in quotes]
        problems += [
            Problem(
                f"{underlying} {expiry_label(item.expiry)}",
                f"{n} of {rows.size} quotes or marks are usable",
                f"a smile requires {QUOTES_MIN}; relax the quote filter or omit the expiry",
            )
            for (item, rows), n in zip(chain, usable, strict=True)
            if n < QUOTES_MIN
        ]
        kept = [i for i, n in enumerate(usable) if n >= QUOTES_MIN]
        if chain and not kept:
            continue
        if thin == "omit" or not problems:
            chain, quotes = [chain[i] for i in kept], [quotes[i] for i in kept]
            surfaces[underlying] = _fit_surface(snapshot, underlying, chain, quotes, model, beta)
    if thin == "refuse" or not any(s.slices for s in surfaces.values()):
        raise_if_any(problems, MissingMarketData, f"no surface can be fitted at {snapshot.time}")
    return surfaces


def _chain_of(snapshot: MarketSnapshot, underlying: str) -> list[tuple[ExpiryForward, IntArray]]:
    """Return the expiries of an underlying that have options, and the rows of these options."""
    return [
        (item, rows)
        for position, item in enumerate(snapshot.expiries)
        if item.underlying == underlying
        # an expiry without options has its forward from a listed future
        and (rows := np.flatnonzero(snapshot.options.expiry_index == position)).size
    ]


def _fit_surface(
    snapshot: MarketSnapshot,
    underlying: str,
    chain: list[tuple[ExpiryForward, IntArray]],
    quotes: list[_Quotes],
    model: SmileModel,
    beta: float,
) -> VolatilitySurface:
    """Return a surface: each slice is fitted above the previous and below a free fit of the next.

    `chain` is the result of `_chain_of`, `quotes` has one element per expiry.
    """
    free = [_fit(model, beta, item, q) for (item, _), q in zip(chain, quotes, strict=True)]
    slices: list[Slice] = []
    diagnostics: list[SliceDiagnostics] = []
    for i, (item, rows) in enumerate(chain):
        smile, _, fit = _fit(
            model,
            beta,
            item,
            quotes[i],
            before=slices[-1] if slices else None,
            after=free[i + 1][0] if i + 1 < len(free) else None,
            warm=free[i][1],
        )
        slices.append(smile)
        diagnostics.append(_diagnose(snapshot, item, rows, smile, quotes[i], fit))
    return VolatilitySurface(
        underlying, model, tuple(item for item, _ in chain), tuple(slices), tuple(diagnostics)
    )


def _quotes_of(
    snapshot: MarketSnapshot,
    item: ExpiryForward,
    rows: IntArray,
    target: Literal["quotes", "marks"],
    limits: QuoteFilter,
) -> _Quotes:
    options, F, T = snapshot.options, item.forward_usd, item.tenor_years
    K, call = options.strike_usd[rows], options.is_call[rows]
    unit = np.where(options.is_inverse[rows], F, 1.0)
    root, forward = float(np.sqrt(T)), np.full(rows.size, F)
    low = black76_implied_deviation(options.bid[rows] * unit, forward, K, call) / root
    high = black76_implied_deviation(options.ask[rows] * unit, forward, K, call) / root
    no_bid, no_ask = np.isnan(options.bid[rows]), np.isnan(options.ask[rows])
    low = np.where(np.isnan(low) & ~no_bid, 0.0, low)  # not a bound: the bid is below intrinsic
    marks = options.mark_vol[rows]
    vol = np.nan_to_num(np.where(np.isnan(marks), 0.5 * (low + high), marks))
    vega = black76_vega(forward, K, vol, np.full(rows.size, T)) / F
    crossed = options.bid[rows] > options.ask[rows]
    k = logarithms(K / F)[0]
    half = np.maximum(0.5 * (high - low), limits.half_spread_vol_min)
    too_wide = 2.0 * half > limits.spread_vol_max
    tiny = vega < limits.vega_min
    use = ~(no_bid | no_ask | crossed | too_wide | tiny) & np.isfinite(high)
    counts = {
        "no_bid": int(no_bid.sum()),
        "no_ask": int(no_ask.sum()),
        "crossed": int(crossed.sum()),
        "too_wide": int((too_wide & ~no_bid & ~no_ask).sum()),
        "tiny_vega": int((tiny & ~no_bid & ~no_ask).sum()),
    }
    if target == "quotes" and int(use.sum()) >= QUOTES_MIN:
        return _Quotes(k, 0.5 * (low + high), half, use, counts, "quotes")
    use = np.isfinite(marks) & (vega >= limits.vega_min)
    if int(use.sum()) < QUOTES_MIN:  # hours before expiry few strikes have vega
        use = np.isfinite(marks)
    return _Quotes(k, marks, np.full(rows.size, 0.01), use, counts, "marks")


def _fit(
    model: SmileModel,
    beta: float,
    item: ExpiryForward,
    quotes: _Quotes,
    before: Slice | None = None,
    after: Slice | None = None,
    warm: FloatArray = _NO_START,
) -> tuple[Slice, FloatArray, tuple[float, float]]:
    floor, check_floor = np.zeros_like(_GRID), np.zeros_like(_CHECK)
    if before is not None:
        floor = np.maximum(before.total_variance(_GRID), 0.0)
        check_floor = np.maximum(before.total_variance(_CHECK), 0.0)
    ceiling = np.full_like(_GRID, 1e300)
    if after is not None:
        ceiling = after.total_variance(_GRID)
    use = quotes.use
    problem = SliceProblem(
        model=SVI if model == "svi" else SABR,
        tenor=item.tenor_years,
        beta=beta,
        k=quotes.k[use],
        middle=quotes.middle[use],
        half_spread=quotes.half_spread[use],
        grid=_GRID,
        floor=floor,
        ceiling=ceiling,
        check=_CHECK,
        check_floor=check_floor,
    )
    x, p, density, rise = fit_slice(problem, warm)
    return smile_from_parameters(model, p), x, (float(density), float(rise))


def _diagnose(
    snapshot: MarketSnapshot,
    item: ExpiryForward,
    rows: IntArray,
    smile: Slice,
    quotes: _Quotes,
    fit: tuple[float, float],
) -> SliceDiagnostics:
    options, F, T = snapshot.options, item.forward_usd, item.tenor_years
    w = np.maximum(smile.total_variance(quotes.k), 0.0)
    model_price = black76_price(F, options.strike_usd[rows], np.sqrt(w), options.is_call[rows])
    price = model_price / np.where(options.is_inverse[rows], F, 1.0)
    bid, ask = options.bid[rows], options.ask[rows]
    judged = np.isfinite(bid) & np.isfinite(ask) & (options.open_interest[rows] > 0)
    inside = judged & (price >= bid - 1e-12) & (price <= ask + 1e-12)
    error = (np.sqrt(w / T) - quotes.middle)[quotes.use]
    return SliceDiagnostics(
        underlying=item.underlying,
        expiry=expiry_label(item.expiry),
        tenor_days=T * 365.0,
        quotes=int(judged.sum()),
        inside=int(inside.sum()),
        fitted=int(quotes.use.sum()),
        fitted_to=quotes.kind,
        no_bid=quotes.counts["no_bid"],
        no_ask=quotes.counts["no_ask"],
        crossed=quotes.counts["crossed"],
        too_wide=quotes.counts["too_wide"],
        tiny_vega=quotes.counts["tiny_vega"],
        rmse_vol=float(np.sqrt(np.mean(error * error))) if error.size else float("nan"),
        least_density=fit[0],
        least_calendar_rise=fit[1],
    )
