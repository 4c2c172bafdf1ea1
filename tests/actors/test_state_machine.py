"""The cluster's state machine under random events: laws that hold in every order of answers."""

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from simulated_cluster import Simulation, replayed
from simulated_inputs import MOVED, UNUSABLE, USED

from margin_actors.actors.inputs import ActiveInputs
from margin_actors.actors.instructions import LoadInputs, PrepareInput, PriceSlices, StoreChange
from margin_actors.actors.layout import Layout
from margin_actors.actors.slots import LEASE_SECONDS

NODES = {"a": 2.0, "b": 1.0, "c": 4.0, "d": 0.0}
SNAPSHOTS = st.sampled_from([*USED, "s0"])
SCENARIO_SETS = st.sampled_from([*MOVED, "x0"])
KEYS = st.sampled_from(["", "", "k1", "k2"])
RUNS = st.sampled_from("rstuv")


class ClusterLife(RuleBasedStateMachine):
    """Gateways publish, activate, wait and run books; nodes, answers and the archive fail."""

    @initialize(
        shards=st.integers(0, 5),
        run_slots=st.integers(1, 3),
        cube_bytes_max=st.sampled_from([0, 100 * 512 * 8, 2**31]),
        inputs=st.sampled_from(
            [ActiveInputs(), ActiveInputs(1, "s1", ""), ActiveInputs(7, "s2", "x1")]
        ),
    )
    def start(self, shards: int, run_slots: int, cube_bytes_max: int, inputs: ActiveInputs) -> None:
        layout = Layout(shards, 2, run_slots, cube_bytes_max, refresh_seconds=5.0)
        self.simulation = Simulation(layout, inputs)
        self.renewed: set[str] = set()
        self.simulation.start()

    # -- requests ----------------------------------------------------------------------------------

    @rule(snapshot_id=SNAPSHOTS, key=KEYS)
    def publish(self, snapshot_id: str, key: str) -> None:
        self.simulation.request("publish", snapshot_id, key)

    @rule(scenarios_id=SCENARIO_SETS, key=KEYS)
    def activate(self, scenarios_id: str, key: str) -> None:
        self.simulation.request("activate", scenarios_id, key)

    @rule(is_current=st.booleans(), seconds=st.floats(0.0, 20.0))
    def wait(self, is_current: bool, seconds: float) -> None:
        current = self.simulation.current
        self.simulation.wait(current if is_current and current else (0, 0), seconds)

    @rule(data=st.data())
    def report_loss(self, data: st.DataObject) -> None:
        seen = [(o.inputs.number, o.revision) for o in self.simulation.offered]
        self.simulation.report_loss(data.draw(st.sampled_from([*seen, (1, 1)])))

    @rule(run_id=RUNS)
    def take_slot(self, run_id: str) -> None:
        slots, now = self.simulation.state.slots, self.simulation.now
        before = slots.taken(now=now)
        wait = self.simulation.take_slot(run_id)
        assert slots.taken(now=now) <= max(before, slots.slots)
        assert wait == 0.0 or 0.1 <= wait <= 1.0

    @rule(run_id=RUNS)
    def renew_slot(self, run_id: str) -> None:
        self.simulation.renew_slot(run_id)
        self.renewed.add(run_id)

    @rule(run_id=RUNS)
    def return_slot(self, run_id: str) -> None:
        self.simulation.return_slot(run_id)
        assert run_id not in self.simulation.state.slots.leases

    # -- answers, in any order ---------------------------------------------------------------------

    @precondition(lambda self: self.simulation.pending)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.simulation.answer(data.draw(st.sampled_from(self.simulation.pending)))

    @precondition(lambda self: self.simulation.pending)
    @rule()
    def answer_all_pending(self) -> None:
        for operation in tuple(self.simulation.pending):
            self.simulation.answer(operation)

    @precondition(
        lambda self: any(
            isinstance(o, LoadInputs | PriceSlices | PrepareInput | StoreChange)
            for o in self.simulation.pending
        )
    )
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        kinds = LoadInputs | PriceSlices | PrepareInput | StoreChange
        lossy = [o for o in self.simulation.pending if isinstance(o, kinds)]
        self.simulation.answer(data.draw(st.sampled_from(lossy)), is_lost=True)

    @precondition(lambda self: self.simulation.answered)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self.simulation.repeat(data.draw(st.sampled_from(self.simulation.answered)))

    # -- the environment ---------------------------------------------------------------------------

    @rule(seconds=st.floats(0.01, 8.0))
    def pass_time(self, seconds: float) -> None:
        self.simulation.pass_time(seconds)

    @rule(names=st.sets(st.sampled_from(sorted(NODES)), min_size=1))
    def change_nodes(self, names: set[str]) -> None:
        self.simulation.nodes = {name: NODES[name] for name in sorted(names)}

    @rule(is_down=st.booleans())
    def change_archive(self, is_down: bool) -> None:
        self.simulation.is_archive_down = is_down

    @rule(is_down=st.booleans())
    def change_listing(self, is_down: bool) -> None:
        self.simulation.is_listing_down = is_down

    @rule(name=st.sampled_from([*USED, *MOVED]))
    def damage_or_repair(self, name: str) -> None:
        self.simulation.is_damaged ^= {name}

    # -- laws --------------------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        self.simulation.settle()
        self.simulation.check_settled()

    @invariant()
    def slots_never_exceed_the_limit_except_by_renewals(self) -> None:
        slots, now = self.simulation.state.slots, self.simulation.now
        assert slots.taken(now=now) <= slots.slots + len(self.renewed)
        assert slots.taken(now=now + LEASE_SECONDS) == 0

    @invariant()
    def unusable_inputs_are_never_in_use(self) -> None:
        inputs = self.simulation.inputs
        assert not {inputs.snapshot_id, inputs.scenarios_id} & set(UNUSABLE)

    def teardown(self) -> None:
        if not hasattr(self, "simulation"):
            return
        self.simulation.settle()
        self.simulation.check_settled()
        assert replayed(self.simulation.history, self.simulation.layout)


TestClusterLife = ClusterLife.TestCase
TestClusterLife.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes
)
