"""Rules of faults: processes are killed and started again, and answers must come back right."""

import threading
import time

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from margin_protos.v1 import margin_service_pb2 as pb
from soak.calls import Outcome
from soak.checks import check_book, check_positions, check_status
from soak.market import MarketSpec, snapshot_of
from soak.model import Row
from soak.parallel import Parallel, small_trades
from soak.rules_hostile import priceable_positions, release
from soak.rules_positions import judge_trades, trades_request
from soak.service import STOP_SECONDS, kill_titled
from soak.session import RECOVERY_SECONDS, TRANSIENT, Session
from soak.values import PLACES

WORKERS = ("sum_slice", "revalue", "IDLE", "prepare")
VICTIMS: dict[str, tuple[str, ...]] = {
    "shards": ("ScenarioShard",),
    "reducers": ("Reducer",),
    "workers": WORKERS,
    "coordinator": ("Coordinator",),
    "all actors": ("ScenarioShard", "Reducer", "Coordinator", *WORKERS),
}
LEASE_SECONDS = 10.0
"""Longest that something stays taken by what no longer exists."""
REPLACEMENT_SECONDS = 15.0
"""Time in which killed workers of tasks are replaced: Ray starts one when a book needs it, possibly
later than the check after the kill."""
STEPS_BETWEEN = 40
"""Steps between two faults, so that most of the time nothing is dead."""


def bound(session: Session, seconds: float, began: float) -> float:
    return session.heartbeat.allowed(seconds, began, time.monotonic())


def right_again(session: Session, kind: str, began: float) -> None:
    """Wait until every gateway that is alive returns the right book."""
    request = pb.CalculateBookRequest()
    holders = any(held for _, held in session.model.positions.values())
    good = ("OK",) if holders else ("FAILED_PRECONDITION",)
    last = None
    for number in range(len(session.gateways)):
        while number not in session.restarting:
            outcome = last = session.callers[number].call("CalculateBook", request, seconds=5.0)
            if outcome.code in good:
                break
            if outcome.code not in TRANSIENT:
                session.record.violation(
                    f"a book after a fault ended with {outcome.code}",
                    kind=kind,
                    message=outcome.message,
                )
            if time.monotonic() - began > bound(session, RECOVERY_SECONDS, began) + 30.0:
                break
            time.sleep(0.3)
        if last is not None and last.is_ok:
            check_book(session, last)
    seconds = time.monotonic() - began
    session.record.recovered(kind, seconds)
    if seconds > bound(session, RECOVERY_SECONDS, began):
        session.record.violation(
            f"no correct book within {RECOVERY_SECONDS:g} s after a fault",
            kind=kind,
            seconds=seconds,
            last=last and (last.code, last.message),
        )


def traffic(session: Session, count: int, salt: int) -> Parallel:
    """Return changes and reads in progress, for something to be killed beside them."""
    parallel = Parallel(session, seconds=10.0)
    parallel.trades(count, salt)
    if salt % 3 == 0:
        parallel.upload(priceable_positions(session, salt))
    spec = MarketSpec(session.model.snapshot.time, (salt % 89, salt % 83), salt % 7)
    if salt % 2 == 0 and snapshot_of(spec).id not in session.model.snapshots:
        parallel.publish(snapshot_of(spec))
    parallel.reads(2, 2)
    return parallel


def check_idle(session: Session, number: int) -> None:
    """Nothing that a dead process or a lost call held stays taken."""
    began = time.monotonic()
    while number not in session.restarting:
        status = session.status(number)
        active = status.requests_active - len(session.stalled) - len(session.gateways) - 2
        if status.run_slots_taken == 0 and active <= 0:
            return
        if time.monotonic() - began > bound(session, LEASE_SECONDS, began):
            session.record.violation(
                "something is still taken although nothing runs",
                run_slots_taken=status.run_slots_taken,
                requests_active=status.requests_active,
                problems=list(status.problems),
            )
            return
        time.sleep(0.1)


def whole_check(session: Session) -> None:
    for number in range(len(session.gateways)):
        check_status(session, number)
        check_positions(session, number)
        check_idle(session, number)


