"""Calls of the clearing day; `blocking_clearing.py` is generated from this module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from margin_client import _clearing_calls, results
from margin_client._write import Quantities
from margin_client.aio_calls import AsyncCaller
from margin_client.results import CallClass
from margin_client.values import CallAction, ClearedTrade

PAGE_SIZE = 200


class AsyncClearingClient(AsyncCaller):
    """The calls of `AsyncMarginClient` that concern the clearing day.

    Amounts of an asset are integers in its smallest unit. A request that the clearing house refuses
    raises RefusedError. `person` is who decides: with client certificates it is left empty, because
    the service takes the name in the certificate. `as_of` is a past state: the number of an event
    of the log, or a time.
    """

    # -- margin calls --------------------------------------------------------------------------

    async def list_margin_calls(
        self,
        *,
        account_id: str = "",
        call_class: CallClass | None = None,
        is_open_only: bool = False,
        as_of: int | datetime | None = None,
        page_size: int = PAGE_SIZE,
        page_token: str = "",
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.MarginCallList:
        """Return a page of the current or last calls, with the token for a watch."""
        call = _clearing_calls.list_margin_calls(
            account_id, call_class, as_of, page_size, page_token, is_open_only=is_open_only
        )
        return await self._send(call, timeout_seconds, request_id)

    def watch_margin_calls(
        self,
        *,
        account_id: str = "",
        resume_token: str = "",
        timeout_seconds: float | None = None,
    ) -> AsyncIterator[results.WatchedCall]:
        """Yield committed changes of calls after a token; by default from the beginning of the log.

        The stream is continued after interruptions: nothing is lost, repeated or reordered. Keep
        the token of the last processed message, and a later watch continues from it. Without
        `timeout_seconds` the iteration ends only with an error or when it is closed.
        """
        call = _clearing_calls.watch_margin_calls(account_id, resume_token)
        return self._watch(call, timeout_seconds)

    async def acknowledge_margin_call(
        self,
        account_id: str,
        call_id: str,
        *,
        call_class: CallClass | None = None,
        person: str = "",
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.DecidedCall:
        """Record that the member has read a call."""
        call = _clearing_calls.acknowledge_margin_call(
            account_id, call_id, call_class, person, idempotency_key
        )
        return await self._send(call, timeout_seconds, request_id)

    async def propose_action(
        self,
        action: CallAction,
        *,
        person: str = "",
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.ProposedAction:
        """Propose an action that requires two people."""
        call = _clearing_calls.propose_action(action, person, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)

    async def approve_action(
        self,
        action: CallAction,
        *,
        person: str = "",
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.DecidedCall:
        """Approve a proposed action as the second person, and execute it."""
        call = _clearing_calls.approve_action(action, person, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)

    async def release_hold(
        self,
        account_id: str,
        call_id: str,
        *,
        call_class: CallClass | None = None,
        person: str = "",
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.DecidedCall:
        """End the hold of a call."""
        call = _clearing_calls.release_hold(
            account_id, call_id, call_class, person, idempotency_key
        )
        return await self._send(call, timeout_seconds, request_id)

    # -- collateral ----------------------------------------------------------------------------

    async def open_account(
        self,
        account_id: str,
        member_id: str,
        *,
        is_house: bool = False,
        nets: bool = False,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Recorded:
        """Open a clearing account of a client, or of the member itself."""
        call = _clearing_calls.open_account(
            account_id, member_id, idempotency_key, is_house=is_house, nets=nets
        )
        return await self._send(call, timeout_seconds, request_id)

    async def attest_deposit(
        self,
        account_id: str,
        payment_id: str,
        asset: str,
        units: int,
        *,
        custodian: str,
        expire_time: datetime,
        attest_time: datetime | None = None,
        call_class: CallClass | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.AttestedDeposit:
        """Record a payment under way; attested now unless a time is given."""
        call = _clearing_calls.attest_deposit(
            account_id,
            payment_id,
            asset,
            units,
            custodian,
            expire_time,
            attest_time,
            call_class,
            idempotency_key,
        )
        return await self._send(call, timeout_seconds, request_id)

    async def deposit(
        self,
        account_id: str,
        payment_id: str,
        asset: str,
        units: int,
        *,
        custodian: str,
        receive_time: datetime | None = None,
        call_class: CallClass | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.ReceivedDeposit:
        """Credit a payment; received now unless a time is given."""
        call = _clearing_calls.deposit(
            account_id,
            payment_id,
            asset,
            units,
            custodian,
            receive_time,
            call_class,
            idempotency_key,
        )
        return await self._send(call, timeout_seconds, request_id)

    async def withdraw(
        self,
        account_id: str,
        withdrawal_id: str,
        asset: str,
        units: int,
        *,
        custodian: str,
        person: str = "",
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.RequestedWithdrawal:
        """Request a withdrawal; refused below the requirement."""
        call = _clearing_calls.withdraw(
            account_id, withdrawal_id, asset, units, custodian, person, idempotency_key
        )
        return await self._send(call, timeout_seconds, request_id)

    async def approve_withdrawal(
        self,
        withdrawal_id: str,
        *,
        person: str = "",
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Recorded:
        """Approve a withdrawal as another person than the requester."""
        call = _clearing_calls.approve_withdrawal(withdrawal_id, person, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)

    async def confirm_withdrawal(
        self,
        withdrawal_id: str,
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Recorded:
        """Record that the custodian paid an approved withdrawal."""
        call = _clearing_calls.confirm_withdrawal(withdrawal_id, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)

    async def return_withdrawal(
        self,
        withdrawal_id: str,
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Recorded:
        """Record that the custodian could not pay an approved withdrawal."""
        call = _clearing_calls.return_withdrawal(withdrawal_id, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)

    def list_movements(
        self,
        account_id: str,
        *,
        page_size: int = PAGE_SIZE,
        timeout_seconds: float | None = None,
    ) -> AsyncIterator[results.Movement]:
        """Yield the movements of an account, the oldest first; pages are fetched as needed."""
        return self._pages(_clearing_calls.list_movements(account_id, page_size), timeout_seconds)

    async def get_resources(
        self,
        account_id: str,
        *,
        as_of: int | datetime | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.AccountHoldings:
        """Return resources, balances and positions of an account, now or in the past."""
        call = _clearing_calls.get_resources(account_id, as_of)
        return await self._send(call, timeout_seconds, request_id)

    # -- reservations and cleared trades -------------------------------------------------------

    async def reserve_margin(
        self,
        account_id: str,
        quote_id: str,
        trades: Quantities,
        *,
        expire_time: datetime,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.ReservedMargin:
        """Set the incremental margin of a quoted trade aside."""
        call = _clearing_calls.reserve_margin(
            account_id, quote_id, trades, expire_time, idempotency_key
        )
        return await self._send(call, timeout_seconds, request_id)

    async def cancel_reservation(
        self,
        account_id: str,
        quote_id: str,
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.CancelledReservation:
        """Release the margin of a quote."""
        call = _clearing_calls.cancel_reservation(account_id, quote_id, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)

    async def list_reservations(
        self,
        account_id: str,
        *,
        as_of: int | datetime | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.ReservationList:
        """Return the open reservations of an account, the oldest first."""
        call = _clearing_calls.list_reservations(account_id, as_of)
        return await self._send(call, timeout_seconds, request_id)

    async def book_trades(
        self,
        trades: Iterable[ClearedTrade],
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Recorded:
        """Book trades between clearing accounts, all or none."""
        call = _clearing_calls.book_trades(trades, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)
