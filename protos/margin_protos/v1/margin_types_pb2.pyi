from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Position(_message.Message):
    __slots__ = ("instrument_name", "quantity")
    INSTRUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    instrument_name: str
    quantity: float
    def __init__(self, instrument_name: _Optional[str] = ..., quantity: _Optional[float] = ...) -> None: ...

class Portfolio(_message.Message):
    __slots__ = ("positions",)
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    def __init__(self, positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ...) -> None: ...

class PositionColumns(_message.Message):
    __slots__ = ("account_ids", "member_ids", "instrument_names", "account", "instrument", "quantity")
    ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_IDS_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENT_NAMES_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENT_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    account_ids: _containers.RepeatedScalarFieldContainer[str]
    member_ids: _containers.RepeatedScalarFieldContainer[str]
    instrument_names: _containers.RepeatedScalarFieldContainer[str]
    account: _containers.RepeatedScalarFieldContainer[int]
    instrument: _containers.RepeatedScalarFieldContainer[int]
    quantity: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, account_ids: _Optional[_Iterable[str]] = ..., member_ids: _Optional[_Iterable[str]] = ..., instrument_names: _Optional[_Iterable[str]] = ..., account: _Optional[_Iterable[int]] = ..., instrument: _Optional[_Iterable[int]] = ..., quantity: _Optional[_Iterable[float]] = ...) -> None: ...

class Generation(_message.Message):
    __slots__ = ("number", "snapshot_id", "snapshot_time", "scenarios_id", "scenarios", "model_id", "model_name", "instruments", "is_synthetic", "model_version", "quarantined_expiries")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_TIME_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_ID_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENTS_FIELD_NUMBER: _ClassVar[int]
    IS_SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_EXPIRIES_FIELD_NUMBER: _ClassVar[int]
    number: int
    snapshot_id: str
    snapshot_time: _timestamp_pb2.Timestamp
    scenarios_id: str
    scenarios: int
    model_id: str
    model_name: str
    instruments: int
    is_synthetic: bool
    model_version: str
    quarantined_expiries: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, number: _Optional[int] = ..., snapshot_id: _Optional[str] = ..., snapshot_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., scenarios_id: _Optional[str] = ..., scenarios: _Optional[int] = ..., model_id: _Optional[str] = ..., model_name: _Optional[str] = ..., instruments: _Optional[int] = ..., is_synthetic: bool = ..., model_version: _Optional[str] = ..., quarantined_expiries: _Optional[_Iterable[str]] = ...) -> None: ...

class ChainFinding(_message.Message):
    __slots__ = ("gate", "underlying", "expiry", "instrument_name", "what", "value", "limit", "effect")
    GATE_FIELD_NUMBER: _ClassVar[int]
    UNDERLYING_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    gate: str
    underlying: str
    expiry: str
    instrument_name: str
    what: str
    value: float
    limit: float
    effect: str
    def __init__(self, gate: _Optional[str] = ..., underlying: _Optional[str] = ..., expiry: _Optional[str] = ..., instrument_name: _Optional[str] = ..., what: _Optional[str] = ..., value: _Optional[float] = ..., limit: _Optional[float] = ..., effect: _Optional[str] = ...) -> None: ...

class InputIds(_message.Message):
    __slots__ = ("snapshot_id", "scenarios_id", "model_id", "book_id", "surface_ids")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    BOOK_ID_FIELD_NUMBER: _ClassVar[int]
    SURFACE_IDS_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    scenarios_id: str
    model_id: str
    book_id: str
    surface_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, snapshot_id: _Optional[str] = ..., scenarios_id: _Optional[str] = ..., model_id: _Optional[str] = ..., book_id: _Optional[str] = ..., surface_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class PartInput(_message.Message):
    __slots__ = ("name", "value", "of")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    of: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., of: _Optional[str] = ...) -> None: ...

