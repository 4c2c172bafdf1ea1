"""Funding of perpetuals: a rate per minute, accrued per unit of size, paid at settlement.

The accrual of a minute is one published number per contract. Payments of all accounts are
quantities times the same numbers, so that they sum to zero exactly before rounding.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from margin_actors.clearing.settlement.contracts import Contract, require_price
from margin_actors.clearing.settlement.events import SettlementEvent, Subject
from margin_actors.clearing.settlement.exact import (
    canonical,
    rounded_decimal,
    time_problems,
    utc_text,
)
from margin_actors.clearing.settlement.parameters import FundingParameters
from margin_actors.clearing.settlement.positions import (
    Cutoff,
    PositionChange,
    quantities_by_account,
    require_balanced,
)
from margin_actors.clearing.settlement.rounding import Posting, rounded_events
from margin_actors.errors import (
    InvalidMarketData,
    InvalidRequest,
    MissingMarketData,
    Problem,
    raise_if_any,
)
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import Kind

MINUTE = timedelta(minutes=1)
RATE_DECIMALS = 12
ACCRUAL_DECIMALS = 30
_GAPS_SHOWN = 10


@dataclass(frozen=True)
class FundingMinute:
    """Funding of one perpetual over one minute."""

    instrument: str
    start: datetime
    """Start of the minute, UTC."""
    rate: Decimal
    """Fraction per funding period; the long pays if positive."""
    accrual: Decimal
    """What a long position pays per unit of its size over the minute: coins per US dollar of
    notional for inverse contracts, US dollars per coin for linear ones."""


@dataclass(frozen=True)
class FundingSession:
    """The funding that one settlement pays."""

    since: datetime
    """Time of the previous payment, or of the listing, UTC."""
    minutes: Sequence[FundingMinute]
    """Every minute from `since` to the settlement, ascending."""
    rules: str
    """Id of the parameters from which the minutes were computed, `SettlementParameters.id`."""


def funding_rate(
    contract: Contract, mark: Decimal, index: Decimal, parameters: FundingParameters
) -> Decimal:
    """Return the funding rate per funding period, rounded half to even to 12 decimals.

    With the premium p = (M − I) / I and the damper d, it is
    clip(max(d, p) + min(−d, p), −cap, cap).

    Parameters
    ----------
    contract : Contract
        The perpetual; a cap of its own applies if `parameters` have one.
    mark, index : Decimal, US dollars per coin
        M, the price of the perpetual, and I.
    parameters : FundingParameters

    Raises
    ------
    InvalidMarketData
        If the index is not positive, or the mark cannot be used, see `require_price`.
    """
    M = require_price(contract, mark, "mark")
    reference = _index(contract, index)
    p = (M - reference) / reference
    d = Fraction(parameters.damper)
    cap = Fraction(parameters.caps.get(contract.name, parameters.cap))
    f = max(d, p) + min(-d, p)
    return rounded_decimal(max(-cap, min(cap, f)), RATE_DECIMALS)


def funding_minute(
    contract: Contract,
    start: datetime,
    mark: Decimal,
    index: Decimal,
    parameters: FundingParameters,
) -> FundingMinute:
    """Return the funding of one minute from the mark and the index at its start.

    The accrual per unit of size is f / (minutes of the funding period), divided by the index for
    inverse contracts and multiplied by it for linear ones, rounded half to even to 30 decimals.

    Raises
    ------
    InvalidMarketData
        As `funding_rate`.
    InvalidRequest
        If the contract is not a perpetual, or `start` is not a whole minute in UTC.
    """
    problems = time_problems(start, "start") or _minute_problems(start, "start")
    if contract.kind is not Kind.PERPETUAL:
        problems.append(Problem(contract.name, "is not a perpetual"))
    raise_if_any(problems, InvalidRequest, "there is no funding")
    rate = funding_rate(contract, mark, index, parameters)
    value = 1 / Fraction(index) if contract.is_inverse else Fraction(index)
    accrual = Fraction(rate) * value / (60 * parameters.period_hours)
    return FundingMinute(contract.name, start, rate, rounded_decimal(accrual, ACCRUAL_DECIMALS))


def funding(
    contract: Contract,
    changes: Iterable[PositionChange],
    session: FundingSession,
    cutoff: Cutoff,
) -> tuple[SettlementEvent, ...]:
    """Return the events that pay the funding accrued in a session that ends at `cutoff`.

    A minute is paid on the positions held at its start; a position that is opened within a minute
    pays from the next one.

    Parameters
    ----------
    contract : Contract
        A perpetual.
    changes : iterable of PositionChange
        All changes of the contract up to `cutoff`, in any order. Those before the session are the
        opening position.
    session : FundingSession
    cutoff : Cutoff

    Returns
    -------
    tuple of SettlementEvent
        One per account that pays or receives, and at most one for the rounding account; what the
        account pays is negative and units sum to zero.

    Raises
    ------
    InvalidPortfolio
        If a change is unusable or the book is not balanced.
    MissingMarketData
        If minutes are missing; a minute without prices accrues nothing only if it is supplied with
        a rate of 0.
    InvalidRequest
        If a minute is of another contract, not in order or outside the session.
    """
    _require_complete(contract, session, cutoff.time)
    minutes = session.minutes
    later = accumulate((Fraction(m.accrual) for m in reversed(minutes)), initial=Fraction())
    remaining = list(later)[::-1]  # element k: the accrual from minute k to the end
    paid: dict[str, Fraction] = {}
    for first, quantities in _by_first_minute(contract, list(changes), minutes).items():
        for account, quantity in quantities.items():
            payment = contract.size(quantity) * remaining[first]
            paid[account] = paid.get(account, Fraction()) - payment
    inputs = (
        ("since", utc_text(session.since)),
        ("minutes", _minutes_id(minutes)),
        ("entry_number", str(cutoff.entry_number)),
        ("rules", session.rules),
    )
    postings = [Posting(account, value) for account, value in sorted(paid.items()) if value]
    subject = Subject("funding", contract.name, cutoff.time, cutoff.version)
    return rounded_events(subject, contract.asset, postings, inputs)


def _index(contract: Contract, index: Decimal) -> Fraction:
    value = require_price(contract, index, "index")
    what = f"is {index}, but a funding rate requires a positive index"
    problems = [] if value > 0 else [Problem("index", what)]
    raise_if_any(problems, InvalidMarketData, f"{contract.name} has no funding rate")
    return value


def _minutes_id(minutes: Sequence[FundingMinute]) -> str:
    return content_id("minutes", {"rates": [[canonical(m.rate), canonical(m.accrual)]
                                            for m in minutes]})  # fmt: skip


def _minute_problems(time: datetime, location: str) -> list[Problem]:
    if time.second or time.microsecond:
        return [Problem(location, f"is {utc_text(time)}, not a whole minute")]
    return []


def _require_complete(contract: Contract, session: FundingSession, until: datetime) -> None:
    problems: list[Problem] = []
    since, minutes = session.since, session.minutes
    for name, time in (("since", since), ("cutoff", until)):
        problems += time_problems(time, name) or _minute_problems(time, name)
    for k, minute in enumerate(minutes):
        problems += time_problems(minute.start, f"minute {k}")
    raise_if_any(problems, InvalidRequest, f"funding of {contract.name} cannot be computed")
    expected = since
    gaps: list[str] = []
    for minute in minutes:
        if minute.instrument != contract.name:
            problems.append(Problem(utc_text(minute.start), f"is of {minute.instrument}"))
        elif minute.start < expected or minute.start >= until:
            what = "occurs twice, is not in order or is outside the session"
            problems.append(Problem(utc_text(minute.start), what))
        elif minute.start > expected:
            gaps.append(f"{utc_text(expected)} to {utc_text(minute.start)}")
        expected = max(expected, minute.start + MINUTE)
    raise_if_any(problems, InvalidRequest, f"funding of {contract.name} cannot be computed")
    if expected < until:
        gaps.append(f"{utc_text(expected)} to {utc_text(until)}")
    missing = [Problem(contract.name, f"has no funding from {gap}") for gap in gaps[:_GAPS_SHOWN]]
    raise_if_any(missing, MissingMarketData, f"{len(gaps)} intervals without funding")


def _by_first_minute(
    contract: Contract, changes: Sequence[PositionChange], minutes: Sequence[FundingMinute]
) -> Mapping[int, Mapping[str, Decimal]]:
    """Return changed quantities by the number of the first minute that they pay, and by account."""
    require_balanced(contract, quantities_by_account(contract, changes))
    starts = [minute.start for minute in minutes]
    groups: dict[int, list[PositionChange]] = {}
    for change in changes:
        groups.setdefault(bisect_left(starts, change.time), []).append(change)
    quantities = {k: quantities_by_account(contract, group) for k, group in groups.items()}
    for changed in quantities.values():
        require_balanced(contract, changed)
    return quantities
