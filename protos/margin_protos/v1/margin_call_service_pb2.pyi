from google.protobuf import timestamp_pb2 as _timestamp_pb2
from margin_protos.v1 import clearing_types_pb2 as _clearing_types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CallClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALL_CLASS_UNSPECIFIED: _ClassVar[CallClass]
    CALL_CLASS_INITIAL: _ClassVar[CallClass]
    CALL_CLASS_VARIATION: _ClassVar[CallClass]
    CALL_CLASS_DEFAULT_FUND: _ClassVar[CallClass]

class CallStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALL_STATUS_UNSPECIFIED: _ClassVar[CallStatus]
    CALL_STATUS_ISSUED: _ClassVar[CallStatus]
    CALL_STATUS_ACKNOWLEDGED: _ClassVar[CallStatus]
    CALL_STATUS_PARTLY_MET: _ClassVar[CallStatus]
    CALL_STATUS_OVERDUE: _ClassVar[CallStatus]
    CALL_STATUS_MET: _ClassVar[CallStatus]
    CALL_STATUS_CANCELLED: _ClassVar[CallStatus]
    CALL_STATUS_DEFAULT_DECLARED: _ClassVar[CallStatus]
CALL_CLASS_UNSPECIFIED: CallClass
CALL_CLASS_INITIAL: CallClass
CALL_CLASS_VARIATION: CallClass
CALL_CLASS_DEFAULT_FUND: CallClass
CALL_STATUS_UNSPECIFIED: CallStatus
CALL_STATUS_ISSUED: CallStatus
CALL_STATUS_ACKNOWLEDGED: CallStatus
CALL_STATUS_PARTLY_MET: CallStatus
CALL_STATUS_OVERDUE: CallStatus
CALL_STATUS_MET: CallStatus
CALL_STATUS_CANCELLED: CallStatus
CALL_STATUS_DEFAULT_DECLARED: CallStatus

class CallTranche(_message.Message):
    __slots__ = ("number", "amount_cents", "paid_cents", "issue_time", "due_time", "assets", "is_late", "passed_under_hold")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    PAID_CENTS_FIELD_NUMBER: _ClassVar[int]
    ISSUE_TIME_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    ASSETS_FIELD_NUMBER: _ClassVar[int]
    IS_LATE_FIELD_NUMBER: _ClassVar[int]
    PASSED_UNDER_HOLD_FIELD_NUMBER: _ClassVar[int]
    number: int
    amount_cents: int
    paid_cents: int
    issue_time: _timestamp_pb2.Timestamp
    due_time: _timestamp_pb2.Timestamp
    assets: _containers.RepeatedScalarFieldContainer[str]
    is_late: bool
    passed_under_hold: bool
    def __init__(self, number: _Optional[int] = ..., amount_cents: _Optional[int] = ..., paid_cents: _Optional[int] = ..., issue_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., due_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., assets: _Optional[_Iterable[str]] = ..., is_late: bool = ..., passed_under_hold: bool = ...) -> None: ...

