"""What deciding on a command gives: events and a reply, or a refusal."""

from dataclasses import dataclass
from enum import StrEnum

from margin_actors.clearing.house.events import HouseEvent, Reply
from margin_actors.clearing.house.state import HouseState


class HouseRule(StrEnum):
    """The rule of the house by which a command is refused.

    `Refusal.rule` is one of these, or the value of a `journal.Rule` or a `calls.RefusalRule`.
    """

    INVALID = "invalid"
    """The content of the command is not valid, or contradicts what is recorded."""
    NOT_COVERED = "not_covered"
    """The resources that remain would not cover what is needed."""
    MISSING_DATA = "missing_data"
    """A price or another market datum is missing."""
    NOT_READY = "not_ready"
    """A price is provisional; two people must decide on it first."""
    UNKNOWN_ACCOUNT = "unknown_account"
    UNKNOWN = "unknown"
    """A withdrawal, trade, contract, exemption or act is not known."""
    KNOWN = "known"
    """An account, trade, contract or withdrawal is recorded already, under another command."""
    FROZEN = "frozen"
    """The account is frozen by a default."""
    BLOCKED = "blocked"
    """An overdue call blocks withdrawals of the account."""
    WRONG_STAGE = "wrong_stage"
    """The withdrawal or contract is in another stage."""
    REQUIREMENT_OUTDATED = "requirement_outdated"
    """Positions changed after the last requirement; the next cycle includes them."""
    PRICE_OUTDATED = "price_outdated"
    """Positions or reservations changed after the reservation was priced; price it again."""
    OLD_CYCLE = "old_cycle"
    """The cycle is not later than the last one."""
    TWO_PEOPLE = "two_people"
    """Two different people must propose and approve it."""
    SAME_PERSON = "same_person"
    """The person who proposed or requested it cannot approve it."""
    NOT_PROPOSED = "not_proposed"
    """The act was not proposed, or its proposal has expired."""
    ALREADY_PROPOSED = "already_proposed"
    """Another person has proposed the act; approve it instead."""
    NOT_APPROVED = "not_approved"
    """Two people have not approved the act, or the approval has expired."""
    NOT_ENDED = "not_ended"
    """The outage ends after the present time."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was refused; nothing was recorded."""

    rule: str
    """See `HouseRule`."""
    reason: str
    """Description with the values concerned."""


@dataclass(frozen=True)
class Decision:
    """What a command causes; exactly one of `reply` and `refusal` is set."""

    state: HouseState
    """The state afterwards, which is the fold of `events`; unchanged by a refusal or repetition."""
    events: tuple[HouseEvent, ...] = ()
    """To be recorded in this order, all at the time of the decision."""
    reply: Reply | None = None
    refusal: Refusal | None = None
    is_repeat: bool = False
    """Whether the command was accepted before; `reply` is that of the first time."""
