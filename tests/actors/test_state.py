"""Single courses of the cluster's life: what follows from which event, without Ray or time."""

from dataclasses import replace

import pytest
from simulated_cluster import INPUTS, Simulation, started

from margin_actors.actors.events import (
    BuildLost,
    InputsLoaded,
    InputsRead,
    NodesListed,
    SlicesPriced,
)
from margin_actors.actors.inputs import ActiveInputs
from margin_actors.actors.instructions import (
    ForgetInputs,
    ListNodes,
    LoadInputs,
    OfferGeneration,
    PrepareInput,
    PriceSlices,
    ReadInputs,
    StartShard,
    StopShard,
    StoreChange,
)
from margin_actors.actors.layout import Layout
from margin_actors.errors import (
    NotReady,
)


def last_instructions(simulation: Simulation) -> list[type]:
    return [type(instruction) for instruction in simulation.history[-1][1]]


def test_a_start_places_shards_and_builds_the_generation_in_use() -> None:
    simulation = Simulation(Layout(shards=2), INPUTS)
    simulation.start()
    assert simulation.shards == {0: "a", 1: "a"}
    (load,) = simulation.pending
    assert isinstance(load, LoadInputs)
    assert simulation.state.builds.pending == 2
    simulation.answer(load)
    (price,) = simulation.pending
    assert isinstance(price, PriceSlices)
    assert sum(span.count for span in price.spans) == 500
    simulation.answer(price)
    assert simulation.current == (2, load.revision)
    assert simulation.state.builds.pending == 0


def test_a_cube_that_is_too_large_is_not_priced() -> None:
    simulation = started(cube_bytes_max=10 * 512 * 8 - 1)
    assert not simulation.offered[-1].are_prices_kept
    assert not any(isinstance(i, PriceSlices) for _, found in simulation.history for i in found)
    assert started(cube_bytes_max=10 * 512 * 8).offered[-1].are_prices_kept


def test_a_newer_generation_follows_a_build_in_progress() -> None:
    simulation = Simulation(Layout(shards=1), INPUTS)
    simulation.start()
    (load,) = simulation.pending
    simulation.request("publish", "s2")
    for kind in (PrepareInput, StoreChange):
        (operation,) = (o for o in simulation.pending if isinstance(o, kind))
        simulation.answer(operation)
    assert simulation.pending == [load]  # no second build, and no refresh
    simulation.answer_all()
    assert [offered.inputs.number for offered in simulation.offered] == [2, 3]


def test_a_build_that_was_lost_while_superseded_is_not_repeated() -> None:
    simulation = Simulation(Layout(shards=1), INPUTS)
    simulation.start()
    (load,) = simulation.pending
    simulation.request("publish", "s2")
    for kind in (PrepareInput, StoreChange):
        (operation,) = (o for o in simulation.pending if isinstance(o, kind))
        simulation.answer(operation)
    simulation.answer(load, is_lost=True)
    assert last_instructions(simulation) == [ForgetInputs, ListNodes, ReadInputs]
    simulation.answer_all()
    assert [offered.inputs.number for offered in simulation.offered] == [3]


def test_losses_delay_the_next_build_more_and_more() -> None:
    simulation = Simulation(Layout(shards=1), INPUTS)
    simulation.start()
    delays: list[float] = []
    for _ in range(7):
        before = simulation.now
        (load,) = (o for o in simulation.pending if isinstance(o, LoadInputs))
        simulation.answer(load, is_lost=True)
        assert last_instructions(simulation) == [ForgetInputs]
        assert simulation.state.builds.pending == 2
        simulation.pass_time(simulation.state.next_time - before)
        delays.append(round(simulation.now - before, 6))
        for operation in tuple(simulation.pending):
            simulation.answer(operation)
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    simulation.answer_all()
    assert simulation.current is not None
    assert simulation.state.builds.losses == 0


def test_loss_reports_do_not_shorten_the_delay_after_a_loss() -> None:
    simulation = started()
    seen = simulation.current
    assert seen is not None
    simulation.report_loss(seen)
    simulation.answer(simulation.pending[0])
    simulation.answer(simulation.pending[0])
    (load,) = simulation.pending
    simulation.answer(load, is_lost=True)
    simulation.report_loss(seen)
    assert simulation.pending == []
    simulation.pass_time(0.1)
    assert [type(o) for o in simulation.pending] == [ListNodes, ReadInputs]


