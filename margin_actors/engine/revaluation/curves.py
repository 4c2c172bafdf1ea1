"""Prices that scenarios move: index and perpetual of each underlying, and its forwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np

from margin_actors.engine.parameters import RateParameters, RevaluationParameters
from margin_actors.errors import Location, Problem
from margin_actors.market.instruments import Instrument, Kind, expiry_label
from margin_actors.market.snapshots import HOURS_PER_YEAR, MarketSnapshot, tenor_years
from margin_actors.market.surfaces import QUOTES_MIN, VolatilitySurface
from margin_actors.numerics.elementary import exponentials

BOOK = Location("book")
"""The book whose instruments are priced, in problems."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A price that scenarios move: index or perpetual of an underlying, or one of its forwards."""

    underlying: str
    expiry: datetime | None
    """None for the index, on which spot is priced, and for the perpetual."""
    level_usd: float
    """Current index, perpetual or forward, US dollars."""
    tenor_years: float
    """0 for the index and the perpetual."""
    slice_index: int
    """Index of its smile in the surface's `slices`; -1 without a smile."""
    discount: float | None
    """Discount factor of linear contracts; None for inverse ones, whose value in US dollars is the
    undiscounted price times S / F, and for the index and the perpetual."""
    is_perpetual: bool = False
    """True for the price of the perpetual."""

    def expires_within(self, hours: float) -> bool:
        """Return whether the curve expires at most `hours` from now; never without an expiry."""
        return 0.0 < self.tenor_years * HOURS_PER_YEAR <= hours


CurveKey: TypeAlias = tuple[str, datetime | None, bool, bool]
"""(underlying, expiry or None, whether profits are paid in the coin, whether it is a perpetual)."""


def curve_key(instrument: Instrument) -> CurveKey:
    """Return the key of the curve on which an instrument is priced."""
    is_perpetual = instrument.kind is Kind.PERPETUAL
    return instrument.underlying, instrument.expiry, instrument.is_inverse, is_perpetual


@dataclass(frozen=True, slots=True)
class CurveFault:
    """Why a curve cannot be priced."""

    problem: Problem
    concerns_options: bool
    """True if only options are affected, so that futures on the curve can still be priced."""


def curves_of(
    instruments: Sequence[Instrument],
    snapshot: MarketSnapshot,
    surfaces: Mapping[str, VolatilitySurface],
    parameters: RevaluationParameters,
) -> tuple[tuple[Curve, ...], dict[CurveKey, int], dict[CurveKey, CurveFault]]:
    """Return (curves, index of the curve by key, why curves cannot be priced by key).

    Curves are ordered by underlying, then expiry with index and perpetual first, linear before
    inverse. A curve without a price is not among them; if one has a fault, the indices must not be
    used.
    """
    faults: dict[CurveKey, CurveFault] = {}
    curves: list[Curve] = []
    position: dict[CurveKey, int] = {}
    has_options = {curve_key(i) for i in instruments if i.kind is Kind.OPTION}
    needs_smile = has_options if parameters.smile != "mark" else set[CurveKey]()
    for key in sorted(
        {curve_key(i) for i in instruments},
        key=lambda item: (item[0], item[1] or snapshot.time, item[2:]),
    ):
        position[key] = len(curves)
        fault = _missing_price(key, snapshot)
        if fault is not None and _grows_at_rate(key, snapshot, parameters.rates):
            if key in has_options:
                faults[key] = CurveFault(Problem(BOOK, *fault), concerns_options=True)
            fault = None
        if fault is not None:
            faults[key] = CurveFault(Problem(BOOK, *fault), concerns_options=False)
            continue
        curve = _curve(key, snapshot, surfaces.get(key[0]), parameters.rates)
        if (
            key in needs_smile
            and curve.slice_index < 0
            and curve.expiry is not None
            and key not in faults
        ):
            problem = Problem(
                BOOK,
                f"{curve.underlying} {expiry_label(curve.expiry)} has no smile",
                _too_few_quotes(curve.underlying, curve.expiry, snapshot),
            )
            faults[key] = CurveFault(problem, concerns_options=True)
        curves.append(curve)
    return tuple(curves), position, faults


def _too_few_quotes(underlying: str, expiry: datetime, snapshot: MarketSnapshot) -> str:
    row = snapshot.expiry_row.get((underlying, expiry), -1)
    listed = int(np.count_nonzero(snapshot.options.expiry_index == row))
    if listed == 0:
        return "the snapshot has no quotes for this expiry"
    return f"fewer than {QUOTES_MIN} of its {listed} options have a usable quote or mark"


def _grows_at_rate(key: CurveKey, snapshot: MarketSnapshot, rates: RateParameters) -> bool:
    """Return whether a forward that is not listed is the index grown at the interest rate."""
    underlying, expiry, *_ = key
    grows = rates.missing_forwards == "rates"
    return grows and expiry is not None and underlying in snapshot.index_usd


def _missing_price(key: CurveKey, snapshot: MarketSnapshot) -> tuple[str, str] | None:
    """Return (fault, remedy) if the snapshot has no price of a curve, else None."""
    underlying, expiry, *_ = key
    if underlying not in snapshot.index_usd:
        return (
            f"{underlying} has no index price at {snapshot.time:%Y-%m-%d %H:%M}",
            f"the snapshot has {', '.join(sorted(snapshot.index_usd))}",
        )
    if expiry is not None and (underlying, expiry) not in snapshot.expiry_row:
        return (
            f"{underlying} {expiry_label(expiry)} has no forward and no quotes",
            "add its option chain or its future to the snapshot",
        )
    return None


def discount_factor(tenor: float, snapshot: MarketSnapshot, rates: RateParameters) -> float:
    """Return the discount factor of linear contracts to a tenor in years."""
    rate = snapshot.discount_annual
    if rates.use == "curve" and snapshot.rates is not None:
        rate = snapshot.rates.rate(tenor)
    return float(exponentials(np.array([-rate * tenor]))[0])


def _curve(
    key: CurveKey,
    snapshot: MarketSnapshot,
    surface: VolatilitySurface | None,
    rates: RateParameters,
) -> Curve:
    """Return a curve whose price is in the snapshot, or follows from the interest rate."""
    underlying, expiry, is_inverse, is_perpetual = key
    if expiry is None:
        index = snapshot.index_usd[underlying]
        level = snapshot.perpetual_usd.get(underlying, index) if is_perpetual else index
        return Curve(underlying, None, level, 0.0, -1, None, is_perpetual)
    tenor = tenor_years(snapshot.time, expiry)
    factor = discount_factor(tenor, snapshot, rates)
    discount = None if is_inverse else factor
    row = snapshot.expiry_row.get((underlying, expiry))
    if row is None:
        forward = snapshot.index_usd[underlying] / factor
    else:
        forward = snapshot.expiries[row].forward_usd
    found = -1
    if surface is not None:
        found = next((n for n, e in enumerate(surface.expiries) if e.expiry == expiry), -1)
    return Curve(underlying, expiry, forward, tenor, found, discount)
