"""Changes of what is in use: each is validated, then stored; they are stored one at a time.

A change with a known idempotency key is answered at once. Otherwise its input is prepared, so that
an unusable snapshot or scenario set is never stored. Several changes are prepared concurrently. A
prepared change waits until no other change is being stored; that it matches the other input in use
is verified last, when that input can no longer change.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from margin_actors.actors.events import (
    ChangeEvent,
    ChangeFailed,
    ChangeRequested,
    ChangeStored,
    InputPrepared,
    KeyLookedUp,
    PreparationLost,
)
from margin_actors.actors.inputs import ActiveInputs, ChangeKind, Published
from margin_actors.actors.instructions import (
    AnswerChange,
    ChangeInstruction,
    KeepInput,
    LookUpKey,
    PrepareInput,
    RejectChange,
    StoreChange,
)
from margin_actors.actors.plan import RETRY
from margin_actors.errors import InvalidScenario, MarginError, MissingMarketData, Problem

Stage: TypeAlias = Literal["lookup", "preparation", "retry", "queue", "storage"]
"""What a change waits for: the lookup of its key, the preparation of its input, the retry of that
after a loss, the storage of other changes, or its own storage."""


@dataclass
class Change:
    """A requested change of what is in use."""

    request: int
    kind: ChangeKind
    content_id: str
    """Id of the snapshot or the scenario set."""
    stage: Stage
    scenarios_id: str = ""
    """Scenario set that is loaded together with the input; empty for none."""
    losses: int = 0
    """Number of preparations that ended with a loss."""
    retry_at: float = math.inf
    """Time of the next preparation in stage "retry", seconds of the monotonic clock."""


@dataclass
class ChangeQueue:
    """All changes in progress."""

    changes: dict[int, Change] = field(default_factory=dict[int, Change])
    """By request number, in the order of the requests."""
    queue: list[int] = field(default_factory=list[int])
    """Requests whose input is prepared, in the order in which they are stored."""
    underlyings: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Underlyings of snapshots and of scenario sets, by id: of those in use, as far as they are
    known, and of those prepared."""

    @property
    def next_time(self) -> float:
        """Time of the next retry; infinite if there is none."""
        return min((change.retry_at for change in self.changes.values()), default=math.inf)

    @property
    def storing(self) -> Change | None:
        """The change that is being stored."""
        return next((c for c in self.changes.values() if c.stage == "storage"), None)

    def learn(self, content_id: str, underlyings: tuple[str, ...]) -> None:
        """Record the underlyings of an input."""
        self.underlyings[content_id] = underlyings

    def is_answer(self, event: ChangeEvent) -> bool:
        """Return False if an event is a late or a duplicated answer."""
        change = self.changes.get(event.request)
        match event:
            case ChangeRequested():
                return change is None
            case KeyLookedUp():
                return change is not None and change.stage == "lookup"
            case InputPrepared() | PreparationLost():
                return change is not None and change.stage == "preparation"
            case ChangeStored():
                return change is not None and change.stage == "storage"
            case ChangeFailed():
                stages = ("lookup", "preparation", "storage")
                return change is not None and change.stage in stages

    def handle(self, event: ChangeEvent, inputs: ActiveInputs) -> tuple[ChangeInstruction, ...]:
        """Handle an event for which `is_answer` is True.

        `inputs` are the inputs in use; after `ChangeStored`, those after the change.
        """
        assert self.is_answer(event)
        if isinstance(event, ChangeRequested):
            stage: Stage = "lookup" if event.key else "preparation"
            change = Change(event.request, event.kind, event.content_id, stage)
            self.changes[event.request] = change
            return (LookUpKey(event.request) if event.key else self._prepare(change, inputs),)
        change = self.changes[event.request]
        match event:
            case KeyLookedUp(number=number):
                if number is None:
                    return (self._prepare(change, inputs),)
                return self._answer(change, Published(number, was_repeated=True))
            case InputPrepared():
                self._prepared(change, event)
            case PreparationLost(now=now):
                change.stage = "retry"
                change.retry_at = now + RETRY.delay_seconds(change.losses)
                change.losses += 1
                return ()
            case ChangeStored():
                return self._stored(change, event, inputs)
            case ChangeFailed(error=error):
                del self.changes[change.request]
                return (RejectChange(change.request, error), *self._store_next(inputs))
        return self._store_next(inputs)

    def retry(self, now: float, inputs: ActiveInputs) -> tuple[ChangeInstruction, ...]:
        """Repeat the preparations whose back-off has passed."""
        due = [change for change in self.changes.values() if change.retry_at <= now]
        return tuple(self._prepare(change, inputs) for change in due)

    def _prepare(self, change: Change, inputs: ActiveInputs) -> PrepareInput:
        change.stage, change.retry_at = "preparation", math.inf
        is_known = inputs.scenarios_id in self.underlyings
        is_needed = change.kind == "publish" and not is_known
        change.scenarios_id = inputs.scenarios_id if is_needed else ""
        return PrepareInput(change.request, change.scenarios_id)

    def _prepared(self, change: Change, event: InputPrepared) -> None:
        self.learn(change.content_id, event.underlyings)
        if event.moved is not None and change.scenarios_id:
            self.learn(change.scenarios_id, event.moved)
        change.stage = "queue"
        self.queue.append(change.request)

    def _store_next(self, inputs: ActiveInputs) -> tuple[ChangeInstruction, ...]:
        """Store the first change of the queue; reject those that do not match the other input."""
        found: list[ChangeInstruction] = []
        while self.queue and self.storing is None:
            change = self.changes[self.queue.pop(0)]
            error = self._mismatch(change, inputs)
            if error is None:
                change.stage = "storage"
                found.append(StoreChange(change.request))
            else:
                del self.changes[change.request]
                found.append(RejectChange(change.request, error))
        return tuple(found)

    def _mismatch(self, change: Change, inputs: ActiveInputs) -> MarginError | None:
        own = self.underlyings[change.content_id]
        is_snapshot = change.kind == "publish"
        other = self.underlyings.get(inputs.scenarios_id if is_snapshot else inputs.snapshot_id)
        if other is None:
            return None
        return (
            unmoved_snapshot(own, other)
            if is_snapshot
            else unmoved_scenarios(change.content_id, own, other)
        )

    def _stored(
        self, change: Change, event: ChangeStored, inputs: ActiveInputs
    ) -> tuple[ChangeInstruction, ...]:
        in_use = inputs.snapshot_id if change.kind == "publish" else inputs.scenarios_id
        is_kept = in_use == change.content_id
        kept = (KeepInput(change.request),) if is_kept else ()
        published = Published(event.number, was_repeated=event.inputs is None)
        return (*kept, *self._answer(change, published), *self._store_next(inputs))

    def _answer(self, change: Change, published: Published) -> tuple[ChangeInstruction, ...]:
        del self.changes[change.request]
        return (AnswerChange(change.request, published),)

    def drop_unused(self, inputs: ActiveInputs) -> None:
        """Forget the underlyings of inputs that are neither in use nor part of a change."""
        used = self._used(inputs)
        self.underlyings = {name: u for name, u in self.underlyings.items() if name in used}

    def _used(self, inputs: ActiveInputs) -> set[str]:
        changed = {change.content_id for change in self.changes.values()}
        return changed | {inputs.snapshot_id, inputs.scenarios_id}

    def check_invariants(self, inputs: ActiveInputs) -> None:
        """Assert that one change at most is being stored, and that queued changes are prepared."""
        assert self.underlyings.keys() <= self._used(inputs)
        stages = [change.stage for change in self.changes.values()]
        assert stages.count("storage") <= 1
        assert not self.queue or "storage" in stages
        queued = [c.request for c in self.changes.values() if c.stage == "queue"]
        assert sorted(self.queue) == sorted(queued)
        for change in self.changes.values():
            assert (change.stage == "retry") == (change.retry_at < math.inf)
            if change.stage in ("queue", "storage"):
                assert change.content_id in self.underlyings


def unmoved_snapshot(own: Iterable[str], moved: Iterable[str]) -> MissingMarketData | None:
    """Return the error of a snapshot with an underlying that the scenarios in use do not move."""
    missing = _missing(own, moved)
    if not missing:
        return None
    remedy = "activate a scenario set that includes them, or omit them from the snapshot"
    problems = [Problem("underlyings", f"no scenarios for {missing}", remedy)]
    return MissingMarketData(f"the scenarios in use do not move {missing}", problems)


def unmoved_scenarios(
    scenarios_id: str, moved: Iterable[str], used: Iterable[str]
) -> InvalidScenario | None:
    """Return the error of a scenario set that does not move an underlying of the market in use."""
    missing = _missing(used, moved)
    if not missing:
        return None
    where = f"scenario set {scenarios_id}"
    what = f"it moves only {', '.join(moved)}"
    problems = [Problem(where, what, f"build a set that includes {missing}")]
    return InvalidScenario(f"the scenarios do not move {missing}", problems)


def _missing(underlyings: Iterable[str], moved: Iterable[str]) -> str:
    return ", ".join(sorted(set(underlyings) - set(moved)))
