from google.protobuf import timestamp_pb2 as _timestamp_pb2
from margin_protos.v1 import clearing_types_pb2 as _clearing_types_pb2
from margin_protos.v1 import margin_types_pb2 as _margin_types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MarginReservation(_message.Message):
    __slots__ = ("quote_id", "reserved_cents", "expire_time", "trades")
    QUOTE_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVED_CENTS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    quote_id: str
    reserved_cents: int
    expire_time: _timestamp_pb2.Timestamp
    trades: _containers.RepeatedCompositeFieldContainer[_margin_types_pb2.Position]
    def __init__(self, quote_id: _Optional[str] = ..., reserved_cents: _Optional[int] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., trades: _Optional[_Iterable[_Union[_margin_types_pb2.Position, _Mapping]]] = ...) -> None: ...

class ReserveMarginRequest(_message.Message):
    __slots__ = ("idempotency_key", "account_id", "quote_id", "trades", "expire_time")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    QUOTE_ID_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    account_id: str
    quote_id: str
    trades: _containers.RepeatedCompositeFieldContainer[_margin_types_pb2.Position]
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, idempotency_key: _Optional[str] = ..., account_id: _Optional[str] = ..., quote_id: _Optional[str] = ..., trades: _Optional[_Iterable[_Union[_margin_types_pb2.Position, _Mapping]]] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ReserveMarginResponse(_message.Message):
    __slots__ = ("reservation", "incremental_cents", "resources", "generation", "was_repeated")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    INCREMENTAL_CENTS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    reservation: MarginReservation
    incremental_cents: int
    resources: _clearing_types_pb2.AccountResources
    generation: _margin_types_pb2.Generation
    was_repeated: bool
    def __init__(self, reservation: _Optional[_Union[MarginReservation, _Mapping]] = ..., incremental_cents: _Optional[int] = ..., resources: _Optional[_Union[_clearing_types_pb2.AccountResources, _Mapping]] = ..., generation: _Optional[_Union[_margin_types_pb2.Generation, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...

class CancelReservationRequest(_message.Message):
    __slots__ = ("idempotency_key", "account_id", "quote_id")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    QUOTE_ID_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    account_id: str
    quote_id: str
    def __init__(self, idempotency_key: _Optional[str] = ..., account_id: _Optional[str] = ..., quote_id: _Optional[str] = ...) -> None: ...

class CancelReservationResponse(_message.Message):
    __slots__ = ("resources", "was_repeated")
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    resources: _clearing_types_pb2.AccountResources
    was_repeated: bool
    def __init__(self, resources: _Optional[_Union[_clearing_types_pb2.AccountResources, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...

class ListReservationsRequest(_message.Message):
    __slots__ = ("account_id", "as_of")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    as_of: _clearing_types_pb2.AsOf
    def __init__(self, account_id: _Optional[str] = ..., as_of: _Optional[_Union[_clearing_types_pb2.AsOf, _Mapping]] = ...) -> None: ...

class ListReservationsResponse(_message.Message):
    __slots__ = ("reservations", "position")
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    reservations: _containers.RepeatedCompositeFieldContainer[MarginReservation]
    position: _clearing_types_pb2.LogPosition
    def __init__(self, reservations: _Optional[_Iterable[_Union[MarginReservation, _Mapping]]] = ..., position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ...) -> None: ...
