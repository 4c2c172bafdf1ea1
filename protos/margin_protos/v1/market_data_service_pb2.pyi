from google.protobuf import timestamp_pb2 as _timestamp_pb2
from margin_protos.v1 import margin_types_pb2 as _margin_types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExpiryForward(_message.Message):
    __slots__ = ("underlying", "expiry", "forward_usd")
    UNDERLYING_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    FORWARD_USD_FIELD_NUMBER: _ClassVar[int]
    underlying: str
    expiry: _timestamp_pb2.Timestamp
    forward_usd: float
    def __init__(self, underlying: _Optional[str] = ..., expiry: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., forward_usd: _Optional[float] = ...) -> None: ...

class IndexPrice(_message.Message):
    __slots__ = ("underlying", "price_usd")
    UNDERLYING_FIELD_NUMBER: _ClassVar[int]
    PRICE_USD_FIELD_NUMBER: _ClassVar[int]
    underlying: str
    price_usd: float
    def __init__(self, underlying: _Optional[str] = ..., price_usd: _Optional[float] = ...) -> None: ...

class SnapshotHeader(_message.Message):
    __slots__ = ("time", "index_prices", "expiries", "discount_annual", "is_synthetic", "perpetual_prices", "rates")
    TIME_FIELD_NUMBER: _ClassVar[int]
    INDEX_PRICES_FIELD_NUMBER: _ClassVar[int]
    EXPIRIES_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_ANNUAL_FIELD_NUMBER: _ClassVar[int]
    IS_SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    PERPETUAL_PRICES_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    index_prices: _containers.RepeatedCompositeFieldContainer[IndexPrice]
    expiries: _containers.RepeatedCompositeFieldContainer[ExpiryForward]
    discount_annual: float
    is_synthetic: bool
    perpetual_prices: _containers.RepeatedCompositeFieldContainer[IndexPrice]
    rates: RateCurve
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., index_prices: _Optional[_Iterable[_Union[IndexPrice, _Mapping]]] = ..., expiries: _Optional[_Iterable[_Union[ExpiryForward, _Mapping]]] = ..., discount_annual: _Optional[float] = ..., is_synthetic: bool = ..., perpetual_prices: _Optional[_Iterable[_Union[IndexPrice, _Mapping]]] = ..., rates: _Optional[_Union[RateCurve, _Mapping]] = ...) -> None: ...

class RateCurve(_message.Message):
    __slots__ = ("day", "tenor_years", "zero_rate")
    DAY_FIELD_NUMBER: _ClassVar[int]
    TENOR_YEARS_FIELD_NUMBER: _ClassVar[int]
    ZERO_RATE_FIELD_NUMBER: _ClassVar[int]
    day: str
    tenor_years: _containers.RepeatedScalarFieldContainer[float]
    zero_rate: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, day: _Optional[str] = ..., tenor_years: _Optional[_Iterable[float]] = ..., zero_rate: _Optional[_Iterable[float]] = ...) -> None: ...

class OptionQuoteColumns(_message.Message):
    __slots__ = ("instrument_name", "bid", "ask", "mark", "mark_vol", "open_interest", "volume", "age_seconds")
    INSTRUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    BID_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    MARK_VOL_FIELD_NUMBER: _ClassVar[int]
    OPEN_INTEREST_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    instrument_name: _containers.RepeatedScalarFieldContainer[str]
    bid: _containers.RepeatedScalarFieldContainer[float]
    ask: _containers.RepeatedScalarFieldContainer[float]
    mark: _containers.RepeatedScalarFieldContainer[float]
    mark_vol: _containers.RepeatedScalarFieldContainer[float]
    open_interest: _containers.RepeatedScalarFieldContainer[float]
    volume: _containers.RepeatedScalarFieldContainer[float]
    age_seconds: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, instrument_name: _Optional[_Iterable[str]] = ..., bid: _Optional[_Iterable[float]] = ..., ask: _Optional[_Iterable[float]] = ..., mark: _Optional[_Iterable[float]] = ..., mark_vol: _Optional[_Iterable[float]] = ..., open_interest: _Optional[_Iterable[float]] = ..., volume: _Optional[_Iterable[float]] = ..., age_seconds: _Optional[_Iterable[float]] = ...) -> None: ...

