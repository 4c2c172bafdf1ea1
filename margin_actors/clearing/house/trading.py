"""Decisions on trades, reservations and the contracts that are traded."""

from collections.abc import Iterable
from decimal import Decimal

from margin_actors.clearing.bookings import booking
from margin_actors.clearing.calls import Activity, Treatment, frozen_treatment
from margin_actors.clearing.house.account_events import ReservationQuoted
from margin_actors.clearing.house.book_events import ContractChanged
from margin_actors.clearing.house.commands import (
    BookTrades,
    CancelReservation,
    ListContract,
    Reserve,
    TradeBooking,
)
from margin_actors.clearing.house.decisions import HouseRule
from margin_actors.clearing.house.draft import HouseDraft, refuse
from margin_actors.clearing.house.money import coverage
from margin_actors.clearing.house.state import TRADED
from margin_actors.clearing.house.valuing import contract_of, excess_cents, included_cents
from margin_actors.clearing.journal import (
    MARGIN,
    AccountKind,
    Group,
    Phase,
    Transfer,
    TransferKind,
    account_id,
    resolution,
)
from margin_actors.clearing.journal.reservations import (
    MarginStatus,
    executed_trade,
    open_reservations,
    reserved,
)
from margin_actors.clearing.settlement import contract_from_name, listed, trade_group


def on_listing(draft: HouseDraft, command: ListContract) -> tuple[str, ...]:
    """List a contract."""
    known = draft.state.contracts.get(command.instrument)
    if known is not None and known.multiplier != command.multiplier:
        what = f"{command.instrument} is listed with multiplier {known.multiplier}"
        refuse(HouseRule.KNOWN, what)
    if known is None:
        _list(draft, command.instrument, command.multiplier)
    return (command.instrument,)


def on_trades(draft: HouseDraft, command: BookTrades) -> tuple[str, ...]:
    """Book trades in their order: positions, premiums, fees, and reservations that they use."""
    if not command.trades:
        refuse(HouseRule.INVALID, "no trade is given")
    for one in command.trades:
        _book(draft, one)
    return tuple(one.trade.id for one in command.trades)


def on_reservation(draft: HouseDraft, command: Reserve) -> tuple[str, ...]:
    """Set margin aside, if free margin covers it."""
    _require_active(draft, command.account, Activity.RESERVATION)
    coverage(draft, command.account)
    state = draft.state
    _require_current(draft, command)
    status = MarginStatus(
        command.account,
        command.id,
        excess_cents(state, command.account),
        included_cents(state, command.account),
        draft.time,
    )
    draft.group(reserved(state.journal, status, command.reservation))
    quote = command.reservation.quote
    draft.log(ReservationQuoted(command.account, quote, command.trades, command.id))
    return (quote,)


def _require_current(draft: HouseDraft, command: Reserve) -> None:
    """Refuse a reservation that was priced on other positions or reservations than those now."""
    basis = command.basis
    if basis is None:
        return
    changed = draft.state.last_change(command.account).valuation
    if changed > basis.read_number:
        what = f"positions of {command.account} changed at entry {changed}"
        refuse(HouseRule.PRICE_OUTDATED, f"{what}, after {basis.read_number}")
    quotes = tuple(one.quote for one in open_reservations(draft.state.journal, command.account))
    if quotes != basis.quotes:
        what = f"open are the quotes {', '.join(quotes) or 'none'}"
        refuse(HouseRule.PRICE_OUTDATED, f"{what}; priced on {', '.join(basis.quotes) or 'none'}")


def on_cancellation(draft: HouseDraft, command: CancelReservation) -> tuple[str, ...]:
    """Release the margin of a quote; free margin grows by it."""
    draft.account(command.account)
    found = [t for quote, t in _pending(draft, command.account) if quote == command.quote]
    if not found:
        what = f"account {command.account} has no open reservation for quote {command.quote!r}"
        refuse(HouseRule.UNKNOWN, what)
    _void(draft, found, f"reservation-cancelled:{command.id}")
    return (command.quote,)


def void_reservations(draft: HouseDraft, account: str, cause: str) -> None:
    """Release all open reservations of an account, the newest first."""
    found = [transfer for _, transfer in _pending(draft, account)]
    if found:
        _void(draft, reversed(found), f"reservations-voided:{cause}:{account}")


def _book(draft: HouseDraft, one: TradeBooking) -> None:
    trade = one.trade
    if trade.id in draft.state.trades:
        refuse(HouseRule.KNOWN, f"trade {trade.id!r} is booked already")
    for account in (trade.buyer, trade.seller):
        _require_active(draft, account, Activity.TRADE)
    if one.instrument not in draft.state.contracts:
        _list(draft, one.instrument, Decimal(1))
    life = draft.state.contracts[one.instrument].life
    if life is not None and life.state not in TRADED:
        refuse(HouseRule.WRONG_STAGE, f"{one.instrument} is {life.state} and cannot be traded")
    for party in one.executions:
        if party.owner not in (trade.buyer, trade.seller):
            refuse(HouseRule.INVALID, f"{party.owner} is not a party of trade {trade.id!r}")
    contract = contract_of(draft.state, one.instrument)
    group = booking(trade_group(contract, trade, draft.state.parameters.settlement))
    assert group is not None, "a trade changes positions"
    if one.executions:
        posted = executed_trade(
            draft.state.journal, trade.id, one.executions, (), valid_time=trade.time
        )
        group = Group(
            group.id, (*posted.transfers, *group.transfers), group.positions, group.accounts
        )
    draft.group(group)


def _list(draft: HouseDraft, instrument: str, multiplier: Decimal) -> None:
    contract = contract_from_name(instrument, multiplier)
    rules = draft.state.parameters.settlement.delivery
    life = None if contract.expiry is None else listed(contract, rules)
    draft.log(ContractChanged(instrument, multiplier, life, (), "listing"))


def _require_active(draft: HouseDraft, account: str, activity: Activity) -> None:
    draft.account(account)
    frozen = draft.state.frozen.get(account)
    if frozen is not None and frozen_treatment(activity) is Treatment.REFUSE:
        refuse(HouseRule.FROZEN, f"account {account} is frozen by {frozen}")


def _pending(draft: HouseDraft, account: str) -> list[tuple[str, Transfer]]:
    """Return (quote, pending transfer) of the open reservations, the oldest first."""
    journal = draft.state.journal
    name = account_id(AccountKind.FREE_MARGIN, MARGIN, account)
    transfers = [t for t in journal.open_pending(name) if t.kind is TransferKind.RESERVATION]
    quotes = [one.quote for one in open_reservations(journal, account)]
    return list(zip(quotes, transfers, strict=True))


def _void(draft: HouseDraft, pending: Iterable[Transfer], group_id: str) -> None:
    voids = [
        resolution(t, Phase.VOID, transfer_id=f"void:{t.id}", valid_time=draft.time)
        for t in pending
        if t.expires_at is None or t.expires_at > draft.time
    ]
    if voids:
        draft.group(Group(group_id, tuple(voids)))
