"""The journal against a naive one that reads the whole list of transfers for every question."""

import pickle
import random
from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from journal_world import (
    BANK,
    LIMIT,
    MARGIN,
    ROUNDING,
    SETTLEMENT,
    T0,
    USDC,
    K,
    NaiveJournal,
    account,
    accounts_of,
    open_all,
)

from margin_actors.clearing.journal.accounts import ZERO, Account
from margin_actors.clearing.journal.applying import due_expiries
from margin_actors.clearing.journal.integrity import (
    asset_sums,
    held_at_custodians,
    integrity_findings,
)
from margin_actors.clearing.journal.log import (
    Entry,
    Journal,
    Recorded,
    record,
    replay,
    state_at,
    verify,
)
from margin_actors.clearing.journal.outcomes import Refused, Rule
from margin_actors.clearing.journal.state import EMPTY, JournalState
from margin_actors.clearing.journal.transfers import (
    Group,
    Phase,
    Transfer,
    TransferKind,
    resolution,
)
from margin_actors.errors import KeyReused

Route = tuple[TransferKind, Account, Account]
Move = tuple[Route, int | str, int | str]

OWNERS = ("fund", "bank")  # the name of the custodian as well
ACCOUNTS = (BANK, SETTLEMENT, ROUNDING, LIMIT, *accounts_of("fund"), *accounts_of("bank"))
CUSTODY = (TransferKind.DEPOSIT, TransferKind.PAYOUT)
LIKELY: tuple[Route, ...] = tuple(
    route
    for owner in OWNERS
    for route in (
        (TransferKind.DEPOSIT, BANK, account(K.COLLATERAL, owner)),
        (TransferKind.WITHDRAWAL, account(K.COLLATERAL, owner), account(K.IN_TRANSIT, owner)),
        (TransferKind.PAYOUT, account(K.IN_TRANSIT, owner), BANK),
        (TransferKind.RETURN, account(K.IN_TRANSIT, owner), account(K.COLLATERAL, owner)),
        (TransferKind.VARIATION, account(K.CASH, owner), SETTLEMENT),
        (TransferKind.VARIATION, SETTLEMENT, account(K.CASH, owner)),
        (TransferKind.SWEEP, account(K.CASH, owner), account(K.COLLATERAL, owner)),
        (TransferKind.LIMIT, LIMIT, account(K.FREE_MARGIN, owner, MARGIN)),
        (
            TransferKind.RESERVATION,
            account(K.FREE_MARGIN, owner, MARGIN),
            account(K.RESERVED, owner, MARGIN),
        ),
    )
)
UNLIKELY = st.tuples(
    st.sampled_from(TransferKind), st.sampled_from(ACCOUNTS), st.sampled_from(ACCOUNTS)
).filter(lambda route: route[1] != route[2])
ROUTE = st.integers(0, 11).flatmap(lambda n: UNLIKELY if n == 0 else st.sampled_from(LIKELY))
AMOUNT = st.one_of(st.integers(1, 60), st.sampled_from(["all", "all and one more"]))
"""A number, or what the debit account has available."""
MINUTES = st.sampled_from([0, 0, 1, 5])
LIFE = st.sampled_from(["direct", "direct", "never", 0, 1, 5])
"""A direct transfer, or a pending one with the minutes until it expires."""
MOVE = st.tuples(ROUTE, AMOUNT, LIFE)
CHOICE = st.integers(0, 2**16)