def test_lost_slices_are_priced_again_unless_the_generation_is_no_longer_in_use() -> None:
    simulation = started()
    seen = simulation.current
    assert seen is not None
    simulation.report_loss((seen[0], seen[1] - 1))
    simulation.report_loss((seen[0] - 1, seen[1]))
    assert simulation.pending == []
    simulation.report_loss(seen)
    simulation.report_loss(seen)  # by another gateway
    simulation.answer_all()
    assert simulation.current == (seen[0], seen[1] + 1)
    simulation.report_loss(seen)  # delayed
    simulation.settle()
    assert simulation.current == (seen[0], seen[1] + 1)


def test_a_fault_is_reported_until_a_later_build_succeeds() -> None:
    simulation = Simulation(Layout(shards=1, refresh_seconds=5.0), INPUTS, is_damaged={"x1"})
    simulation.start()
    simulation.answer_all()
    error = simulation.state.fault_of("s1")
    assert isinstance(error, NotReady)
    assert "snapshot s1, scenario set x1" in str(error)
    assert simulation.state.fault == str(error)
    assert simulation.state.fault_of("s2") is None
    assert simulation.state.builds.pending == 0
    simulation.is_damaged.clear()
    simulation.pass_time(4.9)
    assert simulation.pending == []
    simulation.pass_time(0.1)
    simulation.answer_all()
    assert (simulation.state.fault, simulation.state.fault_of("s1")) == ("", None)
    assert simulation.current is not None


def test_newer_inputs_are_built_without_the_delay_of_the_older_ones() -> None:
    simulation = Simulation(Layout(shards=1), INPUTS)
    simulation.start()
    for _ in range(5):
        (load,) = (o for o in simulation.pending if isinstance(o, LoadInputs))
        simulation.answer(load, is_lost=True)
        simulation.pass_time(simulation.state.next_time - simulation.now)
        for operation in tuple(simulation.pending):
            simulation.answer(operation)
    simulation.answer(simulation.pending[0], is_lost=True)
    simulation.request("publish", "s2")
    while not any(isinstance(o, LoadInputs) for o in simulation.pending):
        simulation.answer(simulation.pending[0])
    simulation.answer(simulation.pending[0], is_lost=True)
    assert simulation.state.next_time == simulation.now + 0.1


def test_an_archive_that_cannot_be_read_is_reported_and_stops_no_build() -> None:
    simulation = started()
    seen = simulation.current
    assert seen is not None
    simulation.is_archive_down = True
    simulation.report_loss(seen)
    simulation.answer(simulation.pending[0])
    simulation.answer(simulation.pending[0])
    assert "the archive cannot be read" in simulation.state.fault
    assert isinstance(simulation.pending[0], LoadInputs)
    simulation.settle()
    assert simulation.state.fault == ""


def test_nothing_is_built_while_the_nodes_are_unknown() -> None:
    simulation = started()
    simulation.request("publish", "s2")
    simulation.is_listing_down = True
    simulation.answer_all()
    assert "the nodes cannot be listed" in simulation.state.fault
    assert simulation.offered[-1].inputs.number == 2
    simulation.settle()
    assert simulation.offered[-1].inputs.number == 3


def test_shards_follow_the_nodes_and_their_slices_are_priced_again() -> None:
    simulation = started()
    seen = simulation.current
    assert seen is not None
    simulation.nodes = {"b": 1.0, "c": 1.0}
    simulation.pass_time(5.0)
    listing = simulation.pending[0]
    simulation.answer(listing)
    assert last_instructions(simulation) == [StopShard, StartShard, StopShard, StartShard]
    simulation.answer_all()
    assert simulation.shards == {0: "b", 1: "c"}
    assert simulation.current == (2, seen[1] + 1)


def test_the_number_of_shards_follows_the_processors() -> None:
    simulation = started(shards=0)
    assert simulation.shards == {0: "a", 1: "a"}
    simulation.nodes = {"a": 2.0, "b": 1.0}
    simulation.settle()
    assert simulation.shards == {0: "a", 1: "a", 2: "b"}
    simulation.nodes = {"b": 1.0}
    simulation.settle()
    assert simulation.shards == {0: "b"}


