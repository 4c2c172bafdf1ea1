"""Laws of the clearing house over random commands of several accounts.

`House.do` checks each decision: the fold of its events, read back through the codec, is its state.
"""

from datetime import timedelta

import pytest
from clearing_house import MILLION, USDC, House
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from margin_actors.clearing.calls import (
    CallClass,
    CancelCall,
    DeclareDefault,
    ExtendDeadline,
    HoldCall,
    Outage,
    RequirementCycle,
    TrancheIssued,
)
from margin_actors.clearing.house import Command, Reply, event_of
from margin_actors.clearing.house.account_events import CallChanged
from margin_actors.clearing.house.book_events import CycleRecorded
from margin_actors.clearing.house.commands import (
    ApproveWithdrawal,
    CancelReservation,
    ConfirmPayout,
    FireTimers,
    ReadClock,
    ReportOutage,
    RequestWithdrawal,
    Reserve,
    ReturnPayout,
)
from margin_actors.clearing.house.people_commands import (
    AcknowledgeCall,
    ApproveAction,
    ExecuteAction,
    ProposeAction,
    ReleaseHold,
)
from margin_actors.clearing.house.queries import headroom, resources_of
from margin_actors.clearing.house.valuing import excess_cents, reserved_cents
from margin_actors.clearing.journal import (
    LogHead,
    asset_sums,
    following_entry,
    held_at_custodians,
    integrity_findings,
    position_sums,
)
from margin_actors.clearing.journal.reservations import (
    Execution,
    Reservation,
    open_reservations,
)

ACCOUNTS = ("a", "b", "c")
accounts = st.sampled_from(ACCOUNTS)
people = st.sampled_from(("bob", "bob", "bob", "ann"))
"""The second person; mostly another one than the first, ann."""
shares = st.sampled_from((0.4, 0.9, 0.99, 1.2, 1.2, 1.5, 2.5))
"""Requirement as a share of the resources, and 100,000 US dollars."""
dollars = st.integers(1, 3_000_000)


