"""Settlement groups as groups of the journal: which accounts are debited and credited.

What a clearing account receives is debited from a clearing account of the house, and what it pays
is credited to one: `settlement` for variation, premiums and payoffs, `funding` for funding
payments. Both return to zero with the group, because its residual of rounding is transferred to the
rounding account. Fees go to the fee account at once.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from margin_actors.clearing.amounts import Asset
from margin_actors.clearing.journal import (
    Account,
    AccountKind,
    Group,
    PositionEntry,
    Transfer,
    TransferKind,
    open_account,
)
from margin_actors.clearing.settlement import (
    FEE_ACCOUNT,
    ROUNDING_ACCOUNT,
    Entry,
    EventKind,
    SettlementEvent,
    SettlementGroup,
)
from margin_actors.clearing.settlement.exact import EXACT

_ROUTES: Mapping[EventKind, tuple[TransferKind, AccountKind]] = {
    "funding": (TransferKind.FUNDING, AccountKind.FUNDING),
    "variation": (TransferKind.VARIATION, AccountKind.SETTLEMENT),
    "premium": (TransferKind.PREMIUM, AccountKind.SETTLEMENT),
    "trade": (TransferKind.VARIATION, AccountKind.SETTLEMENT),
    "exercise": (TransferKind.PAYOFF, AccountKind.SETTLEMENT),
    "lapse": (TransferKind.PAYOFF, AccountKind.SETTLEMENT),
    "delivery": (TransferKind.PAYOFF, AccountKind.SETTLEMENT),
    "fee": (TransferKind.FEE, AccountKind.FEES),
}
"""Kind of the transfer and of the house's account, by kind of event."""


def booking(group: SettlementGroup) -> Group | None:
    """Return the group of the journal that books a settlement group; None if nothing changes.

    The same settlement group gives the same booking, with the id of the group, so that it is booked
    once however often it is computed. Position entries have the ids of their events.

    Parameters
    ----------
    group : SettlementGroup
        At an unchanged price, for example, a settlement pays nothing and changes no position.

    Raises
    ------
    InvalidRequest
        If an id is too long for the journal, or a quantity has too many digits.
    """
    accounts: dict[str, Account] = {}
    transfers: list[Transfer] = []
    positions: list[PositionEntry] = []
    for event in group.events:
        for number, entry in enumerate(_paid(event)):
            house, own, kind = _accounts(event.subject.kind, entry)
            accounts |= {house.id: house, own.id: own}
            debit, credit = (house, own) if entry.units > 0 else (own, house)
            transfers.append(
                Transfer(
                    id=f"{event.id}:{number}",
                    debit=debit.id,
                    credit=credit.id,
                    asset=entry.asset,
                    amount=abs(entry.units),
                    kind=kind,
                    valid_time=event.subject.time,
                )
            )
        positions += _positions(event)
    if not transfers and not positions:
        return None
    return Group(group.id, tuple(transfers), tuple(positions), tuple(accounts.values()))


def _paid(event: SettlementEvent) -> Iterator[Entry]:
    """Yield the entries to book; the house's side of fees is the other side of the members'."""
    for entry in event.entries:
        if not (event.subject.kind == "fee" and entry.account == FEE_ACCOUNT):
            yield entry


def _accounts(kind: EventKind, entry: Entry) -> tuple[Account, Account, TransferKind]:
    """Return (account of the house, the other account, kind of the transfer)."""
    transfer, account = _ROUTES[kind]
    house = open_account(account, entry.asset)
    if entry.account == ROUNDING_ACCOUNT:
        return house, open_account(AccountKind.ROUNDING, entry.asset), TransferKind.ROUNDING
    return house, _cash(entry.account, entry.asset), transfer


def _cash(owner: str, asset: Asset) -> Account:
    return open_account(AccountKind.CASH, asset, owner)


def _positions(event: SettlementEvent) -> Iterator[PositionEntry]:
    """Yield one entry per lot that the event changes.

    A settlement at the base price of a lot removes the lot and adds it again: nothing changes.
    """
    sums: dict[tuple[str, str, Decimal | None], Decimal] = {}
    for change in event.changes:
        key = change.account, change.instrument, change.base_price
        sums[key] = EXACT.add(sums.get(key, Decimal(0)), change.quantity)
    for (account, instrument, base), quantity in sums.items():
        if quantity:
            yield PositionEntry(event.id, account, instrument, quantity, base)
