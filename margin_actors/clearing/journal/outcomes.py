"""What applying a group gives: a new state, or a refusal that names the rule."""

from dataclasses import dataclass
from enum import StrEnum

from margin_actors.clearing.journal.state import JournalState
from margin_actors.clearing.journal.transfers import Group


class Rule(StrEnum):
    """The rule by which a group is refused."""

    TIME_BEFORE_LAST = "time_before_last"
    """The time is before that of the last group; use the later of the two."""
    ACCOUNT_DIFFERS = "account_differs"
    """The account is open with other flags or decimals."""
    UNKNOWN_ACCOUNT = "unknown_account"
    """An account is not open."""
    ASSET_DIFFERS = "asset_differs"
    """The asset is not that of both accounts."""
    ROUTE_NOT_ALLOWED = "route_not_allowed"
    """The kind of the transfer does not connect these kinds of accounts; see `ROUTES`."""
    OWNER_DIFFERS = "owner_differs"
    """The kind of the transfer requires accounts of one owner."""
    TRANSFER_ID_USED = "transfer_id_used"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    """The debits of an account would exceed its credits, or the credits its debits."""
    BALANCE_TOO_LARGE = "balance_too_large"
    """A sum of debits or credits would exceed `BALANCE_MAX`."""
    EXPIRY_IN_THE_PAST = "expiry_in_the_past"
    """A pending transfer would expire before it applies."""
    UNKNOWN_PENDING = "unknown_pending"
    """There is no pending transfer with the id."""
    PENDING_RESOLVED = "pending_resolved"
    """The pending transfer was posted or voided, or it expired."""
    PENDING_DIFFERS = "pending_differs"
    """Accounts, asset or kind differ from those of the pending transfer, or more than its amount
    would be posted, or not its whole amount released."""
    PENDING_EXPIRED = "pending_expired"
    """The time of the pending transfer has passed; it can only expire."""
    NOT_YET_EXPIRED = "not_yet_expired"
    """The time of the pending transfer has not passed, or it never expires."""
    POSITION_ENTRY_USED = "position_entry_used"
    """The event has already changed this lot."""
    POSITION_TOO_LARGE = "position_too_large"


@dataclass(frozen=True)
class Applied:
    """A group was applied, now or before."""

    state: JournalState
    """The state afterwards; for a repeat the state as it was given."""
    group: Group
    number: int
    """Place of the group among all groups applied, from 1."""
    is_repeat: bool = False
    """True if the group had been applied before, so that nothing changed."""


@dataclass(frozen=True)
class Refused:
    """A group was refused as a whole; nothing changed."""

    group: Group
    rule: Rule
    item: str
    """Id of the transfer, account or position entry that violates the rule; empty for the group."""
    what: str
    """Description with the values concerned."""


Outcome = Applied | Refused
