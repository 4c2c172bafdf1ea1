"""Invariants of a state that hold whatever groups were applied."""

from collections import defaultdict
from decimal import Decimal

from margin_actors.clearing.amounts import Asset
from margin_actors.clearing.journal.accounts import (
    ZERO,
    Account,
    AccountKind,
    Balance,
)
from margin_actors.clearing.journal.positions import EXACT
from margin_actors.clearing.journal.state import JournalState


def integrity_findings(state: JournalState) -> tuple[str, ...]:
    """Return the invariants that a state violates, in words; empty for every state of a journal.

    Checked are: debits equal credits per asset, posted and pending; pending sums equal the open
    pending transfers; limits of accounts hold; every balance belongs to an open account. A state
    that was built by `apply` violates none; a violation means that stored balances were modified.
    """
    lost = [name for name in state.balances if name not in state.accounts]
    found = [f"balance {name} has no account" for name in lost]
    found += _asset_findings(state)
    found += _pending_findings(state)
    for name, account in state.accounts.items():
        found += _limit_findings(account, state.balances.get(name, ZERO))
    return tuple(found)


def asset_sums(state: JournalState) -> dict[str, tuple[int, int]]:
    """Return (posted, pending) credits less debits over all accounts by name of asset, units."""
    sums: dict[str, tuple[int, int]] = {}
    for name, balance in state.balances.items():
        account = state.accounts.get(name)
        asset = "" if account is None else account.asset.name
        posted, pending = sums.get(asset, (0, 0))
        waiting = balance.credits_pending - balance.debits_pending
        sums[asset] = (posted + balance.net, pending + waiting)
    return sums


def held_at_custodians(state: JournalState) -> dict[Asset, int]:
    """Return the assets at all custodians, units; only deposits and payouts change them."""
    held: dict[Asset, int] = defaultdict(int)
    for name, account in state.accounts.items():
        if account.kind is AccountKind.CUSTODIAN:
            held[account.asset] -= state.balances.get(name, ZERO).net
    return dict(held)


def position_sums(state: JournalState) -> dict[str, Decimal]:
    """Return the sum of the positions of all accounts by instrument, in the order of their names.

    All are 0 for a clearing house that holds the whole book, because each trade is booked for both
    parties.
    """
    sums: dict[str, Decimal] = {}
    for position in state.positions.values():
        before = sums.get(position.instrument, Decimal(0))
        sums[position.instrument] = EXACT.add(before, position.quantity)
    return dict(sorted(sums.items()))


def _asset_findings(state: JournalState) -> list[str]:
    return [
        f"the {what} of {asset} sum to {total} units"
        for asset, sums in asset_sums(state).items()
        for what, total in zip(("posted balances", "pending balances"), sums, strict=True)
        if total
    ]


def _pending_findings(state: JournalState) -> list[str]:
    """Return accounts whose pending sums are not those of the open pending transfers."""
    debits: dict[str, int] = defaultdict(int)
    credits_: dict[str, int] = defaultdict(int)
    for transfer in state.pending.values():
        debits[transfer.debit] += transfer.amount
        credits_[transfer.credit] += transfer.amount
    return [
        f"{name} has pending debits {balance.debits_pending} and credits {balance.credits_pending},"
        f" its open transfers give {debits[name]} and {credits_[name]}"
        for name, balance in state.balances.items()
        if (balance.debits_pending, balance.credits_pending) != (debits[name], credits_[name])
    ]


def _limit_findings(account: Account, balance: Balance) -> list[str]:
    found: list[str] = []
    debits = balance.debits_posted + balance.debits_pending
    credits_ = balance.credits_posted + balance.credits_pending
    if account.limits_debits and debits > balance.credits_posted:
        found.append(f"{account.id} has debits {debits} above credits {balance.credits_posted}")
    if account.limits_credits and credits_ > balance.debits_posted:
        found.append(f"{account.id} has credits {credits_} above debits {balance.debits_posted}")
    return found
