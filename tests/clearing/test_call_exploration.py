"""Every sequence of letters keeps the laws of margin calls, and mutants of the machine do not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import call_laws
import pytest
from call_exploration import ALL, HOUR_PASSES, MONEY, PEOPLE, TIME, explored, futures

from margin_actors.clearing.calls import (
    CallEvent,
    CallParameters,
    CallState,
    CallStatus,
    Outcome,
    RequirementCycle,
    Timer,
    Tranche,
    WithdrawalsAllowed,
    decisions,
    machine,
    payments,
    requirements,
    tranches,
)
from margin_actors.clearing.calls.approvals import Approval

EVERY_STATUS = {status.value for status in CallStatus}


def test_payments_requirements_and_timers_keep_the_laws_in_sequences_of_any_length() -> None:
    found = explored(MONEY, 40)
    assert found.is_closed
    assert found.states > 600
    assert found.statuses == EVERY_STATUS - {"acknowledged", "default_declared"}


def test_sequences_of_eight_decisions_keep_the_laws() -> None:
    found = explored(PEOPLE, 8)
    assert found.states > 600
    assert found.statuses >= {"overdue", "default_declared"}


def test_sequences_of_six_letters_about_time_keep_the_laws() -> None:
    assert explored(TIME, 6).states > 400


def test_sequences_of_three_letters_of_all_kinds_keep_the_laws() -> None:
    found = explored(ALL, 3)
    assert found.states > 200
    assert found.statuses == EVERY_STATUS - {"default_declared"}


@pytest.mark.slow
def test_decisions_keep_the_laws_in_sequences_of_any_length() -> None:
    found = explored(PEOPLE, 40)
    assert found.is_closed
    assert found.states > 2_500


@pytest.mark.slow
def test_sequences_of_twelve_letters_about_time_keep_the_laws() -> None:
    found = explored(TIME, 12)
    assert found.states > 10_000


@pytest.mark.slow
def test_sequences_of_seven_letters_of_all_kinds_keep_the_laws() -> None:
    found = explored(ALL, 7)
    assert found.states > 12_000
    assert found.statuses == EVERY_STATUS


def check_futures(alphabet: tuple[str, ...], depth: int) -> None:
    merged = explored(alphabet, depth).merged
    assert len(merged) >= 10
    for first, second in merged:
        assert futures(first, alphabet) == futures(second, alphabet)


@pytest.mark.parametrize(("alphabet", "depth"), [(MONEY, 5), (PEOPLE, 6), (TIME, 5), (ALL, 2)])
def test_worlds_that_are_counted_as_one_have_the_same_future(
    alphabet: tuple[str, ...], depth: int
) -> None:
    check_futures(alphabet, depth)


@pytest.mark.slow
@pytest.mark.parametrize(("alphabet", "depth"), [(MONEY, 40), (PEOPLE, 12), (TIME, 8), (ALL, 4)])
def test_more_worlds_that_are_counted_as_one_have_the_same_future(
    alphabet: tuple[str, ...], depth: int
) -> None:
    check_futures(alphabet, depth)


# -- mutants ---------------------------------------------------------------------------------------
#
# Each is one mistake in one function. A mutant receives the function that it replaces.


def resets_due_times(issued: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """A top-up gives all tranches the due time of the new one."""

    def mutant(*args: object) -> Outcome:
        outcome = issued(*args)
        due = outcome.state.tranches[-1].due
        later = tuple(replace(t, due=due) for t in outcome.state.tranches)
        return replace(outcome, state=replace(outcome.state, tranches=later))

    return mutant


def counts_twice(on_posted: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """A repeated payment is counted again."""
    return lambda state, event: on_posted(replace(state, payments=()), event)


def needs_no_second_person(is_complete: Callable[..., bool]) -> Callable[..., bool]:
    return lambda approval, now: now < approval.expires


def ignores_versions(on_timer: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """A timer of a former due time fires as that of the present one."""

    def mutant(state: CallState, timer: Timer, now: datetime) -> Outcome:
        for tranche in state.tranches:
            if state.tranche_id(tranche.number) == timer.subject and timer.at <= now:
                own = tranches.due_timer(state, tranche)
                return on_timer(state, own, max(now, own.at))
        return on_timer(state, timer, now)

    return mutant


def forgets_attested(declared: Callable[..., Outcome]) -> Callable[..., Outcome]:
    return lambda state, now: declared(replace(state, attested=()), now)


def ignores_hold(declared: Callable[..., Outcome]) -> Callable[..., Outcome]:
    return lambda state, now: declared(replace(state, is_held=False), now)


def fires_under_hold(on_timer: Callable[..., Outcome]) -> Callable[..., Outcome]:
    def mutant(state: CallState, timer: Timer, now: datetime) -> Outcome:
        outcome = on_timer(replace(state, is_held=False), timer, now)
        return replace(outcome, state=replace(outcome.state, is_held=state.is_held))

    return mutant


def fires_early(on_timer: Callable[..., Outcome]) -> Callable[..., Outcome]:
    return lambda state, timer, now: on_timer(state, timer, max(now, timer.at))


def loses_timers(rearranged: Callable[..., object]) -> Callable[..., object]:
    """The end of a hold does not set the timers again."""
    return lambda state, tranches: (replace(state, tranches=tranches), [])


def releases_at_once(is_at_release: Callable[..., bool]) -> Callable[..., bool]:
    """A cycle between release and trigger counts as one at release."""

    def mutant(event: RequirementCycle, parameters: CallParameters) -> bool:
        return event.deficit_cents <= 300 * 100_000

    return mutant


def counts_repeated_cycles(on_requirement: Callable[..., Outcome]) -> Callable[..., Outcome]:
    return lambda state, event, now, parameters: on_requirement(
        replace(state, last_cycle=event.cycle - 1), event, now, parameters
    )


def keeps_withdrawals_blocked(concluded: Callable[..., object]) -> Callable[..., object]:
    def mutant(state: CallState, status: CallStatus) -> object:
        after, effects = tranches.concluded(state, status)
        return after, [e for e in effects if not isinstance(e, WithdrawalsAllowed)]

    return mutant


def takes_the_oldest(by_due: Callable[..., object]) -> Callable[..., object]:
    return lambda tranche: (-tranche.due.timestamp(), tranche.number)


def any_payment_ends_overdue(status: Callable[..., CallStatus]) -> Callable[..., CallStatus]:
    def mutant(state: CallState) -> CallStatus:
        is_paid = any(t.paid_cents for t in state.tranches)
        return CallStatus.PARTLY_MET if is_paid else status(state)

    return mutant


def follows_the_clock(decided: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Whether a tranche is late is computed from the clock instead of remembered."""

    def mutant(
        state: CallState, event: CallEvent, now: datetime, parameters: CallParameters
    ) -> Outcome:
        outcome = decided(state, event, now, parameters)
        if isinstance(event, RequirementCycle) and event.valued_at < now:
            late = tuple(replace(t, is_late=False) for t in outcome.state.tranches)
            return replace(outcome, state=replace(outcome.state, tranches=late))
        return outcome

    return mutant


