"""Deposits, withdrawals and sweeps as groups of transfers.

A deposit is announced (pending, until the custodian's attestation expires) and then received; it is
credited when it is received. A withdrawal is requested (the collateral is set aside), approved
(the collateral leaves the account), and paid or returned. A request and its approval are refused if
the resources that remain would not cover what is needed; the approval is checked again, because
prices and positions change in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from margin_actors.clearing.amounts import Asset, value_of
from margin_actors.clearing.journal.accounts import (
    MARGIN,
    AccountKind,
    account_id,
    margin_accounts,
    open_account,
)
from margin_actors.clearing.journal.reservations import MarginStatus, limit_change
from margin_actors.clearing.journal.resources import Valuation, resources, withdrawable_units
from margin_actors.clearing.journal.state import JournalState, holdings
from margin_actors.clearing.journal.transfers import (
    Group,
    Phase,
    Transfer,
    TransferKind,
    resolution,
)
from margin_actors.errors import InvalidRequest, Problem


@dataclass(frozen=True)
class CollateralMovement:
    """A deposit or withdrawal of a clearing account."""

    id: str
    """The custodian's reference of a deposit, the id of a request for a withdrawal."""
    owner: str
    """Clearing account."""
    asset: Asset
    units: int
    """Units of the asset, at least 1."""
    custodian: str
    valid_time: datetime
    """Time of the announcement or request, UTC."""


@dataclass(frozen=True)
class Coverage:
    """What must remain covered by the resources of an account after a withdrawal."""

    valuation: Valuation
    requirement_cents: int
    """Requirement of the booked positions, US cents. Reserved margin, of open reservations and of
    executed trades, has to be covered as well and is read from the journal."""
    assets: Mapping[str, Asset]
    """Assets that the account may hold, by name."""


def announced_deposit(deposit: CollateralMovement, *, expires_at: datetime) -> Group:
    """Return the group that records an attested deposit, which is shown and not yet credited.

    Parameters
    ----------
    deposit : CollateralMovement
    expires_at : datetime
        Time at which the attestation expires, UTC.

    Raises
    ------
    InvalidRequest
        If the deposit is not valid.
    """
    return _deposit(deposit, _announcement(deposit.id), Phase.PENDING, expires_at)


def received_deposit(state: JournalState, deposit: CollateralMovement, *, now: datetime) -> Group:
    """Return the group that credits a received deposit.

    An open announcement of the same id is posted, in part if less arrived; what arrived beyond it,
    or without it or after it expired, is credited directly. A repeated report of the same receipt
    gives the same group again.

    Parameters
    ----------
    state : JournalState
    deposit : CollateralMovement
    now : datetime
        Time at which the group will be applied, UTC.

    Raises
    ------
    InvalidRequest
        If the deposit is not valid or differs from its announcement in account or custodian.
    """
    name = f"deposit:{deposit.id}:received"
    direct = _deposit(deposit, name, Phase.DIRECT, None)
    pending = _posted_announcement(state, deposit.id, name, now)
    if pending is None:
        return direct
    whole = direct.transfers[0]
    if (whole.debit, whole.credit) != (pending.debit, pending.credit):
        what = f"it goes from {whole.debit} to {whole.credit}, announced was {pending}"
        raise InvalidRequest(
            "the deposit differs from its announcement", [Problem(f"deposit {deposit.id!r}", what)]
        )
    posted = resolution(
        pending,
        Phase.POST,
        transfer_id=name,
        valid_time=deposit.valid_time,
        amount=min(deposit.units, pending.amount),
    )
    if deposit.units <= pending.amount:
        return Group(name, (posted,), accounts=direct.accounts)
    more = _transfer(deposit, f"{name}:more", deposit.units - pending.amount, TransferKind.DEPOSIT)
    return Group(name, (posted, more), accounts=direct.accounts)