class PublishSnapshotRequest(_message.Message):
    __slots__ = ("header", "quotes", "is_last", "idempotency_key", "allow_older")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    QUOTES_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ALLOW_OLDER_FIELD_NUMBER: _ClassVar[int]
    header: SnapshotHeader
    quotes: OptionQuoteColumns
    is_last: bool
    idempotency_key: str
    allow_older: bool
    def __init__(self, header: _Optional[_Union[SnapshotHeader, _Mapping]] = ..., quotes: _Optional[_Union[OptionQuoteColumns, _Mapping]] = ..., is_last: bool = ..., idempotency_key: _Optional[str] = ..., allow_older: bool = ...) -> None: ...

class PublishSnapshotResponse(_message.Message):
    __slots__ = ("snapshot_id", "generation", "options", "was_repeated", "findings")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    generation: int
    options: int
    was_repeated: bool
    findings: _containers.RepeatedCompositeFieldContainer[_margin_types_pb2.ChainFinding]
    def __init__(self, snapshot_id: _Optional[str] = ..., generation: _Optional[int] = ..., options: _Optional[int] = ..., was_repeated: bool = ..., findings: _Optional[_Iterable[_Union[_margin_types_pb2.ChainFinding, _Mapping]]] = ...) -> None: ...

class ListSnapshotsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class SnapshotSummary(_message.Message):
    __slots__ = ("snapshot_id", "time", "create_time", "options", "is_synthetic", "is_current")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    IS_SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    IS_CURRENT_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    options: int
    is_synthetic: bool
    is_current: bool
    def __init__(self, snapshot_id: _Optional[str] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., options: _Optional[int] = ..., is_synthetic: bool = ..., is_current: bool = ...) -> None: ...

class ListSnapshotsResponse(_message.Message):
    __slots__ = ("snapshots", "next_page_token")
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[SnapshotSummary]
    next_page_token: str
    def __init__(self, snapshots: _Optional[_Iterable[_Union[SnapshotSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetSurfaceRequest(_message.Message):
    __slots__ = ("underlying", "snapshot_id", "strike_over_forward")
    UNDERLYING_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    STRIKE_OVER_FORWARD_FIELD_NUMBER: _ClassVar[int]
    underlying: str
    snapshot_id: str
    strike_over_forward: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, underlying: _Optional[str] = ..., snapshot_id: _Optional[str] = ..., strike_over_forward: _Optional[_Iterable[float]] = ...) -> None: ...

class SurfaceSlice(_message.Message):
    __slots__ = ("expiry", "tenor_years", "forward_usd", "parameters", "volatility", "quotes", "quotes_inside", "is_arbitrage_free")
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    TENOR_YEARS_FIELD_NUMBER: _ClassVar[int]
    FORWARD_USD_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    QUOTES_FIELD_NUMBER: _ClassVar[int]
    QUOTES_INSIDE_FIELD_NUMBER: _ClassVar[int]
    IS_ARBITRAGE_FREE_FIELD_NUMBER: _ClassVar[int]
    expiry: _timestamp_pb2.Timestamp
    tenor_years: float
    forward_usd: float
    parameters: _containers.RepeatedScalarFieldContainer[float]
    volatility: _containers.RepeatedScalarFieldContainer[float]
    quotes: int
    quotes_inside: int
    is_arbitrage_free: bool
    def __init__(self, expiry: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., tenor_years: _Optional[float] = ..., forward_usd: _Optional[float] = ..., parameters: _Optional[_Iterable[float]] = ..., volatility: _Optional[_Iterable[float]] = ..., quotes: _Optional[int] = ..., quotes_inside: _Optional[int] = ..., is_arbitrage_free: bool = ...) -> None: ...

class GetSurfaceResponse(_message.Message):
    __slots__ = ("surface_id", "snapshot_id", "smile", "slices")
    SURFACE_ID_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    SMILE_FIELD_NUMBER: _ClassVar[int]
    SLICES_FIELD_NUMBER: _ClassVar[int]
    surface_id: str
    snapshot_id: str
    smile: str
    slices: _containers.RepeatedCompositeFieldContainer[SurfaceSlice]
    def __init__(self, surface_id: _Optional[str] = ..., snapshot_id: _Optional[str] = ..., smile: _Optional[str] = ..., slices: _Optional[_Iterable[_Union[SurfaceSlice, _Mapping]]] = ...) -> None: ...
