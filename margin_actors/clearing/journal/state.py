"""The state of the journal: what the fold of all groups so far gives."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from margin_actors.clearing.amounts import Asset
from margin_actors.clearing.journal.accounts import (
    ZERO,
    Account,
    AccountKind,
    Balance,
    account_id,
)
from margin_actors.clearing.journal.maps import PersistentMap
from margin_actors.clearing.journal.positions import Position, position_key
from margin_actors.clearing.journal.transfers import Transfer


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A group that was applied."""

    number: int
    """Its place among the groups applied, from 1."""
    payload_hash: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """A pending transfer that is no longer open."""

    pending: Transfer
    by: str
    """Id of the transfer that resolved it."""


@dataclass(frozen=True)
class JournalState:
    """Accounts, balances, open pending transfers and positions; immutable.

    A change shares all unchanged parts with the state before it, so that earlier states can be
    kept.
    """

    number: int = 0
    """Number of groups applied."""
    last_time: datetime | None = None
    """Time of the last group, UTC; None before the first."""
    accounts: PersistentMap[Account] = field(default_factory=PersistentMap[Account])
    """Open accounts by id."""
    balances: PersistentMap[Balance] = field(default_factory=PersistentMap[Balance])
    """Balances by account id; an account without an entry has not been used."""
    transfers: PersistentMap[int] = field(default_factory=PersistentMap[int])
    """Number of the group by the id of each transfer ever applied."""
    pending: PersistentMap[Transfer] = field(default_factory=PersistentMap[Transfer])
    """Open pending transfers by id."""
    pending_by_account: PersistentMap[tuple[str, ...]] = field(
        default_factory=PersistentMap[tuple[str, ...]]
    )
    """Ids of the open pending transfers by debit account, in the order in which they applied."""
    resolved: PersistentMap[Resolved] = field(default_factory=PersistentMap[Resolved])
    """Pending transfers that were posted or voided, or that expired, by id."""
    groups: PersistentMap[GroupRecord] = field(default_factory=PersistentMap[GroupRecord])
    """Applied groups by id."""
    positions: PersistentMap[Position] = field(default_factory=PersistentMap[Position])
    """Positions with at least one lot, by `position_key`."""
    position_entries: PersistentMap[int] = field(default_factory=PersistentMap[int])
    """Number of the group by the id of each position entry ever applied."""

    def balance(self, kind: AccountKind, asset: Asset, owner: str = "") -> Balance:
        """Return a balance in units of the asset; zero if the account was never used."""
        return self.balances.get(account_id(kind, asset, owner), ZERO)

    def position(self, account: str, instrument: str) -> Position:
        """Return a position; without lots if the account never held the instrument."""
        held = self.positions.get(position_key(account, instrument))
        return Position(account, instrument) if held is None else held

    def open_pending(self, account: str) -> tuple[Transfer, ...]:
        """Return the open pending transfers that debit an account, the oldest first."""
        return tuple(self.pending[name] for name in self.pending_by_account.get(account, ()))


EMPTY = JournalState()
"""The journal before its first group."""

_OWNED = (AccountKind.COLLATERAL, AccountKind.CASH)


def holdings(state: JournalState, owner: str, assets: Mapping[str, Asset]) -> dict[Asset, int]:
    """Return what a clearing account holds, collateral and cash together, by asset.

    Parameters
    ----------
    state : JournalState
    owner : str
        Clearing account.
    assets : mapping of name to Asset
        Assets to report.

    Returns
    -------
    dict of Asset to int
        Units, ordered by name and without zeros. Withdrawals that wait for approval are deducted,
        announced deposits are not counted; negative if the account owes the asset.
    """
    held = {
        asset: sum(state.balance(kind, asset, owner).available for kind in _OWNED)
        for _, asset in sorted(assets.items())
    }
    return {asset: units for asset, units in held.items() if units}


def positions_of(state: JournalState, account: str) -> Iterator[Position]:
    """Yield the positions of a clearing account in the order of the instruments."""
    return (held for held in state.positions.values() if held.account == account)
