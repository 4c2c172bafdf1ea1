"""The asyncio client of the margin service; `client.py` is generated from this module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime

from margin_client import _calls, results
from margin_client._calls import OnProgress
from margin_client._retries import Attempts
from margin_client._write import AccountPositions, Quantities, Quotes, Trades
from margin_client.aio_clearing import AsyncClearingClient
from margin_client.results import CalculationKind
from margin_client.values import Candidate, Snapshot

PAGE_SIZE = 200


class AsyncMarginClient(AsyncClearingClient):
    """Client of a margin service for one event loop.

    If the task that awaits a call is cancelled, the service stops working on the call.

    Parameters
    ----------
    target : str
        host:port, or a gRPC name such as dns:///margin.example:50051. If it resolves to several
        gateways, calls are distributed over them.
    tls : Tls, optional
        If omitted, the connection is not encrypted; use this only on one machine or in a service
        mesh.
    timeout_seconds, long_timeout_seconds : float
        Default time limits of a call with all its attempts. The second one applies to books,
        uploads, publications and scenario builds, the first one to all other calls.
    retries : RetryPolicy
        When a failed call is retried.
    compression : {"none", "gzip", "deflate"}
        Compression of requests; the service compresses its answers in the same way.
    in_flight_max : int
        Maximum number of calls in flight. Further calls wait in first-in-first-out order, so that
        any number of calls may be gathered; the time limit of a call includes the wait.

    Notes
    -----
    Every call raises a MarginClientError if it fails, and ValueError if its arguments are invalid.
    Every call takes `timeout_seconds`; most take a `request_id`, under which the service logs them.
    Calls that record or change something take an `idempotency_key`: the service executes calls with
    the same key and content once. A request id or key that is not given is generated; it is the
    same for all attempts of a call. A `snapshot_id` states which snapshot must be current.

    Examples
    --------
    >>> from margin_client import AsyncMarginClient
    >>> async def requirement(account_id: str) -> float:
    ...     async with AsyncMarginClient("127.0.0.1:50051") as client:
    ...         return (await client.calculate_margin(account_id)).margin.initial_margin_usd
    """

    async def __aenter__(self) -> AsyncMarginClient:
        return self

    # -- margins -------------------------------------------------------------------------------

    async def calculate_margin(
        self,
        account_id: str | None = None,
        *,
        portfolio: Quantities | None = None,
        snapshot_id: str = "",
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.MarginResult:
        """Return the margin of an account or of a portfolio; recorded once per key."""
        call = _calls.calculate_margin(account_id, portfolio, snapshot_id, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)

    async def calculate_book(
        self,
        *,
        account_ids: Iterable[str] = (),
        member_ids: Iterable[str] = (),
        snapshot_id: str = "",
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.BookResult:
        """Return the margins of all accounts, or of those selected; recorded once per key.

        Accounts that cannot be margined are listed in the result's `failures`. `on_progress` is
        called as the work proceeds; an exception that it raises stops the work.
        """
        call = _calls.calculate_book(
            account_ids, member_ids, snapshot_id, idempotency_key, on_progress
        )
        return await self._stream(call, timeout_seconds, request_id)

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
        """Return how trades would change a margin; each candidate is simulated independently."""
        call = _calls.simulate_margin(account_id, portfolio, trades, candidates, snapshot_id)
        return await self._send(call, timeout_seconds, request_id)

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
        """Return the contributions of positions and the tail scenarios that explain a margin.

        At most `scenarios_max` scenarios are returned; 0 for the whole tail. `traced_scenario` is
        the index of a scenario for which the prices of every position are returned.
        """
        call = _calls.explain_margin(
            account_id, portfolio, scenarios_max, traced_scenario, snapshot_id
        )
        return await self._send(call, timeout_seconds, request_id)

    async def export_margin(
        self,
        account_id: str | None = None,
        *,
        portfolio: Quantities | None = None,
        snapshot_id: str = "",
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.ExportedFiles:
        """Return the files from which a margin can be recomputed without the service."""
        call = _calls.export_margin(account_id, portfolio, snapshot_id)
        return await self._stream(call, timeout_seconds, request_id)

    async def get_calculation(
        self,
        calculation_id: str,
        *,
        account_ids: Sequence[str] = (),
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.CalculationDetail:
        """Return a recorded calculation; for a book, with the margins of `account_ids`."""
        call = _calls.get_calculation(calculation_id, account_ids)
        return await self._send(call, timeout_seconds, request_id)

    def list_calculations(
        self,
        *,
        account_id: str = "",
        kind: CalculationKind | None = None,
        page_size: int = PAGE_SIZE,
        timeout_seconds: float | None = None,
    ) -> AsyncIterator[results.Calculation]:
        """Yield recorded calculations, the latest first; pages are fetched as they are read."""
        return self._pages(_calls.list_calculations(account_id, kind, page_size), timeout_seconds)

    # -- market data ---------------------------------------------------------------------------

    async def publish_snapshot(
        self,
        snapshot: Snapshot,
        quotes: Quotes,
        *,
        allow_older: bool = False,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.PublishedSnapshot:
        """Store a snapshot and make it current; executed once per key.

        A snapshot that is older than the current one is rejected unless `allow_older` is True.
        """
        call = _calls.publish_snapshot(snapshot, quotes, idempotency_key, allow_older=allow_older)
        return await self._send(call, timeout_seconds, request_id)

    def list_snapshots(
        self, *, page_size: int = PAGE_SIZE, timeout_seconds: float | None = None
    ) -> AsyncIterator[results.SnapshotSummary]:
        """Yield published snapshots, the latest first; pages are fetched as they are read."""
        return self._pages(_calls.list_snapshots(page_size), timeout_seconds)

    async def get_surface(
        self,
        underlying: str,
        *,
        strike_over_forward: Sequence[float] = (),
        snapshot_id: str = "",
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Surface:
        """Return a fitted surface, with volatilities at the given ratios of strike to forward."""
        call = _calls.get_surface(underlying, strike_over_forward, snapshot_id)
        return await self._send(call, timeout_seconds, request_id)

    # -- portfolios ----------------------------------------------------------------------------

    async def upload_positions(
        self,
        positions: AccountPositions,
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.UploadedPositions:
        """Replace the positions of all accounts atomically; executed once per key."""
        call = _calls.upload_positions(positions, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)

    async def apply_trades(
        self,
        trades: Trades,
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.AppliedTrades:
        """Add trades to positions, all or none; executed once per key.

        A generated key covers only the attempts of this one call. Pass a key, for example the id of
        the order, if your program may repeat the call after a restart.
        """
        call = _calls.apply_trades(trades, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)

    async def get_portfolio(
        self,
        account_id: str,
        *,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.Portfolio:
        """Return the positions of an account."""
        return await self._send(_calls.get_portfolio(account_id), timeout_seconds, request_id)

    # -- scenarios -----------------------------------------------------------------------------

    async def build_scenario_set(
        self,
        *,
        as_of: datetime | None = None,
        on_progress: OnProgress | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.ScenarioSetSummary:
        """Build and store a scenario set from the data up to `as_of`.

        By default, `as_of` is the time of the current snapshot. `on_progress` is called as the work
        proceeds; an exception that it raises stops the work.
        """
        call = _calls.build_scenario_set(as_of, on_progress)
        return await self._stream(call, timeout_seconds, request_id)

    def list_scenario_sets(
        self, *, page_size: int = PAGE_SIZE, timeout_seconds: float | None = None
    ) -> AsyncIterator[results.ScenarioSetSummary]:
        """Yield stored scenario sets, the latest first; pages are fetched as they are read."""
        return self._pages(_calls.list_scenario_sets(page_size), timeout_seconds)

    async def activate_scenario_set(
        self,
        scenarios_id: str,
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> results.ActivatedScenarioSet:
        """Put a stored scenario set in use; executed once per key."""
        call = _calls.activate_scenario_set(scenarios_id, idempotency_key)
        return await self._send(call, timeout_seconds, request_id)

    # -- operations ----------------------------------------------------------------------------

    async def get_status(
        self, *, timeout_seconds: float | None = None, request_id: str | None = None
    ) -> results.ServiceStatus:
        """Return the state of the service."""
        return await self._send(_calls.get_status(), timeout_seconds, request_id)

    async def wait_until_ready(self, *, timeout_seconds: float = 120.0) -> results.ServiceStatus:
        """Return the state of the service once it accepts changes and has a market.

        Raises
        ------
        UnavailableError
            If the service is not ready, or cannot be reached, within the time limit.
        """
        attempts = Attempts(self._retries, timeout_seconds=timeout_seconds)
        while True:
            status = await self.get_status(timeout_seconds=attempts.seconds_left)
            if _calls.is_ready(status):
                return status
            await self._transport.sleep(attempts.wait_after(_calls.not_ready(status)))
