"""One run: the service under test, the model beside it, and what both have in common."""

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from margin_cluster.sources import ParquetStore
from margin_cluster.wiring import load_model
from margin_protos.v1 import margin_service_pb2 as margin_pb
from margin_protos.v1 import operations_service_pb2 as operations_pb
from margin_protos.v1 import portfolio_service_pb2 as portfolio_pb
from soak.calls import Caller, Outcome
from soak.engine import Engine
from soak.heartbeat import Heartbeat
from soak.market import Seed, write_seed
from soak.model import Model, Positions
from soak.record import Record, Sample
from soak.service import Gateway, RayHead

from margin_actors.engine.scenarios import scenario_set_from_table

ALLOWANCE_SECONDS = 1.0
"""A call may take twice its usual time and this; more on a machine that others use, too."""
USUAL_SECONDS_MAX = 0.5
"""A usual time beyond this is a defect itself: the market and the book are small."""
SLOW_KINDS = ("PublishSnapshot", "generation", "market", "older", "same", "publication", "Activate")
"""Kinds of calls that fit and price a whole market, to which that does not apply."""
FIRST_SECONDS = 5.0
"""The first calls of a kind, whose usual time is not known yet, may take so long."""
STATUS_SECONDS = 3.0
"""Status and health answer within this at all times."""
RECOVERY_SECONDS = 15.0
"""Longest until correct answers after a kill."""
TRANSIENT = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"})
"""Statuses with which a call may end while parts of the service are being replaced."""
UNDECIDED = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED"})
"""Statuses that leave open whether a change was made."""
SAMPLE_SECONDS = 5.0
PROBE_SECONDS = 0.5


@dataclass(frozen=True)
class Setting:
    """What a run drives."""

    folder: Path
    ledger_url: str = ""
    """Empty: SQLite in the state folder."""
    gateways: int = 2
    """0: one gateway with Ray inside; else so many attached to one Ray cluster."""
    store: Path | None = None
    """Store with compiled data that other runs may share; None for one in the folder."""
    seconds: float = 60.0


