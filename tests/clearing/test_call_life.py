"""A margin call under random events, amounts and times: laws that hold in every order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from call_laws import World, stepped
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from margin_actors.clearing.calls import (
    Acknowledged,
    Action,
    ActionApproved,
    ActionExecuted,
    ActionProposed,
    CallClass,
    CallEvent,
    CallParameters,
    CallState,
    CancelCall,
    DeclareDefault,
    ExtendDeadline,
    HoldCall,
    HoldReleased,
    Outage,
    OutageEnded,
    PaymentPending,
    PaymentPosted,
    RequirementCycle,
    TimerFired,
    action_hash,
)

START = datetime(2026, 6, 12, 12, 0, tzinfo=UTC)
"""A Friday, so that the weekend lies ahead."""
RESOURCES = 10**8
"""A million US dollars, in cents."""
DEFICITS = st.sampled_from([-5, 0, 3, 12, 30, 30, 60]).flatmap(
    lambda percent: st.integers(percent * 10**6 - 10**6, percent * 10**6)
)
"""Cents; most are above the trigger of 110 %."""
PAYMENTS = st.integers(1, 4 * 10**7)
"""Cents."""
MINUTES = st.integers(0, 150)
NAMES = st.sampled_from(["p1", "p2", "p3", "p4", "p5"])
PEOPLE = st.sampled_from(["ann", "bob", "eve"])
KINDS = st.sampled_from(["hold", "extend", "cancel", "declare"])


class CallLife(RuleBasedStateMachine):
    """Cycles, payments, people and timers; messages are repeated, late and out of order."""

    @initialize(
        closed_rule=st.sampled_from(["open_assets", "extend"]),
        release=st.sampled_from([9_500, 10_000, 10_500]),
        release_cycles=st.integers(1, 3),
        minimum=st.sampled_from([1, 100_000]),
        unit=st.sampled_from([1, 10_000]),
    )
    def start(
        self, closed_rule: str, release: int, release_cycles: int, minimum: int, unit: int
    ) -> None:
        self.parameters = CallParameters.model_validate(
            {
                "closed_rule": closed_rule,
                "release_basis_points": release,
                "release_cycles": release_cycles,
                "minimum_transfer_usd": minimum,
                "unit_usd": unit,
            }
        )
        self.world = World(CallState("C1", CallClass.INITIAL), START)
        self.base = RESOURCES
        self.actions: dict[str, Action] = {}
        self.requirement(3 * 10**7, 0, 0, 0, False)

    def send(self, event: CallEvent, *, back: int = 0) -> None:
        now = self.world.now - timedelta(minutes=back)
        self.world = stepped(self.world, event, self.parameters, now=now)

    # -- cycles ------------------------------------------------------------------------------------

    @rule(
        deficit=DEFICITS,
        repeats=st.sampled_from([0, 0, 0, 0, 1, 2]),
        age=st.sampled_from([0, 0, 0, 0, 5, 6]),
        back=st.sampled_from([0, 0, 0, 0, 3]),
        is_frozen=st.sampled_from([False, False, False, False, True]),
    )
    def requirement(self, deficit: int, repeats: int, age: int, back: int, is_frozen: bool) -> None:
        resources = self.base + self.world.credited_cents
        event = RequirementCycle(
            max(self.world.state.last_cycle + 1 - repeats, 0),
            max(resources + deficit, 0),
            resources,
            valued_at=self.world.now - timedelta(minutes=age),
            is_frozen=is_frozen,
        )
        self.send(event, back=back)

    @rule(loss=st.integers(-(10**7), 10**7))
    def lose(self, loss: int) -> None:
        """The market moves: resources change without a payment, and the next cycle follows."""
        self.base -= loss
        self.requirement(loss + 3 * 10**7, 0, 0, 0, False)

    # -- payments ----------------------------------------------------------------------------------

    @rule(name=NAMES, cents=PAYMENTS, minutes=MINUTES, content=st.sampled_from("aab"))
    def attest(self, name: str, cents: int, minutes: int, content: str) -> None:
        expires = self.world.now + timedelta(minutes=minutes)
        self.send(PaymentPending(name, content, cents, expires))

    @rule(name=NAMES, cents=PAYMENTS, minutes=MINUTES, content=st.sampled_from("aab"))
    def post(self, name: str, cents: int, minutes: int, content: str) -> None:
        received = self.world.now - timedelta(minutes=minutes)
        self.send(PaymentPosted(name, content, cents, received))

    @rule(name=NAMES, unit_more=st.integers(-1, 1))
    def post_what_is_out(self, name: str, unit_more: int) -> None:
        cents = max(self.world.state.out_cents + unit_more, 1)
        self.send(PaymentPosted(name, "a", cents, self.world.now))

    # -- time --------------------------------------------------------------------------------------

    @rule(minutes=MINUTES)
    def wait(self, minutes: int) -> None:
        """Let time pass without timers, as if the service were busy."""
        now = self.world.now + timedelta(minutes=minutes)
        self.world = replace(self.world, now=now)

    @precondition(lambda self: self.world.timers)
    @rule(data=st.data(), is_due=st.booleans(), back=st.sampled_from([0, 0, 30]))
    def fire(self, data: st.DataObject, is_due: bool, back: int) -> None:
        timers = sorted(self.world.timers, key=lambda t: (t.at, t.subject))
        timer = data.draw(st.sampled_from(timers))
        if is_due and timer.at > self.world.now:
            self.world = replace(self.world, now=timer.at)
        self.send(TimerFired(timer), back=back)

    @precondition(lambda self: self.world.timers)
    @rule()
    def miss_the_next_deadline(self) -> None:
        timer = min(self.world.timers, key=lambda t: (t.at, t.subject))
        self.world = replace(self.world, now=max(self.world.now, timer.at))
        self.send(TimerFired(timer))

    @precondition(lambda self: self.world.stale)
    @rule(data=st.data())
    def fire_stale(self, data: st.DataObject) -> None:
        timers = sorted(self.world.stale, key=lambda t: (t.at, t.subject, t.version))
        self.send(TimerFired(data.draw(st.sampled_from(timers))))

    @rule(began=MINUTES, length=st.integers(1, 120))
    def outage(self, began: int, length: int) -> None:
        start = self.world.now - timedelta(minutes=began)
        self.send(OutageEnded(Outage(start, start + timedelta(minutes=length))))

    # -- people ------------------------------------------------------------------------------------

    @rule(number=st.integers(-1, 0))
    def acknowledge(self, number: int) -> None:
        call = self.world.state.call_id if number == 0 else "call/C1/initial/99"
        self.send(Acknowledged(call))

    @rule(kind=KINDS, by=PEOPLE, tranche=st.integers(1, 3), minutes=st.integers(-30, 200))
    def propose(self, kind: str, by: str, tranche: int, minutes: int) -> None:
        call = self.world.state.call_id
        actions: dict[str, Action] = {
            "hold": HoldCall(call, "x"),
            "extend": ExtendDeadline(
                call, tranche, self.world.now + timedelta(minutes=minutes), "x"
            ),
            "cancel": CancelCall(call, "x"),
            "declare": DeclareDefault(call, "x"),
        }
        self.actions[kind] = actions[kind]
        self.send(ActionProposed(actions[kind], by))

    @precondition(lambda self: self.actions)
    @rule(data=st.data(), by=PEOPLE)
    def approve(self, data: st.DataObject, by: str) -> None:
        action = self.actions[data.draw(st.sampled_from(sorted(self.actions)))]
        self.send(ActionApproved(action_hash(action), by))

    @precondition(lambda self: self.actions)
    @rule(data=st.data())
    def execute(self, data: st.DataObject) -> None:
        self.send(ActionExecuted(self.actions[data.draw(st.sampled_from(sorted(self.actions)))]))

    @rule(kind=st.sampled_from(["hold", "extend", "declare"]))
    def decide_together(self, kind: str) -> None:
        self.propose(kind, "ann", 1, 100)
        self.send(ActionApproved(action_hash(self.actions[kind]), "bob"))
        self.send(ActionExecuted(self.actions[kind]))

    @rule()
    def release(self) -> None:
        self.send(HoldReleased(self.world.state.call_id, "ann"))


TestCallLife = CallLife.TestCase
TestCallLife.settings = settings(max_examples=40, stateful_step_count=40)
