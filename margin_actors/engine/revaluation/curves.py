"""Prices that scenarios move: the index of each underlying, and the forwards of its expiries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np

from margin_actors.engine.parameters import RevaluationParameters
from margin_actors.errors import Location, Problem
from margin_actors.market.instruments import Instrument, Kind, expiry_label
from margin_actors.market.snapshots import HOURS_PER_YEAR, MarketSnapshot, tenor_years
from margin_actors.market.surfaces import VolatilitySurface
from margin_actors.numerics.elementary import exponentials

BOOK = Location("book")
"""The book whose instruments are priced, in problems."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A price that scenarios move: the index of an underlying, or one of its forwards."""

    underlying: str
    expiry: datetime | None
    """None for the index, on which perpetuals and spot are priced."""
    level_usd: float
    """Current index or forward, US dollars."""
    tenor_years: float
    """0 for the index."""
    slice_index: int
    """Index of its smile in the surface's `slices`; -1 without a smile."""
    discount: float | None
    """Discount factor of linear contracts; None for inverse ones, whose value in US dollars is the
    undiscounted price times S / F, and for the index."""

    def expires_within(self, hours: float) -> bool:
        """Return whether the curve expires at most `hours` from now; never for the index."""
        return 0.0 < self.tenor_years * HOURS_PER_YEAR <= hours


CurveKey: TypeAlias = tuple[str, datetime | None, bool]
"""(underlying, expiry or None for the index, whether profits are paid in the coin)."""


def curve_key(instrument: Instrument) -> CurveKey:
    """Return the key of the curve on which an instrument is priced."""
    return instrument.underlying, instrument.expiry, instrument.is_inverse


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

    Curves are ordered by underlying, then expiry with the index first, linear before inverse. A
    curve without a price is not among them; if one has a fault, the indices must not be used.
    """
    faults: dict[CurveKey, CurveFault] = {}
    curves: list[Curve] = []
    position: dict[CurveKey, int] = {}
    needs_smile = {
        curve_key(i) for i in instruments if i.kind is Kind.OPTION and parameters.smile != "mark"
    }
    for key in sorted(
        {curve_key(i) for i in instruments},
        key=lambda item: (item[0], item[1] or snapshot.time, item[2]),
    ):
        position[key] = len(curves)
        fault = _missing_price(key, snapshot)
        if fault is not None:
            faults[key] = CurveFault(Problem(BOOK, *fault), concerns_options=False)
            continue
        curve = _curve(key, snapshot, surfaces.get(key[0]))
        if key in needs_smile and curve.slice_index < 0 and curve.expiry is not None:
            problem = Problem(
                BOOK,
                f"{curve.underlying} {expiry_label(curve.expiry)} has no smile",
                "the snapshot has no quotes for this expiry",
            )
            faults[key] = CurveFault(problem, concerns_options=True)
        curves.append(curve)
    return tuple(curves), position, faults


def _missing_price(key: CurveKey, snapshot: MarketSnapshot) -> tuple[str, str] | None:
    """Return (fault, remedy) if the snapshot has no price of a curve, else None."""
    underlying, expiry, _ = key
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


def _curve(key: CurveKey, snapshot: MarketSnapshot, surface: VolatilitySurface | None) -> Curve:
    """Return a curve whose price is in the snapshot."""
    underlying, expiry, is_inverse = key
    if expiry is None:
        return Curve(underlying, None, snapshot.index_usd[underlying], 0.0, -1, None)
    forward = snapshot.expiries[snapshot.expiry_row[underlying, expiry]].forward_usd
    tenor = tenor_years(snapshot.time, expiry)
    rate = np.array([-snapshot.discount_annual * tenor])
    discount = None if is_inverse else float(exponentials(rate)[0])
    found = -1
    if surface is not None:
        found = next((n for n, e in enumerate(surface.expiries) if e.expiry == expiry), -1)
    return Curve(underlying, expiry, forward, tenor, found, discount)