@dataclass
class Session:
    """See the module."""

    setting: Setting
    record: Record = field(init=False)
    seed: Seed = field(init=False)
    model: Model = field(init=False)
    gateways: list[Gateway] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    head: RayHead | None = None
    until: float = 0.0
    is_disturbed: bool = False
    """True between a kill and the first correct answers after it."""
    calculations: dict[str, Any] = field(default_factory=dict)
    """What was returned with each recorded calculation, by its id."""
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    replaced_by: float = float("-inf")
    """Until then Ray may start workers in place of killed ones, which takes seconds."""
    steps_since_kill: int = 0
    steps_since_build: int = 0
    stalled: list[Any] = field(default_factory=list)
    """Calls that are held open on purpose."""
    last_sequence: int = 0

    def __post_init__(self) -> None:
        folder = self.setting.folder
        self.record = Record(folder / "record", logs=lambda: [g.log for g in self.gateways])
        self.store = self.setting.store or folder / "store"
        self.seed = write_seed(folder / "seed", self.store)
        self.heartbeat = Heartbeat()
        self._probes: list[threading.Thread] = []
        self._stop = threading.Event()
        self.state = folder / "state"

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything, and begin the model from the files of the command line."""
        embedded = self.setting.gateways == 0
        if not embedded:
            self.head = RayHead(self.setting.folder / "ray", self.store)
        for number in range(max(1, self.setting.gateways)):
            gateway = Gateway(f"gateway{number}", self.setting.folder, self.store, self.options())
            self.gateways.append(gateway)
            seconds = gateway.start()
            self.record.step("started", gateway=gateway.name, seconds=round(seconds, 2))
            self.callers.append(Caller(gateway.target, gateway.name, self.record))
        seed = self.seed
        parameters = load_model(str(seed.model_file))
        self.model = Model(
            engine=Engine(parameters),
            snapshots={seed.snapshot.id: seed.snapshot},
            scenario_sets={seed.scenarios.id: seed.scenarios},
            snapshot_id=seed.snapshot.id,
            scenarios_id=seed.scenarios.id,
            positions={a: (m, dict(held)) for a, (m, held) in seed.positions.items()},
        )
        status = self.status(0)
        self.model.version, self.model.generation = (
            status.portfolio_version,
            status.generation.number,
        )
        self.model.keep()
        self.until = time.monotonic() + self.setting.seconds
        for number in range(len(self.gateways)):
            thread = threading.Thread(target=self._probe, args=(number,), daemon=True)
            thread.start()
            self._probes.append(thread)

    def options(self) -> tuple[str, ...]:
        """Return the options of `margin serve`: the same at every start."""
        seed = self.seed
        given: dict[str, Any] = {
            "--snapshot": seed.snapshot_file,
            "--book": seed.book_file,
            "--model": seed.model_file,
            "--scenarios": seed.scenarios.id,
            "--state": self.state,
            "--shards": 2,
        }
        if self.setting.ledger_url:
            given["--ledger"] = self.setting.ledger_url
        if self.head is not None:
            given["--ray-address"] = self.head.address
        else:
            given["--cpus"] = 2
        return tuple(str(x) for pair in given.items() for x in pair)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._probes:
            thread.join(10)
        for caller in self.callers:
            caller.close()
        for gateway in self.gateways:
            gateway.stop()
        if self.head is not None:
            self.head.stop()
        self.heartbeat.stop()
        self.record.close()

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until

    @property
    def roots(self) -> list[int]:
        """Processes below which Ray's processes of this run are found."""
        roots = [self.head.process.pid] if self.head is not None else []
        return roots + [g.process.pid for g in self.gateways if g.process is not None]

    def fresh(self, what: str) -> str:
        """Return a text that has not been used in this run."""
        return f"{what}-{next(self.numbers)}"

    # -- probes --------------------------------------------------------------------------------

    def _probe(self, number: int) -> None:
        """Ask health and status all the time, and note memory and descriptors."""
        gateway = self.gateways[number]
        caller = Caller(gateway.target, f"probe{number}", self.record)
        sampled = 0.0
        while not self._stop.wait(PROBE_SECONDS):
            process = gateway.process
            if process is None or not self._answers(number):
                continue
            for what in ("health", "status"):
                started = time.monotonic()
                if what == "health":
                    code = caller.healthy(30.0)
                else:
                    request = operations_pb.GetStatusRequest()
                    code = caller.call("GetStatus", request, seconds=30.0).code
                self._judge_probe(number, process, what, code, started)
            now = time.monotonic()
            usage = gateway.usage()
            if usage is not None and now - sampled > SAMPLE_SECONDS:
                sampled = now
                self.record.samples.append(Sample(process.pid, self.record.seconds, *usage))
        caller.close()

    def _answers(self, number: int) -> bool:
        """Return whether a gateway is meant to answer at present."""
        return self.gateways[number].is_alive and number not in self.restarting

    restarting: set[int] = field(default_factory=set)
    """Gateways that are being stopped or started."""

    def _judge_probe(self, number: int, process: Any, what: str, code: str, started: float) -> None:
        ended = time.monotonic()
        if self.gateways[number].process is not process or not self._answers(number):
            return
        bound = self.heartbeat.allowed(STATUS_SECONDS, started, ended)
        good = {"health": {"SERVING", "NOT_SERVING"}, "status": {"OK"}}[what]
        if self.is_disturbed:
            good = good | TRANSIENT
        if ended - started > bound:
            self.record.violation(
                f"{what} took longer than {STATUS_SECONDS:g} s",
                seconds=ended - started,
                bound=bound,
                disturbed=self.is_disturbed,
                code=code,
            )
        elif code not in good:
            self.record.violation(f"{what} answered {code}", gateway=number)

    # -- calls ---------------------------------------------------------------------------------

    def caller(self, number: int) -> Caller:
        """Return the caller of a gateway that is meant to answer; numbers are taken modulo."""
        alive = [i for i in range(len(self.gateways)) if self._answers(i)]
        return self.callers[alive[number % len(alive)]]

    def ordinary(
        self,
        method: str,
        request: Any,
        *,
        gateway: int = 0,
        kind: str = "",
        expect: Iterable[str] = ("OK",),
        caller: Caller | None = None,
        **arguments: Any,
    ) -> Outcome:
        """Make a call while nothing is dead: it ends as expected, and in its usual time."""
        caller = caller or self.caller(gateway)
        kind, began = kind or method, time.monotonic()
        outcome = caller.call(method, request, **arguments)
        if outcome.code not in set(expect):
            self.record.violation(
                f"{method} ended with {outcome.code}, expected {' or '.join(sorted(expect))}",
                kind=kind,
                request=outcome.request,
                message=outcome.message,
                reasons=outcome.reasons,
            )
        self._judge_time(f"{kind} {outcome.code}", began, outcome.seconds)
        return outcome

    def _judge_time(self, kind: str, began: float, seconds: float) -> None:
        usual = self.record.usual(kind)
        if usual is not None and not kind.startswith(SLOW_KINDS):
            usual = min(usual, USUAL_SECONDS_MAX)
        plain = FIRST_SECONDS if usual is None else 2 * usual + ALLOWANCE_SECONDS
        if began < self.replaced_by:
            plain = max(plain, RECOVERY_SECONDS)
        bound = self.heartbeat.allowed(plain, began, began + seconds)
        if seconds > bound:
            self.record.violation(
                "a call took longer than twice its usual time",
                kind=kind,
                seconds=seconds,
                usual=usual,
                bound=bound,
            )
        else:
            self.record.took(kind, seconds)

    def decided(self, attempt: Callable[[Caller], Outcome], *, gateway: int = 0) -> Outcome:
        """Repeat a call under its key until its outcome is known.

        Each attempt goes to the next gateway that answers.
        """
        until = time.monotonic() + RECOVERY_SECONDS + 45.0
        for number in itertools.count(gateway):
            outcome = attempt(self.caller(number))
            if outcome.code not in UNDECIDED:
                return outcome
            if time.monotonic() > until:
                self.record.violation(
                    f"{outcome.method} under one key was not decided within a minute",
                    code=outcome.code,
                    message=outcome.message,
                )
                return outcome
            time.sleep(0.2)
        raise AssertionError

    # -- the service's own view ----------------------------------------------------------------

    def status(self, gateway: int) -> operations_pb.GetStatusResponse:
        request = operations_pb.GetStatusRequest()
        outcome = self.caller(gateway).call("GetStatus", request, seconds=30.0)
        return outcome.answer if outcome.is_ok else operations_pb.GetStatusResponse()

    def portfolio(self, account: str, gateway: int = 0) -> Outcome:
        request = portfolio_pb.GetPortfolioRequest(account_id=account)
        return self.caller(gateway).call("GetPortfolio", request)

    def adopt(self, why: str) -> None:
        """Take the service's state as the model's after a violation, so that the run can go on."""
        self.record.event("model adopted the service's state")
        self.record.step("adopt", why=why)
        model, positions = self.model, Positions()
        for account in sorted({*model.positions, *self.seed.positions}):
            outcome = self.portfolio(account)
            if outcome.is_ok:
                held = {p.instrument_name: p.quantity for p in outcome.answer.positions}
                positions[account] = (outcome.answer.member_id, held)
        status = self.status(0)
        model.replace(positions, status.portfolio_version)
        generation = status.generation
        if generation.snapshot_id in model.snapshots:
            model.snapshot_id = generation.snapshot_id
        if generation.scenarios_id in model.scenario_sets:
            model.scenarios_id = generation.scenarios_id
        model.generation = generation.number

    def learn_scenarios(self, scenarios_id: str) -> bool:
        """Read a stored scenario set; returns whether its content has the id."""
        table = ParquetStore(self.state).get("scenarios", scenarios_id)
        found = scenario_set_from_table(table, where=scenarios_id)
        self.model.scenario_sets[found.id] = found
        return found.id == scenarios_id

    def wait_for_generation(self, kind: str) -> None:
        """Wait until every gateway answers from the snapshot and scenarios in use."""
        model = self.model
        request = margin_pb.SimulateMarginRequest(
            candidates=[margin_pb.Candidate()], snapshot_id=model.snapshot_id
        )
        request.portfolio.SetInParent()
        began = time.monotonic()
        for number in range(len(self.gateways)):
            while self._answers(number):
                outcome = self.callers[number].call("SimulateMargin", request)
                if outcome.is_ok and outcome.answer.generation.number >= model.generation:
                    break
                now = time.monotonic()
                if now - began > self.heartbeat.allowed(RECOVERY_SECONDS, began, now):
                    self.record.violation(
                        "the generation was not made in time",
                        kind=kind,
                        snapshot=model.snapshot_id,
                        code=outcome.code,
                        message=outcome.message,
                    )
                    return
                time.sleep(0.02)
        self._judge_time(f"generation after {kind}", began, time.monotonic() - began)
