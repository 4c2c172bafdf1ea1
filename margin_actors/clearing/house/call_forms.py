"""Forms of the types of margin calls: states, events and effects."""

from margin_actors.clearing.calls import (
    AccountFrozen,
    Acknowledged,
    ActionApproved,
    ActionExecuted,
    ActionProposed,
    Alarm,
    AlarmKind,
    Announcement,
    Approval,
    AttestedPayment,
    CallClass,
    CallState,
    CallStatus,
    CancelCall,
    DeclareDefault,
    ExtendDeadline,
    HoldCall,
    HoldReleased,
    KnownPayment,
    News,
    Outage,
    OutageEnded,
    PaymentAllocated,
    PaymentPending,
    PaymentPosted,
    RequirementCycle,
    ReservationsVoided,
    Timer,
    TimerFired,
    TimerKind,
    TimerSet,
    TimerVoided,
    Tranche,
    TrancheIssued,
    TrancheReduced,
    WithdrawalsAllowed,
    WithdrawalsBlocked,
)
from margin_actors.clearing.house.forms import (
    BOOLEAN,
    INTEGER,
    MOMENT,
    TEXT,
    enumeration,
    many,
    optional,
    record,
    variant,
)

CALL_CLASS = enumeration(CallClass)
OUTAGE = record(Outage, began=MOMENT, ended=MOMENT)
APPROVAL = record(
    Approval,
    action_hash=TEXT,
    proposer=TEXT,
    expires=MOMENT,
    is_declaration=BOOLEAN,
    approver=TEXT,
)
ACTION = variant(
    hold=(HoldCall, record(HoldCall, call_id=TEXT, reason=TEXT)),
    extend=(
        ExtendDeadline,
        record(ExtendDeadline, call_id=TEXT, tranche=INTEGER, due=MOMENT, reason=TEXT),
    ),
    cancel=(CancelCall, record(CancelCall, call_id=TEXT, reason=TEXT)),
    declare_default=(DeclareDefault, record(DeclareDefault, call_id=TEXT, reason=TEXT)),
)
_TIMER = record(Timer, kind=enumeration(TimerKind), subject=TEXT, version=INTEGER, at=MOMENT)
_TRANCHE = record(
    Tranche,
    number=INTEGER,
    amount_cents=INTEGER,
    issued_at=MOMENT,
    due=MOMENT,
    granted_due=MOMENT,
    granted_at=MOMENT,
    assets=many(TEXT),
    timer_version=INTEGER,
    paid_cents=INTEGER,
    is_late=BOOLEAN,
    passed_under_hold=BOOLEAN,
)
_ATTESTED = record(
    AttestedPayment,
    payment_id=TEXT,
    content_hash=TEXT,
    amount_cents=INTEGER,
    expires=MOMENT,
    timer_version=INTEGER,
)
CALL_STATE = record(
    CallState,
    account=TEXT,
    call_class=CALL_CLASS,
    number=INTEGER,
    status=enumeration(CallStatus),
    tranches=many(_TRANCHE),
    is_acknowledged=BOOLEAN,
    is_held=BOOLEAN,
    attested=many(_ATTESTED),
    payments=many(record(KnownPayment, payment_id=TEXT, content_hash=TEXT)),
    approvals=many(APPROVAL),
    outages=many(OUTAGE),
    cycles_at_release=INTEGER,
    last_cycle=INTEGER,
    version=INTEGER,
    changed_at=optional(MOMENT),
)
CALL_EVENT = variant(
    requirement=(
        RequirementCycle,
        record(
            RequirementCycle,
            cycle=INTEGER,
            requirement_cents=INTEGER,
            resources_cents=INTEGER,
            valued_at=MOMENT,
            is_frozen=BOOLEAN,
        ),
    ),
    acknowledged=(Acknowledged, record(Acknowledged, call_id=TEXT)),
    payment_pending=(
        PaymentPending,
        record(
            PaymentPending,
            payment_id=TEXT,
            content_hash=TEXT,
            amount_cents=INTEGER,
            expires=MOMENT,
        ),
    ),
    payment_posted=(
        PaymentPosted,
        record(
            PaymentPosted,
            payment_id=TEXT,
            content_hash=TEXT,
            amount_cents=INTEGER,
            received_at=MOMENT,
        ),
    ),
    timer=(TimerFired, record(TimerFired, timer=_TIMER)),
    outage=(OutageEnded, record(OutageEnded, outage=OUTAGE)),
    proposed=(ActionProposed, record(ActionProposed, action=ACTION, by=TEXT)),
    approved=(ActionApproved, record(ActionApproved, action_hash=TEXT, by=TEXT)),
    executed=(ActionExecuted, record(ActionExecuted, action=ACTION)),
    hold_released=(HoldReleased, record(HoldReleased, call_id=TEXT, by=TEXT)),
)
EFFECT = variant(
    tranche_issued=(
        TrancheIssued,
        record(TrancheIssued, tranche_id=TEXT, amount_cents=INTEGER, due=MOMENT, assets=many(TEXT)),
    ),
    tranche_reduced=(TrancheReduced, record(TrancheReduced, tranche_id=TEXT, by_cents=INTEGER)),
    payment_allocated=(
        PaymentAllocated,
        record(
            PaymentAllocated,
            tranche_id=TEXT,
            payment_id=TEXT,
            amount_cents=INTEGER,
            is_timely=BOOLEAN,
        ),
    ),
    timer_set=(TimerSet, record(TimerSet, timer=_TIMER)),
    timer_voided=(TimerVoided, record(TimerVoided, timer=_TIMER)),
    announcement=(
        Announcement,
        record(Announcement, news=enumeration(News), call_id=TEXT, out_cents=INTEGER, subject=TEXT),
    ),
    withdrawals_blocked=(
        WithdrawalsBlocked,
        record(WithdrawalsBlocked, account=TEXT, call_id=TEXT),
    ),
    withdrawals_allowed=(
        WithdrawalsAllowed,
        record(WithdrawalsAllowed, account=TEXT, call_id=TEXT),
    ),
    account_frozen=(AccountFrozen, record(AccountFrozen, account=TEXT, call_id=TEXT)),
    reservations_voided=(
        ReservationsVoided,
        record(ReservationsVoided, account=TEXT, call_id=TEXT),
    ),
    alarm=(Alarm, record(Alarm, kind=enumeration(AlarmKind), call_id=TEXT, subject=TEXT)),
)
