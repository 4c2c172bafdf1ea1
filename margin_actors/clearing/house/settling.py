"""Decisions on settlement: batches, delivery prices, and the stages of contracts."""

from collections.abc import Iterable

from margin_actors.clearing.amounts import ASSETS
from margin_actors.clearing.bookings import booking
from margin_actors.clearing.calls import Approval
from margin_actors.clearing.house.acts import DecidePrice
from margin_actors.clearing.house.book_events import ContractChanged
from margin_actors.clearing.house.commands import (
    ArchiveContract,
    BookSettlement,
    RecordDeliveryPrice,
)
from margin_actors.clearing.house.decisions import HouseRule
from margin_actors.clearing.house.draft import HouseDraft, refuse
from margin_actors.clearing.house.valuing import contract_of
from margin_actors.clearing.journal import Account, AccountKind, Group, Transfer, open_account
from margin_actors.clearing.journal.movements import sweep
from margin_actors.clearing.settlement import (
    ContractLife,
    Decision,
    DeliveryPrice,
    SettlementGroup,
    advance,
    confirmed,
    corrected,
)
from margin_actors.clearing.settlement.life import (
    ArchiveRequested,
    GroupBooked,
    LifeEvent,
    PriceComputed,
    PriceDecided,
    TimePassed,
)
from margin_actors.market.instruments import expiry_label

_PRICED = ("provisional", "final", "exercised", "delivered", "corrected")


def on_settlement(draft: HouseDraft, command: BookSettlement) -> tuple[str, ...]:
    """Book the groups of a batch in order, then sweep the cash that they moved."""
    booked: list[SettlementGroup] = []
    owners: set[tuple[str, str]] = set()
    for settled in command.batch.groups:
        group = booking(settled)
        if group is not None and draft.group(group):
            booked.append(settled)
            owners |= _cash_owners(draft, group)
        if settled.purpose == "expiry":
            _advance_expired(draft, settled)
    if booked:
        _sweep(draft, owners, command.batch.id)
    return tuple(group.id for group in command.batch.groups)


def on_delivery_price(draft: HouseDraft, command: RecordDeliveryPrice) -> tuple[str, ...]:
    """Record the computed price with each contract that expires at it."""
    price = command.price
    found = _expiring(draft, price.underlying, price)
    if not found:
        refuse(HouseRule.UNKNOWN, f"no contract on {price.underlying} expires at {price.expiry}")
    for name in found:
        _advance(draft, name, (TimePassed(draft.time), PriceComputed(price, draft.time)))
    return found


def on_archiving(draft: HouseDraft, command: ArchiveContract) -> tuple[str, ...]:
    """Remove a delivered contract from the list."""
    known = draft.state.contracts.get(command.instrument)
    if known is None or known.life is None:
        refuse(HouseRule.UNKNOWN, f"{command.instrument!r} is not a listed contract that expires")
    _advance(draft, command.instrument, (ArchiveRequested(),))
    return (command.instrument,)


def decide_price(draft: HouseDraft, act: DecidePrice, approval: Approval) -> None:
    """Confirm or correct a delivery price, as two people decided."""
    decision = Decision(approval.proposer, approval.approver, act.reason, draft.time)
    changed = False
    for name, contract in draft.state.contracts.items():
        life = contract.life
        if life is None or (life.underlying, life.expiry) != (act.underlying, act.expiry):
            continue
        if life.price is None or life.state not in _PRICED:
            continue
        if life.state == "provisional":
            price = confirmed(life.price, act.price, decision)
        elif act.price is None:
            refuse(HouseRule.INVALID, f"the price of {name} is final; state the corrected one")
        else:
            price = corrected(life.price, act.price, decision)
        _advance(draft, name, (PriceDecided(price),))
        changed = True
    if not changed:
        refuse(HouseRule.UNKNOWN, f"{act.underlying} has no delivery price at {act.expiry}")


def _expiring(draft: HouseDraft, underlying: str, price: DeliveryPrice) -> tuple[str, ...]:
    return tuple(
        name
        for name, contract in draft.state.contracts.items()
        if contract.life is not None
        and (contract.life.underlying, contract.life.expiry) == (underlying, price.expiry)
    )


def _advance(draft: HouseDraft, instrument: str, events: Iterable[LifeEvent]) -> None:
    """Advance the life of a contract by several events, and add the stage that they lead to."""
    known = draft.state.contracts[instrument]
    assert known.life is not None
    life, effects = known.life, ()
    for event in events:
        life, following = advance(life, event)
        effects = (*effects, *following)
    if life != known.life:
        draft.log(ContractChanged(instrument, known.multiplier, life, effects, draft.command_id))


def _advance_expired(draft: HouseDraft, settled: SettlementGroup) -> None:
    """Report an expiry to all contracts that it settles, also to those without a position."""
    instruments = {event.subject.instrument for event in settled.events}
    unlisted = [name for name in sorted(instruments) if name not in draft.state.contracts]
    held = [name for name in unlisted if any(_touches(e, name) for e in settled.events)]
    if held:
        refuse(HouseRule.UNKNOWN, f"{', '.join(held)} are settled but not listed")
    for name, contract in draft.state.contracts.items():
        life = contract.life
        if life is not None and _scope(draft, life) == settled.scope:
            steps = ("exercise", "delivery") if life.is_two_step else ("delivery",)
            known = [one for one in life.bookings if one.group_id == settled.id]
            if not known:
                booked = [GroupBooked(step, settled.version, settled.id) for step in steps]
                _advance(draft, name, booked)


def _touches(event: object, name: str) -> bool:
    changes = getattr(event, "changes", ())
    return any(change.instrument == name for change in changes)


def _scope(draft: HouseDraft, life: ContractLife) -> str:
    """Return the scope of the group that settles the expiry of a contract, see `expiry_group`."""
    asset = contract_of(draft.state, life.instrument).asset.name
    return f"{life.underlying}_{asset}-{expiry_label(life.expiry)}"


def _cash_owners(draft: HouseDraft, group: Group) -> set[tuple[str, str]]:
    """Return (owner, asset) of the cash accounts that a group changes."""
    accounts = draft.state.journal.accounts
    touched = (accounts[n] for t in group.transfers for n in (t.debit, t.credit))
    return {(a.owner, a.asset.name) for a in touched if a.kind is AccountKind.CASH}


def _sweep(draft: HouseDraft, owners: Iterable[tuple[str, str]], event: str) -> None:
    transfers: list[Transfer] = []
    opened: list[Account] = []
    for owner, asset in sorted(owners):
        journal = draft.state.journal
        moved = sweep(journal, owner, ASSETS[asset], event=event, valid_time=draft.time)
        if moved is not None:
            transfers.append(moved)
            # An account may receive cash in an asset that it never deposited.
            opened.append(open_account(AccountKind.COLLATERAL, ASSETS[asset], owner))
    if transfers:
        draft.group(Group(f"sweep:{event}", tuple(transfers), accounts=tuple(opened)))
