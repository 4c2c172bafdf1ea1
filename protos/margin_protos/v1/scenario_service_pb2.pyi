from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BuildScenarioSetRequest(_message.Message):
    __slots__ = ("as_of",)
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, as_of: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BuildProgress(_message.Message):
    __slots__ = ("stage", "done", "total")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done: int
    total: int
    def __init__(self, stage: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class ScenarioSetSummary(_message.Message):
    __slots__ = ("scenarios_id", "engine", "underlyings", "scenarios", "horizon_hours", "first_window_end", "last_window_end", "is_synthetic", "create_time", "is_active")
    SCENARIOS_ID_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    UNDERLYINGS_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_HOURS_FIELD_NUMBER: _ClassVar[int]
    FIRST_WINDOW_END_FIELD_NUMBER: _ClassVar[int]
    LAST_WINDOW_END_FIELD_NUMBER: _ClassVar[int]
    IS_SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    IS_ACTIVE_FIELD_NUMBER: _ClassVar[int]
    scenarios_id: str
    engine: str
    underlyings: _containers.RepeatedScalarFieldContainer[str]
    scenarios: int
    horizon_hours: float
    first_window_end: _timestamp_pb2.Timestamp
    last_window_end: _timestamp_pb2.Timestamp
    is_synthetic: bool
    create_time: _timestamp_pb2.Timestamp
    is_active: bool
    def __init__(self, scenarios_id: _Optional[str] = ..., engine: _Optional[str] = ..., underlyings: _Optional[_Iterable[str]] = ..., scenarios: _Optional[int] = ..., horizon_hours: _Optional[float] = ..., first_window_end: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_window_end: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., is_synthetic: bool = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., is_active: bool = ...) -> None: ...

class BuildScenarioSetResponse(_message.Message):
    __slots__ = ("progress", "scenario_set")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_SET_FIELD_NUMBER: _ClassVar[int]
    progress: BuildProgress
    scenario_set: ScenarioSetSummary
    def __init__(self, progress: _Optional[_Union[BuildProgress, _Mapping]] = ..., scenario_set: _Optional[_Union[ScenarioSetSummary, _Mapping]] = ...) -> None: ...

class ListScenarioSetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListScenarioSetsResponse(_message.Message):
    __slots__ = ("scenario_sets", "next_page_token")
    SCENARIO_SETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scenario_sets: _containers.RepeatedCompositeFieldContainer[ScenarioSetSummary]
    next_page_token: str
    def __init__(self, scenario_sets: _Optional[_Iterable[_Union[ScenarioSetSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ActivateScenarioSetRequest(_message.Message):
    __slots__ = ("scenarios_id", "idempotency_key")
    SCENARIOS_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    scenarios_id: str
    idempotency_key: str
    def __init__(self, scenarios_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class ActivateScenarioSetResponse(_message.Message):
    __slots__ = ("generation", "was_repeated")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    generation: int
    was_repeated: bool
    def __init__(self, generation: _Optional[int] = ..., was_repeated: bool = ...) -> None: ...
