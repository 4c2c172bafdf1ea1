"""Transfers between accounts, and the groups in which they apply as a whole or not at all.

A transfer is immutable and its id is used at most once. It moves an amount at once, or it is
pending: the amount is set aside until a later transfer posts it, also in part, or voids it, or
until it expires. Each of these resolves it, and it is resolved once.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from margin_actors.clearing.amounts import UNITS_MAX, Asset
from margin_actors.clearing.journal.accounts import Account
from margin_actors.clearing.journal.canonical import id_fault, microseconds, time_fault
from margin_actors.clearing.journal.positions import PositionEntry
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.hash_chain import content_hash

ITEMS_MAX = 200_000
"""Largest number of accounts, transfers and position entries of a group."""


class TransferKind(StrEnum):
    """What a transfer is for; `allowed.ROUTES` lists the accounts that each kind connects."""

    DEPOSIT = "deposit"
    """Assets received by a custodian for a clearing account; reversed if recorded in error."""
    WITHDRAWAL = "withdrawal"
    """Collateral that leaves a clearing account; pending from the request to its approval."""
    PAYOUT = "payout"
    """A withdrawal confirmed by the custodian."""
    RETURN = "return"
    """A withdrawal that the custodian could not pay; credited to the clearing account again."""
    SWEEP = "sweep"
    """Cash moved to collateral, or collateral that covers a debit balance of cash."""
    VARIATION = "variation"
    PREMIUM = "premium"
    PAYOFF = "payoff"
    """Value of an expired option or delivered contract."""
    FUNDING = "funding"
    FEE = "fee"
    ROUNDING = "rounding"
    """Residual of rounding per account, from or to a clearing account that must return to zero."""
    LIMIT = "limit"
    """Change of the margin that a clearing account can use."""
    RESERVATION = "reservation"
    """Incremental margin of a quoted block trade; pending until the trade is executed."""
    RELEASE = "release"
    """Reserved margin of executed trades that the requirement now includes."""


class Phase(StrEnum):
    """What a transfer does to balances."""

    DIRECT = "direct"
    """Moves the amount at once."""
    PENDING = "pending"
    """Sets the amount aside."""
    POST = "post"
    """Moves the whole amount of a pending transfer or a part of it, and releases the rest."""
    VOID = "void"
    """Releases a pending transfer."""
    EXPIRY = "expiry"
    """Releases a pending transfer whose time has passed."""


RESOLVING = frozenset({Phase.POST, Phase.VOID, Phase.EXPIRY})
"""Phases that resolve a pending transfer."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """An amount from the debit account to the credit account."""

    id: str
    debit: str
    """Id of the account that is debited."""
    credit: str
    """Id of the account that is credited."""
    asset: Asset
    amount: int
    """Units of the asset, at least 1."""
    kind: TransferKind
    valid_time: datetime
    """Time from which the transfer holds in the business, UTC; `Entry.recorded_at` is the time at
    which it was recorded."""
    phase: Phase = Phase.DIRECT
    pending_id: str = ""
    """Id of the pending transfer that this one resolves; empty for other phases."""
    expires_at: datetime | None = None
    """UTC; from this time on a pending transfer can only expire. None: it never expires."""

    def __post_init__(self) -> None:
        names = (self.id, self.debit, self.credit)
        found = [fault for text in names if (fault := id_fault(text))]
        if self.debit == self.credit:
            found.append(f"account {self.debit} would be debited and credited")
        if not 1 <= self.amount <= UNITS_MAX:
            found.append(f"{self.amount} is not an amount of 1 to 10^18 units")
        found += [
            fault
            for moment in (self.valid_time, self.expires_at)
            if moment is not None and (fault := time_fault(moment))
        ]
        if (self.phase in RESOLVING) != bool(self.pending_id):
            found.append(f"phase {self.phase} does not agree with pending id {self.pending_id!r}")
        if self.expires_at is not None and self.phase is not Phase.PENDING:
            found.append(f"phase {self.phase} has no expiry")
        if found:
            problems = [Problem(f"transfer {self.id!r}", what) for what in found]
            raise_if_any(problems, InvalidRequest, "the transfer is not valid")

    def content(self) -> list[str | int | None]:
        """Return the form that a content hash covers; times in microseconds since 1970 UTC."""
        expires = None if self.expires_at is None else microseconds(self.expires_at)
        return [
            self.id,
            self.debit,
            self.credit,
            self.asset.name,
            self.asset.decimals,
            self.amount,
            self.kind.value,
            microseconds(self.valid_time),
            self.phase.value,
            self.pending_id,
            expires,
        ]


def resolution(
    pending: Transfer,
    phase: Phase,
    *,
    transfer_id: str,
    valid_time: datetime,
    amount: int | None = None,
) -> Transfer:
    """Return a transfer that resolves a pending one.

    Parameters
    ----------
    pending : Transfer
    phase : Phase
        `Phase.POST`, `Phase.VOID` or `Phase.EXPIRY`.
    transfer_id : str
    valid_time : datetime
        UTC.
    amount : int, optional
        Units to post, at most the pending amount; by default the whole amount.

    Raises
    ------
    InvalidRequest
        If an argument is not valid.
    """
    return Transfer(
        transfer_id,
        pending.debit,
        pending.credit,
        pending.asset,
        pending.amount if amount is None else amount,
        pending.kind,
        valid_time,
        phase,
        pending.id,
    )


@dataclass(frozen=True)
class Group:
    """Linked changes: all of them apply, in this order, or none does."""

    id: str
    """Derived from what the group settles, for example ``variation:2026-05-15``."""
    transfers: tuple[Transfer, ...] = ()
    positions: tuple[PositionEntry, ...] = ()
    accounts: tuple[Account, ...] = ()
    """Accounts to open before the transfers; an account that is open already does no harm."""

    def __post_init__(self) -> None:
        found: list[str] = []
        if fault := id_fault(self.id):
            found.append(fault)
        count = len(self.transfers) + len(self.positions) + len(self.accounts)
        if not 1 <= count <= ITEMS_MAX:
            found.append(f"{count} is not a number of items between 1 and {ITEMS_MAX}")
        problems = [Problem(f"group {self.id!r}", what) for what in found]
        raise_if_any(problems, InvalidRequest, "the group is not valid")

    @property
    def log_kind(self) -> str:
        """Kind of the group's entry in the log."""
        return "group"

    @property
    def payload_hash(self) -> str:
        """Hash of the whole content, 64 hexadecimal digits."""
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        opened = [[a.id, a.asset.decimals, a.flags.value] for a in self.accounts]
        row = {
            "id": self.id,
            "accounts": opened,
            "transfers": [transfer.content() for transfer in self.transfers],
            "positions": [entry.content() for entry in self.positions],
        }
        return content_hash(self.log_kind, row)
