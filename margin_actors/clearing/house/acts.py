"""Acts that require two people, other than those on calls: parameters, prices, exemptions, trades.

An act is proposed by one person and approved by another, who approves the hash of its content.
Acts on calls (`calls.Action`) have their approvals in the state of the call.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from margin_actors.clearing.calls.times import require_utc
from margin_actors.clearing.house.forms import (
    DECIMAL,
    MOMENT,
    TEXT,
    enumeration,
    many,
    optional,
    record,
    section,
    variant,
    written,
)
from margin_actors.clearing.house.parameters import HouseParameters
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.market.identity import content_id

TRADES_MAX = 20_000
"""Largest number of trades that one act cancels, so that their group stays within its limit."""


@dataclass(frozen=True)
class ChangeParameters:
    """Replace the parameters of the house, for example change a haircut."""

    parameters: HouseParameters
    reason: str

    def __post_init__(self) -> None:
        _require_reason(self.reason)


@dataclass(frozen=True)
class DecidePrice:
    """Confirm a provisional delivery price, state another one, or correct a final one."""

    underlying: str
    expiry: datetime
    """UTC."""
    price: Decimal | None
    """US dollars per coin; None confirms the provisional price."""
    reason: str

    def __post_init__(self) -> None:
        _require_reason(self.reason)
        require_utc(expiry=self.expiry)


class ExemptionKind(StrEnum):
    """What an exemption exempts from."""

    CALLS = "calls"
    """No further call is issued for the account; an open call stays as it is."""
    GATE = "gate"
    """A gate on market data is disabled; the service that checks the data applies it."""


@dataclass(frozen=True)
class GrantExemption:
    """Exempt an account or a gate from a rule until a time."""

    kind: ExemptionKind
    subject: str
    """Clearing account, or name of the gate."""
    until: datetime
    """Time from which the exemption no longer applies, UTC."""
    reason: str

    def __post_init__(self) -> None:
        _require_reason(self.reason)
        require_utc(until=self.until)


@dataclass(frozen=True)
class CancelTrades:
    """Reverse trades that were booked: positions, premiums and fees."""

    trades: tuple[str, ...]
    """Ids of the trades, each once, at most `TRADES_MAX`."""
    reason: str

    def __post_init__(self) -> None:
        _require_reason(self.reason)
        count = len(self.trades)
        problems = [
            Problem("trades", f"{count} is not a number of trades between 1 and {TRADES_MAX}")
            for _ in range(not 1 <= count <= TRADES_MAX)
        ]
        if len(set(self.trades)) != count:
            problems.append(Problem("trades", "a trade is given more than once"))
        raise_if_any(problems, InvalidRequest, "the act is not valid")


Act = ChangeParameters | DecidePrice | GrantExemption | CancelTrades
"""An act that requires two people."""

ACT = variant(
    change_parameters=(
        ChangeParameters,
        record(ChangeParameters, parameters=section(HouseParameters), reason=TEXT),
    ),
    decide_price=(
        DecidePrice,
        record(DecidePrice, underlying=TEXT, expiry=MOMENT, price=optional(DECIMAL), reason=TEXT),
    ),
    grant_exemption=(
        GrantExemption,
        record(
            GrantExemption,
            kind=enumeration(ExemptionKind),
            subject=TEXT,
            until=MOMENT,
            reason=TEXT,
        ),
    ),
    cancel_trades=(CancelTrades, record(CancelTrades, trades=many(TEXT), reason=TEXT)),
)


def act_hash(act: Act) -> str:
    """Return the content id of an act, which covers its kind and all its fields."""
    return content_id("act", {"content": written(ACT, act)})


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidRequest("the act is not valid", [Problem("reason", "is empty")])
