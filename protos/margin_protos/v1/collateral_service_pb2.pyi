from google.protobuf import timestamp_pb2 as _timestamp_pb2
from margin_protos.v1 import clearing_types_pb2 as _clearing_types_pb2
from margin_protos.v1 import margin_call_service_pb2 as _margin_call_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClearingAccountType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLEARING_ACCOUNT_TYPE_UNSPECIFIED: _ClassVar[ClearingAccountType]
    CLEARING_ACCOUNT_TYPE_CLIENT: _ClassVar[ClearingAccountType]
    CLEARING_ACCOUNT_TYPE_HOUSE: _ClassVar[ClearingAccountType]
CLEARING_ACCOUNT_TYPE_UNSPECIFIED: ClearingAccountType
CLEARING_ACCOUNT_TYPE_CLIENT: ClearingAccountType
CLEARING_ACCOUNT_TYPE_HOUSE: ClearingAccountType

class OpenAccountRequest(_message.Message):
    __slots__ = ("idempotency_key", "account_id", "member_id", "account_type", "nets")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_TYPE_FIELD_NUMBER: _ClassVar[int]
    NETS_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    account_id: str
    member_id: str
    account_type: ClearingAccountType
    nets: bool
    def __init__(self, idempotency_key: _Optional[str] = ..., account_id: _Optional[str] = ..., member_id: _Optional[str] = ..., account_type: _Optional[_Union[ClearingAccountType, str]] = ..., nets: bool = ...) -> None: ...

