"""The state machine: all rules together, and the invariants that hold after every step."""

from hypothesis.stateful import initialize, invariant
from soak.checks import check_positions, check_status
from soak.rules_faults import FaultRules
from soak.rules_hostile import HostileRules
from soak.rules_lists import ListRules
from soak.rules_margin import MarginRules, calculate_book
from soak.rules_market import MarketRules
from soak.rules_positions import PositionRules
from soak.session import Session

STEPS_BETWEEN_WHOLE_CHECKS = 40
VIOLATIONS_MAX = 200
"""A run ends early after so many."""


class RunIsOver(BaseException):
    """Ends a run: hypothesis lets it pass, and does not take it for a failure."""


class ServiceMachine(PositionRules, MarginRules, MarketRules, ListRules, HostileRules, FaultRules):
    """Drives one running service; the service and the model outlive each example."""

    session: Session

    @initialize()
    def begin(self) -> None:
        self.session.record.step("example begins")

    @invariant()
    def every_step(self) -> None:
        session = self.session
        if session.is_over or sum(session.record.violations.values()) >= VIOLATIONS_MAX:
            raise RunIsOver
        session.record.steps += 1
        session.steps_since_kill += 1
        session.steps_since_build += 1
        step = session.record.steps
        check_status(session, step)
        if step % STEPS_BETWEEN_WHOLE_CHECKS == 0:
            check_positions(session, step // STEPS_BETWEEN_WHOLE_CHECKS)
            calculate_book(session, step // STEPS_BETWEEN_WHOLE_CHECKS)
        session.record.progress()