class RequirementPart(_message.Message):
    __slots__ = ("name", "amount_usd", "inputs")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_USD_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    amount_usd: float
    inputs: _containers.RepeatedCompositeFieldContainer[PartInput]
    def __init__(self, name: _Optional[str] = ..., amount_usd: _Optional[float] = ..., inputs: _Optional[_Iterable[_Union[PartInput, _Mapping]]] = ...) -> None: ...

class AccountMargin(_message.Message):
    __slots__ = ("account_id", "member_id", "positions", "value_usd", "var_usd", "var_low_usd", "var_high_usd", "es_usd", "es_standard_error_usd", "worst_usd", "worst_scenario", "core_usd", "initial_margin_usd", "rounding_bound_usd", "parts", "undiversified_usd", "span_usd", "venue_grid_usd", "long_usd", "stress_period_usd", "stress_usd", "stress_name", "expired_instruments", "dominant_add_on")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    VALUE_USD_FIELD_NUMBER: _ClassVar[int]
    VAR_USD_FIELD_NUMBER: _ClassVar[int]
    VAR_LOW_USD_FIELD_NUMBER: _ClassVar[int]
    VAR_HIGH_USD_FIELD_NUMBER: _ClassVar[int]
    ES_USD_FIELD_NUMBER: _ClassVar[int]
    ES_STANDARD_ERROR_USD_FIELD_NUMBER: _ClassVar[int]
    WORST_USD_FIELD_NUMBER: _ClassVar[int]
    WORST_SCENARIO_FIELD_NUMBER: _ClassVar[int]
    CORE_USD_FIELD_NUMBER: _ClassVar[int]
    INITIAL_MARGIN_USD_FIELD_NUMBER: _ClassVar[int]
    ROUNDING_BOUND_USD_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    UNDIVERSIFIED_USD_FIELD_NUMBER: _ClassVar[int]
    SPAN_USD_FIELD_NUMBER: _ClassVar[int]
    VENUE_GRID_USD_FIELD_NUMBER: _ClassVar[int]
    LONG_USD_FIELD_NUMBER: _ClassVar[int]
    STRESS_PERIOD_USD_FIELD_NUMBER: _ClassVar[int]
    STRESS_USD_FIELD_NUMBER: _ClassVar[int]
    STRESS_NAME_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_INSTRUMENTS_FIELD_NUMBER: _ClassVar[int]
    DOMINANT_ADD_ON_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    member_id: str
    positions: int
    value_usd: float
    var_usd: float
    var_low_usd: float
    var_high_usd: float
    es_usd: float
    es_standard_error_usd: float
    worst_usd: float
    worst_scenario: int
    core_usd: float
    initial_margin_usd: float
    rounding_bound_usd: float
    parts: _containers.RepeatedCompositeFieldContainer[RequirementPart]
    undiversified_usd: float
    span_usd: float
    venue_grid_usd: float
    long_usd: float
    stress_period_usd: float
    stress_usd: float
    stress_name: str
    expired_instruments: _containers.RepeatedScalarFieldContainer[str]
    dominant_add_on: str
    def __init__(self, account_id: _Optional[str] = ..., member_id: _Optional[str] = ..., positions: _Optional[int] = ..., value_usd: _Optional[float] = ..., var_usd: _Optional[float] = ..., var_low_usd: _Optional[float] = ..., var_high_usd: _Optional[float] = ..., es_usd: _Optional[float] = ..., es_standard_error_usd: _Optional[float] = ..., worst_usd: _Optional[float] = ..., worst_scenario: _Optional[int] = ..., core_usd: _Optional[float] = ..., initial_margin_usd: _Optional[float] = ..., rounding_bound_usd: _Optional[float] = ..., parts: _Optional[_Iterable[_Union[RequirementPart, _Mapping]]] = ..., undiversified_usd: _Optional[float] = ..., span_usd: _Optional[float] = ..., venue_grid_usd: _Optional[float] = ..., long_usd: _Optional[float] = ..., stress_period_usd: _Optional[float] = ..., stress_usd: _Optional[float] = ..., stress_name: _Optional[str] = ..., expired_instruments: _Optional[_Iterable[str]] = ..., dominant_add_on: _Optional[str] = ...) -> None: ...