class OpenAccountResponse(_message.Message):
    __slots__ = ("position", "was_repeated")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    def __init__(self, position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...

class AttestDepositRequest(_message.Message):
    __slots__ = ("idempotency_key", "account_id", "payment_id", "amount", "custodian", "call_class", "attest_time", "expire_time")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CUSTODIAN_FIELD_NUMBER: _ClassVar[int]
    CALL_CLASS_FIELD_NUMBER: _ClassVar[int]
    ATTEST_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    account_id: str
    payment_id: str
    amount: _clearing_types_pb2.AssetAmount
    custodian: str
    call_class: _margin_call_service_pb2.CallClass
    attest_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, idempotency_key: _Optional[str] = ..., account_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., amount: _Optional[_Union[_clearing_types_pb2.AssetAmount, _Mapping]] = ..., custodian: _Optional[str] = ..., call_class: _Optional[_Union[_margin_call_service_pb2.CallClass, str]] = ..., attest_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AttestDepositResponse(_message.Message):
    __slots__ = ("position", "was_repeated", "call")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    call: _margin_call_service_pb2.MarginCall
    def __init__(self, position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ..., call: _Optional[_Union[_margin_call_service_pb2.MarginCall, _Mapping]] = ...) -> None: ...

class DepositRequest(_message.Message):
    __slots__ = ("idempotency_key", "account_id", "payment_id", "amount", "custodian", "call_class", "receive_time")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CUSTODIAN_FIELD_NUMBER: _ClassVar[int]
    CALL_CLASS_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    account_id: str
    payment_id: str
    amount: _clearing_types_pb2.AssetAmount
    custodian: str
    call_class: _margin_call_service_pb2.CallClass
    receive_time: _timestamp_pb2.Timestamp
    def __init__(self, idempotency_key: _Optional[str] = ..., account_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., amount: _Optional[_Union[_clearing_types_pb2.AssetAmount, _Mapping]] = ..., custodian: _Optional[str] = ..., call_class: _Optional[_Union[_margin_call_service_pb2.CallClass, str]] = ..., receive_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DepositResponse(_message.Message):
    __slots__ = ("position", "was_repeated", "call", "resources")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    call: _margin_call_service_pb2.MarginCall
    resources: _clearing_types_pb2.AccountResources
    def __init__(self, position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ..., call: _Optional[_Union[_margin_call_service_pb2.MarginCall, _Mapping]] = ..., resources: _Optional[_Union[_clearing_types_pb2.AccountResources, _Mapping]] = ...) -> None: ...

class WithdrawRequest(_message.Message):
    __slots__ = ("idempotency_key", "account_id", "withdrawal_id", "amount", "custodian", "person")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWAL_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CUSTODIAN_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    account_id: str
    withdrawal_id: str
    amount: _clearing_types_pb2.AssetAmount
    custodian: str
    person: str
    def __init__(self, idempotency_key: _Optional[str] = ..., account_id: _Optional[str] = ..., withdrawal_id: _Optional[str] = ..., amount: _Optional[_Union[_clearing_types_pb2.AssetAmount, _Mapping]] = ..., custodian: _Optional[str] = ..., person: _Optional[str] = ...) -> None: ...

class WithdrawResponse(_message.Message):
    __slots__ = ("position", "was_repeated", "resources")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    resources: _clearing_types_pb2.AccountResources
    def __init__(self, position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ..., resources: _Optional[_Union[_clearing_types_pb2.AccountResources, _Mapping]] = ...) -> None: ...

class ApproveWithdrawalRequest(_message.Message):
    __slots__ = ("idempotency_key", "withdrawal_id", "person")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWAL_ID_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    withdrawal_id: str
    person: str
    def __init__(self, idempotency_key: _Optional[str] = ..., withdrawal_id: _Optional[str] = ..., person: _Optional[str] = ...) -> None: ...

class ApproveWithdrawalResponse(_message.Message):
    __slots__ = ("position", "was_repeated")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    def __init__(self, position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...

class ConfirmWithdrawalRequest(_message.Message):
    __slots__ = ("idempotency_key", "withdrawal_id")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWAL_ID_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    withdrawal_id: str
    def __init__(self, idempotency_key: _Optional[str] = ..., withdrawal_id: _Optional[str] = ...) -> None: ...

class ConfirmWithdrawalResponse(_message.Message):
    __slots__ = ("position", "was_repeated")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    def __init__(self, position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...

class ReturnWithdrawalRequest(_message.Message):
    __slots__ = ("idempotency_key", "withdrawal_id")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWAL_ID_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    withdrawal_id: str
    def __init__(self, idempotency_key: _Optional[str] = ..., withdrawal_id: _Optional[str] = ...) -> None: ...

class ReturnWithdrawalResponse(_message.Message):
    __slots__ = ("position", "was_repeated")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    def __init__(self, position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...

class ListMovementsRequest(_message.Message):
    __slots__ = ("account_id", "page_size", "page_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    page_size: int
    page_token: str
    def __init__(self, account_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class Movement(_message.Message):
    __slots__ = ("log_number", "record_time", "movement_id", "kind", "phase", "balance", "amount", "pending_id", "valid_time")
    LOG_NUMBER_FIELD_NUMBER: _ClassVar[int]
    RECORD_TIME_FIELD_NUMBER: _ClassVar[int]
    MOVEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    PENDING_ID_FIELD_NUMBER: _ClassVar[int]
    VALID_TIME_FIELD_NUMBER: _ClassVar[int]
    log_number: int
    record_time: _timestamp_pb2.Timestamp
    movement_id: str
    kind: str
    phase: str
    balance: str
    amount: _clearing_types_pb2.AssetAmount
    pending_id: str
    valid_time: _timestamp_pb2.Timestamp
    def __init__(self, log_number: _Optional[int] = ..., record_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., movement_id: _Optional[str] = ..., kind: _Optional[str] = ..., phase: _Optional[str] = ..., balance: _Optional[str] = ..., amount: _Optional[_Union[_clearing_types_pb2.AssetAmount, _Mapping]] = ..., pending_id: _Optional[str] = ..., valid_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListMovementsResponse(_message.Message):
    __slots__ = ("movements", "next_page_token")
    MOVEMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    movements: _containers.RepeatedCompositeFieldContainer[Movement]
    next_page_token: str
    def __init__(self, movements: _Optional[_Iterable[_Union[Movement, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetResourcesRequest(_message.Message):
    __slots__ = ("account_id", "as_of")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    as_of: _clearing_types_pb2.AsOf
    def __init__(self, account_id: _Optional[str] = ..., as_of: _Optional[_Union[_clearing_types_pb2.AsOf, _Mapping]] = ...) -> None: ...

class AssetBalance(_message.Message):
    __slots__ = ("asset", "collateral", "requested", "cash", "in_transit", "announced")
    ASSET_FIELD_NUMBER: _ClassVar[int]
    COLLATERAL_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    CASH_FIELD_NUMBER: _ClassVar[int]
    IN_TRANSIT_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCED_FIELD_NUMBER: _ClassVar[int]
    asset: str
    collateral: int
    requested: int
    cash: int
    in_transit: int
    announced: int
    def __init__(self, asset: _Optional[str] = ..., collateral: _Optional[int] = ..., requested: _Optional[int] = ..., cash: _Optional[int] = ..., in_transit: _Optional[int] = ..., announced: _Optional[int] = ...) -> None: ...

class PositionLot(_message.Message):
    __slots__ = ("quantity", "base_price")
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    BASE_PRICE_FIELD_NUMBER: _ClassVar[int]
    quantity: str
    base_price: str
    def __init__(self, quantity: _Optional[str] = ..., base_price: _Optional[str] = ...) -> None: ...

class ClearedPosition(_message.Message):
    __slots__ = ("instrument_name", "quantity", "lots")
    INSTRUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    LOTS_FIELD_NUMBER: _ClassVar[int]
    instrument_name: str
    quantity: str
    lots: _containers.RepeatedCompositeFieldContainer[PositionLot]
    def __init__(self, instrument_name: _Optional[str] = ..., quantity: _Optional[str] = ..., lots: _Optional[_Iterable[_Union[PositionLot, _Mapping]]] = ...) -> None: ...

class GetResourcesResponse(_message.Message):
    __slots__ = ("account_id", "member_id", "resources", "balances", "positions", "position", "problem")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    member_id: str
    resources: _clearing_types_pb2.AccountResources
    balances: _containers.RepeatedCompositeFieldContainer[AssetBalance]
    positions: _containers.RepeatedCompositeFieldContainer[ClearedPosition]
    position: _clearing_types_pb2.LogPosition
    problem: str
    def __init__(self, account_id: _Optional[str] = ..., member_id: _Optional[str] = ..., resources: _Optional[_Union[_clearing_types_pb2.AccountResources, _Mapping]] = ..., balances: _Optional[_Iterable[_Union[AssetBalance, _Mapping]]] = ..., positions: _Optional[_Iterable[_Union[ClearedPosition, _Mapping]]] = ..., position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., problem: _Optional[str] = ...) -> None: ...
