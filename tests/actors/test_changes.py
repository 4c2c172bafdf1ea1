"""Single courses of changes of what is in use: validated, stored once, and built."""

from simulated_cluster import INPUTS, Simulation, started

from margin_actors.actors.inputs import ActiveInputs, Published
from margin_actors.actors.instructions import (
    AnswerChange,
    KeepInput,
    ListNodes,
    LookUpKey,
    PrepareInput,
    ReadInputs,
    StoreChange,
)
from margin_actors.actors.layout import Layout
from margin_actors.errors import (
    InvalidScenario,
    KeyReused,
    LedgerUnavailable,
    MissingMarketData,
)


def last_instructions(simulation: Simulation) -> list[type]:
    return [type(instruction) for instruction in simulation.history[-1][1]]


def test_a_publication_is_looked_up_prepared_stored_and_built() -> None:
    simulation = started()
    request = simulation.request("publish", "s2", "k")
    steps: list[type] = []
    while simulation.changes[request].answer is None:
        steps.append(type(simulation.pending[0]))
        simulation.answer(simulation.pending[0])
    assert steps == [LookUpKey, PrepareInput, StoreChange]
    assert simulation.changes[request].answer == Published(3, was_repeated=False)
    kept, answer, *_ = simulation.history[-1][1]
    assert kept == KeepInput(request)  # the prepared market is not prepared again by the build
    assert isinstance(answer, AnswerChange)
    assert [type(o) for o in simulation.pending] == [ListNodes, ReadInputs]
    simulation.answer_all()
    assert simulation.offered[-1].inputs == ActiveInputs(3, "s2", "x1")


def test_a_repeated_key_gives_the_first_number_and_changes_nothing() -> None:
    simulation = started()
    first = simulation.request("publish", "s2", "k")
    simulation.answer_all()
    simulation.request("publish", "s3")
    simulation.answer_all()
    again, other = (
        simulation.request("publish", "s2", "k"),
        simulation.request("publish", "s1", "k"),
    )
    simulation.answer_all()
    assert simulation.changes[first].answer == Published(3, was_repeated=False)
    assert simulation.changes[again].answer == Published(3, was_repeated=True)
    assert isinstance(simulation.changes[other].answer, KeyReused)
    assert simulation.inputs.snapshot_id == "s3"


def test_equal_requests_at_the_same_time_are_stored_once() -> None:
    simulation = started()
    requests = [simulation.request("publish", "s2", "k") for _ in range(4)]
    simulation.answer_all()
    answers = [simulation.changes[request].answer for request in requests]
    assert answers == [Published(3, False), *[Published(3, True)] * 3]


def test_a_market_that_the_scenarios_do_not_move_is_rejected() -> None:
    simulation = started()
    request = simulation.request("publish", "s4")
    simulation.answer_all()
    error = simulation.changes[request].answer
    assert isinstance(error, MissingMarketData)
    assert error.summary == "the scenarios in use do not move SOL"
    assert simulation.inputs == INPUTS


def test_of_two_changes_that_exclude_each_other_only_the_first_is_stored() -> None:
    """Both are valid for the inputs in use; the second is not after the first is stored."""
    simulation = started()
    publication = simulation.request("publish", "s2")
    activation = simulation.request("activate", "x2")
    prepares = [o for o in simulation.pending if isinstance(o, PrepareInput)]
    for prepare in reversed(prepares):
        simulation.answer(prepare)
    simulation.answer_all()
    assert simulation.changes[activation].answer == Published(3, was_repeated=False)
    assert isinstance(simulation.changes[publication].answer, MissingMarketData)
    simulation = started(ActiveInputs(2, "s2", "x1"))
    activation = simulation.request("activate", "x2")
    simulation.answer_all()
    assert isinstance(simulation.changes[activation].answer, InvalidScenario)


def test_a_change_whose_storage_failed_is_in_use_if_it_was_stored() -> None:
    simulation = started()
    request = simulation.request("publish", "s2")
    simulation.answer(simulation.pending[0])
    (store,) = simulation.pending
    simulation.answer(store, is_lost=True)
    assert isinstance(simulation.changes[request].answer, LedgerUnavailable)
    simulation.answer_all()  # without waiting for the next interval
    assert simulation.offered[-1].inputs.snapshot_id == "s2"


def test_a_change_clears_the_fault_and_is_built_at_once() -> None:
    simulation = Simulation(Layout(shards=1), INPUTS, is_damaged={"s1"})
    simulation.start()
    simulation.answer_all()
    simulation.request("publish", "s2")
    while simulation.state.inputs.number == 2:
        simulation.answer(simulation.pending[0])
    assert simulation.state.fault_of("s2") is None
    simulation.answer_all()
    assert simulation.offered[-1].inputs.snapshot_id == "s2"


def test_a_change_without_effect_clears_the_fault_until_the_next_build() -> None:
    simulation = Simulation(Layout(shards=1), INPUTS, is_damaged={"x1"})
    simulation.start()
    simulation.answer_all()
    request = simulation.request("publish", "s1")
    while simulation.changes[request].answer is None:
        assert simulation.state.fault_of("s1") is not None
        simulation.answer(simulation.pending[0])
    assert simulation.changes[request].answer == Published(2, was_repeated=False)
    assert simulation.state.fault_of("s1") is None
    simulation.answer_all()
    assert simulation.state.fault_of("s1") is not None


def test_a_market_is_compared_with_scenarios_that_no_build_has_loaded() -> None:
    simulation = Simulation(Layout(shards=1), INPUTS, is_damaged={"s1"})
    simulation.start()
    simulation.answer_all()
    request = simulation.request("publish", "s4")
    (prepare,) = simulation.pending
    assert prepare == PrepareInput(request, "x1")
    simulation.answer(prepare)
    assert isinstance(simulation.changes[request].answer, MissingMarketData)
    simulation.is_damaged.add("x1")
    simulation.state.changes.underlyings.clear()
    request = simulation.request("publish", "s4")
    simulation.answer_all()
    assert simulation.changes[request].answer == Published(3, was_repeated=False)


def test_the_next_change_is_stored_after_one_that_failed() -> None:
    simulation = started()
    first, second = simulation.request("publish", "s2"), simulation.request("publish", "s3")
    for operation in tuple(simulation.pending):
        simulation.answer(operation)
    assert simulation.pending == [StoreChange(first)]
    simulation.is_archive_down = True
    simulation.answer(simulation.pending[0])
    assert StoreChange(second) in simulation.pending
    simulation.is_archive_down = False
    simulation.answer_all()
    assert simulation.inputs.snapshot_id == "s3"


def test_a_preparation_that_is_lost_is_repeated() -> None:
    simulation = started()
    request = simulation.request("publish", "s2")
    for delay in (0.1, 0.2):
        (prepare,) = (o for o in simulation.pending if isinstance(o, PrepareInput))
        simulation.answer(prepare, is_lost=True)
        simulation.answer_all()
        simulation.pass_time(0.9 * delay)
        assert not simulation.pending
        simulation.pass_time(0.2 * delay)
    simulation.answer_all()
    assert simulation.changes[request].answer == Published(3, was_repeated=False)
