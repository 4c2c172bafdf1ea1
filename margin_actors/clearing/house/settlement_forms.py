"""Forms of the settlement's types: prices, contracts, trades, and groups of events."""

from margin_actors.clearing.house.forms import (
    BOOLEAN,
    DECIMAL,
    FRACTION,
    INTEGER,
    MOMENT,
    TEXT,
    Form,
    many,
    one_of,
    optional,
    record,
    variant,
)
from margin_actors.clearing.house.journal_forms import ASSET
from margin_actors.clearing.settlement import (
    ContractLife,
    Decision,
    DeliveryPrice,
    Entry,
    PositionChange,
    SettlementBatch,
    SettlementEvent,
    SettlementGroup,
    Subject,
    Trade,
)
from margin_actors.clearing.settlement.life import (
    BookExpiry,
    GroupBooked,
    MarginRemainder,
    RemoveContract,
    RequestDecision,
    ReverseAndRebook,
)

_DECISION = record(Decision, proposer=TEXT, approver=TEXT, reason=TEXT, time=MOMENT)
DELIVERY_PRICE = record(
    DeliveryPrice,
    underlying=TEXT,
    expiry=MOMENT,
    price=optional(DECIMAL),
    status=one_of("provisional", "final"),
    missing_share=FRACTION,
    flagged_share=FRACTION,
    rules=TEXT,
    version=INTEGER,
    decision=optional(_DECISION),
)
_STATES = (
    "listed", "averaging", "provisional", "final", "exercised", "delivered", "corrected",
    "archived",
)  # fmt: skip
CONTRACT_LIFE = record(
    ContractLife,
    instrument=TEXT,
    underlying=TEXT,
    expiry=MOMENT,
    averaging_from=MOMENT,
    is_two_step=BOOLEAN,
    state=one_of(*_STATES),
    computed=optional(DELIVERY_PRICE),
    price=optional(DELIVERY_PRICE),
    bookings=many(
        record(GroupBooked, step=one_of("exercise", "delivery"), version=INTEGER, group_id=TEXT)
    ),
)
LIFE_EFFECT = variant(
    margin_remainder=(MarginRemainder, record(MarginRemainder)),
    request_decision=(RequestDecision, record(RequestDecision, price=DELIVERY_PRICE)),
    book_expiry=(BookExpiry, record(BookExpiry, version=INTEGER)),
    reverse_and_rebook=(
        ReverseAndRebook,
        record(ReverseAndRebook, groups=many(TEXT), version=INTEGER),
    ),
    remove_contract=(RemoveContract, record(RemoveContract)),
)
TRADE = record(
    Trade,
    id=TEXT,
    buyer=TEXT,
    seller=TEXT,
    quantity=DECIMAL,
    price=DECIMAL,
    index=DECIMAL,
    time=MOMENT,
)
_KINDS = ("funding", "variation", "premium", "trade", "exercise", "lapse", "delivery", "fee")


def _pair(values: object) -> tuple[str, str]:
    name, value = many(TEXT).read(values)
    return name, value


_INPUTS = many(Form(list, _pair))
_SUBJECT = record(
    Subject, kind=one_of(*_KINDS), instrument=TEXT, time=MOMENT, version=INTEGER, reference=TEXT
)
_CHANGE = record(
    PositionChange,
    account=TEXT,
    instrument=TEXT,
    quantity=DECIMAL,
    base_price=optional(DECIMAL),
    time=MOMENT,
)
_EVENT = record(
    SettlementEvent,
    subject=_SUBJECT,
    account=TEXT,
    entries=many(record(Entry, account=TEXT, asset=ASSET, units=INTEGER)),
    changes=many(_CHANGE),
    inputs=_INPUTS,
    reverses=TEXT,
)
_GROUP = record(
    SettlementGroup,
    purpose=one_of("daily", "expiry", "trade"),
    scope=TEXT,
    time=MOMENT,
    version=INTEGER,
    events=many(_EVENT),
    inputs=_INPUTS,
    reverses=TEXT,
)
BATCH = record(SettlementBatch, time=MOMENT, groups=many(_GROUP))
