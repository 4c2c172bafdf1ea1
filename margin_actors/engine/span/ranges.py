"""Scan ranges of SPAN: given by the model, or calibrated to the VaR of outrights."""

from dataclasses import dataclass

import numpy as np

from margin_actors.engine.measures import value_at_risk
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import AT_MONEY, ScenarioSet
from margin_actors.engine.scenarios.procyclicality import outright_var
from margin_actors.errors import InvalidParameters, Problem, raise_if_any
from margin_actors.numerics.elementary import exponentials

_VOL_SCAN_WITHOUT_MOVES = 0.25
_VOL_SCAN_MIN, _VOL_SCAN_MAX = 0.01, 0.95


@dataclass(frozen=True)
class ScanRanges:
    """Scan ranges by underlying."""

    price: dict[str, float]
    """Price scan range, as a fraction of the index."""
    vol: dict[str, float]
    """Volatility scan range, as a relative change of volatility."""
    notes: tuple[str, ...]
    """The ranges in words, one note per underlying."""


def scan_ranges(scenarios: ScenarioSet, parameters: ModelParameters) -> ScanRanges:
    """Return the scan ranges of a model for its scenarios.

    A price scan range that is not given is the larger VaR of one coin long and one coin short, as a
    fraction of the index. Then the scan risk of an outright is at least its VaR, and equal to it on
    the worse side unless the extreme rows give a larger loss. A volatility scan range that is not
    given is the confidence quantile of the absolute 30-day moves at the money, or 25 % if the
    scenarios do not move volatility, times `span.vol_scan_share`; between 1 % and 95 %.

    Raises
    ------
    InvalidParameters
        Naming every underlying whose calibrated extreme move leaves no positive price.
    """
    span, confidence = parameters.span, parameters.measure.confidence
    core = scenarios.core
    weight = core.weight if np.any(core.weight != core.weight[0]) else None
    price, vol = dict(span.price_scan or {}), dict(span.vol_scan or {})
    problems: list[Problem] = []
    for i, u in enumerate(scenarios.underlyings):
        if u not in price:
            both = outright_var(core.spot_return[:, [i]], confidence=confidence, weight=weight)
            price[u] = float(np.max(both))
            if price[u] * span.extreme_multiple >= 1.0:
                problems.append(
                    Problem(
                        "span.extreme_multiple",
                        f"{span.extreme_multiple:g} times the scan range of {u}, "
                        f"{100 * price[u]:.1f} %, leaves no positive price",
                        "lower the multiple, or give span.price_scan",
                    )
                )
        if u not in vol:
            vol[u] = _VOL_SCAN_WITHOUT_MOVES
            if core.has_surface_moves:
                size = np.abs(exponentials(core.vol_change[:, i, core.month, AT_MONEY]) - 1.0)
                found = value_at_risk(-size[None, :], confidence=confidence, weight=weight)[0]
                vol[u] = float(found)
            vol[u] = float(np.clip(span.vol_scan_share * vol[u], _VOL_SCAN_MIN, _VOL_SCAN_MAX))
    raise_if_any(
        problems, InvalidParameters, "the extreme scenarios of SPAN leave no positive price"
    )
    notes = tuple(
        f"SPAN scan ranges of {u}: price {100 * price[u]:.2f} %, volatility {100 * vol[u]:.1f} %"
        for u in scenarios.underlyings
    )
    return ScanRanges(price, vol, notes)
