"""The changes of one group, collected beside the state until all of them are known to apply."""

from datetime import datetime
from typing import NoReturn

from margin_actors.clearing.journal.accounts import (
    BALANCE_MAX,
    MARGIN,
    ZERO,
    Account,
    AccountKind,
    Balance,
    account_id,
)
from margin_actors.clearing.journal.allowed import NEVER_FROM_DEBT, is_route, is_same_owner
from margin_actors.clearing.journal.maps import PersistentMap
from margin_actors.clearing.journal.outcomes import Rule
from margin_actors.clearing.journal.positions import Position, PositionEntry, position_key
from margin_actors.clearing.journal.state import GroupRecord, JournalState, Resolved
from margin_actors.clearing.journal.transfers import RESOLVING, Group, Phase, Transfer
from margin_actors.errors import InvalidRequest


class Violation(Exception):  # noqa: N818 - it ends the draft and never leaves `apply`
    """A change of the group violates a rule."""

    def __init__(self, rule: Rule, item: str, what: str) -> None:
        self.rule, self.item, self.what = rule, item, what
        super().__init__(what)


def _refuse(rule: Rule, item: str, what: str) -> NoReturn:
    raise Violation(rule, item, what)


class Draft:
    """Changes on top of a state; discarded if one of them violates a rule."""

    def __init__(self, state: JournalState, now: datetime) -> None:
        self._state = state
        self._now = now
        self._number = state.number + 1
        self._accounts: dict[str, Account] = {}
        self._balances: dict[str, Balance] = {}
        self._transfers: dict[str, int] = {}
        self._pending: dict[str, Transfer | None] = {}
        self._resolved: dict[str, Resolved] = {}
        self._positions: dict[str, Position] = {}
        self._entries: dict[str, int] = {}

    def check_time(self) -> None:
        """Check that time does not run backwards."""
        last = self._state.last_time
        if last is not None and self._now < last:
            _refuse(Rule.TIME_BEFORE_LAST, "", f"{self._now} is before {last}")

    def open_account(self, account: Account) -> None:
        """Open an account, unless it is open."""
        name = account.id
        known = self._account(name)
        if known is not None and known != account:
            _refuse(Rule.ACCOUNT_DIFFERS, name, f"the account is open as {known}")
        if known is None:
            self._accounts[name] = account

    def transfer(self, transfer: Transfer) -> None:
        """Apply a transfer of any phase."""
        name = transfer.id
        used = self._transfers.get(name) or self._state.transfers.get(name)
        if used:
            _refuse(Rule.TRANSFER_ID_USED, name, f"the id was used in group {used}")
        debit, credit = self._known(name, transfer.debit), self._known(name, transfer.credit)
        self._check_route(transfer, debit, credit)
        if transfer.phase in RESOLVING:
            self._resolve(transfer)
        else:
            self._move(transfer, debit, credit)
        self._transfers[name] = self._number

    def change_position(self, entry: PositionEntry) -> None:
        """Apply a position entry."""
        self._known(entry.id, account_id(AccountKind.FREE_MARGIN, MARGIN, entry.account))
        used = self._entries.get(entry.id) or self._state.position_entries.get(entry.id)
        if used:
            what = f"event {entry.event} changed this lot in group {used}"
            _refuse(Rule.POSITION_ENTRY_USED, entry.id, what)
        key = position_key(entry.account, entry.instrument)
        held = self._positions.get(key)
        if held is None:
            held = self._state.position(entry.account, entry.instrument)
        try:
            self._positions[key] = held.after(entry)
        except InvalidRequest as error:
            _refuse(Rule.POSITION_TOO_LARGE, entry.id, str(error))
        self._entries[entry.id] = self._number

    def finish(self, group: Group) -> JournalState:
        """Return the state with all changes of the group."""
        old = self._state
        opened = {key: held for key, held in self._positions.items() if held.lots_by_price}
        closed = [key for key in self._positions if key not in opened and key in old.positions]
        record = GroupRecord(self._number, group.payload_hash)
        pending, by_account = self._pending_maps()
        return JournalState(
            number=self._number,
            last_time=self._now,
            accounts=old.accounts.with_items(self._accounts),
            balances=old.balances.with_items(self._balances),
            transfers=old.transfers.with_items(self._transfers),
            pending=pending,
            pending_by_account=by_account,
            resolved=old.resolved.with_items(self._resolved),
            groups=old.groups.with_items({group.id: record}),
            positions=old.positions.with_items(opened).without(closed),
            position_entries=old.position_entries.with_items(self._entries),
        )

    def _pending_maps(self) -> tuple[PersistentMap[Transfer], PersistentMap[tuple[str, ...]]]:
        """Return the open pending transfers by id, and their ids by debit account."""
        old = self._state
        opened = {name: t for name, t in self._pending.items() if t is not None}
        closed = [name for name, t in self._pending.items() if t is None and name in old.pending]
        if not opened and not closed:
            return old.pending, old.pending_by_account
        ids: dict[str, list[str]] = {}
        gone = set(closed)
        for account in {old.pending[name].debit for name in closed}:
            kept = old.pending_by_account[account]
            ids[account] = [name for name in kept if name not in gone]
        for name, transfer in opened.items():
            if transfer.debit not in ids:
                ids[transfer.debit] = list(old.pending_by_account.get(transfer.debit, ()))
            ids[transfer.debit].append(name)
        changed = {account: tuple(names) for account, names in ids.items() if names}
        emptied = [account for account, names in ids.items() if not names]
        by_account = old.pending_by_account.with_items(changed)
        return (
            old.pending.with_items(opened).without(closed),
            by_account.without([a for a in emptied if a in by_account]),
        )

    def _account(self, name: str) -> Account | None:
        return self._accounts.get(name) or self._state.accounts.get(name)

    def _known(self, item: str, name: str) -> Account:
        found = self._account(name)
        if found is None:
            _refuse(Rule.UNKNOWN_ACCOUNT, item, f"account {name} is not open")
        return found

    def _balance(self, name: str) -> Balance:
        return self._balances.get(name) or self._state.balances.get(name, ZERO)

    def _check_route(self, transfer: Transfer, debit: Account, credit: Account) -> None:
        if transfer.asset != debit.asset or transfer.asset != credit.asset:
            rule = Rule.ASSET_DIFFERS
        elif not is_route(transfer.kind, debit, credit):
            rule = Rule.ROUTE_NOT_ALLOWED
        elif not is_same_owner(transfer.kind, debit, credit):
            rule = Rule.OWNER_DIFFERS
        else:
            return
        route = f"{transfer.kind} of {transfer.asset.name} from {debit.id} to {credit.id}"
        _refuse(rule, transfer.id, route)

    def _move(self, transfer: Transfer, debit: Account, credit: Account) -> None:
        """Apply a direct or pending transfer."""
        amount = transfer.amount
        d, c = self._balance(transfer.debit), self._balance(transfer.credit)
        debits = d.debits_posted + d.debits_pending + amount
        is_limited = debit.limits_debits or transfer.kind in NEVER_FROM_DEBT
        if debits > d.credits_posted and is_limited:
            what = f"debits {debits} of {debit.id} would exceed its credits {d.credits_posted}"
            _refuse(Rule.INSUFFICIENT_FUNDS, transfer.id, what)
        credits_ = c.credits_posted + c.credits_pending + amount
        if credits_ > c.debits_posted and credit.limits_credits:
            what = f"credits {credits_} of {credit.id} would exceed its debits {c.debits_posted}"
            _refuse(Rule.INSUFFICIENT_FUNDS, transfer.id, what)
        if max(debits, credits_) > BALANCE_MAX:
            what = f"{debit.id} would have debits {debits}, {credit.id} credits {credits_}"
            _refuse(Rule.BALANCE_TOO_LARGE, transfer.id, what)
        if transfer.phase is Phase.PENDING:
            if transfer.expires_at is not None and transfer.expires_at <= self._now:
                what = f"it would expire at {transfer.expires_at}, not after {self._now}"
                _refuse(Rule.EXPIRY_IN_THE_PAST, transfer.id, what)
            self._pending[transfer.id] = transfer
            self._change(transfer, 0, amount)
        else:
            self._change(transfer, amount, 0)

    def _resolve(self, transfer: Transfer) -> None:
        """Apply a transfer that posts, voids or expires a pending one."""
        name, pending_id = transfer.id, transfer.pending_id
        pending = self._pending.get(pending_id) or self._state.pending.get(pending_id)
        by = self._resolved.get(pending_id) or self._state.resolved.get(pending_id)
        if by is not None:
            _refuse(Rule.PENDING_RESOLVED, name, f"{pending_id} was resolved by {by.by}")
        if pending is None:
            _refuse(Rule.UNKNOWN_PENDING, name, f"{pending_id} is not a pending transfer")
        self._check_resolution(transfer, pending)
        self._pending[pending_id] = None
        self._resolved[pending_id] = Resolved(pending, name)
        posted = transfer.amount if transfer.phase is Phase.POST else 0
        self._change(transfer, posted, -pending.amount)

    def _check_resolution(self, transfer: Transfer, pending: Transfer) -> None:
        same = (transfer.debit, transfer.credit, transfer.asset, transfer.kind) == (
            pending.debit,
            pending.credit,
            pending.asset,
            pending.kind,
        )
        part = transfer.phase is Phase.POST and transfer.amount < pending.amount
        if not same or not (part or transfer.amount == pending.amount):
            what = f"{transfer.phase} of {transfer.amount} units differs from {pending}"
            _refuse(Rule.PENDING_DIFFERS, transfer.id, what)
        expires = pending.expires_at
        has_expired = expires is not None and expires <= self._now
        if transfer.phase is Phase.EXPIRY:
            if not has_expired:
                what = f"{pending.id} expires at {expires}, now is {self._now}"
                _refuse(Rule.NOT_YET_EXPIRED, transfer.id, what)
        elif has_expired:
            what = f"{pending.id} expired at {expires}, now is {self._now}"
            _refuse(Rule.PENDING_EXPIRED, transfer.id, what)

    def _change(self, transfer: Transfer, posted: int, pending: int) -> None:
        """Change both balances by posted and pending units."""
        d, c = self._balance(transfer.debit), self._balance(transfer.credit)
        self._balances[transfer.debit] = Balance(
            d.debits_posted + posted,
            d.credits_posted,
            d.debits_pending + pending,
            d.credits_pending,
            d.version + 1,
        )
        self._balances[transfer.credit] = Balance(
            c.debits_posted,
            c.credits_posted + posted,
            c.debits_pending,
            c.credits_pending + pending,
            c.version + 1,
        )
