from google.protobuf import timestamp_pb2 as _timestamp_pb2
from margin_protos.v1 import clearing_types_pb2 as _clearing_types_pb2
from margin_protos.v1 import margin_types_pb2 as _margin_types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CalculationKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALCULATION_KIND_UNSPECIFIED: _ClassVar[CalculationKind]
    CALCULATION_KIND_ACCOUNT: _ClassVar[CalculationKind]
    CALCULATION_KIND_BOOK: _ClassVar[CalculationKind]
CALCULATION_KIND_UNSPECIFIED: CalculationKind
CALCULATION_KIND_ACCOUNT: CalculationKind
CALCULATION_KIND_BOOK: CalculationKind

class CalculateMarginRequest(_message.Message):
    __slots__ = ("account_id", "portfolio", "snapshot_id", "idempotency_key")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    portfolio: _margin_types_pb2.Portfolio
    snapshot_id: str
    idempotency_key: str
    def __init__(self, account_id: _Optional[str] = ..., portfolio: _Optional[_Union[_margin_types_pb2.Portfolio, _Mapping]] = ..., snapshot_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class CalculateMarginResponse(_message.Message):
    __slots__ = ("calculation_id", "generation", "inputs", "digest", "margin", "portfolio_version", "resources")
    CALCULATION_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    calculation_id: str
    generation: _margin_types_pb2.Generation
    inputs: _margin_types_pb2.InputIds
    digest: str
    margin: _margin_types_pb2.AccountMargin
    portfolio_version: int
    resources: _clearing_types_pb2.AccountResources
    def __init__(self, calculation_id: _Optional[str] = ..., generation: _Optional[_Union[_margin_types_pb2.Generation, _Mapping]] = ..., inputs: _Optional[_Union[_margin_types_pb2.InputIds, _Mapping]] = ..., digest: _Optional[str] = ..., margin: _Optional[_Union[_margin_types_pb2.AccountMargin, _Mapping]] = ..., portfolio_version: _Optional[int] = ..., resources: _Optional[_Union[_clearing_types_pb2.AccountResources, _Mapping]] = ...) -> None: ...

class CalculateBookRequest(_message.Message):
    __slots__ = ("account_ids", "member_ids", "snapshot_id", "idempotency_key")
    ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_IDS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    account_ids: _containers.RepeatedScalarFieldContainer[str]
    member_ids: _containers.RepeatedScalarFieldContainer[str]
    snapshot_id: str
    idempotency_key: str
    def __init__(self, account_ids: _Optional[_Iterable[str]] = ..., member_ids: _Optional[_Iterable[str]] = ..., snapshot_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class BookProgress(_message.Message):
    __slots__ = ("done", "total")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class AccountFailures(_message.Message):
    __slots__ = ("failures",)
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    failures: _containers.RepeatedCompositeFieldContainer[_margin_types_pb2.AccountFailure]
    def __init__(self, failures: _Optional[_Iterable[_Union[_margin_types_pb2.AccountFailure, _Mapping]]] = ...) -> None: ...

class BookSummary(_message.Message):
    __slots__ = ("calculation_id", "inputs", "digest", "accounts", "positions", "initial_margin_usd", "accounts_failed", "is_complete", "portfolio_version", "expired_positions")
    CALCULATION_ID_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_MARGIN_USD_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FAILED_FIELD_NUMBER: _ClassVar[int]
    IS_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    calculation_id: str
    inputs: _margin_types_pb2.InputIds
    digest: str
    accounts: int
    positions: int
    initial_margin_usd: float
    accounts_failed: int
    is_complete: bool
    portfolio_version: int
    expired_positions: int
    def __init__(self, calculation_id: _Optional[str] = ..., inputs: _Optional[_Union[_margin_types_pb2.InputIds, _Mapping]] = ..., digest: _Optional[str] = ..., accounts: _Optional[int] = ..., positions: _Optional[int] = ..., initial_margin_usd: _Optional[float] = ..., accounts_failed: _Optional[int] = ..., is_complete: bool = ..., portfolio_version: _Optional[int] = ..., expired_positions: _Optional[int] = ...) -> None: ...

class CalculateBookResponse(_message.Message):
    __slots__ = ("generation", "progress", "batch", "summary", "failures")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    generation: _margin_types_pb2.Generation
    progress: BookProgress
    batch: _margin_types_pb2.AccountMarginColumns
    summary: BookSummary
    failures: AccountFailures
    def __init__(self, generation: _Optional[_Union[_margin_types_pb2.Generation, _Mapping]] = ..., progress: _Optional[_Union[BookProgress, _Mapping]] = ..., batch: _Optional[_Union[_margin_types_pb2.AccountMarginColumns, _Mapping]] = ..., summary: _Optional[_Union[BookSummary, _Mapping]] = ..., failures: _Optional[_Union[AccountFailures, _Mapping]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("candidate_id", "trades")
    CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    candidate_id: str
    trades: _containers.RepeatedCompositeFieldContainer[_margin_types_pb2.Position]
    def __init__(self, candidate_id: _Optional[str] = ..., trades: _Optional[_Iterable[_Union[_margin_types_pb2.Position, _Mapping]]] = ...) -> None: ...

class SimulateMarginRequest(_message.Message):
    __slots__ = ("account_id", "portfolio", "candidates", "snapshot_id")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    portfolio: _margin_types_pb2.Portfolio
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    snapshot_id: str
    def __init__(self, account_id: _Optional[str] = ..., portfolio: _Optional[_Union[_margin_types_pb2.Portfolio, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., snapshot_id: _Optional[str] = ...) -> None: ...

class SimulatedMargin(_message.Message):
    __slots__ = ("candidate_id", "after", "initial_margin_change_usd", "var_change_usd", "es_change_usd", "value_change_usd", "can_carry", "headroom_cents")
    CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    INITIAL_MARGIN_CHANGE_USD_FIELD_NUMBER: _ClassVar[int]
    VAR_CHANGE_USD_FIELD_NUMBER: _ClassVar[int]
    ES_CHANGE_USD_FIELD_NUMBER: _ClassVar[int]
    VALUE_CHANGE_USD_FIELD_NUMBER: _ClassVar[int]
    CAN_CARRY_FIELD_NUMBER: _ClassVar[int]
    HEADROOM_CENTS_FIELD_NUMBER: _ClassVar[int]
    candidate_id: str
    after: _margin_types_pb2.AccountMargin
    initial_margin_change_usd: float
    var_change_usd: float
    es_change_usd: float
    value_change_usd: float
    can_carry: bool
    headroom_cents: int
    def __init__(self, candidate_id: _Optional[str] = ..., after: _Optional[_Union[_margin_types_pb2.AccountMargin, _Mapping]] = ..., initial_margin_change_usd: _Optional[float] = ..., var_change_usd: _Optional[float] = ..., es_change_usd: _Optional[float] = ..., value_change_usd: _Optional[float] = ..., can_carry: bool = ..., headroom_cents: _Optional[int] = ...) -> None: ...

class SimulateMarginResponse(_message.Message):
    __slots__ = ("generation", "before", "candidates", "resources")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    generation: _margin_types_pb2.Generation
    before: _margin_types_pb2.AccountMargin
    candidates: _containers.RepeatedCompositeFieldContainer[SimulatedMargin]
    resources: _clearing_types_pb2.AccountResources
    def __init__(self, generation: _Optional[_Union[_margin_types_pb2.Generation, _Mapping]] = ..., before: _Optional[_Union[_margin_types_pb2.AccountMargin, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[SimulatedMargin, _Mapping]]] = ..., resources: _Optional[_Union[_clearing_types_pb2.AccountResources, _Mapping]] = ...) -> None: ...

class ExplainMarginRequest(_message.Message):
    __slots__ = ("account_id", "portfolio", "scenarios_max", "snapshot_id", "traced_scenario")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_MAX_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    TRACED_SCENARIO_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    portfolio: _margin_types_pb2.Portfolio
    scenarios_max: int
    snapshot_id: str
    traced_scenario: int
    def __init__(self, account_id: _Optional[str] = ..., portfolio: _Optional[_Union[_margin_types_pb2.Portfolio, _Mapping]] = ..., scenarios_max: _Optional[int] = ..., snapshot_id: _Optional[str] = ..., traced_scenario: _Optional[int] = ...) -> None: ...

class ExportMarginRequest(_message.Message):
    __slots__ = ("account_id", "portfolio", "snapshot_id")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    portfolio: _margin_types_pb2.Portfolio
    snapshot_id: str
    def __init__(self, account_id: _Optional[str] = ..., portfolio: _Optional[_Union[_margin_types_pb2.Portfolio, _Mapping]] = ..., snapshot_id: _Optional[str] = ...) -> None: ...

class ExportMarginResponse(_message.Message):
    __slots__ = ("file_name", "content", "is_last")
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    file_name: str
    content: bytes
    is_last: bool
    def __init__(self, file_name: _Optional[str] = ..., content: _Optional[bytes] = ..., is_last: bool = ...) -> None: ...

class PositionContribution(_message.Message):
    __slots__ = ("instrument_name", "quantity", "value_usd", "component_var_usd", "component_es_usd", "marginal_var_usd", "marginal_es_usd", "incremental_var_usd", "incremental_es_usd")
    INSTRUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    VALUE_USD_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_VAR_USD_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_ES_USD_FIELD_NUMBER: _ClassVar[int]
    MARGINAL_VAR_USD_FIELD_NUMBER: _ClassVar[int]
    MARGINAL_ES_USD_FIELD_NUMBER: _ClassVar[int]
    INCREMENTAL_VAR_USD_FIELD_NUMBER: _ClassVar[int]
    INCREMENTAL_ES_USD_FIELD_NUMBER: _ClassVar[int]
    instrument_name: str
    quantity: float
    value_usd: float
    component_var_usd: float
    component_es_usd: float
    marginal_var_usd: float
    marginal_es_usd: float
    incremental_var_usd: float
    incremental_es_usd: float
    def __init__(self, instrument_name: _Optional[str] = ..., quantity: _Optional[float] = ..., value_usd: _Optional[float] = ..., component_var_usd: _Optional[float] = ..., component_es_usd: _Optional[float] = ..., marginal_var_usd: _Optional[float] = ..., marginal_es_usd: _Optional[float] = ..., incremental_var_usd: _Optional[float] = ..., incremental_es_usd: _Optional[float] = ...) -> None: ...

class UnderlyingMove(_message.Message):
    __slots__ = ("underlying", "spot_return", "vol_change_30d", "basis_change_30d", "provenance")
    UNDERLYING_FIELD_NUMBER: _ClassVar[int]
    SPOT_RETURN_FIELD_NUMBER: _ClassVar[int]
    VOL_CHANGE_30D_FIELD_NUMBER: _ClassVar[int]
    BASIS_CHANGE_30D_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    underlying: str
    spot_return: float
    vol_change_30d: float
    basis_change_30d: float
    provenance: str
    def __init__(self, underlying: _Optional[str] = ..., spot_return: _Optional[float] = ..., vol_change_30d: _Optional[float] = ..., basis_change_30d: _Optional[float] = ..., provenance: _Optional[str] = ...) -> None: ...

class TailScenario(_message.Message):
    __slots__ = ("scenario", "window_start", "window_end", "profit_usd", "moves", "name")
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    WINDOW_START_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_FIELD_NUMBER: _ClassVar[int]
    PROFIT_USD_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    scenario: int
    window_start: _timestamp_pb2.Timestamp
    window_end: _timestamp_pb2.Timestamp
    profit_usd: float
    moves: _containers.RepeatedCompositeFieldContainer[UnderlyingMove]
    name: str
    def __init__(self, scenario: _Optional[int] = ..., window_start: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., window_end: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., profit_usd: _Optional[float] = ..., moves: _Optional[_Iterable[_Union[UnderlyingMove, _Mapping]]] = ..., name: _Optional[str] = ...) -> None: ...

class TracedPosition(_message.Message):
    __slots__ = ("instrument_name", "quantity", "tenor_years", "strike_usd", "forward_usd", "forward_after_usd", "volatility", "volatility_after", "scale", "scale_after", "unit_value_usd", "unit_value_after_usd", "profit_usd")
    INSTRUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    TENOR_YEARS_FIELD_NUMBER: _ClassVar[int]
    STRIKE_USD_FIELD_NUMBER: _ClassVar[int]
    FORWARD_USD_FIELD_NUMBER: _ClassVar[int]
    FORWARD_AFTER_USD_FIELD_NUMBER: _ClassVar[int]
    VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    VOLATILITY_AFTER_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    SCALE_AFTER_FIELD_NUMBER: _ClassVar[int]
    UNIT_VALUE_USD_FIELD_NUMBER: _ClassVar[int]
    UNIT_VALUE_AFTER_USD_FIELD_NUMBER: _ClassVar[int]
    PROFIT_USD_FIELD_NUMBER: _ClassVar[int]
    instrument_name: str
    quantity: float
    tenor_years: float
    strike_usd: float
    forward_usd: float
    forward_after_usd: float
    volatility: float
    volatility_after: float
    scale: float
    scale_after: float
    unit_value_usd: float
    unit_value_after_usd: float
    profit_usd: float
    def __init__(self, instrument_name: _Optional[str] = ..., quantity: _Optional[float] = ..., tenor_years: _Optional[float] = ..., strike_usd: _Optional[float] = ..., forward_usd: _Optional[float] = ..., forward_after_usd: _Optional[float] = ..., volatility: _Optional[float] = ..., volatility_after: _Optional[float] = ..., scale: _Optional[float] = ..., scale_after: _Optional[float] = ..., unit_value_usd: _Optional[float] = ..., unit_value_after_usd: _Optional[float] = ..., profit_usd: _Optional[float] = ...) -> None: ...

class ExplainMarginResponse(_message.Message):
    __slots__ = ("generation", "margin", "positions", "scenarios", "traced")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_FIELD_NUMBER: _ClassVar[int]
    TRACED_FIELD_NUMBER: _ClassVar[int]
    generation: _margin_types_pb2.Generation
    margin: _margin_types_pb2.AccountMargin
    positions: _containers.RepeatedCompositeFieldContainer[PositionContribution]
    scenarios: _containers.RepeatedCompositeFieldContainer[TailScenario]
    traced: _containers.RepeatedCompositeFieldContainer[TracedPosition]
    def __init__(self, generation: _Optional[_Union[_margin_types_pb2.Generation, _Mapping]] = ..., margin: _Optional[_Union[_margin_types_pb2.AccountMargin, _Mapping]] = ..., positions: _Optional[_Iterable[_Union[PositionContribution, _Mapping]]] = ..., scenarios: _Optional[_Iterable[_Union[TailScenario, _Mapping]]] = ..., traced: _Optional[_Iterable[_Union[TracedPosition, _Mapping]]] = ...) -> None: ...

class Calculation(_message.Message):
    __slots__ = ("calculation_id", "kind", "create_time", "request_id", "generation", "inputs", "digest", "accounts", "positions", "initial_margin_usd", "account_id", "accounts_failed", "is_complete", "portfolio_version", "expired_positions")
    CALCULATION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_MARGIN_USD_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FAILED_FIELD_NUMBER: _ClassVar[int]
    IS_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    calculation_id: str
    kind: CalculationKind
    create_time: _timestamp_pb2.Timestamp
    request_id: str
    generation: _margin_types_pb2.Generation
    inputs: _margin_types_pb2.InputIds
    digest: str
    accounts: int
    positions: int
    initial_margin_usd: float
    account_id: str
    accounts_failed: int
    is_complete: bool
    portfolio_version: int
    expired_positions: int
    def __init__(self, calculation_id: _Optional[str] = ..., kind: _Optional[_Union[CalculationKind, str]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ..., generation: _Optional[_Union[_margin_types_pb2.Generation, _Mapping]] = ..., inputs: _Optional[_Union[_margin_types_pb2.InputIds, _Mapping]] = ..., digest: _Optional[str] = ..., accounts: _Optional[int] = ..., positions: _Optional[int] = ..., initial_margin_usd: _Optional[float] = ..., account_id: _Optional[str] = ..., accounts_failed: _Optional[int] = ..., is_complete: bool = ..., portfolio_version: _Optional[int] = ..., expired_positions: _Optional[int] = ...) -> None: ...

class GetCalculationRequest(_message.Message):
    __slots__ = ("calculation_id", "account_ids")
    CALCULATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    calculation_id: str
    account_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, calculation_id: _Optional[str] = ..., account_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class GetCalculationResponse(_message.Message):
    __slots__ = ("calculation", "margins", "failures")
    CALCULATION_FIELD_NUMBER: _ClassVar[int]
    MARGINS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    calculation: Calculation
    margins: _containers.RepeatedCompositeFieldContainer[_margin_types_pb2.AccountMargin]
    failures: _containers.RepeatedCompositeFieldContainer[_margin_types_pb2.AccountFailure]
    def __init__(self, calculation: _Optional[_Union[Calculation, _Mapping]] = ..., margins: _Optional[_Iterable[_Union[_margin_types_pb2.AccountMargin, _Mapping]]] = ..., failures: _Optional[_Iterable[_Union[_margin_types_pb2.AccountFailure, _Mapping]]] = ...) -> None: ...

class ListCalculationsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "account_id", "kind")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    account_id: str
    kind: CalculationKind
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., account_id: _Optional[str] = ..., kind: _Optional[_Union[CalculationKind, str]] = ...) -> None: ...

class ListCalculationsResponse(_message.Message):
    __slots__ = ("calculations", "next_page_token")
    CALCULATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    calculations: _containers.RepeatedCompositeFieldContainer[Calculation]
    next_page_token: str
    def __init__(self, calculations: _Optional[_Iterable[_Union[Calculation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
