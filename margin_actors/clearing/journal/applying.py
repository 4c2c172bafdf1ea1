"""Apply groups of transfers to the state of the journal, and expire pending transfers."""

from datetime import datetime

from margin_actors.clearing.journal.canonical import time_fault
from margin_actors.clearing.journal.draft import Draft, Violation
from margin_actors.clearing.journal.outcomes import Applied, Outcome, Refused
from margin_actors.clearing.journal.state import JournalState
from margin_actors.clearing.journal.transfers import (
    ITEMS_MAX,
    Group,
    Phase,
    Transfer,
    resolution,
)
from margin_actors.errors import InvalidRequest, KeyReused, Problem, raise_if_any
from margin_actors.market.identity import content_id


def apply(state: JournalState, group: Group, now: datetime) -> Outcome:
    """Apply a group as a whole, or refuse it as a whole.

    Parameters
    ----------
    state : JournalState
    group : Group
        Its accounts are opened first, then its transfers apply in order, each on the balances that
        the previous ones leave, then its position entries.
    now : datetime
        Time of the group, UTC; not before that of the last group.

    Returns
    -------
    Applied or Refused
        For a group that was applied before: `Applied` with its former number.

    Raises
    ------
    KeyReused
        If another group was applied under the same id.
    InvalidRequest
        If `now` is not in UTC.

    References
    ----------
    The rules of transfers are those of TigerBeetle (docs.tigerbeetle.com, reference of transfers).
    """
    known = state.groups.get(group.id)
    if known is not None:
        if known.payload_hash != group.payload_hash:
            what = f"group {group.id!r} was applied with other content (group {known.number})"
            problem = Problem("group id", what, "give the new content an id of its own")
            raise KeyReused("the id of the group is in use", [problem])
        return Applied(state, group, known.number, is_repeat=True)
    _check_time(now)
    draft = Draft(state, now)
    try:
        draft.check_time()
        for account in group.accounts:
            draft.open_account(account)
        for transfer in group.transfers:
            draft.transfer(transfer)
        for entry in group.positions:
            draft.change_position(entry)
    except Violation as found:
        return Refused(group, found.rule, found.item, found.what)
    return Applied(draft.finish(group), group, state.number + 1)


def due_expiries(state: JournalState, now: datetime) -> Group | None:
    """Return the group that expires all pending transfers whose time has passed; None if none has.

    Ids and order follow from the pending transfers: by time of expiry, then by id. The valid time
    of each is the time of expiry, however late it is recorded. At most `ITEMS_MAX` are returned.

    Raises
    ------
    InvalidRequest
        If `now` is not in UTC.
    """
    _check_time(now)
    due = [
        (pending.expires_at, name, pending)
        for name, pending in state.pending.items()
        if pending.expires_at is not None and pending.expires_at <= now
    ]
    if not due:
        return None
    expiries = tuple(expiry_of(pending) for _, _, pending in sorted(due)[:ITEMS_MAX])
    return Group(content_id("expiry", {"ids": [t.pending_id for t in expiries]}), expiries)


def expiry_of(pending: Transfer) -> Transfer:
    """Return the transfer that expires a pending one; its id follows from that of the latter."""
    assert pending.expires_at is not None
    name = content_id("expiry", {"pending": pending.id})
    return resolution(pending, Phase.EXPIRY, transfer_id=name, valid_time=pending.expires_at)


def expire(state: JournalState, now: datetime) -> Outcome | None:
    """Expire all pending transfers whose time has passed; None if there are none.

    Raises
    ------
    InvalidRequest
        If `now` is not in UTC.
    """
    group = due_expiries(state, now)
    return None if group is None else apply(state, group, now)


def _check_time(now: datetime) -> None:
    if fault := time_fault(now):
        raise_if_any([Problem("now", fault)], InvalidRequest, "the time is not valid")
