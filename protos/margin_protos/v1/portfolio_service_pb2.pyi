from margin_protos.v1 import clearing_types_pb2 as _clearing_types_pb2
from margin_protos.v1 import margin_types_pb2 as _margin_types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UploadPositionsRequest(_message.Message):
    __slots__ = ("idempotency_key", "positions", "is_last")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    positions: _margin_types_pb2.PositionColumns
    is_last: bool
    def __init__(self, idempotency_key: _Optional[str] = ..., positions: _Optional[_Union[_margin_types_pb2.PositionColumns, _Mapping]] = ..., is_last: bool = ...) -> None: ...

class UploadPositionsResponse(_message.Message):
    __slots__ = ("version", "book_id", "accounts", "positions", "was_repeated", "expired_positions")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BOOK_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    version: int
    book_id: str
    accounts: int
    positions: int
    was_repeated: bool
    expired_positions: int
    def __init__(self, version: _Optional[int] = ..., book_id: _Optional[str] = ..., accounts: _Optional[int] = ..., positions: _Optional[int] = ..., was_repeated: bool = ..., expired_positions: _Optional[int] = ...) -> None: ...

class Trade(_message.Message):
    __slots__ = ("account_id", "member_id", "instrument_name", "quantity")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    member_id: str
    instrument_name: str
    quantity: float
    def __init__(self, account_id: _Optional[str] = ..., member_id: _Optional[str] = ..., instrument_name: _Optional[str] = ..., quantity: _Optional[float] = ...) -> None: ...

class ApplyTradesRequest(_message.Message):
    __slots__ = ("idempotency_key", "trades")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    trades: _containers.RepeatedCompositeFieldContainer[Trade]
    def __init__(self, idempotency_key: _Optional[str] = ..., trades: _Optional[_Iterable[_Union[Trade, _Mapping]]] = ...) -> None: ...

class ApplyTradesResponse(_message.Message):
    __slots__ = ("version", "was_repeated")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    version: int
    was_repeated: bool
    def __init__(self, version: _Optional[int] = ..., was_repeated: bool = ...) -> None: ...

class ClearedTrade(_message.Message):
    __slots__ = ("trade_id", "instrument_name", "buyer_account_id", "seller_account_id", "quantity", "price", "buyer_quote_id", "seller_quote_id")
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    BUYER_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    SELLER_ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    BUYER_QUOTE_ID_FIELD_NUMBER: _ClassVar[int]
    SELLER_QUOTE_ID_FIELD_NUMBER: _ClassVar[int]
    trade_id: str
    instrument_name: str
    buyer_account_id: str
    seller_account_id: str
    quantity: str
    price: str
    buyer_quote_id: str
    seller_quote_id: str
    def __init__(self, trade_id: _Optional[str] = ..., instrument_name: _Optional[str] = ..., buyer_account_id: _Optional[str] = ..., seller_account_id: _Optional[str] = ..., quantity: _Optional[str] = ..., price: _Optional[str] = ..., buyer_quote_id: _Optional[str] = ..., seller_quote_id: _Optional[str] = ...) -> None: ...

class BookTradesRequest(_message.Message):
    __slots__ = ("idempotency_key", "trades")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    trades: _containers.RepeatedCompositeFieldContainer[ClearedTrade]
    def __init__(self, idempotency_key: _Optional[str] = ..., trades: _Optional[_Iterable[_Union[ClearedTrade, _Mapping]]] = ...) -> None: ...

class BookTradesResponse(_message.Message):
    __slots__ = ("position", "was_repeated")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    def __init__(self, position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...

class GetPortfolioRequest(_message.Message):
    __slots__ = ("account_id",)
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    def __init__(self, account_id: _Optional[str] = ...) -> None: ...

class GetPortfolioResponse(_message.Message):
    __slots__ = ("account_id", "member_id", "positions", "version", "book_id")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BOOK_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    member_id: str
    positions: _containers.RepeatedCompositeFieldContainer[_margin_types_pb2.Position]
    version: int
    book_id: str
    def __init__(self, account_id: _Optional[str] = ..., member_id: _Optional[str] = ..., positions: _Optional[_Iterable[_Union[_margin_types_pb2.Position, _Mapping]]] = ..., version: _Optional[int] = ..., book_id: _Optional[str] = ...) -> None: ...
