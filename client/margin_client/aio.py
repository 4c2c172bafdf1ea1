"""The client for programs on asyncio; its calls are those of MarginClient, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import grpc
import grpc.aio

from margin_client import _calls, results
from margin_client._calls import Asked, Followed, OnProgress, Paged
from margin_client._channels import Compression, Tls, open_channel
from margin_client._retries import Attempts, RetryPolicy
from margin_client._status import error_of
from margin_client._write import AccountPositions, Quantities, Quotes, Trades
from margin_client.errors import MarginClientError
from margin_client.results import CalculationKind
from margin_client.values import Candidate, Snapshot

T = TypeVar("T")
PAGE_SIZE = 200


class AsyncMarginClient:
    """Asks a margin service from one event loop.

    Parameters, notes and errors are those of MarginClient. Cancel the task that awaits a call, and
    the service stops working on it.

    Examples
    --------
    >>> from margin_client import AsyncMarginClient
    >>> async def requirement(account_id: str) -> float:
    ...     async with AsyncMarginClient("127.0.0.1:50051") as client:
    ...         return (await client.calculate_margin(account_id)).margin.initial_margin_usd
    """

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | None = None,
        timeout_seconds: float = 30.0,
        long_timeout_seconds: float = 3_600.0,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008  (frozen)
        compression: Compression = "none",
    ) -> None:
        self._channel = open_channel(grpc.aio, target, tls=tls, compression=compression)
        self._seconds, self._long_seconds = timeout_seconds, long_timeout_seconds
        self._retries = retries
        self._stubs: dict[type[Any], Any] = {}

    async def close(self) -> None:
        """Close the connection; calls in progress are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncMarginClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # -- margins -------------------------------------------------------------------------------

    async def calculate_margin(
        self,
        account_id: str | None = None,
        *,
        portfolio: Quantities | None = None,
        snapshot_id: str = "",
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.MarginResult:
        """Return the margin of an account, or of any portfolio, and record it."""
        asked = _calls.calculate_margin(account_id, portfolio, snapshot_id)
        return await self._ask(asked, timeout_seconds, request_id)

    async def calculate_book(
        self,
        *,
        account_ids: Iterable[str] = (),
        member_ids: Iterable[str] = (),
        snapshot_id: str = "",
        on_progress: OnProgress | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.BookResult:
        """Return the margins of all accounts, or of those named; whole, or an error.

        `on_progress` is called as the work proceeds; raise in it to stop the work.
        """
        asked = _calls.calculate_book(account_ids, member_ids, snapshot_id, on_progress)
        return await self._follow(asked, timeout_seconds, request_id)

    async def simulate_margin(
        self,
        account_id: str | None = None,
        *,
        portfolio: Quantities | None = None,
        trades: Quantities | None = None,
        candidates: Iterable[Candidate] | None = None,
        snapshot_id: str = "",
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Simulation:
        """Return what trades would do to a margin; several candidates are judged one by one."""
        asked = _calls.simulate_margin(account_id, portfolio, trades, candidates, snapshot_id)
        return await self._ask(asked, timeout_seconds, request_id)

    async def explain_margin(
        self,
        account_id: str | None = None,
        *,
        portfolio: Quantities | None = None,
        scenarios_max: int = 0,
        traced_scenario: int | None = None,
        snapshot_id: str = "",
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Explanation:
        """Return which positions and which scenarios make a margin; 0 for the whole tail."""
        asked = _calls.explain_margin(
            account_id, portfolio, scenarios_max, traced_scenario, snapshot_id
        )
        return await self._ask(asked, timeout_seconds, request_id)

    async def get_calculation(
        self,
        calculation_id: str,
        *,
        account_ids: Sequence[str] = (),
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.CalculationDetail:
        """Return a recorded calculation; of a book, with the margins of the accounts named."""
        asked = _calls.get_calculation(calculation_id, account_ids)
        return await self._ask(asked, timeout_seconds, request_id)

    def list_calculations(
        self,
        *,
        account_id: str = "",
        kind: CalculationKind | None = None,
        page_size: int = PAGE_SIZE,
        timeout_seconds: float | None = None,
    ) -> AsyncIterator[results.Calculation]:
        """Yield recorded calculations, the latest first; pages are fetched as they are read."""
        return self._turn(_calls.list_calculations(account_id, kind, page_size), timeout_seconds)

    # -- market data ---------------------------------------------------------------------------

    async def publish_snapshot(
        self,
        snapshot: Snapshot,
        quotes: Quotes,
        *,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.PublishedSnapshot:
        """Store a snapshot and make it current."""
        asked = _calls.publish_snapshot(snapshot, quotes)
        return await self._ask(asked, timeout_seconds, request_id)

    def list_snapshots(
        self, *, page_size: int = PAGE_SIZE, timeout_seconds: float | None = None
    ) -> AsyncIterator[results.SnapshotSummary]:
        """Yield published snapshots, the latest first; pages are fetched as they are read."""
        return self._turn(_calls.list_snapshots(page_size), timeout_seconds)

    async def get_surface(
        self,
        underlying: str,
        *,
        strike_over_forward: Sequence[float] = (),
        snapshot_id: str = "",
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Surface:
        """Return a fitted volatility surface, with volatilities at the strikes named."""
        asked = _calls.get_surface(underlying, strike_over_forward, snapshot_id)
        return await self._ask(asked, timeout_seconds, request_id)

    # -- portfolios ----------------------------------------------------------------------------

    async def upload_positions(
        self,
        positions: AccountPositions,
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.UploadedPositions:
        """Replace the positions of all accounts, all or nothing, in a stream of columns."""
        asked = _calls.upload_positions(positions, idempotency_key)
        return await self._ask(asked, timeout_seconds, request_id)

    async def apply_trades(
        self,
        trades: Trades,
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.AppliedTrades:
        """Add trades to positions, all or none, once however often the call is repeated.

        The key is made here for the attempts of this one call. Give your own, for example the id of
        your order, where your program might ask again after it was restarted.
        """
        asked = _calls.apply_trades(trades, idempotency_key)
        return await self._ask(asked, timeout_seconds, request_id)

    async def get_portfolio(
        self,
        account_id: str,
        *,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Portfolio:
        """Return the positions of an account."""
        return await self._ask(_calls.get_portfolio(account_id), timeout_seconds, request_id)

    # -- scenarios -----------------------------------------------------------------------------

    async def build_scenario_set(
        self,
        *,
        as_of: datetime | None = None,
        on_progress: OnProgress | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.ScenarioSetSummary:
        """Build a scenario set of what was known at a time, now where none is given, and store it.

        `on_progress` is called as the work proceeds; raise in it to stop the work.
        """
        asked = _calls.build_scenario_set(as_of, on_progress)
        return await self._follow(asked, timeout_seconds, request_id)

    def list_scenario_sets(
        self, *, page_size: int = PAGE_SIZE, timeout_seconds: float | None = None
    ) -> AsyncIterator[results.ScenarioSetSummary]:
        """Yield stored scenario sets, the latest first; pages are fetched as they are read."""
        return self._turn(_calls.list_scenario_sets(page_size), timeout_seconds)

    async def activate_scenario_set(
        self,
        scenarios_id: str,
        *,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.ActivatedScenarioSet:
        """Make a stored set the one in use."""
        return await self._ask(
            _calls.activate_scenario_set(scenarios_id), timeout_seconds, request_id
        )

    # -- operations ----------------------------------------------------------------------------

    async def get_status(
        self, *, timeout_seconds: float | None = None, request_id: str | None = None
    ) -> results.ServiceStatus:
        """Return the state of the service."""
        return await self._ask(_calls.get_status(), timeout_seconds, request_id)

    async def wait_until_ready(self, *, timeout_seconds: float = 120.0) -> results.ServiceStatus:
        """Return the state of the service once it has a market to answer from.

        Raises
        ------
        UnavailableError
            If it has none, or cannot be reached, for so long.
        """
        attempts = Attempts(self._retries, timeout_seconds=timeout_seconds)
        while True:
            status = await self.get_status(timeout_seconds=attempts.seconds_left)
            if status.generation is not None:
                return status
            await asyncio.sleep(attempts.wait_after(_calls.no_market(status)))

    # -- how calls are made --------------------------------------------------------------------

    def _method(self, service: type[Any], name: str) -> Any:
        stub = self._stubs.get(service)
        if stub is None:
            stub = self._stubs[service] = service(self._channel)
        return getattr(stub, name)

    async def _ask(
        self, asked: Asked[T], timeout_seconds: float | None, request_id: str | None
    ) -> T:
        method = self._method(asked.service, asked.method)
        usual = self._long_seconds if asked.is_long else self._seconds
        attempts = Attempts(
            self._retries,
            timeout_seconds=usual if timeout_seconds is None else timeout_seconds,
            request_id=request_id,
        )
        while True:
            try:
                answer = await method(
                    asked.request(), timeout=attempts.seconds_left, metadata=attempts.metadata
                )
            except grpc.aio.AioRpcError as fault:
                error = error_of(fault, request_id=attempts.request_id)
                await asyncio.sleep(_wait(attempts, error, fault))
            else:
                return asked.read(answer)

    async def _follow(
        self, asked: Followed[T], timeout_seconds: float | None, request_id: str | None
    ) -> T:
        method = self._method(asked.service, asked.method)
        attempts = Attempts(
            self._retries,
            timeout_seconds=self._long_seconds if timeout_seconds is None else timeout_seconds,
            request_id=request_id,
        )
        while True:
            fold = asked.fold()
            call = method(asked.request, timeout=attempts.seconds_left, metadata=attempts.metadata)
            try:
                async for message in call:
                    fold.add(message)
            except grpc.aio.AioRpcError as fault:
                error = error_of(fault, request_id=attempts.request_id)
                await asyncio.sleep(_wait(attempts, error, fault))
                continue
            finally:
                call.cancel()  # nothing to stop where it has ended
            result = fold.result()
            if result is not None:
                return result
            await asyncio.sleep(attempts.wait_after(_calls.cut_short(attempts.request_id)))

    async def _turn(self, paged: Paged[T], timeout_seconds: float | None) -> AsyncIterator[T]:
        token = ""
        while True:
            items, token = await self._ask(paged.page(token), timeout_seconds, None)
            for item in items:
                yield item
            if not token:
                return


def _wait(attempts: Attempts, error: MarginClientError, fault: grpc.RpcError) -> float:
    try:
        return attempts.wait_after(error)
    except MarginClientError:
        raise error from fault