def requested_withdrawal(
    state: JournalState, request: CollateralMovement, coverage: Coverage, *, expires_at: datetime
) -> Group:
    """Return the group that sets collateral aside for a withdrawal and lowers free margin.

    Parameters
    ----------
    state : JournalState
    request : CollateralMovement
    coverage : Coverage
    expires_at : datetime
        Time at which a request without approval lapses, UTC.

    Raises
    ------
    InvalidRequest
        If the request is not valid or exceeds what can be withdrawn.
    """
    limit = withdrawable(state, request.owner, request.asset, coverage)
    if request.units > limit:
        amounts = [f"{value_of(units, request.asset):f}" for units in (request.units, limit)]
        what = f"{amounts[0]} {request.asset.name} exceeds the withdrawable {amounts[1]}"
        raise _refused(request.id, what)
    kinds = (AccountKind.COLLATERAL, AccountKind.IN_TRANSIT)
    name = _request(request.id)
    transfer = _transfer(
        request, name, request.units, TransferKind.WITHDRAWAL, Phase.PENDING, expires_at
    )
    held = holdings(state, request.owner, coverage.assets)
    held[request.asset] -= request.units
    excess = resources(held, coverage.valuation).excess_cents(coverage.requirement_cents)
    status = MarginStatus(request.owner, name, excess, 0, request.valid_time)
    accounts = tuple(open_account(kind, request.asset, request.owner) for kind in kinds)
    limit = open_account(AccountKind.MARGIN_LIMIT, MARGIN)
    opened = (*accounts, *margin_accounts(request.owner), limit)
    return Group(name, (transfer, *limit_change(state, status)), accounts=opened)


def approved_withdrawal(
    state: JournalState, request: CollateralMovement, coverage: Coverage, *, valid_time: datetime
) -> Group:
    """Return the group by which a requested withdrawal leaves the account.

    For an approval that was applied before, the same group again.

    Raises
    ------
    InvalidRequest
        If the request is not open, differs from the one that is, or the resources without it do
        not cover what is needed.
    """
    name = f"withdrawal:{request.id}:approval"
    resolved = state.resolved.get(_request(request.id))
    if resolved is not None and resolved.by == name:
        return _approval(resolved.pending, name, valid_time)
    pending = _open_request(state, request)
    held = holdings(state, request.owner, coverage.assets)
    remaining = resources(held, coverage.valuation).settled_cents
    needed = _needed_cents(state, request.owner, coverage)
    if remaining < needed:
        what = f"{remaining} cents would remain, {needed} are needed"
        raise _refused(request.id, what)
    return _approval(pending, name, valid_time)


def cancelled_withdrawal(
    state: JournalState, request: CollateralMovement, *, valid_time: datetime
) -> Group:
    """Return the group that releases the collateral of a request that is not approved.

    Raises
    ------
    InvalidRequest
        If the request is not open or differs from the one that is.
    """
    name = f"withdrawal:{request.id}:cancellation"
    pending = _open_request(state, request)
    return Group(name, (resolution(pending, Phase.VOID, transfer_id=name, valid_time=valid_time),))


def paid_withdrawal(request: CollateralMovement, *, valid_time: datetime) -> Group:
    """Return the group that records a payout which the custodian confirmed."""
    return _closing(request, "payout", TransferKind.PAYOUT, valid_time)


def returned_withdrawal(request: CollateralMovement, *, valid_time: datetime) -> Group:
    """Return the group that credits a withdrawal which the custodian could not pay."""
    return _closing(request, "return", TransferKind.RETURN, valid_time)


def withdrawable(state: JournalState, owner: str, asset: Asset, coverage: Coverage) -> int:
    """Return the units of an asset that a clearing account can withdraw, at least 0.

    Withdrawals leave collateral only: cash becomes collateral by a sweep.

    Raises
    ------
    MissingMarketData
        If an asset that the account holds has no price.
    """
    held = holdings(state, owner, coverage.assets)
    collateral = state.balance(AccountKind.COLLATERAL, asset, owner).available
    covered = withdrawable_units(
        held, asset, coverage.valuation, needed_cents=_needed_cents(state, owner, coverage)
    )
    return max(0, min(collateral, covered))


def sweep(
    state: JournalState, owner: str, asset: Asset, *, event: str, valid_time: datetime
) -> Transfer | None:
    """Return the transfer that brings the cash of an account to zero as far as possible.

    A credit balance becomes collateral; a debit balance is covered by collateral that is not set
    aside for withdrawals. None if nothing can be moved.

    Parameters
    ----------
    state : JournalState
    owner : str
        Clearing account.
    asset : Asset
    event : str
        What the sweep follows, for example a settlement; each account is swept once per event.
    valid_time : datetime
        UTC.
    """
    cash, collateral = (
        state.balance(kind, asset, owner) for kind in (AccountKind.CASH, AccountKind.COLLATERAL)
    )
    amount = cash.net if cash.net > 0 else min(-cash.net, collateral.available)
    if amount <= 0:
        return None
    ids = [account_id(kind, asset, owner) for kind in (AccountKind.CASH, AccountKind.COLLATERAL)]
    debit, credit = ids if cash.net > 0 else reversed(ids)
    name = f"sweep:{asset.name}:{event}:{owner}"
    return Transfer(name, debit, credit, asset, amount, TransferKind.SWEEP, valid_time)


