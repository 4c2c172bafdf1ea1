"""A simulated environment of `ClusterState`: archive, nodes and shards without Ray or time.

The environment carries out instructions in any order, repeats and delays answers, and loses builds.
It verifies, with every instruction, what must hold at that moment.
"""

from dataclasses import dataclass, field, replace

from simulated_inputs import CONTRACTS, MOVED, SCENARIOS, UNUSABLE, USED, are_compatible

from margin_actors.actors.events import (
    BuildFailed,
    BuildLost,
    ChangeFailed,
    ChangeRequested,
    ChangeStored,
    Event,
    GenerationAwaited,
    InputPrepared,
    InputsLoaded,
    InputsRead,
    InputsUnavailable,
    KeyLookedUp,
    LossReported,
    NodesListed,
    NodesUnavailable,
    PreparationLost,
    SlicesPriced,
    SlotRenewed,
    SlotRequested,
    SlotReturned,
    Started,
    TimePassed,
)
from margin_actors.actors.inputs import ActiveInputs, ChangeKind, Published
from margin_actors.actors.instructions import (
    AnswerChange,
    AnswerSlot,
    AnswerWaiting,
    ForgetInputs,
    Instruction,
    KeepInput,
    ListNodes,
    LoadInputs,
    LookUpKey,
    OfferGeneration,
    PrepareInput,
    PriceSlices,
    ReadInputs,
    RejectChange,
    StartReducers,
    StartShard,
    StopShard,
    StoreChange,
)
from margin_actors.actors.layout import Layout
from margin_actors.actors.state import ClusterState
from margin_actors.errors import (
    InvalidScenario,
    KeyReused,
    LedgerUnavailable,
    MarginError,
    MissingMarketData,
)

TILE = 64
INPUTS = ActiveInputs(2, "s1", "x1")
Operation = (
    ListNodes | ReadInputs | LoadInputs | PriceSlices | LookUpKey | PrepareInput | StoreChange
)


@dataclass
class Request:
    """A change as requested by a gateway."""

    kind: ChangeKind
    content_id: str
    key: str
    answer: Published | BaseException | None = None