def keeps_approvals(concluded: Callable[..., object]) -> Callable[..., object]:
    """Approvals of a default survive the payment of the late tranche."""

    def mutant(state: CallState, rest: tuple[Tranche, ...]) -> object:
        after, effects = tranches.rearranged(state, rest)
        return replace(after, approvals=state.approvals), effects

    return mutant


LATE = ("requirement 1300", "requirement 1500", "post p1", "fire", "propose default", HOUR_PASSES)
"""A late tranche is paid while another one is not due."""
Mutant = Callable[[Callable[..., object]], Callable[..., object]]
MUTANTS = [
    (requirements, "_issued", resets_due_times, MONEY, "a deadline moves only by extension"),
    (machine, "on_payment_posted", counts_twice, MONEY, "a known payment changes nothing"),
    (Approval, "is_complete", needs_no_second_person, PEOPLE, "declared by two people"),
    (machine, "on_due_timer", ignores_versions, TIME, "a stale timer changes nothing"),
    (decisions, "_declared", forgets_attested, PEOPLE, "an attestation ends by|under way"),
    (decisions, "_declared", ignores_hold, PEOPLE, "during a hold"),
    (machine, "on_due_timer", fires_under_hold, PEOPLE, "without a hold"),
    (machine, "on_due_timer", fires_early, TIME, "at its due time"),
    (decisions, "rearranged", loses_timers, TIME, "every deadline has its timer"),
    (requirements, "is_at_release", releases_at_once, MONEY, "after two cycles at release"),
    (machine, "on_requirement", counts_repeated_cycles, MONEY, "after two cycles at release"),
    (requirements, "concluded", keeps_withdrawals_blocked, MONEY, "withdrawals are blocked"),
    (tranches, "_by_due", takes_the_oldest, MONEY, "the latest is reduced|the oldest is paid"),
    (tranches, "_open_status", any_payment_ends_overdue, MONEY, "overdue is a late tranche"),
    (machine, "_decided", follows_the_clock, TIME, "late until it is extended"),
    (payments, "rearranged", keeps_approvals, LATE, "proposed when overdue"),
]


@pytest.mark.parametrize(
    ("module", "name", "mutant", "alphabet", "law"),
    MUTANTS,
    ids=lambda x: x.__name__ if callable(x) and not isinstance(x, type) else "",
)
def test_the_exploration_finds_the_mutant(
    module: object,
    name: str,
    mutant: Mutant,
    alphabet: tuple[str, ...],
    law: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, name, mutant(getattr(module, name)))
    with pytest.raises(call_laws.Violation, match=law):
        explored(alphabet, 7)