class AttestedPayment(_message.Message):
    __slots__ = ("payment_id", "amount_cents", "expire_time")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_CENTS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    amount_cents: int
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, payment_id: _Optional[str] = ..., amount_cents: _Optional[int] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CallApproval(_message.Message):
    __slots__ = ("action_hash", "proposer", "approver", "expire_time")
    ACTION_HASH_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    APPROVER_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    action_hash: str
    proposer: str
    approver: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, action_hash: _Optional[str] = ..., proposer: _Optional[str] = ..., approver: _Optional[str] = ..., expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MarginCall(_message.Message):
    __slots__ = ("call_id", "account_id", "call_class", "status", "out_cents", "tranches", "is_acknowledged", "is_held", "is_open", "attested", "approvals", "version", "change_time")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_CLASS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OUT_CENTS_FIELD_NUMBER: _ClassVar[int]
    TRANCHES_FIELD_NUMBER: _ClassVar[int]
    IS_ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    IS_HELD_FIELD_NUMBER: _ClassVar[int]
    IS_OPEN_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGE_TIME_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    account_id: str
    call_class: CallClass
    status: CallStatus
    out_cents: int
    tranches: _containers.RepeatedCompositeFieldContainer[CallTranche]
    is_acknowledged: bool
    is_held: bool
    is_open: bool
    attested: _containers.RepeatedCompositeFieldContainer[AttestedPayment]
    approvals: _containers.RepeatedCompositeFieldContainer[CallApproval]
    version: int
    change_time: _timestamp_pb2.Timestamp
    def __init__(self, call_id: _Optional[str] = ..., account_id: _Optional[str] = ..., call_class: _Optional[_Union[CallClass, str]] = ..., status: _Optional[_Union[CallStatus, str]] = ..., out_cents: _Optional[int] = ..., tranches: _Optional[_Iterable[_Union[CallTranche, _Mapping]]] = ..., is_acknowledged: bool = ..., is_held: bool = ..., is_open: bool = ..., attested: _Optional[_Iterable[_Union[AttestedPayment, _Mapping]]] = ..., approvals: _Optional[_Iterable[_Union[CallApproval, _Mapping]]] = ..., version: _Optional[int] = ..., change_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListMarginCallsRequest(_message.Message):
    __slots__ = ("account_id", "call_class", "is_open_only", "as_of", "page_size", "page_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_CLASS_FIELD_NUMBER: _ClassVar[int]
    IS_OPEN_ONLY_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    call_class: CallClass
    is_open_only: bool
    as_of: _clearing_types_pb2.AsOf
    page_size: int
    page_token: str
    def __init__(self, account_id: _Optional[str] = ..., call_class: _Optional[_Union[CallClass, str]] = ..., is_open_only: bool = ..., as_of: _Optional[_Union[_clearing_types_pb2.AsOf, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMarginCallsResponse(_message.Message):
    __slots__ = ("calls", "next_page_token", "position")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[MarginCall]
    next_page_token: str
    position: _clearing_types_pb2.LogPosition
    def __init__(self, calls: _Optional[_Iterable[_Union[MarginCall, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ...) -> None: ...

class WatchMarginCallsRequest(_message.Message):
    __slots__ = ("account_id", "resume_token")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    resume_token: str
    def __init__(self, account_id: _Optional[str] = ..., resume_token: _Optional[str] = ...) -> None: ...

class CallReminder(_message.Message):
    __slots__ = ("tranche_id", "due_time", "minutes", "unpaid_cents")
    TRANCHE_ID_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    MINUTES_FIELD_NUMBER: _ClassVar[int]
    UNPAID_CENTS_FIELD_NUMBER: _ClassVar[int]
    tranche_id: str
    due_time: _timestamp_pb2.Timestamp
    minutes: int
    unpaid_cents: int
    def __init__(self, tranche_id: _Optional[str] = ..., due_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., minutes: _Optional[int] = ..., unpaid_cents: _Optional[int] = ...) -> None: ...

class CallAnnouncement(_message.Message):
    __slots__ = ("news", "subject")
    NEWS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    news: str
    subject: str
    def __init__(self, news: _Optional[str] = ..., subject: _Optional[str] = ...) -> None: ...

class CallChange(_message.Message):
    __slots__ = ("log_number", "record_time", "call", "announcements", "reminder", "account_id")
    LOG_NUMBER_FIELD_NUMBER: _ClassVar[int]
    RECORD_TIME_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCEMENTS_FIELD_NUMBER: _ClassVar[int]
    REMINDER_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    log_number: int
    record_time: _timestamp_pb2.Timestamp
    call: MarginCall
    announcements: _containers.RepeatedCompositeFieldContainer[CallAnnouncement]
    reminder: CallReminder
    account_id: str
    def __init__(self, log_number: _Optional[int] = ..., record_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., call: _Optional[_Union[MarginCall, _Mapping]] = ..., announcements: _Optional[_Iterable[_Union[CallAnnouncement, _Mapping]]] = ..., reminder: _Optional[_Union[CallReminder, _Mapping]] = ..., account_id: _Optional[str] = ...) -> None: ...

class WatchMarginCallsResponse(_message.Message):
    __slots__ = ("resume_token", "change")
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    change: CallChange
    def __init__(self, resume_token: _Optional[str] = ..., change: _Optional[_Union[CallChange, _Mapping]] = ...) -> None: ...

class AcknowledgeMarginCallRequest(_message.Message):
    __slots__ = ("idempotency_key", "account_id", "call_class", "call_id", "person")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_CLASS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    account_id: str
    call_class: CallClass
    call_id: str
    person: str
    def __init__(self, idempotency_key: _Optional[str] = ..., account_id: _Optional[str] = ..., call_class: _Optional[_Union[CallClass, str]] = ..., call_id: _Optional[str] = ..., person: _Optional[str] = ...) -> None: ...

class AcknowledgeMarginCallResponse(_message.Message):
    __slots__ = ("call", "position", "was_repeated")
    CALL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    call: MarginCall
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    def __init__(self, call: _Optional[_Union[MarginCall, _Mapping]] = ..., position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...

class HoldCall(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExtendDeadline(_message.Message):
    __slots__ = ("tranche", "due_time")
    TRANCHE_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    tranche: int
    due_time: _timestamp_pb2.Timestamp
    def __init__(self, tranche: _Optional[int] = ..., due_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CancelCall(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DeclareDefault(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CallAction(_message.Message):
    __slots__ = ("account_id", "call_class", "call_id", "reason", "hold", "extend", "cancel", "declare_default")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_CLASS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    DECLARE_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    call_class: CallClass
    call_id: str
    reason: str
    hold: HoldCall
    extend: ExtendDeadline
    cancel: CancelCall
    declare_default: DeclareDefault
    def __init__(self, account_id: _Optional[str] = ..., call_class: _Optional[_Union[CallClass, str]] = ..., call_id: _Optional[str] = ..., reason: _Optional[str] = ..., hold: _Optional[_Union[HoldCall, _Mapping]] = ..., extend: _Optional[_Union[ExtendDeadline, _Mapping]] = ..., cancel: _Optional[_Union[CancelCall, _Mapping]] = ..., declare_default: _Optional[_Union[DeclareDefault, _Mapping]] = ...) -> None: ...

class ProposeActionRequest(_message.Message):
    __slots__ = ("idempotency_key", "action", "person")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    action: CallAction
    person: str
    def __init__(self, idempotency_key: _Optional[str] = ..., action: _Optional[_Union[CallAction, _Mapping]] = ..., person: _Optional[str] = ...) -> None: ...

class ProposeActionResponse(_message.Message):
    __slots__ = ("action_hash", "call", "position", "was_repeated")
    ACTION_HASH_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    action_hash: str
    call: MarginCall
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    def __init__(self, action_hash: _Optional[str] = ..., call: _Optional[_Union[MarginCall, _Mapping]] = ..., position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...

class ApproveActionRequest(_message.Message):
    __slots__ = ("idempotency_key", "action", "person")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    action: CallAction
    person: str
    def __init__(self, idempotency_key: _Optional[str] = ..., action: _Optional[_Union[CallAction, _Mapping]] = ..., person: _Optional[str] = ...) -> None: ...

class ApproveActionResponse(_message.Message):
    __slots__ = ("call", "position", "was_repeated")
    CALL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    call: MarginCall
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    def __init__(self, call: _Optional[_Union[MarginCall, _Mapping]] = ..., position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...

class ReleaseHoldRequest(_message.Message):
    __slots__ = ("idempotency_key", "account_id", "call_class", "call_id", "person")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_CLASS_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    account_id: str
    call_class: CallClass
    call_id: str
    person: str
    def __init__(self, idempotency_key: _Optional[str] = ..., account_id: _Optional[str] = ..., call_class: _Optional[_Union[CallClass, str]] = ..., call_id: _Optional[str] = ..., person: _Optional[str] = ...) -> None: ...

class ReleaseHoldResponse(_message.Message):
    __slots__ = ("call", "position", "was_repeated")
    CALL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WAS_REPEATED_FIELD_NUMBER: _ClassVar[int]
    call: MarginCall
    position: _clearing_types_pb2.LogPosition
    was_repeated: bool
    def __init__(self, call: _Optional[_Union[MarginCall, _Mapping]] = ..., position: _Optional[_Union[_clearing_types_pb2.LogPosition, _Mapping]] = ..., was_repeated: bool = ...) -> None: ...
