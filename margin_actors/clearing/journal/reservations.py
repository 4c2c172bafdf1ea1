"""Reservations: incremental margin set aside for quoted block trades.

A reservation is a pending transfer from free margin to reserved margin that expires with the quote.
When the trade is executed, it is posted in the group that books the positions; when the quote is
cancelled, it is voided. Reserved margin of executed trades is released when a requirement includes
them.

Margin does not add up: reservation k is priced on the book with reservations 1 to k - 1, so that a
change of one changes the price of those after it. Prices are arguments here. They are computed by
the margin engine under the lock of the account, and again in each cycle.

    limit of free margin = max(0, excess - reserved margin of executed trades)
    free margin          = limit - sum of open reservations, never negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from margin_actors.clearing.journal.accounts import (
    MARGIN,
    AccountKind,
    account_id,
    margin_accounts,
    open_account,
)
from margin_actors.clearing.journal.applying import expiry_of
from margin_actors.clearing.journal.positions import PositionEntry
from margin_actors.clearing.journal.state import JournalState
from margin_actors.clearing.journal.transfers import (
    Group,
    Phase,
    Transfer,
    TransferKind,
    resolution,
)
from margin_actors.errors import InvalidRequest, Problem, raise_if_any


@dataclass(frozen=True)
class MarginStatus:
    """Margin of a clearing account according to one calculation."""

    owner: str
    """Clearing account."""
    event: str
    """Id of the calculation, or of what else sets the limit; used once per account."""
    excess_cents: int
    """Resources less requirement of the booked positions, US cents; negative for a deficit."""
    included_cents: int
    """All reserved margin ever credited to the account (posted credits of `RESERVED`) at the entry
    whose positions the requirement includes, US cents. What of it is still reserved is released."""
    valid_time: datetime
    """Time of the calculation, UTC."""


@dataclass(frozen=True)
class Reservation:
    """Incremental margin of one quote, as priced or as reserved."""

    quote: str
    """Id of the quote."""
    incremental_cents: int
    """Margin with the quoted trade less margin without it, US cents. At least one cent is reserved:
    a reduction of the margin is not credited before the trade is executed."""
    expires_at: datetime
    """Time at which the quote expires, UTC."""

    @property
    def reserved_cents(self) -> int:
        """The amount set aside, US cents, at least 1."""
        return max(1, self.incremental_cents)


@dataclass(frozen=True)
class Execution:
    """One party of an executed block trade."""

    owner: str
    """Clearing account."""
    quote: str
    reserved_cents: int | None = None
    """Margin to keep until a requirement includes the trade, US cents; None: the whole reservation,
    less if only a part of the quote is executed."""


@dataclass(frozen=True)
class Repricing:
    """Limit and reservations of an account after a calculation."""

    group: Group | None
    """Changes to apply; None if there are none."""
    kept: tuple[Reservation, ...]
    """Reservations that remain, in their order, at their new prices."""
    withdrawn: tuple[str, ...]
    """Quotes that free margin no longer covers, the newest first."""


def free_margin_cents(state: JournalState, owner: str) -> int:
    """Return the margin that an account can still reserve, US cents, at least 0."""
    return state.balance(AccountKind.FREE_MARGIN, MARGIN, owner).available


def open_reservations(state: JournalState, owner: str) -> tuple[Reservation, ...]:
    """Return the open reservations of an account, the oldest first, at their reserved amounts."""
    found: list[Reservation] = []
    for pending in _pending(state, owner):
        assert pending.expires_at is not None
        found.append(Reservation(_quote(pending, owner), pending.amount, pending.expires_at))
    return tuple(found)


def limit_change(state: JournalState, status: MarginStatus) -> tuple[Transfer, ...]:
    """Return the transfers that release included margin and set the limit of free margin.

    They are refused when they apply if the new limit would not cover the open reservations.
    """
    reserved = state.balance(AccountKind.RESERVED, MARGIN, status.owner)
    released = max(0, status.included_cents - reserved.debits_posted)
    target = max(0, status.excess_cents - (reserved.net - released))
    change = target - state.balance(AccountKind.FREE_MARGIN, MARGIN, status.owner).net
    free, kept, limit = _accounts(status.owner)
    found: list[Transfer] = []
    if released:
        found.append(_direct("release", status, kept, limit, released, TransferKind.RELEASE))
    if change > 0:
        found.append(_direct("limit", status, limit, free, change, TransferKind.LIMIT))
    if change < 0:
        found.append(_direct("limit", status, free, limit, -change, TransferKind.LIMIT))
    return tuple(found)


def reserved(state: JournalState, status: MarginStatus, reservation: Reservation) -> Group:
    """Return the group that sets margin aside for one more quote.

    Parameters
    ----------
    state : JournalState
    status : MarginStatus
        Computed under the account's lock; sets the limit in the same group.
    reservation : Reservation
        Priced on the book with all open reservations.

    Returns
    -------
    Group
        When it applies, it is refused (`Rule.INSUFFICIENT_FUNDS`) if free margin does not cover the
        reservation.

    Raises
    ------
    InvalidRequest
        If the quote has an open reservation, or the reservation is not valid.
    """
    if any(known.quote == reservation.quote for known in open_reservations(state, status.owner)):
        what = f"account {status.owner} has an open reservation for it"
        problem = Problem(f"quote {reservation.quote!r}", what)
        raise InvalidRequest("the reservation is refused", [problem])
    opened = (*margin_accounts(status.owner), open_account(AccountKind.MARGIN_LIMIT, MARGIN))
    pending = _reservation(status, reservation)
    transfers = (*limit_change(state, status), pending)
    return Group(_group_id(status), transfers, accounts=opened)


def repriced(
    state: JournalState,
    status: MarginStatus,
    priced: Sequence[Reservation],
    *,
    now: datetime,
) -> Repricing:
    """Return what follows from a calculation: released margin, new limit, new reservations.

    Parameters
    ----------
    state : JournalState
    status : MarginStatus
    priced : sequence of Reservation
        Reservations to keep, in the order in which they are open, each priced on the book with the
        previous ones. An open reservation that is not among them is voided: so is a cancelled
        quote, and with an empty sequence every quote of an account in default.
    now : datetime
        Time at which the group will be applied, UTC. Reservations whose time has passed expire.

    Returns
    -------
    Repricing
        The longest sequence of the oldest reservations that the limit covers is kept; the newest
        are withdrawn. From the first one with another amount on, all are voided and set aside
        again, so that their order does not change.

    Raises
    ------
    InvalidRequest
        If `priced` names a quote that is not open, or another order.
    """
    owner = status.owner
    pending = {_quote(transfer, owner): transfer for transfer in _pending(state, owner)}
    _check_order(priced, list(pending))
    alive = [r for r in priced if not _is_over(pending[r.quote], now)]
    changes = limit_change(state, status)
    limit = state.balance(AccountKind.FREE_MARGIN, MARGIN, owner).net + sum(
        _limit_effect(transfer, owner) for transfer in changes
    )
    kept = _covered(alive, limit)
    same = 0
    while same < len(kept) and _is_as_priced(pending[kept[same].quote], kept[same]):
        same += 1
    unchanged = {r.quote for r in kept[:same]}
    ended = [pending[quote] for quote in reversed(pending) if quote not in unchanged]
    transfers = (
        *(_ended(transfer, status, now) for transfer in ended),
        *changes,
        *(_reservation(status, reservation) for reservation in kept[same:]),
    )
    opened = (*margin_accounts(owner), open_account(AccountKind.MARGIN_LIMIT, MARGIN))
    group = Group(_group_id(status), transfers, accounts=opened) if transfers else None
    withdrawn = tuple(r.quote for r in reversed(alive[len(kept) :]))
    return Repricing(group, kept, withdrawn)


def executed_trade(
    state: JournalState,
    trade: str,
    parties: Sequence[Execution],
    positions: Sequence[PositionEntry],
    *,
    valid_time: datetime,
) -> Group:
    """Return the group that posts the reservations of a trade and books its positions.

    Parameters
    ----------
    state : JournalState
    trade : str
        Id of the trade.
    parties : sequence of Execution
    positions : sequence of PositionEntry
        Entries of all parties.
    valid_time : datetime
        Time of the trade, UTC.

    Raises
    ------
    InvalidRequest
        If a party has no open reservation for its quote, or an argument is not valid.
    """
    transfers: list[Transfer] = []
    for number, party in enumerate(parties, 1):
        found = {_quote(t, party.owner): t for t in _pending(state, party.owner)}
        if party.quote not in found:
            what = f"account {party.owner} has no open reservation for quote {party.quote!r}"
            raise InvalidRequest("the trade is refused", [Problem(f"trade {trade!r}", what)])
        transfers.append(
            resolution(
                found[party.quote],
                Phase.POST,
                transfer_id=f"trade:{number}:{trade}",
                valid_time=valid_time,
                amount=party.reserved_cents,
            )
        )
    return Group(f"trade:{trade}", tuple(transfers), tuple(positions))


def _covered(priced: Sequence[Reservation], limit: int) -> tuple[Reservation, ...]:
    """Return the longest sequence of the first reservations whose sum is within the limit."""
    total = 0
    for count, reservation in enumerate(priced):
        total += reservation.reserved_cents
        if total > limit:
            return tuple(priced[:count])
    return tuple(priced)


def _check_order(priced: Sequence[Reservation], quotes: list[str]) -> None:
    names = [reservation.quote for reservation in priced]
    kept = set(names)
    if names != [quote for quote in quotes if quote in kept]:
        what = f"{names} are not open in this order: {quotes}"
        raise_if_any([Problem("reservations", what)], InvalidRequest, "they cannot be repriced")


def _accounts(owner: str) -> tuple[str, str, str]:
    """Return the ids of free margin, reserved margin and the limit's counter-account."""
    free, kept = (account.id for account in margin_accounts(owner))
    return free, kept, account_id(AccountKind.MARGIN_LIMIT, MARGIN)


