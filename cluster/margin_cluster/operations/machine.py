"""The clearing house as the state machine of the ledger's log."""

from typing import TypeAlias

from margin_actors.clearing.house import (
    EMPTY_HOUSE,
    Command,
    Decision,
    HouseEvent,
    HouseState,
    decide,
    event_of,
    fold,
    payload_of,
)
from margin_actors.clearing.house.account_events import (
    AccountOpened,
    CallChanged,
    ReminderSent,
    ReservationQuoted,
    WithdrawalChanged,
)
from margin_actors.clearing.journal import AccountKind, Group
from margin_cluster.ledger import Database
from margin_cluster.ledger.clearing_log import ClearingLog, Clock, wall_clock
from margin_cluster.ledger.clearing_machine import Machine
from margin_cluster.operations.positions_projection import project_positions

_OWNED = frozenset(
    kind.value
    for kind in (
        AccountKind.COLLATERAL,
        AccountKind.CASH,
        AccountKind.IN_TRANSIT,
        AccountKind.FREE_MARGIN,
        AccountKind.RESERVED,
    )
)
HouseLog: TypeAlias = ClearingLog[HouseState, HouseEvent, Command, Decision]
"""The log of the clearing house."""


def account_of(event: HouseEvent) -> str:
    """Return the clearing account that an event concerns; empty if it concerns several or none."""
    match event:
        case CallChanged() | ReminderSent() | ReservationQuoted():
            return event.account
        case AccountOpened():
            return event.account.name
        case WithdrawalChanged():
            return event.request.owner
        case Group():
            return _owner(event)
        case _:
            return ""


def _owner(group: Group) -> str:
    """Return the clearing account that a group concerns, if there is exactly one."""
    owners = owners_of(group)
    return owners.pop() if len(owners) == 1 else ""


def owners_of(group: Group) -> set[str]:
    """Return the clearing accounts whose balances or positions a group changes."""
    owners = {entry.account for entry in group.positions}
    for transfer in group.transfers:
        for name in (transfer.debit, transfer.credit):
            kind, _, owner = name.split(":", 2)
            if kind in _OWNED:
                owners.add(owner)
    return owners


HOUSE: Machine[HouseState, HouseEvent, Command, Decision] = Machine(
    empty=EMPTY_HOUSE,
    fold=fold,
    decide=decide,
    payload_of=payload_of,
    event_of=event_of,
    account_of=account_of,
)
"""The clearing house; its clock is folded with its events."""


def clearing_log(database: Database, clock: Clock = wall_clock) -> HouseLog:
    """Return the log of the clearing house in an open ledger, which the log does not close.

    Parameters
    ----------
    database : Database
    clock : callable
        Returns the wall clock, UTC.
    """
    return ClearingLog(database, HOUSE, clock=clock, projection=project_positions)


__all__ = ["HOUSE", "HouseLog", "account_of", "clearing_log", "owners_of"]
