"""A margin call under test: events by short names, amounts in thousands of US dollars."""

from datetime import UTC, datetime, timedelta

from margin_actors.clearing.calls import (
    Acknowledged,
    Action,
    ActionApproved,
    ActionExecuted,
    ActionProposed,
    Announcement,
    CallClass,
    CallEvent,
    CallParameters,
    CallState,
    CancelCall,
    DeclareDefault,
    Effect,
    ExtendDeadline,
    HoldCall,
    HoldReleased,
    News,
    Outage,
    OutageEnded,
    Outcome,
    PaymentPending,
    PaymentPosted,
    RequirementCycle,
    Timer,
    TimerFired,
    TimerKind,
    TimerSet,
    TimerVoided,
    action_hash,
    transition,
)

THOUSAND = 100_000
"""Cents in a thousand US dollars."""
START = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)
"""A Wednesday at noon: US dollars can be paid."""
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
PARAMETERS = CallParameters()


class Desk:
    """One account's calls, the clock and the timers that the service would keep."""

    def __init__(self, parameters: CallParameters = PARAMETERS, now: datetime = START) -> None:
        self.parameters = parameters
        self.now = now
        self.state = CallState("C1", CallClass.INITIAL)
        self.timers: dict[tuple[TimerKind, str], Timer] = {}
        self.outcome = Outcome(self.state)

    @property
    def effects(self) -> tuple[Effect, ...]:
        return self.outcome.effects

    @property
    def kinds(self) -> list[type]:
        return [type(effect) for effect in self.effects]

    @property
    def news(self) -> list[News]:
        return [effect.news for effect in self.effects if isinstance(effect, Announcement)]

    @property
    def status(self) -> str:
        return self.state.status.value

    @property
    def out(self) -> float:
        return self.state.out_cents / THOUSAND

    def send(self, event: CallEvent) -> Outcome:
        self.outcome = transition(self.state, event, self.now, self.parameters)
        self.state = self.outcome.state
        for effect in self.outcome.effects:
            if isinstance(effect, TimerVoided):
                assert self.timers.pop((effect.timer.kind, effect.timer.subject)) == effect.timer
            if isinstance(effect, TimerSet):
                self.timers[effect.timer.kind, effect.timer.subject] = effect.timer
        return self.outcome

    def require(
        self, requirement: float, resources: float = 1000, *, cycle: int = 0, frozen: bool = False
    ) -> Outcome:
        return self.send(
            RequirementCycle(
                cycle or self.state.last_cycle + 1,
                round(requirement * THOUSAND),
                round(resources * THOUSAND),
                valued_at=self.now,
                is_frozen=frozen,
            )
        )

    def acknowledge(self) -> Outcome:
        return self.send(Acknowledged(self.state.call_id))

    def attest(self, name: str, amount: float, *, hours: float = 2, content: str = "") -> Outcome:
        expires = self.now + timedelta(hours=hours)
        cents = round(amount * THOUSAND)
        return self.send(PaymentPending(name, content or f"attested {name}", cents, expires))

    def pay(
        self, name: str, amount: float, *, received: datetime | None = None, content: str = ""
    ) -> Outcome:
        cents = round(amount * THOUSAND)
        received = self.now if received is None else received
        return self.send(PaymentPosted(name, content or f"posted {name}", cents, received))

    def timer(self, tranche: int = 1) -> Timer:
        """The timer of the due time of a tranche of the current call."""
        return self.timers[TimerKind.DUE, self.state.tranche_id(tranche)]

    def fire(self, timer: Timer) -> Outcome:
        """Deliver a timer without removing it from the stored ones: delivery is at least once."""
        return self.send(TimerFired(timer))

    def wait(self, **time: float) -> None:
        """Let time pass and fire the timers that become due, in their order."""
        end = self.now + timedelta(**time)
        while due := [t for t in self.timers.values() if t.at <= end]:
            timer = min(due, key=lambda t: (t.at, t.subject))
            self.now = max(self.now, timer.at)
            del self.timers[timer.kind, timer.subject]
            self.fire(timer)
        self.now = end

    def two_people(self, action: Action) -> Outcome:
        self.send(ActionProposed(action, "ann"))
        self.send(ActionApproved(action_hash(action), "bob"))
        return self.send(ActionExecuted(action))

    def hold(self) -> Outcome:
        return self.two_people(HoldCall(self.state.call_id, "bank closed"))

    def release(self) -> Outcome:
        return self.send(HoldReleased(self.state.call_id, "ann"))

    def cancel(self) -> Outcome:
        return self.two_people(CancelCall(self.state.call_id, "wrong price"))

    def declare(self) -> Outcome:
        return self.two_people(DeclareDefault(self.state.call_id, "failure to pay"))

    def extend(self, tranche: int, due: datetime) -> Outcome:
        return self.two_people(ExtendDeadline(self.state.call_id, tranche, due, "bank closed"))

    def report_outage(self, began: datetime, ended: datetime) -> Outcome:
        return self.send(OutageEnded(Outage(began, ended)))


def overdue_desk() -> Desk:
    """A call of 300 thousand that was not paid."""
    desk = Desk()
    desk.require(1300)
    desk.wait(hours=1)
    assert desk.status == "overdue"
    return desk