class FaultRules(RuleBasedStateMachine):
    """See the module."""

    session: Session

    def _may_fault(self) -> bool:
        return self.session.steps_since_kill >= STEPS_BETWEEN

    @precondition(_may_fault)
    @rule(victim=st.sampled_from(sorted(VICTIMS)), count=st.integers(0, 12), salt=PLACES,
          pause=st.sampled_from([0.0, 0.01, 0.05]))  # fmt: skip
    def kill_below_ray(self, victim: str, count: int, salt: int, pause: float) -> None:
        session = self.session
        session.steps_since_kill = 0
        session.is_disturbed = True
        beside = traffic(session, count, salt)
        time.sleep(pause)
        killed = kill_titled(session.roots, *VICTIMS[victim])
        session.record.event(f"killed {victim}" if killed else f"found no {victim}")
        began = time.monotonic()
        if set(WORKERS) <= set(VICTIMS[victim]):
            session.replaced_by = began + REPLACEMENT_SECONDS
        beside.finish(is_calm=False)
        right_again(session, f"killed {victim}", began)
        session.is_disturbed = False
        whole_check(session)

    @precondition(_may_fault)
    @rule(which=st.integers(0, 1), count=st.integers(0, 16), salt=PLACES,
          pause=st.sampled_from([0.0, 0.02, 0.1]))  # fmt: skip
    def kill_a_gateway(self, which: int, count: int, salt: int, pause: float) -> None:
        """SIGKILL while trades are under way; the other gateway goes on; this one comes back."""
        session = self.session
        self._strike(which % len(session.gateways), count, salt, pause, is_clean=False)

    @precondition(_may_fault)
    @rule(which=st.integers(0, 1), count=st.integers(0, 16), salt=PLACES,
          pause=st.sampled_from([0.0, 0.02, 0.1]))  # fmt: skip
    def restart_a_gateway(self, which: int, count: int, salt: int, pause: float) -> None:
        """SIGTERM while trades are under way, and a start with the same command line."""
        session = self.session
        self._strike(which % len(session.gateways), count, salt, pause, is_clean=True)

    def _strike(self, which: int, count: int, salt: int, pause: float, *, is_clean: bool) -> None:
        session, gateway = self.session, self.session.gateways[which]
        session.steps_since_kill = 0
        session.is_disturbed = True
        is_alone = len(session.gateways) == 1
        beside = None if is_alone else traffic(session, count, salt)
        time.sleep(pause)
        session.restarting.add(which)
        kind = "restarted a gateway" if is_clean else "killed a gateway"
        try:
            if is_clean:
                status, seconds = gateway.terminate()
                if status != 0 or seconds > STOP_SECONDS:
                    session.record.violation(
                        "a clean stop failed", status=status, seconds=seconds, tail=gateway.tail()
                    )
            else:
                gateway.kill()
            session.record.event(kind)
            while session.stalled:
                release(session)
            if beside is not None:
                began = time.monotonic()
                beside.finish(is_calm=False)
                right_again(session, f"{kind}, the other one", began)
            self._start_again(which)
        finally:
            session.restarting.discard(which)
        right_again(session, kind, time.monotonic())
        session.is_disturbed = False
        session.wait_for_generation("restart")
        whole_check(session)

    def _start_again(self, which: int) -> None:
        """Start with the same command line; writes are sent from the first moment on."""
        session, gateway = self.session, self.session.gateways[which]
        gateway.launch()
        early: list[tuple[list[Row], str, Outcome]] = []
        stop = threading.Event()
        caller = session.callers[which]
        wanted = small_trades(session, 4, session.steps_since_build)

        def write_early() -> None:
            for rows, key in wanted:
                request = trades_request(rows, key)
                while True:
                    outcome = caller.call("ApplyTrades", request, seconds=5.0)
                    if outcome.code not in TRANSIENT:
                        early.append((rows, key, outcome))
                        break
                    if stop.wait(0.2):
                        return

        thread = threading.Thread(target=write_early)
        thread.start()
        try:
            seconds = gateway.wait()
            session.record.recovered("start of a gateway", seconds)
        except RuntimeError as error:
            session.record.violation("a gateway did not start again", error=str(error)[-3000:])
            raise
        finally:
            thread.join(3.0)
            stop.set()
            thread.join()
        leftover = wanted[len(early) :]
        for rows, key in leftover:
            request = trades_request(rows, key)
            outcome = session.decided(
                lambda c, r=request: c.call("ApplyTrades", r, seconds=10.0), gateway=which
            )
            early.append((rows, key, outcome))
        for rows, key, outcome in early:
            judge_trades(session, outcome, rows, key, True, "", attempts=2)