def _needed_cents(state: JournalState, owner: str, coverage: Coverage) -> int:
    """Return the requirement and all reserved margin, US cents."""
    quoted = state.balance(AccountKind.FREE_MARGIN, MARGIN, owner).debits_pending
    traded = state.balance(AccountKind.RESERVED, MARGIN, owner).net
    return coverage.requirement_cents + quoted + traded


def _announcement(deposit_id: str) -> str:
    return f"deposit:{deposit_id}:announcement"


def _posted_announcement(
    state: JournalState, deposit_id: str, name: str, now: datetime
) -> Transfer | None:
    """Return the announcement that the receipt `name` posts, or posted before."""
    announcement = _announcement(deposit_id)
    resolved = state.resolved.get(announcement)
    if resolved is not None and resolved.by == name:
        return resolved.pending
    pending = state.pending.get(announcement)
    if pending is None or name in state.groups:
        return None
    return None if pending.expires_at is not None and pending.expires_at <= now else pending


def _deposit(
    deposit: CollateralMovement, name: str, phase: Phase, expires_at: datetime | None
) -> Group:
    transfer = _transfer(deposit, name, deposit.units, TransferKind.DEPOSIT, phase, expires_at)
    accounts = (
        open_account(AccountKind.CUSTODIAN, deposit.asset, deposit.custodian),
        open_account(AccountKind.COLLATERAL, deposit.asset, deposit.owner),
    )
    return Group(name, (transfer,), accounts=accounts)


def _transfer(
    movement: CollateralMovement,
    name: str,
    units: int,
    kind: TransferKind,
    phase: Phase = Phase.DIRECT,
    expires_at: datetime | None = None,
) -> Transfer:
    custodian = account_id(AccountKind.CUSTODIAN, movement.asset, movement.custodian)
    collateral, transit = (
        account_id(k, movement.asset, movement.owner)
        for k in (AccountKind.COLLATERAL, AccountKind.IN_TRANSIT)
    )
    debit, credit = {
        TransferKind.DEPOSIT: (custodian, collateral),
        TransferKind.WITHDRAWAL: (collateral, transit),
        TransferKind.PAYOUT: (transit, custodian),
        TransferKind.RETURN: (transit, collateral),
    }[kind]
    return Transfer(
        name,
        debit,
        credit,
        movement.asset,
        units,
        kind,
        movement.valid_time,
        phase,
        expires_at=expires_at,
    )


def _closing(
    request: CollateralMovement, step: str, kind: TransferKind, valid_time: datetime
) -> Group:
    """Return the group that ends an approved withdrawal; payout and return exclude each other."""
    closed = replace(request, valid_time=valid_time)
    transfer = _transfer(closed, f"withdrawal:{request.id}:end", request.units, kind)
    return Group(f"withdrawal:{request.id}:{step}", (transfer,))


def _request(request_id: str) -> str:
    return f"withdrawal:{request_id}:request"


def _approval(pending: Transfer, name: str, valid_time: datetime) -> Group:
    post = resolution(pending, Phase.POST, transfer_id=name, valid_time=valid_time)
    return Group(name, (post,))


def _open_request(state: JournalState, request: CollateralMovement) -> Transfer:
    """Return the pending transfer of a withdrawal."""
    pending = state.pending.get(_request(request.id))
    if pending is None:
        raise _refused(request.id, "there is no open request with the id")
    debit = account_id(AccountKind.COLLATERAL, request.asset, request.owner)
    if (pending.debit, pending.amount) != (debit, request.units):
        raise _refused(request.id, f"{request.units} units of {debit} differ from {pending}")
    return pending


def _refused(request_id: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        "the withdrawal is refused", [Problem(f"withdrawal {request_id!r}", what)]
    )
