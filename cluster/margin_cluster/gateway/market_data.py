"""Use cases of MarketDataService: publish and list snapshots, and read a fitted surface."""

from collections.abc import Callable
from datetime import UTC, datetime

from margin_actors.actors.cluster import Cluster
from margin_actors.actors.inputs import Published
from margin_actors.errors import (
    InvalidMarketData,
    InvalidRequest,
    NotReady,
    Problem,
    raise_if_any,
)
from margin_actors.market.chain_quality import (
    ChainFinding,
    ScreenedSnapshot,
    screen_snapshot,
)
from margin_actors.market.snapshots import MarketSnapshot, publishable_faults
from margin_actors.market.surfaces import VolatilitySurface
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.paging import Listing
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.ledger import Ledger, SnapshotRecord


class MarketData:
    """Use cases of market data; belongs to one event loop."""

    def __init__(self, cluster: Cluster, ledger: Ledger, threads: GatewayThreads) -> None:
        self._cluster, self._ledger, self._threads = cluster, ledger, threads
        self.on_published: Callable[[MarketSnapshot], None] | None = None
        """Called with each snapshot that a caller of the service has published."""

    async def publish(
        self, snapshot: MarketSnapshot, *, key: str, allow_older: bool, call: Call
    ) -> tuple[Published, tuple[ChainFinding, ...]]:
        """Store a snapshot and put it in use; a refused snapshot changes nothing.

        The second value lists what the model's quality gates exclude from the snapshot.

        Raises
        ------
        InvalidMarketData
            If the snapshot cannot be used; names every reason.
        OutdatedSnapshot
            If a later snapshot is in use and `allow_older` is False.
        KeyReused
            If the key was used with another snapshot.
        """
        # Its age is compared with the snapshot in use when it is recorded, under the ledger's lock.
        problems = publishable_faults(snapshot, None, datetime.now(UTC))
        raise_if_any(problems, InvalidMarketData, "the snapshot cannot be used")
        limits = self._cluster.model.chain_quality
        screened = await self._threads.compute(screen_snapshot, snapshot, limits)
        published = await self._cluster.publish(
            snapshot,
            key=key,
            request_id=call.request_id,
            caller=call.caller,
            allow_older=allow_older,
            until=call.until,
        )
        return published, screened.findings if isinstance(screened, ScreenedSnapshot) else ()

    def announce(self, snapshot: MarketSnapshot) -> None:
        """Pass a snapshot that a caller has published to the feeds."""
        if self.on_published is not None:
            self.on_published(snapshot)

    async def list_snapshots(self, size: int, token: str) -> Listing[SnapshotRecord]:
        """Return a page of published snapshots, latest first.

        Raises
        ------
        InvalidRequest
            If the token is not valid.
        """
        records, following = await self._threads.run_io(self._ledger.list_snapshots, size, token)
        in_use = await self._threads.run_io(self._ledger.active_inputs)
        return Listing(records, following, in_use.snapshot_id)

    async def surface(
        self, underlying: str, snapshot_id: str, *, until: float
    ) -> tuple[VolatilitySurface, str]:
        """Return the fitted surface of an underlying and the id of its snapshot.

        Parameters
        ----------
        underlying : str
        snapshot_id : str
            Snapshot that must be in use; empty for any.
        until : float
            Deadline, monotonic seconds.

        Raises
        ------
        NotReady
            If the model in use has no surface, or another snapshot is in use.
        InvalidRequest
            If there is no surface of the underlying.
        """
        generation = await self._cluster.generation(until=until, snapshot_id=snapshot_id)
        surfaces = generation.priced.market.surfaces
        if not surfaces:
            model = generation.parameters.name
            raise NotReady(
                "the model in use prices from marks and has no surface",
                [Problem("model", model, "use a model with a volatility surface")],
            )
        if underlying not in surfaces:
            raise InvalidRequest(
                "there is no surface of this underlying",
                [Problem("underlying", underlying[:40], f"available: {', '.join(surfaces)}")],
            )
        return surfaces[underlying], generation.handle.snapshot_id
