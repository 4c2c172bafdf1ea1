"""Forms of the journal's types."""

from typing import Any

from margin_actors.clearing.amounts import Asset
from margin_actors.clearing.house.forms import (
    DECIMAL,
    INTEGER,
    MOMENT,
    TEXT,
    Form,
    enumeration,
    many,
    optional,
    record,
)
from margin_actors.clearing.journal import (
    Account,
    AccountFlag,
    AccountKind,
    Group,
    Phase,
    PositionEntry,
    Transfer,
    TransferKind,
)
from margin_actors.clearing.journal.movements import CollateralMovement
from margin_actors.clearing.journal.reservations import Execution, Reservation

ASSET = record(Asset, name=TEXT, decimals=INTEGER)


def _flags(value: Any) -> AccountFlag:
    return AccountFlag(INTEGER.read(value))


_ACCOUNT = record(
    Account,
    owner=TEXT,
    kind=enumeration(AccountKind),
    asset=ASSET,
    flags=Form(lambda flags: flags.value, _flags),
)
_TRANSFER = record(
    Transfer,
    id=TEXT,
    debit=TEXT,
    credit=TEXT,
    asset=ASSET,
    amount=INTEGER,
    kind=enumeration(TransferKind),
    valid_time=MOMENT,
    phase=enumeration(Phase),
    pending_id=TEXT,
    expires_at=optional(MOMENT),
)
_POSITION_ENTRY = record(
    PositionEntry,
    event=TEXT,
    account=TEXT,
    instrument=TEXT,
    quantity=DECIMAL,
    base_price=optional(DECIMAL),
)
GROUP = record(
    Group,
    id=TEXT,
    transfers=many(_TRANSFER),
    positions=many(_POSITION_ENTRY),
    accounts=many(_ACCOUNT),
)
MOVEMENT = record(
    CollateralMovement,
    id=TEXT,
    owner=TEXT,
    asset=ASSET,
    units=INTEGER,
    custodian=TEXT,
    valid_time=MOMENT,
)
RESERVATION = record(Reservation, quote=TEXT, incremental_cents=INTEGER, expires_at=MOMENT)
EXECUTION = record(Execution, owner=TEXT, quote=TEXT, reserved_cents=optional(INTEGER))
