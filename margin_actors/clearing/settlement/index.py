"""The index of an underlying from the prices of several sources."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from margin_actors.clearing.settlement.exact import number_problems, rounded_decimal
from margin_actors.clearing.settlement.parameters import IndexParameters
from margin_actors.errors import InvalidMarketData, Problem, raise_if_any

IndexStatus = Literal["sound", "single_source", "disagreement", "none"]
"""Whether the price can be trusted.

`sound`; `single_source`: flagged, because no other source confirms the price; `disagreement`:
flagged, because two sources are left whose prices differ by more than the clamp allows; `none`:
there is no price, so that calls stop and the last price is kept.
"""


@dataclass(frozen=True)
class SourcePrice:
    """The price of an underlying at one source."""

    source: str
    price: Decimal
    """US dollars per coin."""
    weight: Decimal = Decimal(1)
    """Positive; weights are relative to those of the other sources that deliver."""


@dataclass(frozen=True)
class IndexPrice:
    """The index at one time, and how far it can be trusted."""

    price: Decimal | None
    """US dollars per coin; None if no source delivers."""
    status: IndexStatus
    clamped: tuple[str, ...]
    """Sources whose price was clamped."""

    @property
    def is_flagged(self) -> bool:
        """Whether a person must look at the price."""
        return self.status != "sound"


def index_price(sources: Sequence[SourcePrice], parameters: IndexParameters) -> IndexPrice:
    """Return the weighted mean of prices that are clamped to their median ± a fraction of it.

    Parameters
    ----------
    sources : sequence of SourcePrice
        The sources that deliver at the moment; those that dropped out are not passed.
    parameters : IndexParameters

    Returns
    -------
    IndexPrice
        The price is rounded half to even to `price_decimals`. The median of an even number of
        prices is the mean of the two in the middle. Negative prices are used as they are.

    Raises
    ------
    InvalidMarketData
        If a price cannot be used, a weight is not positive or a source occurs twice.
    """
    problems: list[Problem] = []
    seen: set[str] = set()
    for item in sources:
        problems += number_problems(item.price, f"{item.source}, price")
        weight = number_problems(item.weight, f"{item.source}, weight")
        if not weight and item.weight <= 0:
            weight = [Problem(f"{item.source}, weight", f"is {item.weight}, not positive")]
        problems += weight
        if item.source in seen:
            problems.append(Problem(item.source, "occurs twice"))
        seen.add(item.source)
    raise_if_any(problems, InvalidMarketData, "the index cannot be computed")
    if not sources:
        return IndexPrice(None, "none", ())
    prices = sorted(Fraction(item.price) for item in sources)
    middle = len(prices) // 2
    median = prices[middle] if len(prices) % 2 else (prices[middle - 1] + prices[middle]) / 2
    width = abs(median) * Fraction(parameters.deviation_max)
    total = weights = Fraction(0)
    clamped: list[str] = []
    for item in sources:
        price = Fraction(item.price)
        used = max(median - width, min(median + width, price))
        if used != price:
            clamped.append(item.source)
        total += Fraction(item.weight) * used
        weights += Fraction(item.weight)
    status: IndexStatus = "sound"
    if len(sources) == 1:
        status = "single_source"
    elif len(sources) == 2 and clamped:
        status = "disagreement"
    value = rounded_decimal(total / weights, parameters.price_decimals)
    return IndexPrice(value, status, tuple(sorted(clamped)))
