"""The delivery price: the mean of the index by time over the minutes before expiry.

An index value counts for the time until the next one, at most for the carry time. The sampling
interval of a feed may change, so that values are weighted by time and never counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from margin_actors.clearing.settlement.contracts import Contract, require_price
from margin_actors.clearing.settlement.decisions import Decision
from margin_actors.clearing.settlement.events import Inputs
from margin_actors.clearing.settlement.exact import (
    canonical,
    number_problems,
    rounded_decimal,
    time_problems,
    utc_text,
)
from margin_actors.clearing.settlement.parameters import DeliveryParameters
from margin_actors.errors import (
    InvalidMarketData,
    InvalidRequest,
    NotReady,
    Problem,
    raise_if_any,
)

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class IndexTick:
    """One value of the index."""

    time: datetime
    """UTC."""
    price: Decimal
    """US dollars per coin."""
    is_flagged: bool = False
    """True if the index was not confirmed by several sources, see `IndexPrice.is_flagged`."""


@dataclass(frozen=True)
class DeliveryPrice:
    """The price at which the contracts of one expiry are settled."""

    underlying: str
    expiry: datetime
    """UTC."""
    price: Decimal | None
    """US dollars per coin; None if the window contains no valid index value."""
    status: Literal["provisional", "final"]
    """Nothing is paid at a provisional price."""
    missing_share: Fraction
    """Share of the window without a valid index value, 0 to 1."""
    flagged_share: Fraction
    """Share of the window whose index value is flagged, 0 to 1."""
    rules: str
    """Id of the parameters, `SettlementParameters.id`."""
    version: int = 1
    """1, and one more with each correction of a final price."""
    decision: Decision | None = None
    """Who confirmed or corrected the price; None if it follows from the index."""

    @property
    def inputs(self) -> Inputs:
        """The price as inputs of an event."""
        price = "none" if self.price is None else canonical(self.price)
        decided = self.decision.inputs if self.decision else ()
        return (
            ("delivery_price", price), ("price_version", str(self.version)),
            ("rules", self.rules), *decided,
        )  # fmt: skip


@dataclass(frozen=True)
class Averaging:
    """The part of a delivery price that is known during the averaging."""

    share: Fraction
    """Weight of the known part in the final mean, 0 to 1, if no further time is missing."""
    mean: Fraction | None
    """Mean of the index over the known part, US dollars per coin; None before the averaging."""

    def expected(self, index: Decimal) -> Fraction:
        """Return the delivery price if the index stays at `index` (US dollars per coin)."""
        if self.mean is None:
            return Fraction(index)
        return self.share * self.mean + (1 - self.share) * Fraction(index)


def delivery_price(
    underlying: str,
    expiry: datetime,
    ticks: Sequence[IndexTick],
    parameters: DeliveryParameters,
    rules: str,
) -> DeliveryPrice:
    """Return the mean of the index over the window before `expiry`, weighted by time.

    Parameters
    ----------
    underlying : str
    expiry : datetime, UTC
        End of the window; a value at this time or later has no effect.
    ticks : sequence of IndexTick
        Ascending in time. The last value before the window counts at its start, within the carry
        time.
    parameters : DeliveryParameters
    rules : str
        Id of the parameters, `SettlementParameters.id`.

    Returns
    -------
    DeliveryPrice
        Rounded half to even to `price_decimals`. Provisional if the share of the window without a
        valid value exceeds `missing_share_max`; the mean is then that of the rest.

    Raises
    ------
    InvalidMarketData
        If values are not strictly ascending in time or cannot be used.
    """
    window = timedelta(minutes=parameters.window_minutes)
    known, weighted, flagged = _covered(ticks, expiry - window, expiry, parameters)
    total = window // _MICROSECOND
    missing = Fraction(total - known, total)
    price = rounded_decimal(weighted / known, parameters.price_decimals) if known else None
    is_provisional = price is None or missing > Fraction(parameters.missing_share_max)
    return DeliveryPrice(
        underlying, expiry, price, "provisional" if is_provisional else "final",
        missing, Fraction(flagged, total), rules,
    )  # fmt: skip


def averaged_so_far(
    expiry: datetime, ticks: Sequence[IndexTick], now: datetime, parameters: DeliveryParameters
) -> Averaging:
    """Return the share of the delivery price that is fixed at `now`, and its mean.

    Only the rest of the window remains at risk: a position traded during the averaging is margined
    for 1 − share of its size.

    Raises
    ------
    InvalidMarketData
        As `delivery_price`.
    """
    window = timedelta(minutes=parameters.window_minutes)
    start = expiry - window
    until = min(now, expiry)
    known, weighted, _ = _covered(ticks, start, until, parameters)
    if not known:
        return Averaging(Fraction(0), None)
    remaining = (expiry - until) // _MICROSECOND
    return Averaging(Fraction(known, known + remaining), weighted / known)


def confirmed(
    provisional: DeliveryPrice, price: Decimal | None, decision: Decision
) -> DeliveryPrice:
    """Return the final price that two people decided on in place of a provisional one.

    Parameters
    ----------
    provisional : DeliveryPrice
    price : Decimal, US dollars per coin, or None
        None confirms the provisional price.
    decision : Decision

    Raises
    ------
    InvalidRequest
        If the price is final already, there is none to confirm, it cannot be used, or the decision
        was made before the expiry.
    """
    problems = _decision_problems(provisional, decision)
    value = provisional.price if price is None else price
    if provisional.status != "provisional":
        problems.append(Problem("status", "is final already", "correct the price instead"))
    if value is None:
        problems.append(Problem("price", "is missing", "state the price that was decided"))
    else:
        problems += number_problems(value, "price")
    raise_if_any(problems, InvalidRequest, "the delivery price cannot be confirmed")
    return replace(provisional, price=value, status="final", decision=decision)


def corrected(final: DeliveryPrice, price: Decimal, decision: Decision) -> DeliveryPrice:
    """Return the next version of a final price that two people corrected.

    What was paid at the former version is reversed and booked again, see `correction`.

    Raises
    ------
    InvalidRequest
        If the price is provisional, is the same or cannot be used, or the decision was made before
        the expiry.
    """
    problems = _decision_problems(final, decision) + number_problems(price, "price")
    if final.status != "final":
        problems.append(Problem("status", "is provisional", "confirm the price instead"))
    if price == final.price:
        problems.append(Problem("price", f"is {price} already"))
    raise_if_any(problems, InvalidRequest, "the delivery price cannot be corrected")
    return replace(final, price=price, version=final.version + 1, decision=decision)


def final_price(contract: Contract, delivery: DeliveryPrice) -> Fraction:
    """Return the price at which `contract` is settled, exactly.

    Raises
    ------
    NotReady
        If the price is provisional; nothing is paid until two people decide.
    InvalidMarketData
        If the price is of another underlying or expiry, or not positive for an inverse contract.
    """
    problems: list[Problem] = []
    if (delivery.underlying, delivery.expiry) != (contract.underlying, contract.expiry):
        of = f"{delivery.underlying} at {utc_text(delivery.expiry)}"
        problems.append(Problem(contract.name, f"cannot be settled at the price of {of}"))
    raise_if_any(problems, InvalidMarketData, "the delivery price is of another expiry")
    if delivery.status != "final" or delivery.price is None:
        share = f"{float(delivery.missing_share):.1%} of the window has no index value"
        what = f"has a provisional delivery price: {share}"
        raise NotReady(
            "nothing is paid at a provisional price",
            [Problem(contract.name, what, "two people must confirm the price")],
        )
    return require_price(contract, delivery.price, "delivery price")


def _decision_problems(delivery: DeliveryPrice, decision: Decision) -> list[Problem]:
    if decision.time < delivery.expiry:
        what = f"was made at {utc_text(decision.time)}, before the expiry"
        return [Problem("decision", what)]
    return []


def _covered(
    ticks: Sequence[IndexTick], start: datetime, end: datetime, parameters: DeliveryParameters
) -> tuple[int, Fraction, int]:
    """Return (valid time, sum of price × time, flagged time) between two times, microseconds."""
    _require_ascending(ticks, end)
    known = flagged = 0
    weighted = Fraction(0)
    for tick, until in _spans(ticks, end, timedelta(seconds=parameters.carry_seconds)):
        span = (until - max(tick.time, start)) // _MICROSECOND
        if span > 0:
            known += span
            weighted += Fraction(tick.price) * span
            flagged += span if tick.is_flagged else 0
    return known, weighted, flagged


def _spans(
    ticks: Sequence[IndexTick], end: datetime, carry: timedelta
) -> Iterator[tuple[IndexTick, datetime]]:
    for k, tick in enumerate(ticks):
        following = ticks[k + 1].time if k + 1 < len(ticks) else end
        yield tick, min(following, tick.time + carry, end)


def _require_ascending(ticks: Sequence[IndexTick], end: datetime) -> None:
    problems = time_problems(end, "end of the window")
    for k, tick in enumerate(ticks):
        where = f"index value {k}"
        problems += time_problems(tick.time, where) + number_problems(tick.price, where)
    raise_if_any(problems, InvalidMarketData, "the index cannot be averaged")
    for k, (earlier, later) in enumerate(pairwise(ticks), 1):
        if later.time <= earlier.time:
            what = f"at {utc_text(later.time)} does not follow {utc_text(earlier.time)}"
            problems.append(Problem(f"index value {k}", what))
    raise_if_any(problems, InvalidMarketData, "the index cannot be averaged")
