"""Results of calls of OperationsService."""

from dataclasses import dataclass

from margin_client.results.types import ChainFinding, Generation


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