def _limit_effect(transfer: Transfer, owner: str) -> int:
    """Return the change of the posted free margin by a direct transfer."""
    free = _accounts(owner)[0]
    return transfer.amount * ((transfer.credit == free) - (transfer.debit == free))


def _direct(
    what: str, status: MarginStatus, debit: str, credit: str, amount: int, kind: TransferKind
) -> Transfer:
    name = f"{what}:{len(status.event)}:{status.event}:{status.owner}"
    return Transfer(name, debit, credit, MARGIN, amount, kind, status.valid_time)


def _group_id(status: MarginStatus) -> str:
    return f"margin:{len(status.event)}:{status.event}:{status.owner}"


def _pending(state: JournalState, owner: str) -> tuple[Transfer, ...]:
    """Return the pending transfers of the open reservations, the oldest first."""
    found = state.open_pending(_accounts(owner)[0])
    return tuple(t for t in found if t.kind is TransferKind.RESERVATION)


def _reservation(status: MarginStatus, reservation: Reservation) -> Transfer:
    """Return the pending transfer of a reservation.

    The event distinguishes it from earlier ones for the same quote; lengths make ids unambiguous.
    """
    free, kept, _ = _accounts(status.owner)
    name = f"{_prefix(status.owner)}{len(reservation.quote)}:{reservation.quote}:{status.event}"
    return Transfer(
        name,
        free,
        kept,
        MARGIN,
        reservation.reserved_cents,
        TransferKind.RESERVATION,
        status.valid_time,
        Phase.PENDING,
        expires_at=reservation.expires_at,
    )


def _prefix(owner: str) -> str:
    return f"reservation:{len(owner)}:{owner}:"


def _quote(transfer: Transfer, owner: str) -> str:
    """Return the quote of a reservation's pending transfer."""
    length, _, rest = transfer.id.removeprefix(_prefix(owner)).partition(":")
    return rest[: int(length)]


def _is_as_priced(pending: Transfer, reservation: Reservation) -> bool:
    old = (pending.amount, pending.expires_at)
    return old == (reservation.reserved_cents, reservation.expires_at)


def _is_over(pending: Transfer, now: datetime) -> bool:
    return pending.expires_at is not None and pending.expires_at <= now


def _ended(pending: Transfer, status: MarginStatus, now: datetime) -> Transfer:
    """Return the transfer that releases a reservation: its expiry, or its withdrawal."""
    if _is_over(pending, now):
        return expiry_of(pending)
    name = f"void:{pending.id}"
    return resolution(pending, Phase.VOID, transfer_id=name, valid_time=status.valid_time)
