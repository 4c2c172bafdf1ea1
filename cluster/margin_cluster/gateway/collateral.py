"""Use cases of CollateralService: accounts, deposits, withdrawals, movements, past states."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from margin_actors.clearing.amounts import Asset
from margin_actors.clearing.calls import CallState
from margin_actors.clearing.house import HouseEvent, HouseState
from margin_actors.clearing.house.commands import (
    ApproveWithdrawal,
    AttestPayment,
    ConfirmPayout,
    Deposit,
    OpenAccount,
    RequestWithdrawal,
    ReturnPayout,
)
from margin_actors.clearing.house.queries import call_state, require_account
from margin_actors.clearing.journal import Group, Phase, Transfer
from margin_cluster.gateway.clearing import Clearing, Done
from margin_cluster.ledger.clearing_rows import LogPosition, RecordedEvent

_BALANCES = ("collateral", "cash", "in_transit")
_EVENTS_A_PAGE = 500
_PAGES_MAX = 8
_UNMOVED = (Phase.VOID, Phase.EXPIRY)


@dataclass(frozen=True)
class AccountMovement:
    """One change of a balance of an account."""

    event: RecordedEvent[HouseEvent]
    transfer: Transfer
    balance: str
    """``collateral``, ``cash`` or ``in_transit``."""
    asset: Asset
    units: int
    """Change in units of the asset, a credit positive; of a pending transfer, what is set aside."""


@dataclass(frozen=True)
class Paid:
    """A recorded payment, and the call that it is for."""

    done: Done
    call: CallState


class Collateral:
    """Use cases of collateral; belongs to one event loop.

    The methods that change something raise the errors of `Clearing.submit`.
    """

    def __init__(self, clearing: Clearing) -> None:
        self._clearing = clearing

    async def open_account(self, command: OpenAccount) -> Done:
        """Open a clearing account."""
        return await self._clearing.submit(command)

    async def pay(self, command: AttestPayment | Deposit) -> Paid:
        """Record a payment under way, or a received one."""
        done = await self._clearing.submit(command)
        state = done.committed.state
        return Paid(done, call_state(state, command.account, command.call_class))

    async def withdraw(
        self, command: RequestWithdrawal | ApproveWithdrawal | ConfirmPayout | ReturnPayout
    ) -> Done:
        """Carry out one step of a withdrawal."""
        return await self._clearing.submit(command)

    async def state(
        self, account: str, position: int | datetime | None
    ) -> tuple[HouseState, LogPosition]:
        """Return a present or past state in which an account is open, and its position.

        Raises
        ------
        UnknownAccount
            If the account was not open.
        InvalidRequest
            If the log has no such position.
        """
        state, at = await self._clearing.state_at(position)
        require_account(state, account)
        return state, at

    async def movements(
        self, account: str, size: int, token: str
    ) -> tuple[list[AccountMovement], str]:
        """Return (at least `size` movements unless there are fewer, token of the next page).

        Movements of one event are not divided. Few events are read at a time, so that an account
        without movements does not read the whole log in one call.

        Raises
        ------
        UnknownAccount
            If the account is not open.
        InvalidRequest
            If the token is not of this log.
        """
        committed = await self._clearing.refreshed()
        require_account(committed.state, account)
        return await self._clearing.run(self._movements, account, size, token)

    def _movements(self, account: str, size: int, token: str) -> tuple[list[AccountMovement], str]:
        found: list[AccountMovement] = []
        for _ in range(_PAGES_MAX):
            page = self._clearing.log.events_after(
                token or 0, ["group"], account, _EVENTS_A_PAGE, with_shared=True
            )
            for event in page.events:
                found += movements_of(event, account)
                if len(found) >= size:
                    return found, event.position.token
            token = page.token
            if len(page.events) < _EVENTS_A_PAGE:
                return found, ""
        return found, token


def movements_of(event: RecordedEvent[HouseEvent], account: str) -> Iterator[AccountMovement]:
    """Yield the changes of an account's balances in an event; none of margin limits."""
    group = event.event
    if not isinstance(group, Group):
        return
    for transfer in group.transfers:
        for name, sign in ((transfer.debit, -1), (transfer.credit, 1)):
            balance, _, owner = name.split(":", 2)
            if owner == account and balance in _BALANCES:
                units = 0 if transfer.phase in _UNMOVED else sign * transfer.amount
                yield AccountMovement(event, transfer, balance, transfer.asset, units)
