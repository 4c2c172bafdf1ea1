"""Results of OperationsService."""

from dataclasses import dataclass

from margin_client.results.types import Generation


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """A scenario shard."""

    shard: int
    first_scenario: int
    scenarios: int
    node_id: str
    slabs_priced: int


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The state of the gateway that answers and of the cluster behind it."""

    version: str
    uptime_seconds: float
    generation: Generation | None
    generation_pending: int
    shards: tuple[ShardStatus, ...]
    nodes: int
    requests_active: int
    requests_rejected: int
    portfolio_version: int
    accounts: int
    positions: int
    last_fault: str
    is_ready: bool = False
    """True once the service accepts changes."""
    problems: tuple[str, ...] = ()
    """Everything that keeps the service from working normally, human-readable."""
    run_slots: int = 0
    """Books that the cluster runs at the same time at most."""
    run_slots_taken: int = 0
    """Books that are being run by all gateways together."""
    snapshot_age_seconds: float | None = None
    """Seconds between the current snapshot's time and now; None before the first generation."""
    ledger_sequence: int = 0
    """Number of the last entry of the ledger."""
    ledger_hash: str = ""
    """Hash of the last entry of the ledger, which covers all entries before it."""
