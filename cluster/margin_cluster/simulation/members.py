"""How the members of a simulated day behave: a stated rule, determined by the id of the account.

The rule reads the committed state of the clearing house and nothing else, so that a day that was
interrupted continues as if it had not been. Payments have ids derived from the tranche, so that a
repeated one changes nothing.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from math import ceil

from pydantic import Field, model_validator

from margin_actors.clearing.amounts import ASSETS, USD
from margin_actors.clearing.calls import CallClass, CallState, Tranche
from margin_actors.clearing.house import Command, HouseState
from margin_actors.clearing.house.commands import Deposit
from margin_actors.clearing.house.people_commands import AcknowledgeCall
from margin_actors.errors import InvalidParameters, Problem
from margin_actors.parameter_section import ParameterSection

CUSTODIAN = "custodian-bank"
PAID_IN = ASSETS["USDC"]


class Habit(StrEnum):
    """How an account pays its calls."""

    PROMPT = "prompt"
    """In full, before the deadline."""
    TWO_PARTS = "two parts"
    """Half at first and the rest later, both before the deadline."""
    LATE = "late"
    """In full, after the deadline."""
    NEVER = "never"
    """Not at all."""


class MemberRules(ParameterSection):
    """The behaviour of members. Shares are of accounts; what remains pays promptly and in full."""

    acknowledge_minutes: int = Field(default=5, ge=0)
    """Minutes from the issue of a call to its acknowledgement."""
    pay_minutes_min: int = Field(default=20, ge=0)
    """Smallest number of minutes from the issue of a tranche to a prompt payment."""
    pay_minutes_max: int = Field(default=50, ge=0)
    """Largest number of these minutes; each account has one number in between."""
    two_parts_percent: int = Field(default=15, ge=0, le=100)
    """Percentage of accounts that pay in two parts: half at the time of a prompt payment, the rest
    at `pay_minutes_max`."""
    late_percent: int = Field(default=5, ge=0, le=100)
    """Percentage of accounts that pay late."""
    late_minutes: int = Field(default=90, ge=0)
    """Minutes from the issue of a tranche to a late payment."""
    one_in_never: int = Field(default=25, ge=0)
    """One in so many accounts does not pay; 0: all accounts pay."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "MemberRules":
        if self.pay_minutes_min > self.pay_minutes_max:
            raise ValueError("pay_minutes_min exceeds pay_minutes_max")
        if self.two_parts_percent + self.late_percent > 100:
            raise ValueError("two_parts_percent and late_percent exceed 100")
        return self

    def sentences(self) -> list[str]:
        """Return the rule in words."""
        never = (
            f"one account in {self.one_in_never} does not pay"
            if self.one_in_never
            else "all accounts pay"
        )
        return [
            f"Members acknowledge a call after {self.acknowledge_minutes} minutes and pay in USDC "
            f"{self.pay_minutes_min} to {self.pay_minutes_max} minutes after its issue.",
            f"{self.two_parts_percent} % of the accounts pay in two parts, {self.late_percent} % "
            f"pay after {self.late_minutes} minutes, {never}; who does what follows from the id "
            "of the account.",
        ]


@dataclass(frozen=True)
class Behaviour:
    """The behaviour of one account."""

    habit: Habit
    minutes: int
    """Minutes from the issue of a tranche to the first payment; not used by `NEVER`."""


def behaviour(account: str, rules: MemberRules) -> Behaviour:
    """Return the behaviour of an account: equal ids and rules give equal behaviours."""
    digest = hashlib.sha256(f"behaviour of {account}".encode()).digest()
    draws = [int.from_bytes(digest[i : i + 4]) for i in (0, 4, 8)]
    spread = rules.pay_minutes_max - rules.pay_minutes_min + 1
    minutes = rules.pay_minutes_min + draws[1] % spread
    if rules.one_in_never and draws[2] % rules.one_in_never == 0:
        return Behaviour(Habit.NEVER, 0)
    percent = draws[0] % 100
    if percent < rules.late_percent:
        return Behaviour(Habit.LATE, rules.late_minutes)
    if percent < rules.late_percent + rules.two_parts_percent:
        return Behaviour(Habit.TWO_PARTS, minutes)
    return Behaviour(Habit.PROMPT, minutes)


def due_actions(state: HouseState, now: datetime, rules: MemberRules) -> list[Command]:
    """Return what members do at a time: acknowledgements and payments not made so far.

    Parameters
    ----------
    state : HouseState
    now : datetime
        UTC.
    rules : MemberRules

    Returns
    -------
    list of Command
        By account; acknowledgements before payments.
    """
    found: list[Command] = []
    for key in sorted(state.timed_calls):
        call = state.calls[key]
        if call.is_open and call.call_class is CallClass.INITIAL:
            found += _actions(state, call, now, rules)
    return found


def _actions(
    state: HouseState, call: CallState, now: datetime, rules: MemberRules
) -> Iterator[Command]:
    own = behaviour(call.account, rules)
    issued = min(tranche.issued_at for tranche in call.tranches)
    noticed = issued + timedelta(minutes=rules.acknowledge_minutes)
    if not call.is_acknowledged and now >= noticed:
        yield AcknowledgeCall(
            f"ack:{call.call_id}", call.account, call.account, call.call_class, call.call_id
        )
    for tranche in call.tranches:
        yield from _payments(state, call, tranche, own, now, rules)


def _payments(
    state: HouseState,
    call: CallState,
    tranche: Tranche,
    own: Behaviour,
    now: datetime,
    rules: MemberRules,
) -> Iterator[Command]:
    for part, minutes in enumerate(_times(own, rules), 1):
        name = f"pay:{call.tranche_id(tranche.number)}:{part}"
        at = tranche.issued_at + timedelta(minutes=minutes)
        if now < at or name in state.commands or not tranche.unpaid_cents:
            continue
        is_first_half = own.habit is Habit.TWO_PARTS and part == 1
        cents = tranche.unpaid_cents
        cents = -(-cents // 2) if is_first_half else cents
        yield Deposit(
            name, CUSTODIAN, call.account, name, PAID_IN, _units(state, cents), CUSTODIAN, now
        )
        return  # the next part follows when this one has been posted


def _times(own: Behaviour, rules: MemberRules) -> tuple[int, ...]:
    match own.habit:
        case Habit.NEVER:
            return ()
        case Habit.TWO_PARTS:
            return own.minutes, max(own.minutes + 1, rules.pay_minutes_max)
        case Habit.PROMPT | Habit.LATE:
            return (own.minutes,)


def _units(state: HouseState, cents: int) -> int:
    """Return the units that count with at least `cents` after the haircut of the asset."""
    haircut = state.parameters.rules.share_not_counted(PAID_IN.name)
    if haircut >= 1:
        problem = Problem(PAID_IN.name, "does not count as collateral", "use another model")
        raise InvalidParameters("members cannot pay their calls", [problem])
    scale = 10 ** (PAID_IN.decimals - USD.decimals)
    return ceil(Fraction(cents * scale) / (1 - Fraction(haircut)))