@dataclass
class Simulation:
    """A state machine together with the environment that answers its instructions."""

    layout: Layout
    inputs: ActiveInputs = field(default_factory=ActiveInputs)
    """The inputs in use as stored in the archive."""
    nodes: dict[str, float] = field(default_factory=lambda: {"a": 2.0})
    now: float = 100.0
    is_archive_down: bool = False
    is_listing_down: bool = False
    is_damaged: set[str] = field(default_factory=set)
    """Ids of stored inputs that cannot be loaded."""
    keys: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    pending: list[Operation] = field(default_factory=list)
    """Operations that are not answered yet."""
    answered: list[Event] = field(default_factory=list)
    """All answers given, which may arrive again."""
    shards: dict[int, str] = field(default_factory=dict)
    changes: dict[int, Request] = field(default_factory=dict)
    waiting: dict[int, tuple[int, int]] = field(default_factory=dict)
    slots: dict[int, float] = field(default_factory=dict)
    offered: list[OfferGeneration] = field(default_factory=list)
    history: list[tuple[Event, tuple[Instruction, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = ClusterState.new(self.layout, tile=TILE, first_revision=1_000)

    # -- events ------------------------------------------------------------------------------------

    def handle(self, event: Event) -> tuple[Instruction, ...]:
        instructions = self.state.handle(event)
        self.history.append((event, instructions))
        self.state.check_invariants()
        for instruction in instructions:
            self.execute(instruction)
        assert self.state.next_time >= self.now
        return instructions

    def start(self) -> None:
        self.handle(Started(self.now, self.inputs, dict(self.nodes)))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with an event at every time that the state machine requires."""
        end = self.now + seconds
        while self.state.next_time <= end:
            self.now = self.state.next_time
            self.handle(TimePassed(self.now))
            assert self.state.next_time > self.now
        self.now = end

    def request(self, kind: ChangeKind, content_id: str, key: str = "") -> int:
        number = len(self.changes) + 1
        self.changes[number] = Request(kind, content_id, key)
        self.handle(ChangeRequested(self.now, number, kind, content_id, key))
        return number

    def wait(self, seen: tuple[int, int], seconds: float) -> int:
        number = 10_000 + len(self.history)
        self.waiting[number] = seen
        self.handle(GenerationAwaited(self.now, number, seen, self.now + seconds))
        return number

    def report_loss(self, seen: tuple[int, int]) -> None:
        self.handle(LossReported(self.now, *seen))

    def take_slot(self, run_id: str) -> float:
        number = 10_000 + len(self.history)
        self.handle(SlotRequested(self.now, number, run_id))
        return self.slots[number]

    def renew_slot(self, run_id: str) -> None:
        self.handle(SlotRenewed(self.now, run_id))

    def return_slot(self, run_id: str) -> None:
        self.handle(SlotReturned(self.now, run_id))

    # -- answers -----------------------------------------------------------------------------------

    def answer(self, operation: Operation, *, is_lost: bool = False) -> None:
        """Answer an operation; `is_lost` if a process is lost that carries it out."""
        self.pending.remove(operation)
        event = self.result(operation, is_lost)
        self.answered.append(event)
        self.handle(event)

    def repeat(self, event: Event) -> None:
        """Let an answer that was given before arrive again; it must change nothing."""
        before = repr(self.state)
        again = replace(event, now=self.now)
        assert self.handle(again) == ()
        assert repr(self.state) == before

    def answer_all(self) -> None:
        while self.pending:
            self.answer(self.pending[0])

    def settle(self, seconds: float = 30.0) -> None:
        """Let everything be answered and time pass until the generation in use is settled."""
        self.is_archive_down = self.is_listing_down = False
        end = self.now + seconds
        self.answer_all()
        while self.now < end:
            self.pass_time(0.5)
            self.answer_all()

    def result(self, operation: Operation, is_lost: bool) -> Event:
        now = self.now
        match operation:
            case ListNodes(refresh):
                if self.is_listing_down:
                    return NodesUnavailable(now, refresh, "the nodes cannot be listed")
                return NodesListed(now, refresh, dict(self.nodes))
            case ReadInputs(refresh):
                if self.is_archive_down:
                    return InputsUnavailable(now, refresh, "the archive cannot be read")
                return InputsRead(now, refresh, self.inputs)
            case LoadInputs(revision, inputs):
                return self.loaded(revision, inputs, is_lost)
            case PriceSlices(revision, _):
                return BuildLost(now, revision) if is_lost else self.priced(revision)
            case LookUpKey(request):
                return self.looked_up(request)
            case PrepareInput(request, scenarios_id):
                return self.prepared(request, scenarios_id, is_lost)
            case StoreChange(request):
                return self.stored(request, is_lost)

    def loaded(self, revision: int, inputs: ActiveInputs, is_lost: bool) -> Event:
        if is_lost:
            return BuildLost(self.now, revision)
        if self.is_archive_down:
            return BuildFailed(self.now, revision, LedgerUnavailable("down"))
        for name in (inputs.snapshot_id, inputs.scenarios_id):
            if name in self.is_damaged:
                return BuildFailed(self.now, revision, ValueError(name))
        used, moved = USED[inputs.snapshot_id], MOVED[inputs.scenarios_id]
        n_contracts, n_scenarios = CONTRACTS[inputs.snapshot_id], SCENARIOS[inputs.scenarios_id]
        return InputsLoaded(self.now, revision, n_contracts, n_scenarios, used, moved)

    def priced(self, revision: int) -> Event:
        build = self.state.builds.build
        assert build is not None
        if not are_compatible(build.inputs):
            return BuildFailed(self.now, revision, InvalidScenario("not all underlyings move"))
        return SlicesPriced(self.now, revision)

    def looked_up(self, request: int) -> Event:
        if self.is_archive_down:
            return ChangeFailed(self.now, request, LedgerUnavailable("down"))
        try:
            return KeyLookedUp(self.now, request, self.number_of_key(request))
        except KeyReused as error:
            return ChangeFailed(self.now, request, error)

    def prepared(self, request: int, scenarios_id: str, is_lost: bool) -> Event:
        if is_lost:
            return PreparationLost(self.now, request)
        name = self.changes[request].content_id
        if name in UNUSABLE:
            return ChangeFailed(self.now, request, MissingMarketData(name))
        can_load = scenarios_id and scenarios_id not in self.is_damaged
        moved = MOVED[scenarios_id] if can_load and not self.is_archive_down else None
        return InputPrepared(self.now, request, (USED | MOVED)[name], moved)

    def stored(self, request: int, is_lost: bool) -> Event:
        """Store a change; `is_lost` if the archive stores it and its answer is lost."""
        if self.is_archive_down:
            return ChangeFailed(self.now, request, LedgerUnavailable("down"))
        change = self.changes[request]
        try:
            number = self.number_of_key(request)
        except KeyReused as error:
            return ChangeFailed(self.now, request, error)
        if number is not None:
            return ChangeStored(self.now, request, None, number)
        name = "snapshot_id" if change.kind == "publish" else "scenarios_id"
        if getattr(self.inputs, name) != change.content_id:
            changed = {name: change.content_id, "number": self.inputs.number + 1}
            self.inputs = replace(self.inputs, **changed)
        if change.key:
            self.keys[change.kind, change.key] = (change.content_id, self.inputs.number)
        if is_lost:
            return ChangeFailed(self.now, request, LedgerUnavailable("the answer is lost"))
        return ChangeStored(self.now, request, self.inputs, self.inputs.number)

    def number_of_key(self, request: int) -> int | None:
        change = self.changes[request]
        content_id, number = self.keys.get((change.kind, change.key), ("", None))
        if number is not None and content_id != change.content_id:
            raise KeyReused(change.key)
        return number

    # -- instructions ------------------------------------------------------------------------------

    def execute(self, instruction: Instruction) -> None:
        match instruction:
            case StartShard(number, node_id):
                assert number not in self.shards
                assert not any(isinstance(o, LoadInputs | PriceSlices) for o in self.pending)
                self.shards[number] = node_id
            case StopShard(number):
                del self.shards[number]
            case StartReducers(count):
                assert count == self.layout.reducers
            case ForgetInputs():
                pass
            case OfferGeneration():
                self.offer(instruction)
            case KeepInput(request):
                assert isinstance(self.changes[request], Request)
            case AnswerChange(request, published):
                assert self.changes[request].answer is None
                self.changes[request].answer = published
            case RejectChange(request, error):
                assert self.changes[request].answer is None
                self.changes[request].answer = error
            case AnswerWaiting(request, is_new):
                seen = self.waiting.pop(request)
                assert is_new == (self.current is not None and self.current != seen)
            case AnswerSlot(request, wait_seconds):
                self.slots[request] = wait_seconds
            case LoadInputs() | PriceSlices():
                # Never two builds at the same time, and no build while shards may change.
                busy = (LoadInputs, PriceSlices, ListNodes, ReadInputs)
                assert not any(isinstance(o, busy) for o in self.pending)
                if isinstance(instruction, PriceSlices):
                    self.check_cut(instruction)
                self.pending.append(instruction)
            case StoreChange(request):
                assert not any(isinstance(o, StoreChange) for o in self.pending)
                self.check_validated(self.changes[request])
                self.pending.append(instruction)
            case _:
                assert instruction not in self.pending
                self.pending.append(instruction)

    def check_validated(self, change: Request) -> None:
        """Assert that a change is stored only if it is usable, also with the other input in use."""
        assert change.content_id not in UNUSABLE
        name = "snapshot_id" if change.kind == "publish" else "scenarios_id"
        after = replace(self.state.inputs, **{name: change.content_id})
        known = self.state.changes.underlyings
        if after.is_complete and after.snapshot_id in known and after.scenarios_id in known:
            assert are_compatible(after)

    def check_cut(self, instruction: PriceSlices) -> None:
        build = self.state.builds.build
        assert build is not None
        first = 0
        for span in instruction.spans:
            assert span.first == first
            assert span.count > 0
            first += span.count
        assert first == SCENARIOS[build.inputs.scenarios_id]
        assert len(instruction.spans) <= len(self.shards)
        assert set(self.shards) == set(range(len(self.shards)))

    def offer(self, offered: OfferGeneration) -> None:
        if self.offered:
            last = self.offered[-1]
            assert offered.inputs.number >= last.inputs.number
            assert offered.revision > last.revision
        kept = CONTRACTS[offered.inputs.snapshot_id] * 8 * TILE
        kept *= -(-SCENARIOS[offered.inputs.scenarios_id] // TILE)
        assert offered.are_prices_kept == (kept <= self.layout.cube_bytes_max)
        self.offered.append(offered)

    @property
    def current(self) -> tuple[int, int] | None:
        """The generation offered, (number, revision)."""
        if not self.offered:
            return None
        return self.offered[-1].inputs.number, self.offered[-1].revision

    def check_settled(self) -> None:
        """Assert that the inputs in use are offered, or that their fault is reported."""
        assert not self.pending
        assert self.state.inputs == self.inputs
        assert all(request.answer is not None for request in self.changes.values())
        names = {self.inputs.snapshot_id, self.inputs.scenarios_id}
        if not self.inputs.is_complete:
            assert self.current is None
        elif names & self.is_damaged or not are_compatible(self.inputs):
            error = self.state.fault_of(self.inputs.snapshot_id)
            is_offered = self.current is not None and self.current[0] == self.inputs.number
            assert is_offered or isinstance(error, MarginError)
        else:
            assert self.current is not None
            assert self.current[0] == self.inputs.number
            assert self.state.fault == ""
            assert not self.state.builds.are_slices_lost
            assert self.state.builds.pending == 0
        assert all(node in self.nodes for node in self.shards.values())
        assert tuple(self.shards[n] for n in range(len(self.shards))) == (
            self.state.membership.shard_nodes
        )


def started(inputs: ActiveInputs = INPUTS, **layout: int) -> Simulation:
    """A cluster whose generation, if it can be built, is offered."""
    simulation = Simulation(Layout(**{"shards": 2} | layout), inputs)
    simulation.start()
    simulation.answer_all()
    return simulation


def replayed(history: list[tuple[Event, tuple[Instruction, ...]]], layout: Layout) -> bool:
    """Return True if a new state machine gives the same instructions for the same events."""
    state = ClusterState.new(layout, tile=TILE, first_revision=1_000)
    # Errors are compared by their representation: two equal errors are different objects.
    return all(repr(state.handle(event)) == repr(expected) for event, expected in history)