class RandomDay(RuleBasedStateMachine):
    """Commands in any order, accepted or refused."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House()
        self.sent: list[tuple[Command, Reply]] = []
        self.paid_in = 0
        self.paid_out = 0
        self.requests: list[tuple[str, int]] = []

    @initialize(amounts=st.tuples(dollars, dollars, dollars))
    def begin(self, amounts: tuple[int, int, int]) -> None:
        self.house.open(*ACCOUNTS)
        for account, amount in zip(ACCOUNTS, amounts, strict=True):
            self.deposit(account, amount, 0)

    def send(self, command: Command) -> Reply | None:
        decision = self.house.do(command)
        if decision.reply is not None and not isinstance(command, FireTimers | ReadClock):
            self.sent.append((command, decision.reply))
        for event in decision.events:
            if isinstance(event, CallChanged):
                self.check_call(event)
        return decision.reply

    def check_call(self, event: CallChanged) -> None:
        """No amount is called unless it is missing at the commit."""
        if any(isinstance(effect, TrancheIssued) for effect in event.effects):
            cycle = event.event
            assert isinstance(cycle, RequirementCycle)
            assert cycle.deficit_cents > 0
            assert (
                cycle.resources_cents == resources_of(self.house.state, event.account).total_cents
            )

    @rule(account=accounts, amount=dollars, late=st.integers(0, 9))
    def deposit(self, account: str, amount: int, late: int) -> None:
        if self.house.deposit(account, amount, late=late).reply is not None:
            self.paid_in += amount * MILLION

    @rule(account=accounts, part=st.sampled_from((0.5, 1, 1)))
    def pay_call(self, account: str, part: float) -> None:
        amount = int(self.house.call(account).out_cents * part) // 100
        if amount and self.house.deposit(account, amount).reply is not None:
            self.paid_in += amount * MILLION

    @rule(account=accounts, amount=st.integers(1, 400_000))
    def withdraw(self, account: str, amount: int) -> None:
        name = self.house.id()
        request = RequestWithdrawal(name, "ann", name, account, USDC, amount * MILLION, "bank")
        if self.send(request) is not None:
            self.requests.append((name, amount * MILLION))

    @rule(person=people, is_paid=st.booleans(), which=st.integers(0, 20))
    def conclude_withdrawal(self, person: str, is_paid: bool, which: int) -> None:
        if not self.requests:
            return
        name, units = self.requests[which % len(self.requests)]
        self.send(ApproveWithdrawal(self.house.id(), person, name))
        end = ConfirmPayout if is_paid else ReturnPayout
        if self.send(end(self.house.id(), "bank", name)) is not None and is_paid:
            self.paid_out += units

    @rule(pair=st.permutations(ACCOUNTS), quantity=st.integers(1, 40), price=st.integers(1, 9))
    def trade(self, pair: list[str], quantity: int, price: int) -> None:
        self.house.trade(pair[0], pair[1], quantity, price=10_000 * price)

    @rule(account=accounts, quote=st.integers(0, 5), part=st.sampled_from((0, 0.2, 0.6, 1, 1.01)))
    def reserve(self, account: str, quote: int, part: float) -> None:
        expires = self.house.now + timedelta(minutes=7)
        cents = int(headroom(self.house.state, account).free_cents * part)
        priced = Reservation(f"q{quote}", cents, expires)
        free = headroom(self.house.state, account).free_cents
        decision = self.house.do(Reserve(self.house.id(), "desk", account, priced))
        if decision.refusal is not None:
            is_short = decision.refusal.rule == "insufficient_funds"
            assert is_short <= (free < priced.reserved_cents)
        else:
            assert free >= priced.reserved_cents
            after = self.house.state
            assert reserved_cents(after, account) <= max(0, excess_cents(after, account))

    @rule(pair=st.permutations(ACCOUNTS), quote=st.integers(0, 5), quantity=st.integers(1, 9))
    def execute_quote(self, pair: list[str], quote: int, quantity: int) -> None:
        for party in pair:
            opened = open_reservations(self.house.state.journal, party)
            other = next(one for one in pair if one != party)
            if opened:
                name = opened[quote % len(opened)].quote
                traded = self.house.trade(
                    party, other, quantity, executions=[Execution(party, name)]
                )
                assert (
                    traded.reply is not None
                    or party in self.house.state.frozen
                    or other in self.house.state.frozen
                )
                return
        self.house.trade(pair[0], pair[1], quantity, executions=[Execution(pair[0], f"q{quote}")])

    @rule(account=accounts, quote=st.integers(0, 5))
    def cancel_quote(self, account: str, quote: int) -> None:
        self.send(CancelReservation(self.house.id(), "desk", account, f"q{quote}"))

    @rule(
        required=st.tuples(shares, shares, shares),
        age=st.sampled_from((0, 0, 0, 2, 6)),
        lag=st.sampled_from((0, 0, 1, 6)),
        mark=st.integers(1, 9),
        gain=st.integers(-10_000, 10_000),
    )
    def cycle(self, required: tuple[float, ...], age: int, lag: int, mark: int, gain: int) -> None:
        has = {a: resources_of(self.house.state, a).total_cents // 100 for a in ACCOUNTS}
        decision = self.house.cycle(
            {a: max(0, int(has[a] * r + 100_000)) for a, r in zip(ACCOUNTS, required, strict=True)},
            unsettled={"a": gain},
            age_minutes=age,
            read_number=max(0, self.house.state.number - lag),
            mark=10_000 * mark,
        )
        for event in decision.events:
            if isinstance(event, CallChanged):
                self.check_call(event)
            if isinstance(event, CycleRecorded):
                for row, account in enumerate(event.accounts):
                    state = self.house.state
                    assert event.excess_cents(row) == excess_cents(state, account)
                    quoted = sum(
                        r.reserved_cents for r in open_reservations(state.journal, account)
                    )
                    assert quoted <= max(0, event.excess_cents(row))

    @rule(
        account=accounts,
        person=people,
        what=st.sampled_from((0, 1, 2, 3, 3)),
        minutes=st.integers(1, 90),
    )
    def act(self, account: str, person: str, what: int, minutes: int) -> None:
        call = self.house.call(account)
        due = self.house.now + timedelta(minutes=minutes)
        name, kind = call.call_id, CallClass.INITIAL
        action = (
            HoldCall(name, "bank closed"),
            ExtendDeadline(name, 1, due, "bank closed"),
            CancelCall(name, "error"),
            DeclareDefault(name, "not paid"),
        )[what]
        proposed = self.send(ProposeAction(self.house.id(), "ann", account, kind, action))
        if proposed is not None:
            subject = proposed.subjects[0]
            self.send(ApproveAction(self.house.id(), person, account, kind, subject))
            done = self.send(ExecuteAction(self.house.id(), "ann", account, kind, action))
            assert (done is not None) <= (person != "ann")

    @rule(account=accounts, is_release=st.booleans())
    def acknowledge(self, account: str, is_release: bool) -> None:
        name, kind = self.house.call(account).call_id, CallClass.INITIAL
        command = ReleaseHold if is_release else AcknowledgeCall
        self.send(command(self.house.id(), "ann", account, kind, name))

    @rule(minutes=st.sampled_from((1, 3, 12, 31, 61)))
    def wait(self, minutes: int) -> None:
        self.send(ReadClock(self.house.id(), "loop", self.house.now))
        self.house.step(minutes)

    @rule(minutes=st.sampled_from((6, 45)))
    def jump(self, minutes: int) -> None:
        """The clock jumps; until it is confirmed, time stands still."""
        clock = self.house.state.clock
        assert clock is not None
        self.house.now += timedelta(minutes=minutes)
        self.send(ReadClock(self.house.id(), "loop", None))
        assert self.house.state.clock is not None
        assert self.house.state.clock.is_suspended
        assert self.house.state.clock.now == clock.now

    @rule(minutes=st.integers(1, 40))
    def report_outage(self, minutes: int) -> None:
        began = self.house.now - timedelta(minutes=minutes)
        self.send(ReportOutage(self.house.id(), "ops", "bank", Outage(began, self.house.now)))

    @rule(which=st.integers(0, 100))
    def repeat(self, which: int) -> None:
        """A repeated command has its former reply and changes nothing."""
        if self.sent:
            command, reply = self.sent[which % len(self.sent)]
            decision = self.house.do(command)
            assert decision.is_repeat
            assert decision.reply == reply

    @invariant()
    def assets_are_conserved(self) -> None:
        state = self.house.state
        assert held_at_custodians(state.journal).get(USDC, 0) == self.paid_in - self.paid_out
        assert all(sums == (0, 0) for sums in asset_sums(state.journal).values())
        assert not integrity_findings(state.journal)
        assert not any(position_sums(state.journal).values())

    @invariant()
    def frozen_accounts_use_no_margin(self) -> None:
        for account in self.house.state.frozen:
            assert not open_reservations(self.house.state.journal, account)

    def teardown(self) -> None:
        """The state and the hashes follow from the log alone."""
        replayed = self.house.replayed()
        assert replayed == self.house.state
        if self.house.events:
            assert replayed.number == len(self.house.log)


TestRandomDay = RandomDay.TestCase
TestRandomDay.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@pytest.mark.slow
def test_many_random_days() -> None:
    longer = settings(max_examples=150, stateful_step_count=50, deadline=None)
    run_state_machine_as_test(RandomDay, settings=longer)


def test_the_log_has_the_same_hashes_when_it_is_read_again() -> None:
    house = House().open("a", "b")
    house.deposit("a", MILLION)
    house.trade("a", "b", 5)
    house.cycle({"a": 2_000_000, "b": 2_000_000})

    def head(read: bool) -> LogHead:
        last = LogHead()
        for event, (kind, payload, at) in zip(house.events, house.log, strict=True):
            one = event_of(kind, payload) if read else event
            last = following_entry(last, one, at, actor="x").head
        return last

    assert head(read=True) == head(read=False)
    assert head(read=True).number == len(house.events) == house.state.number