class JournalMachine(RuleBasedStateMachine):
    groups = Bundle("groups")

    def __init__(self) -> None:
        super().__init__()
        self.naive = NaiveJournal()
        self.journal = Journal()
        self.entries: list[Entry] = []
        self.states: list[JournalState] = [EMPTY]
        self.now = T0
        self.count = 0
        self.in_custody = 0
        self.refusals: Counter[Rule] = Counter()

    @initialize()
    def open_accounts(self) -> None:
        open_all(self.naive, ACCOUNTS)
        self.offer(Group("open", accounts=ACCOUNTS))
        funded = [route for route in LIKELY if route[1] in (BANK, LIMIT)]
        self.offer(Group("fund", tuple(self.transfer(route, 100, "direct") for route in funded)))

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def offer(self, group: Group) -> bool:
        """Offer a group to both journals and return whether it was accepted."""
        expected = self.naive.offer(group, self.now)
        outcome = record(self.journal, group, self.now, actor="test")
        if isinstance(outcome, Refused):
            assert (outcome.rule, outcome.item) == expected
            self.refusals[outcome.rule] += 1
            return False
        assert expected is None
        assert outcome.entry is not None
        self.in_custody += _custody_change(group)
        self.journal = outcome.journal
        self.entries.append(outcome.entry)
        self.states.append(outcome.journal.state)
        return True

    def transfer(
        self,
        route: Route,
        amount: int | str,
        life: int | str,
    ) -> Transfer:
        kind, debit, credit = route
        if not isinstance(amount, int):
            debits, credits_, waiting, _ = self.naive.sums(debit.id)
            amount = max(1, credits_ - debits - waiting + (amount != "all"))
        expires = self.now + timedelta(minutes=life) if isinstance(life, int) else None
        return Transfer(
            self.name(),
            debit.id,
            credit.id,
            debit.asset,
            amount,
            kind,
            self.now,
            Phase.DIRECT if life == "direct" else Phase.PENDING,
            expires_at=expires,
        )

    @rule(target=groups, moves=st.lists(MOVE, min_size=1, max_size=3), minutes=MINUTES)
    def move(
        self,
        moves: list[Move],
        minutes: int,
    ) -> object:
        self.now += timedelta(minutes=minutes)
        group = Group(f"g{self.name()}", tuple(self.transfer(*one) for one in moves))
        return group if self.offer(group) else multiple()

    @rule(
        target=groups,
        choice=CHOICE,
        phase=st.sampled_from([Phase.POST, Phase.POST, Phase.VOID, Phase.EXPIRY]),
        less=st.sampled_from([0, 0, 0, 1, 10, -1]),
        minutes=MINUTES,
        then=st.one_of(st.none(), MOVE),
    )
    def resolve(
        self,
        choice: int,
        phase: Phase,
        less: int,
        minutes: int,
        then: Move | None,
    ) -> object:
        """Resolve a transfer that was once pending, possibly in one group with a direct one."""
        known = [t for t in self.naive.log if t.phase is Phase.PENDING]
        if choice % 4:
            known = self.naive.open_pending() or known
        if not known:
            return multiple()
        self.now += timedelta(minutes=minutes)
        one = known[choice % len(known)]
        amount = max(1, one.amount - less)
        ended = resolution(one, phase, transfer_id=self.name(), valid_time=self.now, amount=amount)
        more = () if then is None else (self.transfer(*then),)
        group = Group(f"g{self.name()}", (ended, *more))
        return group if self.offer(group) else multiple()

    @rule(choice=CHOICE, part=st.sampled_from([1, 1, 2]))
    def post(self, choice: int, part: int) -> None:
        """Post a pending transfer whose time has not passed, whole or half of it."""
        known = self.naive.open_pending()
        known = [p for p in known if p.expires_at is None or p.expires_at > self.now]
        if not known:
            return
        one, name = known[choice % len(known)], self.name()
        amount = max(1, one.amount // part)
        ended = resolution(one, Phase.POST, transfer_id=name, valid_time=self.now, amount=amount)
        assert self.offer(Group(f"g{name}", (ended,)))

    @precondition(lambda self: self.count % 5 == 0)
    @rule(choice=CHOICE, use_again=st.booleans())
    def refer_to_another_transfer(self, choice: int, use_again: bool) -> None:
        """Use the id of a transfer again, or resolve a transfer that was never pending."""
        known = [t for t in self.naive.log if use_again or t.phase is Phase.DIRECT]
        one = known[choice % len(known)]
        if not use_again:
            one = resolution(one, Phase.POST, transfer_id=self.name(), valid_time=self.now)
        assert not self.offer(Group(f"g{self.name()}", (one,)))

    @rule(group=groups)
    def repeat(self, group: Group) -> None:
        again = record(self.journal, group, self.now, actor="another")
        assert isinstance(again, Recorded)
        assert again.applied.is_repeat
        assert again.entry is None
        assert again.journal is self.journal
        former = next(e.number for e in self.entries if e.id == group.id)
        assert again.applied.number == former

    @rule(group=groups, move=MOVE)
    def reuse_group_id(
        self,
        group: Group,
        move: Move,
    ) -> None:
        other = Group(group.id, (*group.transfers, self.transfer(*move)))
        with pytest.raises(KeyReused):
            record(self.journal, other, self.now, actor="test")

    @rule(minutes=MINUTES)
    def expire(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        over = [
            p
            for p in self.naive.open_pending()
            if p.expires_at is not None and p.expires_at <= self.now
        ]
        group = due_expiries(self.journal.state, self.now)
        if group is None:
            assert not over
            return
        over.sort(key=lambda p: (p.expires_at or datetime.max, p.id))
        assert [t.pending_id for t in group.transfers] == [p.id for p in over]
        assert self.offer(group)
        assert due_expiries(self.journal.state, self.now) is None

    @invariant()
    def balances_are_the_sums_of_all_transfers(self) -> None:
        state = self.journal.state
        for name in self.naive.accounts:
            held = state.balances.get(name, ZERO)
            found = (
                held.debits_posted,
                held.credits_posted,
                held.debits_pending,
                held.credits_pending,
            )
            assert found == self.naive.sums(name)
        assert list(state.pending) == sorted(p.id for p in self.naive.open_pending())
        for name in state.accounts:
            mine = [p.id for p in self.naive.open_pending() if p.debit == name]
            assert [p.id for p in state.open_pending(name)] == mine

    @invariant()
    def nothing_is_created_or_lost(self) -> None:
        assert integrity_findings(self.journal.state) == ()
        assert set(asset_sums(self.journal.state).values()) <= {(0, 0)}
        assert held_at_custodians(self.journal.state).get(USDC, 0) == self.in_custody

    def teardown(self) -> None:
        assert verify(self.entries) is None
        assert list(replay(self.entries)) == self.states[1:]
        for number, state in enumerate(self.states):
            assert state_at(self.entries, number) == state
        assert pickle.loads(pickle.dumps(self.journal)) == self.journal


def _custody_change(group: Group) -> int:
    """Return the change of the assets at custodians, from the kinds of the transfers."""
    moved = [t for t in group.transfers if t.phase in (Phase.DIRECT, Phase.POST)]
    return sum(
        t.amount * ((t.debit == BANK.id) - (t.credit == BANK.id))
        for t in moved
        if t.kind in CUSTODY
    )


JournalMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestJournal = JournalMachine.TestCase


def walk(seed: int, steps: int) -> JournalMachine:
    """Carry out random operations on both journals, in proportions that reach every rule."""
    draw = random.Random(seed)
    machine = JournalMachine()
    machine.open_accounts()
    groups: list[Group] = []

    def move() -> Move:
        debit, credit = draw.sample(ACCOUNTS, 2)
        unlikely = draw.choice(list(TransferKind)), debit, credit
        route = draw.choice(LIKELY) if draw.random() < 0.9 else unlikely
        amount = draw.choice([draw.randint(1, 60), draw.randint(1, 60), "all", "all and one more"])
        return route, amount, draw.choice(["direct", "direct", "never", 0, 1, 5])

    for _ in range(steps):
        choice, minutes = draw.randrange(2**16), draw.choice([0, 0, 0, 1])
        match draw.randrange(8):
            case 0 | 1 | 2:
                accepted = machine.move([move() for _ in range(draw.randint(1, 3))], minutes)
            case 3:
                phase = draw.choice([Phase.POST, Phase.VOID, Phase.EXPIRY])
                less = draw.choice([0, 0, 0, 1, 10, -1])
                then = draw.choice([None, move()])
                accepted = machine.resolve(choice, phase, less, minutes, then)
            case 4 | 5:
                accepted = machine.post(choice, draw.randint(1, 2))
            case 6:
                accepted = machine.expire(minutes)
            case _:
                accepted = machine.refer_to_another_transfer(choice, draw.random() < 0.5)
        if isinstance(accepted, Group):
            groups.append(accepted)
            machine.repeat(draw.choice(groups))
            machine.reuse_group_id(draw.choice(groups), move())
        machine.balances_are_the_sums_of_all_transfers()
        machine.nothing_is_created_or_lost()
    return machine


@pytest.mark.parametrize("seed", range(2))
def test_the_journal_agrees_with_the_naive_one_over_a_random_day(seed: int) -> None:
    machine = walk(seed, 300)
    machine.teardown()
    phases = Counter(transfer.phase for transfer in machine.naive.log)
    assert min(phases[phase] for phase in Phase) >= 1, phases
    assert set(machine.refusals) >= {
        Rule.ASSET_DIFFERS,
        Rule.INSUFFICIENT_FUNDS,
        Rule.PENDING_DIFFERS,
        Rule.PENDING_RESOLVED,
        Rule.ROUTE_NOT_ALLOWED,
        Rule.TRANSFER_ID_USED,
        Rule.UNKNOWN_PENDING,
    }


@pytest.mark.slow
def test_the_journal_agrees_with_the_naive_one_over_many_long_days() -> None:
    for seed in range(100, 110):
        walk(seed, 400).teardown()
    longer = settings(max_examples=100, stateful_step_count=60, deadline=None)
    run_state_machine_as_test(JournalMachine, settings=longer)
