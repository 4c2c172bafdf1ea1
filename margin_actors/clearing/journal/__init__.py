"""The journal: double entry as a pure fold of immutable groups of transfers and position entries.

`record` applies a group and appends it to a log whose entries are chained by hashes; `state_at`
gives the state after any entry. Groups are built by the modules `movements` (deposits and
withdrawals) and `reservations` (margin of quoted block trades); `resources` and `deficits` give
what an account has and what it lacks.
"""

from margin_actors.clearing.journal.accounts import (
    CLEARING_HOUSE,
    MARGIN,
    Account,
    AccountFlag,
    AccountKind,
    Balance,
    account_id,
    margin_accounts,
    open_account,
)
from margin_actors.clearing.journal.applying import apply, due_expiries, expire
from margin_actors.clearing.journal.integrity import (
    asset_sums,
    held_at_custodians,
    integrity_findings,
    position_sums,
)
from margin_actors.clearing.journal.log import (
    BrokenLink,
    Entry,
    Event,
    Journal,
    LogHead,
    Recorded,
    following_entry,
    record,
    replay,
    state_at,
    verify,
)
from margin_actors.clearing.journal.outcomes import Applied, Outcome, Refused, Rule
from margin_actors.clearing.journal.positions import Lot, Position, PositionEntry, rebased
from margin_actors.clearing.journal.state import EMPTY, JournalState, holdings, positions_of
from margin_actors.clearing.journal.transfers import (
    Group,
    Phase,
    Transfer,
    TransferKind,
    resolution,
)

__all__ = [
    "CLEARING_HOUSE",
    "EMPTY",
    "MARGIN",
    "Account",
    "AccountFlag",
    "AccountKind",
    "Applied",
    "Balance",
    "BrokenLink",
    "Entry",
    "Event",
    "Group",
    "Journal",
    "JournalState",
    "LogHead",
    "Lot",
    "Outcome",
    "Phase",
    "Position",
    "PositionEntry",
    "Recorded",
    "Refused",
    "Rule",
    "Transfer",
    "TransferKind",
    "account_id",
    "apply",
    "asset_sums",
    "due_expiries",
    "expire",
    "following_entry",
    "held_at_custodians",
    "holdings",
    "integrity_findings",
    "margin_accounts",
    "open_account",
    "position_sums",
    "positions_of",
    "rebased",
    "record",
    "replay",
    "resolution",
    "state_at",
    "verify",
]
