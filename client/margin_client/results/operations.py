"""Results of calls of OperationsService."""

from dataclasses import dataclass

from margin_client.results.clearing import MarginCall
from margin_client.results.types import ChainFinding, Generation, LogPosition


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """The state of one scenario shard."""

    shard: int
    """Number of the shard."""
    first_scenario: int
    """Index of its first scenario."""
    scenarios: int
    """Number of its scenarios."""
    node_id: str
    """Node on which it runs; empty while it is being replaced."""
    slabs_priced: int
    """Number of slices of the risk cube that it has priced."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """The state of one source of market data."""

    source: str
    """Name of the source, for example deribit, replay or published."""
    is_connected: bool
    is_stopped: bool
    """True if the source has ended, as a replay does."""
    age_seconds: float | None
    """Seconds since its last message; None before the first."""
    snapshot_age_seconds: float | None
    """Seconds since its last snapshot that came into use; None before the first."""
    messages: int
    """Number of messages with data."""
    snapshots_accepted: int
    snapshots_rejected: int
    """Number of snapshots that failed the quality gates and are not used."""
    faults: dict[str, int]
    """Number of faults by kind."""
    last_problem: str
    """The last fault or the reason of the last rejection; empty if there was none."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The state of the gateway that answered and of its cluster."""

    version: str
    """Version of the software."""
    uptime_seconds: float
    """Seconds since the start of the gateway."""
    generation: Generation | None
    """Generation in use; None before the first one."""
    generation_pending: int
    """Number of the generation that is being built; 0 if there is none."""
    shards: tuple[ShardStatus, ...]
    nodes: int
    """Number of live nodes of the cluster."""
    requests_active: int
    """Requests in progress at the gateway."""
    requests_rejected: int
    """Requests that the gateway rejected because of its load, since its start."""
    portfolio_version: int
    accounts: int
    positions: int
    last_fault: str
    """Reason why the last generation could not be built; empty if it was built."""
    is_ready: bool = False
    """True once the service accepts changes."""
    problems: tuple[str, ...] = ()
    """Human-readable conditions that prevent normal operation; empty if there are none."""
    run_slots: int = 0
    """Maximum number of books that the cluster calculates concurrently."""
    run_slots_taken: int = 0
    """Number of books that all gateways together are calculating."""
    snapshot_age_seconds: float | None = None
    """Age of the current snapshot in seconds; None before the first generation."""
    ledger_sequence: int = 0
    """Number of the last entry of the ledger."""
    ledger_hash: str = ""
    """Hash of the last entry of the ledger, which covers all entries before it."""
    chain_findings: tuple[ChainFinding, ...] = ()
    """Findings on the option chain in use, at most 1,000: quotes and expiries that fail a quality
    gate of the model, and expiries with too few quotes for a smile."""
    feeds: tuple[FeedStatus, ...] = ()
    """Sources of market data of this gateway; empty without a feed."""
    feed_margin_factor: float | None = None
    """Factor on margins that the age of the market data calls for; None without a feed."""
    clearing_position: LogPosition | None = None
    """The last event of the log of the clearing house that the gateway has read."""
    open_calls: tuple[MarginCall, ...] = ()
    """Open margin calls, by class and account; at most 1,000."""
    open_calls_total: int = 0
    """Number of all open margin calls."""
