"""Breadth-first exploration of a margin call: every sequence of letters up to a depth.

A letter is an event, or a short sequence of events of two people, in a world with few amounts and
times: an hour passes at once, a tranche is due after one hour, and two payments exist. Worlds that
differ only by a shift of time or by the numbers of versions are visited once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeAlias

from call_laws import Violation, World, forgotten, stepped

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
    Timer,
    TimerFired,
    TimerKind,
    Tranche,
    action_hash,
)
from margin_actors.clearing.calls.parameters import AROUND_THE_CLOCK

HOUR = timedelta(hours=1)
PARAMETERS = CallParameters(
    payment_calendars=AROUND_THE_CLOCK[:1],
    valuation_seconds_max=4 * 3600,
    approval_minutes=90,
)
THOUSAND = 100_000
RESOURCES = 1_000 * THOUSAND
AMOUNTS = {"p1": 300 * THOUSAND, "p2": 200 * THOUSAND}
START = World(CallState("C1", CallClass.INITIAL), datetime(2026, 6, 10, 12, 0, tzinfo=UTC))

Moves: TypeAlias = list[list[tuple[CallEvent, datetime]]]
"""Alternatives, each a sequence of events with their times."""
Letter: TypeAlias = Callable[[World], Moves]


def cycle(requirement: int, world: World, *, repeats: int = 0, back: int = 0) -> Moves:
    """A requirement in thousands; the resources are those at commit."""
    at = world.now - back * HOUR
    event = RequirementCycle(
        world.state.last_cycle + 1 - repeats,
        requirement * THOUSAND,
        RESOURCES + world.credited_cents,
        valued_at=at,
    )
    return [[(event, at)]]


def post(name: str, world: World, *, content: str = "posted") -> Moves:
    return [[(PaymentPosted(name, content, AMOUNTS[name], world.now), world.now)]]


def post_changed(name: str, world: World) -> Moves:
    """The payment again, with another content."""
    is_known = any(known == name for known, _, _ in world.posted)
    return post(name, world, content="another") if is_known else []


def attest(world: World) -> Moves:
    expires = world.now + 2 * HOUR
    event = PaymentPending("p1", "attested", AMOUNTS["p1"], expires)
    return [[(event, world.now)]]


def fire(world: World) -> Moves:
    """Each timer that is due."""
    return [[(TimerFired(t), world.now)] for t in _ordered(world.timers) if t.at <= world.now]


def fire_early(world: World) -> Moves:
    """Each timer that is not due, and each due one at a time before it: the clock went back."""
    back = world.now - HOUR
    ahead = [(t, world.now) for t in _ordered(world.timers) if t.at > world.now]
    behind = [(t, back) for t in _ordered(world.timers) if back < t.at <= world.now]
    return [[(TimerFired(timer), at)] for timer, at in ahead + behind]


def fire_stale(world: World) -> Moves:
    """Each timer that was voided or fired."""
    return [[(TimerFired(timer), world.now)] for timer in _ordered(world.stale)]


def acknowledge(world: World) -> Moves:
    return [[(Acknowledged(world.state.call_id), world.now)]]


def two_people(action: Callable[[World], Action | None], world: World) -> Moves:
    chosen = action(world)
    if chosen is None:
        return []
    events = (
        ActionProposed(chosen, "ann"),
        ActionApproved(action_hash(chosen), "bob"),
        ActionExecuted(chosen),
    )
    return [[(event, world.now) for event in events]]


def hold(world: World) -> Action | None:
    can_hold = world.state.is_open and not world.state.is_held
    return HoldCall(world.state.call_id, "x") if can_hold else None


def cancel(world: World) -> Action | None:
    return CancelCall(world.state.call_id, "x") if world.state.is_open else None


def extend(world: World) -> Action | None:
    """Two hours from now for the first unpaid tranche, if that is later than its due time."""
    due = world.now + 2 * HOUR
    for tranche in world.state.tranches if world.state.is_open else ():
        if tranche.unpaid_cents and tranche.due < due:
            return ExtendDeadline(world.state.call_id, tranche.number, due, "x")
    return None


def release(world: World) -> Moves:
    return [[(HoldReleased(world.state.call_id, "ann"), world.now)]]


def _default(world: World) -> DeclareDefault:
    return DeclareDefault(world.state.call_id, "x")


def propose(world: World) -> Moves:
    return [[(ActionProposed(_default(world), "ann"), world.now)]]


def approve(by: str, world: World) -> Moves:
    return [[(ActionApproved(action_hash(_default(world)), by), world.now)]]


def declare(world: World) -> Moves:
    return [[(ActionExecuted(_default(world)), world.now)]]


def outage(world: World) -> Moves:
    """The last hour."""
    return [[(OutageEnded(Outage(world.now - HOUR, world.now)), world.now)]]


LETTERS: Mapping[str, Letter] = {
    "requirement 1000": partial(cycle, 1_000),
    "requirement 1300": partial(cycle, 1_300),
    "requirement 1500": partial(cycle, 1_500),
    "repeated cycle": partial(cycle, 1_000, repeats=1),
    "requirement, clock back": partial(cycle, 1_500, back=1),
    "acknowledge": acknowledge,
    "attest p1": attest,
    "post p1": partial(post, "p1"),
    "post p2": partial(post, "p2"),
    "post p1 changed": partial(post_changed, "p1"),
    "fire": fire,
    "fire early": fire_early,
    "fire stale": fire_stale,
    "hold": partial(two_people, hold),
    "release": release,
    "cancel": partial(two_people, cancel),
    "extend": partial(two_people, extend),
    "propose default": propose,
    "approve, same person": partial(approve, "ann"),
    "approve, second person": partial(approve, "bob"),
    "declare default": declare,
    "outage": outage,
}
"""All letters but the passing of an hour, `HOUR_PASSES`."""
HOUR_PASSES = "an hour passes"
MONEY = (
    "requirement 1000", "requirement 1300", "requirement 1500", "repeated cycle",
    "post p1", "post p2", "post p1 changed", "fire", "fire stale", HOUR_PASSES,
)  # fmt: skip
PEOPLE = (
    "requirement 1300", "attest p1", "post p1", "post p2", "fire", "hold", "release",
    "propose default", "approve, same person", "approve, second person", "declare default",
    HOUR_PASSES,
)  # fmt: skip
TIME = (
    "requirement 1300", "requirement 1500", "requirement, clock back", "fire", "fire early",
    "fire stale", "hold", "release", "extend", "outage", HOUR_PASSES,
)  # fmt: skip
ALL = (*LETTERS, HOUR_PASSES)


@dataclass
class Exploration:
    """What was visited."""

    depth: int = 0
    """Largest number of letters."""
    states: int = 1
    transitions: int = 0
    is_closed: bool = False
    """Whether the last letters led to no new state, so that longer sequences cannot either."""
    statuses: set[str] = field(default_factory=lambda: {START.state.status.value})
    merged: list[tuple[World, World]] = field(default_factory=list[tuple[World, World]])
    """Pairs of worlds with the same key, of which only the first was continued; one per key."""


def explored(alphabet: tuple[str, ...], depth: int) -> Exploration:
    """Visit every world that sequences of at most `depth` letters reach.

    Raises
    ------
    Violation
        With the law and the letters of a shortest sequence that breaks it.
    """
    found = Exploration()
    seen: dict[int, World | None] = {hash(key(START)): START}
    frontier: list[tuple[World, tuple[str, ...]]] = [(START, ())]
    for found.depth in range(1, depth + 1):
        following: list[tuple[World, tuple[str, ...]]] = []
        for world, path in frontier:
            for name in alphabet:
                try:
                    reached = _reached(world, name, found)
                except Violation as violation:
                    raise Violation(f"{violation}: {', '.join((*path, name))}") from None
                for after in reached:
                    number = hash(key(after))
                    if number not in seen:
                        seen[number] = after
                        found.statuses.add(after.state.status.value)
                        following.append((after, (*path, name)))
                    elif (first := seen[number]) is not None and first != after:
                        found.merged.append((first, after))
                        seen[number] = None
        frontier = following
        if not frontier:
            found.is_closed = True
            break
    found.states = len(seen)
    return found


def futures(world: World, alphabet: tuple[str, ...]) -> list[set[int]]:
    """Return the keys of the worlds that each letter reaches."""
    found = Exploration()
    return [{hash(key(after)) for after in _reached(world, name, found)} for name in alphabet]


def _reached(world: World, name: str, found: Exploration) -> list[World]:
    if name == HOUR_PASSES:
        return [replace(world, now=world.now + HOUR)]
    reached: list[World] = []
    for events in LETTERS[name](world):
        after = world
        for event, now in events:
            found.transitions += 1
            after = stepped(after, event, PARAMETERS, now=now)
        if after is not world:
            reached.append(forgotten(after))
    return reached


def key(world: World) -> tuple[object, ...]:
    """Return what determines the future of a world, with times relative to now.

    No letter distinguishes times that are an hour or more in the past, except by their order; nor
    does it refer to a tranche that is paid.
    """
    state, now = world.state, world.now
    unpaid = [t for t in state.tranches if t.unpaid_cents] if state.is_open else []
    ranks = {state.tranche_id(t.number): rank for rank, t in enumerate(unpaid)}
    versions = {state.tranche_id(t.number): t.timer_version for t in unpaid}

    def timer_key(timer: Timer) -> tuple[object, ...]:
        if timer.kind is not TimerKind.DUE:
            return (timer.subject, _since(timer.at, now))
        if timer.subject not in ranks:
            return ("paid or former",)
        is_current = timer.version == versions[timer.subject]
        return (ranks[timer.subject], _since(timer.at, now), is_current)

    return (
        state.status,
        state.is_acknowledged and state.is_open,
        state.is_held,
        state.cycles_at_release,
        tuple(_tranche_key(t, now) for t in unpaid),
        tuple(sorted(range(len(unpaid)), key=lambda n: unpaid[n].due)),
        state.is_open and any(t.paid_cents for t in state.tranches),
        tuple((p.payment_id, _since(p.expires, now)) for p in state.attested),
        tuple(p.payment_id for p in state.payments),
        tuple(name for name, _, _ in world.posted),
        tuple((a.is_declaration, a.approver, _since(a.expires, now)) for a in state.approvals),
        frozenset((person, _since(until, now)) for person, until in world.signers),
        frozenset((_since(o.began, now), o.ended - now) for o in _recent(state.outages, now)),
        HOUR if state.changed_at is None else min(now - state.changed_at, HOUR),
        frozenset(map(timer_key, world.timers)),
        frozenset(map(timer_key, world.stale)),
        world.out_cents if state.is_open else 0,
        world.is_blocked,
        min(world.low_cycles, PARAMETERS.release_cycles),
    )


def _tranche_key(tranche: Tranche, now: datetime) -> tuple[object, ...]:
    return (
        tranche.unpaid_cents,
        tranche.paid_cents > 0,
        _since(tranche.granted_at, now),
        _since(tranche.due, now),
        tranche.is_late,
        tranche.passed_under_hold,
    )


def _recent(outages: tuple[Outage, ...], now: datetime) -> list[Outage]:
    return [outage for outage in outages if outage.ended > now - HOUR]


def _since(time: datetime, now: datetime) -> timedelta:
    return max(time - now, -HOUR)


def _ordered(timers: frozenset[Timer]) -> list[Timer]:
    return sorted(timers, key=lambda t: (t.at, t.subject, t.version))
