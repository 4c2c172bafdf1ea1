from margin_protos.v1 import clearing_types_pb2 as _clearing_types_pb2
from margin_protos.v1 import margin_call_service_pb2 as _margin_call_service_pb2
from margin_protos.v1 import margin_types_pb2 as _margin_types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ShardStatus(_message.Message):
    __slots__ = ("shard", "first_scenario", "scenarios", "node_id", "slabs_priced")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FIRST_SCENARIO_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SLABS_PRICED_FIELD_NUMBER: _ClassVar[int]
    shard: int
    first_scenario: int
    scenarios: int
    node_id: str
    slabs_priced: int
    def __init__(self, shard: _Optional[int] = ..., first_scenario: _Optional[int] = ..., scenarios: _Optional[int] = ..., node_id: _Optional[str] = ..., slabs_priced: _Optional[int] = ...) -> None: ...

class FeedStatus(_message.Message):
    __slots__ = ("source", "is_connected", "is_stopped", "age_seconds", "snapshot_age_seconds", "messages", "snapshots_accepted", "snapshots_rejected", "faults", "last_problem")
    class FaultsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    IS_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    IS_STOPPED_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_REJECTED_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    LAST_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    source: str
    is_connected: bool
    is_stopped: bool
    age_seconds: float
    snapshot_age_seconds: float
    messages: int
    snapshots_accepted: int
    snapshots_rejected: int
    faults: _containers.ScalarMap[str, int]
    last_problem: str
    def __init__(self, source: _Optional[str] = ..., is_connected: bool = ..., is_stopped: bool = ..., age_seconds: _Optional[float] = ..., snapshot_age_seconds: _Optional[float] = ..., messages: _Optional[int] = ..., snapshots_accepted: _Optional[int] = ..., snapshots_rejected: _Optional[int] = ..., faults: _Optional[_Mapping[str, int]] = ..., last_problem: _Optional[str] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("version", "uptime_seconds", "generation", "generation_pending", "shards", "nodes", "requests_active", "requests_rejected", "portfolio_version", "accounts", "positions", "last_fault", "is_ready", "problems", "run_slots", "run_slots_taken", "snapshot_age_seconds", "ledger_sequence", "ledger_hash", "chain_findings", "feeds", "feed_margin_factor", "clearing_position", "open_calls", "open_calls_total")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_PENDING_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_ACTIVE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_REJECTED_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    LAST_FAULT_FIELD_NUMBER: _ClassVar[int]
    IS_READY_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    RUN_SLOTS_FIELD_NUMBER: _ClassVar[int]
    RUN_SLOTS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LEDGER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LEDGER_HASH_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FINDINGS_FIELD_NUMBER: _ClassVar[int]
    FEEDS_FIELD_NUMBER: _ClassVar[int]
    FEED_MARGIN_FACTOR_FIELD_NUMBER: _ClassVar[int]
    CLEARING_POSITION_FIELD_NUMBER: _ClassVar[int]
    OPEN_CALLS_FIELD_NUMBER: _ClassVar[int]
    OPEN_CALLS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    version: str
    uptime_seconds: float
    generation: _margin_types_pb2.Generation
    generation_pending: int
    shards: _containers.RepeatedCompositeFieldContainer[ShardStatus]
    nodes: int
    requests_active: int
    requests_rejected: int
    portfolio_version: int
    accounts: int
    positions: int
    last_fault: str
    is_ready: bool
    problems: _containers.RepeatedScalarFieldContainer[str]
    run_slots: int
    run_slots_taken: int
    snapshot_age_seconds: float
    ledger_sequence: int
    ledger_hash: str
    chain_findings: _containers.RepeatedCompositeFieldContainer[_margin_types_pb2.ChainFinding]
    feeds: _containers.RepeatedCompositeFieldContainer[FeedStatus]
    feed_margin_factor: float
    clearing_position: _clearing_types_pb2.LogPosition
    open_calls: _containers.RepeatedCompositeFieldContainer[_margin_call_service_pb2.MarginCall]
    open_calls_total: int
    def __init__(self, version: _Optional[str] = ..., uptime_seconds: _Optional[float] = ..., generation: _Optional[_Union[_margin_types_pb2.Generation, _Mapping]] = ..., generation_pending: _Optional[int] = ..., shards: _Optional[_Iterable[_Union[ShardStatus, _Mapping]]] = ..., nodes: _Optional[int] = ..., requests_active: _Optional[int] = ..., requests_rejected: _Optional[int] = ..., portfolio_version: _Optional[int] = ..., accounts: _Optional[int] = ..., positions: _Optional[int] = ..., last_fault: _Optional[str] = ..., is_ready: bool = ..., problems: _Optional[_Iterable[str]] = ..., run_slots: _Optional[int] = ..., run_slots_taken: _Optional[int] = ..., snapshot_age_seconds: _Optional[float] = ..., ledger_sequence: _Optional[int] = ..., ledger_hash: _Optional[str] = ..., chain_findings: _Optional[_Iterable[_Union[_margin_types_pb2.ChainFinding, _Mapping]]] = ..., feeds: _Optional[_Iterable[_Union[FeedStatus, _Mapping]]] = ..., feed_margin_factor: _Optional[float] = ..., clearing_position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., open_calls: _Optional[_Iterable[_Union[_margin_call_service_pb2.MarginCall, _Mapping]]] = ..., open_calls_total: _Optional[int] = ...) -> None: ...
