from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AssetAmount(_message.Message):
    __slots__ = ("asset", "units")
    ASSET_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    asset: str
    units: int
    def __init__(self, asset: _Optional[str] = ..., units: _Optional[int] = ...) -> None: ...

class AsOf(_message.Message):
    __slots__ = ("log_number", "time")
    LOG_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    log_number: int
    time: _timestamp_pb2.Timestamp
    def __init__(self, log_number: _Optional[int] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LogPosition(_message.Message):
    __slots__ = ("number", "time", "token")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    number: int
    time: _timestamp_pb2.Timestamp
    token: str
    def __init__(self, number: _Optional[int] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., token: _Optional[str] = ...) -> None: ...

class CollateralValue(_message.Message):
    __slots__ = ("asset", "units", "market_cents", "counted_cents")
    ASSET_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    MARKET_CENTS_FIELD_NUMBER: _ClassVar[int]
    COUNTED_CENTS_FIELD_NUMBER: _ClassVar[int]
    asset: str
    units: int
    market_cents: int
    counted_cents: int
    def __init__(self, asset: _Optional[str] = ..., units: _Optional[int] = ..., market_cents: _Optional[int] = ..., counted_cents: _Optional[int] = ...) -> None: ...

class AccountResources(_message.Message):
    __slots__ = ("requirement_cents", "resources_cents", "excess_cents", "reserved_cents", "free_cents", "collateral", "option_cents", "unsettled_cents", "is_frozen", "position")
    REQUIREMENT_CENTS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_CENTS_FIELD_NUMBER: _ClassVar[int]
    EXCESS_CENTS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_CENTS_FIELD_NUMBER: _ClassVar[int]
    FREE_CENTS_FIELD_NUMBER: _ClassVar[int]
    COLLATERAL_FIELD_NUMBER: _ClassVar[int]
    OPTION_CENTS_FIELD_NUMBER: _ClassVar[int]
    UNSETTLED_CENTS_FIELD_NUMBER: _ClassVar[int]
    IS_FROZEN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    requirement_cents: int
    resources_cents: int
    excess_cents: int
    reserved_cents: int
    free_cents: int
    collateral: _containers.RepeatedCompositeFieldContainer[CollateralValue]
    option_cents: int
    unsettled_cents: int
    is_frozen: bool
    position: LogPosition
    def __init__(self, requirement_cents: _Optional[int] = ..., resources_cents: _Optional[int] = ..., excess_cents: _Optional[int] = ..., reserved_cents: _Optional[int] = ..., free_cents: _Optional[int] = ..., collateral: _Optional[_Iterable[_Union[CollateralValue, _Mapping]]] = ..., option_cents: _Optional[int] = ..., unsettled_cents: _Optional[int] = ..., is_frozen: bool = ..., position: _Optional[_Union[LogPosition, _Mapping]] = ...) -> None: ...