def test_a_gateway_receives_a_new_generation_or_an_answer_in_time() -> None:
    simulation = started()
    seen = simulation.current
    assert seen is not None
    simulation.wait((0, 0), 20.0)
    assert not simulation.waiting
    simulation.wait(seen, 20.0)
    simulation.wait(seen, 1.0)
    simulation.pass_time(1.5)
    assert len(simulation.waiting) == 1
    simulation.request("publish", "s2")
    simulation.settle(1.0)
    assert not simulation.waiting


def test_late_answers_of_a_superseded_build_or_refresh_have_no_effect() -> None:
    simulation = Simulation(Layout(shards=1), INPUTS)
    simulation.start()
    (load,) = simulation.pending
    assert isinstance(load, LoadInputs)
    simulation.answer(load, is_lost=True)
    simulation.pass_time(0.1)
    for operation in tuple(simulation.pending):
        simulation.answer(operation)
    assert [type(o) for o in simulation.pending] == [LoadInputs]
    for late in (
        InputsLoaded(simulation.now, load.revision, 10, 500, ("BTC",), ("BTC",)),
        BuildLost(simulation.now, load.revision),
        NodesListed(simulation.now, 0, {"z": 9.0}),
        InputsRead(simulation.now, 0, ActiveInputs(9, "s4", "x3")),
    ):
        simulation.repeat(late)
    simulation.answer_all()
    assert simulation.offered[-1].inputs == INPUTS


def test_answers_to_an_earlier_refresh_and_duplicates_have_no_effect() -> None:
    simulation = started()
    simulation.pass_time(5.0)
    simulation.answer_all()
    simulation.pass_time(5.0)
    listing, reading = simulation.pending
    assert (listing, reading) == (ListNodes(2), ReadInputs(2))
    newer = ActiveInputs(9, "s4", "x3")
    simulation.repeat(NodesListed(simulation.now, 1, {"z": 9.0}))
    simulation.repeat(InputsRead(simulation.now, 1, newer))
    simulation.answer(listing)
    simulation.repeat(NodesListed(simulation.now, 2, {"z": 9.0}))
    assert simulation.state.refresh.is_in_progress
    simulation.answer(reading)
    simulation.repeat(InputsRead(simulation.now, 2, newer))


def test_an_answer_to_the_other_step_of_a_build_has_no_effect() -> None:
    simulation = Simulation(Layout(shards=1), INPUTS)
    simulation.start()
    (load,) = simulation.pending
    assert isinstance(load, LoadInputs)
    simulation.repeat(SlicesPriced(simulation.now, load.revision))
    simulation.answer(load)
    simulation.repeat(simulation.answered[-1])
    simulation.answer_all()
    assert len(simulation.offered) == 1


def test_inputs_in_use_never_go_back_to_an_older_number() -> None:
    simulation = started()
    simulation.pass_time(5.0)
    older = replace(INPUTS, number=1, snapshot_id="s3")
    simulation.inputs = older
    simulation.answer_all()
    assert simulation.state.inputs == INPUTS


def test_renewals_are_accepted_before_the_archive_can_be_read() -> None:
    simulation = Simulation(Layout(run_slots=1), INPUTS)
    simulation.renew_slot("running")
    simulation.return_slot("ended")
    simulation.start()
    assert simulation.take_slot("new") > 0.0
    assert simulation.state.slots.taken(now=simulation.now) == 1


@pytest.mark.parametrize("missing", ["snapshot_id", "scenarios_id"])
def test_nothing_is_built_until_both_inputs_are_in_use(missing: str) -> None:
    simulation = started(replace(INPUTS, **{missing: ""}))
    assert simulation.current is None
    assert simulation.state.fault == ""
    kind, name = ("publish", "s2") if missing == "snapshot_id" else ("activate", "x3")
    simulation.request(kind, name)
    simulation.answer_all()
    (offered,) = simulation.offered
    assert isinstance(offered, OfferGeneration)
    assert offered.inputs.number == 3
