"""What follows from a group for the state, beside the journal: who changed, what is held."""

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from urllib.parse import unquote

from margin_actors.clearing.calls import LedgerClock
from margin_actors.clearing.house.state import BookedTrade, HouseState, LastChange
from margin_actors.clearing.journal import (
    MARGIN,
    AccountKind,
    Group,
    JournalState,
    Phase,
    TransferKind,
)
from margin_actors.clearing.journal.maps import PersistentMap
from margin_actors.clearing.journal.positions import EXACT

_MARGIN_KINDS = frozenset({TransferKind.LIMIT, TransferKind.RESERVATION, TransferKind.RELEASE})
_OWNED = (AccountKind.COLLATERAL, AccountKind.CASH)
_TRADE = "trade:"


def after_group(
    state: HouseState, group: Group, journal: JournalState, clock: LedgerClock
) -> HouseState:
    """Return the state after a group.

    Parameters
    ----------
    state : HouseState
        The state before it.
    group : Group
    journal : JournalState
        The journal after it.
    clock : LedgerClock
        The clock at the time of the group.
    """
    number = state.number + 1
    trades = state.trades
    if (trade := trade_of(group)) is not None:
        trades = trades.with_items({trade: BookedTrade(group, number)})
    return replace(
        state,
        number=number,
        clock=clock,
        journal=journal,
        last_changes=state.last_changes.with_items(_changes(state, group, journal, number)),
        held=_held(state, group, journal),
        reserved=_reserved(state, group, journal, number),
        trades=trades,
    )


def trade_of(group: Group) -> str | None:
    """Return the id of the trade that a group books; None if it books none.

    `SettlementGroup.id` states the purpose and the escaped id of the trade first.
    """
    return unquote(group.id.split(":")[1]) if group.id.startswith(_TRADE) else None


def _changes(
    state: HouseState, group: Group, journal: JournalState, number: int
) -> dict[str, LastChange]:
    """Return the last changes of the accounts that the group changes."""
    holders: set[str] = set()
    valued: set[str] = set()
    reserving: set[str] = set()
    for transfer in group.transfers:
        if transfer.kind in _MARGIN_KINDS:
            if transfer.phase is Phase.POST:
                reserving.add(journal.accounts[transfer.debit].owner)
            continue
        for account in (journal.accounts[transfer.debit], journal.accounts[transfer.credit]):
            if account.kind in _OWNED:
                holders.add(account.owner)
                if account.kind is AccountKind.CASH and transfer.kind is not TransferKind.SWEEP:
                    valued.add(account.owner)
    net: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entry in group.positions:
        key = entry.account, entry.instrument
        net[key] = EXACT.add(net[key], entry.quantity)
    positioned = {account for account, _ in net}
    # The margin of a trade that posts a reservation stays reserved until a requirement includes it.
    traded = {account for (account, _), quantity in net.items() if quantity} - reserving
    changed: dict[str, LastChange] = {}
    for account in holders | positioned:
        before = state.last_change(account)
        changed[account] = LastChange(
            number,
            number if account in valued or account in positioned else before.valuation,
            number if account in traded else before.quantities,
        )
    return changed


def _held(state: HouseState, group: Group, journal: JournalState) -> PersistentMap[tuple[str, ...]]:
    """Return the instruments in which accounts have lots."""
    touched: dict[str, set[str]] = {}
    for entry in group.positions:
        touched.setdefault(entry.account, set()).add(entry.instrument)
    changed: dict[str, tuple[str, ...]] = {}
    for account, instruments in touched.items():
        before = state.held.get(account, ())
        has = {name for name in instruments if journal.position(account, name).lots_by_price}
        after = tuple(sorted((set(before) - instruments) | has))
        if after != before:
            changed[account] = after
    closed = [account for account, names in changed.items() if not names]
    held = state.held.with_items({a: names for a, names in changed.items() if names})
    return held.without([account for account in closed if account in held])


def _reserved(
    state: HouseState, group: Group, journal: JournalState, number: int
) -> PersistentMap[tuple[tuple[int, int], ...]]:
    """Return the sums of reserved margin that requirements may not include yet."""
    owners = {
        journal.accounts[transfer.debit].owner
        for transfer in group.transfers
        if transfer.kind is TransferKind.RELEASE
        or (transfer.kind is TransferKind.RESERVATION and transfer.phase is Phase.POST)
    }
    if not owners:
        return state.reserved
    changed: dict[str, tuple[tuple[int, int], ...]] = {}
    for owner in owners:
        balance = journal.balance(AccountKind.RESERVED, MARGIN, owner)
        sums = state.reserved.get(owner, ())
        if (sums[-1][1] if sums else 0) != balance.credits_posted:
            sums = (*sums, (number, balance.credits_posted))
        changed[owner] = tuple(one for one in sums if one[1] > balance.debits_posted)
    ended = [owner for owner, sums in changed.items() if not sums and owner in state.reserved]
    kept = {owner: sums for owner, sums in changed.items() if sums}
    return state.reserved.with_items(kept).without(ended)