class AccountProblem(_message.Message):
    __slots__ = ("instrument_name", "description")
    INSTRUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    instrument_name: str
    description: str
    def __init__(self, instrument_name: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class AccountFailure(_message.Message):
    __slots__ = ("account_id", "member_id", "positions", "problems", "problems_total")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    member_id: str
    positions: int
    problems: _containers.RepeatedCompositeFieldContainer[AccountProblem]
    problems_total: int
    def __init__(self, account_id: _Optional[str] = ..., member_id: _Optional[str] = ..., positions: _Optional[int] = ..., problems: _Optional[_Iterable[_Union[AccountProblem, _Mapping]]] = ..., problems_total: _Optional[int] = ...) -> None: ...

class ComponentColumn(_message.Message):
    __slots__ = ("name", "amount_usd")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_USD_FIELD_NUMBER: _ClassVar[int]
    name: str
    amount_usd: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., amount_usd: _Optional[_Iterable[float]] = ...) -> None: ...

class AccountMarginColumns(_message.Message):
    __slots__ = ("account_id", "member_id", "positions", "value_usd", "var_usd", "var_low_usd", "var_high_usd", "es_usd", "es_standard_error_usd", "worst_usd", "worst_scenario", "core_usd", "initial_margin_usd", "rounding_bound_usd", "diversification_cap_usd", "correlation_stress_usd", "buffer_usd", "stressed_weight_usd", "floor_usd", "concentration_usd", "liquidity_usd", "model_risk_usd", "expiry_risk_usd", "expired_positions", "other_components", "dominant_add_on", "has_resources", "resources_cents", "excess_cents")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    VALUE_USD_FIELD_NUMBER: _ClassVar[int]
    VAR_USD_FIELD_NUMBER: _ClassVar[int]
    VAR_LOW_USD_FIELD_NUMBER: _ClassVar[int]
    VAR_HIGH_USD_FIELD_NUMBER: _ClassVar[int]
    ES_USD_FIELD_NUMBER: _ClassVar[int]
    ES_STANDARD_ERROR_USD_FIELD_NUMBER: _ClassVar[int]
    WORST_USD_FIELD_NUMBER: _ClassVar[int]
    WORST_SCENARIO_FIELD_NUMBER: _ClassVar[int]
    CORE_USD_FIELD_NUMBER: _ClassVar[int]
    INITIAL_MARGIN_USD_FIELD_NUMBER: _ClassVar[int]
    ROUNDING_BOUND_USD_FIELD_NUMBER: _ClassVar[int]
    DIVERSIFICATION_CAP_USD_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_STRESS_USD_FIELD_NUMBER: _ClassVar[int]
    BUFFER_USD_FIELD_NUMBER: _ClassVar[int]
    STRESSED_WEIGHT_USD_FIELD_NUMBER: _ClassVar[int]
    FLOOR_USD_FIELD_NUMBER: _ClassVar[int]
    CONCENTRATION_USD_FIELD_NUMBER: _ClassVar[int]
    LIQUIDITY_USD_FIELD_NUMBER: _ClassVar[int]
    MODEL_RISK_USD_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_RISK_USD_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    OTHER_COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    DOMINANT_ADD_ON_FIELD_NUMBER: _ClassVar[int]
    HAS_RESOURCES_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_CENTS_FIELD_NUMBER: _ClassVar[int]
    EXCESS_CENTS_FIELD_NUMBER: _ClassVar[int]
    account_id: _containers.RepeatedScalarFieldContainer[str]
    member_id: _containers.RepeatedScalarFieldContainer[str]
    positions: _containers.RepeatedScalarFieldContainer[int]
    value_usd: _containers.RepeatedScalarFieldContainer[float]
    var_usd: _containers.RepeatedScalarFieldContainer[float]
    var_low_usd: _containers.RepeatedScalarFieldContainer[float]
    var_high_usd: _containers.RepeatedScalarFieldContainer[float]
    es_usd: _containers.RepeatedScalarFieldContainer[float]
    es_standard_error_usd: _containers.RepeatedScalarFieldContainer[float]
    worst_usd: _containers.RepeatedScalarFieldContainer[float]
    worst_scenario: _containers.RepeatedScalarFieldContainer[int]
    core_usd: _containers.RepeatedScalarFieldContainer[float]
    initial_margin_usd: _containers.RepeatedScalarFieldContainer[float]
    rounding_bound_usd: _containers.RepeatedScalarFieldContainer[float]
    diversification_cap_usd: _containers.RepeatedScalarFieldContainer[float]
    correlation_stress_usd: _containers.RepeatedScalarFieldContainer[float]
    buffer_usd: _containers.RepeatedScalarFieldContainer[float]
    stressed_weight_usd: _containers.RepeatedScalarFieldContainer[float]
    floor_usd: _containers.RepeatedScalarFieldContainer[float]
    concentration_usd: _containers.RepeatedScalarFieldContainer[float]
    liquidity_usd: _containers.RepeatedScalarFieldContainer[float]
    model_risk_usd: _containers.RepeatedScalarFieldContainer[float]
    expiry_risk_usd: _containers.RepeatedScalarFieldContainer[float]
    expired_positions: _containers.RepeatedScalarFieldContainer[int]
    other_components: _containers.RepeatedCompositeFieldContainer[ComponentColumn]
    dominant_add_on: _containers.RepeatedScalarFieldContainer[str]
    has_resources: _containers.RepeatedScalarFieldContainer[bool]
    resources_cents: _containers.RepeatedScalarFieldContainer[int]
    excess_cents: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, account_id: _Optional[_Iterable[str]] = ..., member_id: _Optional[_Iterable[str]] = ..., positions: _Optional[_Iterable[int]] = ..., value_usd: _Optional[_Iterable[float]] = ..., var_usd: _Optional[_Iterable[float]] = ..., var_low_usd: _Optional[_Iterable[float]] = ..., var_high_usd: _Optional[_Iterable[float]] = ..., es_usd: _Optional[_Iterable[float]] = ..., es_standard_error_usd: _Optional[_Iterable[float]] = ..., worst_usd: _Optional[_Iterable[float]] = ..., worst_scenario: _Optional[_Iterable[int]] = ..., core_usd: _Optional[_Iterable[float]] = ..., initial_margin_usd: _Optional[_Iterable[float]] = ..., rounding_bound_usd: _Optional[_Iterable[float]] = ..., diversification_cap_usd: _Optional[_Iterable[float]] = ..., correlation_stress_usd: _Optional[_Iterable[float]] = ..., buffer_usd: _Optional[_Iterable[float]] = ..., stressed_weight_usd: _Optional[_Iterable[float]] = ..., floor_usd: _Optional[_Iterable[float]] = ..., concentration_usd: _Optional[_Iterable[float]] = ..., liquidity_usd: _Optional[_Iterable[float]] = ..., model_risk_usd: _Optional[_Iterable[float]] = ..., expiry_risk_usd: _Optional[_Iterable[float]] = ..., expired_positions: _Optional[_Iterable[int]] = ..., other_components: _Optional[_Iterable[_Union[ComponentColumn, _Mapping]]] = ..., dominant_add_on: _Optional[_Iterable[str]] = ..., has_resources: _Optional[_Iterable[bool]] = ..., resources_cents: _Optional[_Iterable[int]] = ..., excess_cents: _Optional[_Iterable[int]] = ...) -> None: ...
