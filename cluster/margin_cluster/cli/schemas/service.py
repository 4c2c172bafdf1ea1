"""Documents of `margin status` and `margin ledger`, and of errors."""

from typing import Literal, TypeAlias

from pydantic import Field

from margin_cluster.cli.schemas.base import Document, Record
from margin_cluster.cli.schemas.market import FoundInChain


class ActiveGeneration(Record):
    """The market, scenarios and model in use."""

    number: int
    snapshot_id: str
    snapshot_time: str
    """ISO 8601, UTC."""
    scenarios_id: str
    scenarios: int
    """Number of scenarios."""
    model_id: str
    model_name: str
    model_version: str
    instruments: int
    """Number of listed contracts that the snapshot can price."""
    is_synthetic: bool
    quarantined_expiries: list[str]
    """Expiries whose options are not priced, for example ``BTC 27MAR26``."""


class ScenarioShard(Record):
    """State of a scenario shard."""

    shard: int
    first_scenario: int
    scenarios: int
    """Number of scenarios of its slice; 0 if it has none."""
    node_id: str
    """Empty if the shard does not respond."""
    slabs_priced: int
    """Number of slices of the risk cube that it has priced since it was started."""


class FeedState(Record):
    """A source of market data."""

    source: str
    """Name of the source."""
    is_connected: bool
    is_stopped: bool
    """True if the source has ended, as a replay does."""
    age_seconds: float | None = None
    """Seconds since the last message; null before the first."""
    snapshot_age_seconds: float | None = None
    """Seconds since the last snapshot that came into use; null before the first."""
    messages: int
    """Number of messages with data."""
    snapshots_accepted: int
    snapshots_rejected: int
    """Number of snapshots that failed the quality gates and are not used."""
    faults: dict[str, int]
    """Number of faults by kind."""
    last_problem: str
    """The last fault or the reason of the last rejection; empty if there was none."""


class ClearingPosition(Record):
    """A position in the log of the clearing house."""

    number: int
    """Number of the event; 0 before the first."""
    time: str | None = None
    """Time at which it was recorded, ISO 8601, UTC; null before the first."""
    token: str
    """Token from which a watch of margin calls continues."""


class OpenTranche(Record):
    """A part of a call with a due time of its own."""

    number: int
    amount_cents: int
    paid_cents: int
    due_time: str
    """ISO 8601, UTC."""
    is_late: bool


class OpenCall(Record):
    """An open margin call."""

    call_id: str
    account_id: str
    call_class: str
    status: str
    out_cents: int
    """Called and not paid, US cents."""
    tranches: list[OpenTranche]
    is_held: bool


class StatusDocument(Document):
    """The state of a running service."""

    form_id: Literal["margin.status/1"] = Field(
        default="margin.status/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    version: str
    """Version of the software."""
    uptime_seconds: float
    generation: ActiveGeneration | None = None
    """Null before the first generation."""
    generation_pending: int
    """Number of the generation in preparation; 0 if there is none."""
    shards: list[ScenarioShard]
    nodes: int
    """Number of live nodes of the cluster."""
    requests_active: int
    requests_rejected: int
    portfolio_version: int
    accounts: int
    positions: int
    last_fault: str
    """Empty if there is none."""
    is_ready: bool
    """True if the service accepts changes."""
    problems: list[str]
    """Every condition that prevents normal operation."""
    run_slots: int
    """Maximum number of book runs at the same time."""
    run_slots_taken: int
    snapshot_age_seconds: float | None = None
    """Null before the first generation."""
    ledger_sequence: int
    """Number of the last entry of the ledger."""
    ledger_hash: str
    """Hash of the last entry of the ledger."""
    chain_findings: list[FoundInChain]
    """Findings on the option chain in use: quotes and expiries that fail a quality gate of the
    model, and expiries with too few quotes for a smile."""
    feeds: list[FeedState] = Field(default_factory=list[FeedState])
    """Sources of market data of this gateway; empty without a feed."""
    feed_margin_factor: float | None = None
    """Factor on margins that the age of the market data calls for; null without a feed."""
    clearing_position: ClearingPosition | None = None
    """The last event of the log of the clearing house; null for services without one."""
    open_calls: list[OpenCall] = Field(default_factory=list[OpenCall])
    """Open margin calls, by class and account; at most 1,000."""
    open_calls_total: int = 0
    """Number of all open margin calls."""


class LedgerBackupDocument(Document):
    """A backup that was created or restored; the exit code is 2 if objects are missing."""

    form_id: Literal["margin.ledger-backup/1"] = Field(
        default="margin.ledger-backup/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    folder: str
    """Folder of the backup."""
    sequence: int
    """Number of the ledger's last entry."""
    hash: str
    """Hash of the ledger's last entry."""
    objects: int
    """Number of stored objects."""
    size_bytes: int
    missing: list[str]
    """Objects to which the ledger refers and which the store does not hold."""


class LedgerFinding(Record):
    """One difference between the ledger and what was committed."""

    sequence: int
    """Number of the entry; 0 if it concerns the ledger as a whole."""
    what: str


class LedgerVerifyDocument(Document):
    """Result of a verification; the exit code is 2 if the ledger is not intact."""

    form_id: Literal["margin.ledger-verify/1"] = Field(
        default="margin.ledger-verify/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    is_intact: bool
    sequence: int
    """Number of the ledger's last entry."""
    hash: str
    """Hash of the ledger's last entry."""
    portfolio_version: int
    findings: list[LedgerFinding]
    """The first differences."""
    findings_total: int
    first_bad_sequence: int
    """Number of the first entry that differs; 0 if there is none."""
    objects: int
    """Number of objects to which the ledger refers."""
    object_findings: list[str]
    """One sentence per missing or damaged object; the first ones."""
    object_findings_total: int


ErrorKind: TypeAlias = Literal[
    "usage",
    "invalid_portfolio",
    "invalid_scenario",
    "invalid_parameters",
    "invalid_market_data",
    "invalid_request",
    "missing_market_data",
    "data_quality",
    "source_unavailable",
    "unknown_account",
    "unknown_calculation",
    "unknown_scenario_set",
    "key_reused",
    "not_ready",
    "refused_by_rule",
    "not_started",
    "overloaded",
    "cluster_unavailable",
    "ledger_unavailable",
    "ledger_damaged",
    "outdated_snapshot",
    "deadline_passed",
    "operating_system",
    "interrupted",
    "other",
]
"""Stable codes of errors."""


class ErrorProblem(Record):
    """One problem of an input."""

    where: str
    """File, row, field or argument."""
    description: str
    """What is wrong, including the value that causes it."""
    remedy: str
    """What to do about it; empty if the description is sufficient."""


class ErrorDocument(Document):
    """An error, printed instead of the result if the command was given ``--json``."""

    form_id: Literal["margin.error/1"] = Field(
        default="margin.error/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    kind: ErrorKind
    """Stable code of the error."""
    exit_code: int
    """Exit code of the command."""
    summary: str
    """One sentence."""
    problems: list[ErrorProblem]
    """All problems that were found."""
