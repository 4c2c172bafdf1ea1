"""Accounts, times and transfers for tests of the journal, and a naive journal to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from margin_actors.clearing.amounts import ASSETS, Asset
from margin_actors.clearing.journal.accounts import MARGIN, Account, AccountKind, open_account
from margin_actors.clearing.journal.allowed import ONE_OWNER, ROUTES
from margin_actors.clearing.journal.applying import apply
from margin_actors.clearing.journal.outcomes import Applied, Rule
from margin_actors.clearing.journal.state import EMPTY, JournalState
from margin_actors.clearing.journal.transfers import Group, Phase, Transfer, TransferKind

USDC = ASSETS["USDC"]
BTC = ASSETS["BTC"]
T0 = datetime(2026, 5, 15, 8, tzinfo=UTC)
K = AccountKind

BANK = open_account(K.CUSTODIAN, USDC, "bank")
SETTLEMENT = open_account(K.SETTLEMENT, USDC)
ROUNDING = open_account(K.ROUNDING, USDC)
LIMIT = open_account(K.MARGIN_LIMIT, MARGIN)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def account(kind: AccountKind, owner: str, asset: Asset = USDC) -> Account:
    return open_account(kind, asset, owner)


def accounts_of(owner: str) -> tuple[Account, ...]:
    money = [account(kind, owner) for kind in (K.COLLATERAL, K.CASH, K.IN_TRANSIT)]
    return (*money, *(account(kind, owner, MARGIN) for kind in (K.FREE_MARGIN, K.RESERVED)))


def transfer(
    name: str,
    debit: Account,
    credit: Account,
    amount: int,
    kind: TransferKind,
    *,
    phase: Phase = Phase.DIRECT,
    expires_at: datetime | None = None,
) -> Transfer:
    return Transfer(
        name, debit.id, credit.id, debit.asset, amount, kind, T0, phase, expires_at=expires_at
    )


def deposit(name: str, owner: str, amount: int) -> Transfer:
    return transfer(name, BANK, account(K.COLLATERAL, owner), amount, TransferKind.DEPOSIT)


def applied(state: JournalState, group: Group, now: datetime = T0) -> JournalState:
    outcome = apply(state, group, now)
    assert isinstance(outcome, Applied), outcome
    return outcome.state


def opened(*owners: str) -> JournalState:
    accounts = [BANK, SETTLEMENT, ROUNDING, LIMIT]
    for owner in owners:
        accounts += accounts_of(owner)
    return applied(EMPTY, Group("open", accounts=tuple(accounts)))


@dataclass
class NaiveJournal:
    """All accepted transfers in a list; every question is answered by reading all of it."""

    accounts: dict[str, Account] = field(default_factory=dict[str, Account])
    log: list[Transfer] = field(default_factory=list[Transfer])
    groups: dict[str, Group] = field(default_factory=dict[str, Group])

    def open_pending(self) -> list[Transfer]:
        resolved = {t.pending_id for t in self.log}
        return [t for t in self.log if t.phase is Phase.PENDING and t.id not in resolved]

    def sums(self, name: str) -> tuple[int, int, int, int]:
        """Posted debits and credits, pending debits and credits."""
        posted = [t for t in self.log if t.phase in (Phase.DIRECT, Phase.POST)]
        waiting = self.open_pending()
        return (
            sum(t.amount for t in posted if t.debit == name),
            sum(t.amount for t in posted if t.credit == name),
            sum(t.amount for t in waiting if t.debit == name),
            sum(t.amount for t in waiting if t.credit == name),
        )

    def offer(self, group: Group, now: datetime) -> tuple[Rule, str] | None:
        """Accept the group, or return the rule and the transfer that violates it."""
        before = len(self.log)
        for one in group.transfers:
            rule = self._violated(one, now)
            if rule is not None:
                del self.log[before:]
                return rule, one.id
            self.log.append(one)
        self.groups[group.id] = group
        return None

    def _violated(self, t: Transfer, now: datetime) -> Rule | None:
        if any(t.id == other.id for other in self.log):
            return Rule.TRANSFER_ID_USED
        if t.debit not in self.accounts or t.credit not in self.accounts:
            return Rule.UNKNOWN_ACCOUNT
        debit, credit = self.accounts[t.debit], self.accounts[t.credit]
        if {debit.asset, credit.asset} != {t.asset}:
            return Rule.ASSET_DIFFERS
        if (debit.kind, credit.kind) not in ROUTES[t.kind]:
            return Rule.ROUTE_NOT_ALLOWED
        if t.kind in ONE_OWNER and debit.owner != credit.owner:
            return Rule.OWNER_DIFFERS
        if t.pending_id:
            return self._violated_by_resolution(t, now)
        if t.expires_at is not None and t.expires_at <= now and not self._overdraws(t):
            return Rule.EXPIRY_IN_THE_PAST
        return Rule.INSUFFICIENT_FUNDS if self._overdraws(t) else None

    def _overdraws(self, t: Transfer) -> bool:
        overdrawn = (K.COLLATERAL, K.IN_TRANSIT, K.FREE_MARGIN, K.RESERVED)
        debits, credits_, waiting, _ = self.sums(t.debit)
        is_limited = self.accounts[t.debit].kind in overdrawn or t.kind is TransferKind.SWEEP
        if is_limited and debits + waiting + t.amount > credits_:
            return True
        debits, credits_, _, waiting = self.sums(t.credit)
        is_custodian = self.accounts[t.credit].kind is K.CUSTODIAN
        return is_custodian and credits_ + waiting + t.amount > debits

    def _violated_by_resolution(self, t: Transfer, now: datetime) -> Rule | None:
        known = [p for p in self.log if p.phase is Phase.PENDING and p.id == t.pending_id]
        if any(other.pending_id == t.pending_id for other in self.log):
            return Rule.PENDING_RESOLVED
        if not known:
            return Rule.UNKNOWN_PENDING
        (p,) = known
        if (t.debit, t.credit, t.asset, t.kind) != (p.debit, p.credit, p.asset, p.kind):
            return Rule.PENDING_DIFFERS
        if t.amount > p.amount or (t.phase is not Phase.POST and t.amount != p.amount):
            return Rule.PENDING_DIFFERS
        over = p.expires_at is not None and p.expires_at <= now
        if t.phase is Phase.EXPIRY:
            return None if over else Rule.NOT_YET_EXPIRED
        return Rule.PENDING_EXPIRED if over else None


def open_all(naive: NaiveJournal, accounts: Sequence[Account]) -> None:
    naive.accounts.update({account.id: account for account in accounts})
