"""Questions to the state of the clearing house; nothing here changes it."""

from dataclasses import dataclass, replace
from decimal import Decimal

from margin_actors.clearing.amounts import ASSETS, Asset
from margin_actors.clearing.calls import CallClass, CallState
from margin_actors.clearing.house.account_events import QuotedTrade
from margin_actors.clearing.house.state import HouseState, stored_call
from margin_actors.clearing.house.valuing import (
    account_resources,
    excess_cents,
    requirement_cents,
    reserved_cents,
)
from margin_actors.clearing.journal import AccountKind, Position
from margin_actors.clearing.journal.reservations import Reservation, open_reservations
from margin_actors.clearing.journal.resources import Resources
from margin_actors.errors import Problem, UnknownAccount

_OWNED = (AccountKind.COLLATERAL, AccountKind.CASH, AccountKind.IN_TRANSIT)


@dataclass(frozen=True, slots=True)
class Headroom:
    """What an account can still use, US cents."""

    resources_cents: int
    requirement_cents: int
    reserved_cents: int
    """Margin of open reservations, and of block trades that the requirement does not include."""
    excess_cents: int
    """Resources less requirement, and less the deficit of accounts with which it nets."""

    @property
    def free_cents(self) -> int:
        """Excess less reserved margin, at least 0."""
        return max(0, self.excess_cents - self.reserved_cents)


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """Balances of a clearing account in one asset, units of the asset."""

    asset: Asset
    collateral: int
    """Deposits; withdrawals that wait for approval are included."""
    requested: int
    """Part of the collateral that is set aside for withdrawals that wait for approval."""
    cash: int
    """Settled cash, negative if owed."""
    in_transit: int
    """Withdrawals that are approved and not confirmed."""
    announced: int
    """Deposits that are attested and not received."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Accounts whose requirement exceeds their resources; one account, or those that net."""

    accounts: tuple[str, ...]
    requirement_cents: int
    resources_cents: int

    @property
    def deficit_cents(self) -> int:
        """Requirement less resources, US cents, positive."""
        return self.requirement_cents - self.resources_cents


def require_account(state: HouseState, account: str) -> None:
    """Raise unless the account is open.

    Raises
    ------
    UnknownAccount
        With the name of the account.
    """
    if account not in state.accounts:
        raise UnknownAccount("the account is not open", [Problem("account", f"{account!r}")])


def resources_of(state: HouseState, account: str) -> Resources:
    """Return the resources of an account at the last prices and marks.

    Raises
    ------
    UnknownAccount
        If the account is not open.
    MissingMarketData
        If an asset that it holds has no price.
    """
    require_account(state, account)
    return account_resources(state, account)


def headroom(state: HouseState, account: str) -> Headroom:
    """Return what an account can still use for new positions.

    Raises
    ------
    UnknownAccount, MissingMarketData
        As `resources_of`.
    """
    require_account(state, account)
    return Headroom(
        account_resources(state, account).total_cents,
        requirement_cents(state, account),
        reserved_cents(state, account),
        excess_cents(state, account),
    )


def balances(state: HouseState, account: str) -> tuple[AccountBalance, ...]:
    """Return the balances of an account by asset, without assets that it never used."""
    found: list[AccountBalance] = []
    for _, asset in sorted(ASSETS.items()):
        collateral, cash, transit = (state.journal.balance(kind, asset, account) for kind in _OWNED)
        if collateral.version or cash.version:
            found.append(
                AccountBalance(
                    asset,
                    collateral.net,
                    collateral.debits_pending,
                    cash.net,
                    transit.net,
                    collateral.credits_pending,
                )
            )
    return tuple(found)


def positions(state: HouseState, account: str) -> tuple[Position, ...]:
    """Return the positions of an account in the order of the instruments."""
    return tuple(state.journal.position(account, name) for name in state.held.get(account, ()))


def quantities(state: HouseState, account: str) -> dict[str, Decimal]:
    """Return the net quantities of an account by instrument, without zeros."""
    return {p.instrument: p.quantity for p in positions(state, account) if p.quantity}


def quoted_reservations(
    state: HouseState, account: str
) -> tuple[tuple[Reservation, tuple[QuotedTrade, ...]], ...]:
    """Return the open reservations of an account with what they are for, the oldest first."""
    trades = {one.quote: one.trades for one in state.quotes.get(account, ())}
    opened = open_reservations(state.journal, account)
    return tuple((one, trades.get(one.quote, ())) for one in opened)


def call_state(state: HouseState, account: str, call_class: CallClass) -> CallState:
    """Return the calls of an account and class, including the number of the last cycle.

    Parameters
    ----------
    state : HouseState
    account : str
        For an account that nets, the state is that of the first account of the member that nets.
    call_class : CallClass
    """
    known = stored_call(state, account, call_class)
    margin = state.margin(known.account)
    if call_class is not CallClass.INITIAL or margin is None or margin.cycle <= known.last_cycle:
        return known
    return replace(known, last_cycle=margin.cycle)


def open_calls(state: HouseState) -> tuple[CallState, ...]:
    """Return the open calls, by class and account."""
    calls = (state.calls[key] for key in state.timed_calls)
    return tuple(call for call in calls if call.is_open)


def shortfalls(state: HouseState) -> tuple[Shortfall, ...]:
    """Return all deficits, the largest in relation to the resources first.

    Accounts without resources come before all others, by deficit. Accounts that net are added.

    Raises
    ------
    MissingMarketData
        As `resources_of`.
    """
    found: list[Shortfall] = []
    for name in state.accounts:
        members = state.netted(name)
        if members[0] == name:
            one = Shortfall(
                members,
                sum(requirement_cents(state, account) for account in members),
                sum(account_resources(state, account).total_cents for account in members),
            )
            if one.deficit_cents > 0:
                found.append(one)
    return tuple(sorted(found, key=_rank))


def _rank(one: Shortfall) -> tuple[bool, Decimal, tuple[str, ...]]:
    if one.resources_cents <= 0:
        return False, Decimal(-one.deficit_cents), one.accounts
    ratio = Decimal(one.deficit_cents) / Decimal(one.resources_cents)
    return True, -ratio, one.accounts
