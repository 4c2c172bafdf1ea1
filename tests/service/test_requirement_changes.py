"""What changed a requirement between two recorded calculations, by call and on the command line."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from margin_client import (
    InvalidRequestError,
    MarginClient,
    NotFoundError,
    NotReadyError,
    RequirementChange,
    Trade,
)
from margin_cluster.cli import app
from service_world import Running, World, moved_by, served, wire
from typer.testing import CliRunner

from margin_actors.clearing.amounts import requirement_units

PERPETUAL = "BTC-PERPETUAL"
STEPS = ("positions", "time", "index", "volatility", "scenarios", "parameters")


@pytest.fixture(scope="module")
def service(embedded: None, world: World, tmp_path_factory: pytest.TempPathFactory):
    """A service that is started twice on one state folder; yields (running, ids)."""
    folder = tmp_path_factory.mktemp("changes")
    account, other = world.book.accounts[:2]
    ids: dict[str, str] = {}
    with served(world, folder) as running, MarginClient(running.target) as client:
        ids["before"] = client.calculate_margin(account).calculation_id
        ids["book"] = client.calculate_book().calculation_id
    with served(world, folder) as running, MarginClient(running.target) as client:
        ids["same"] = client.calculate_margin(account).calculation_id
        client.apply_trades([Trade(other, PERPETUAL, 50.0)])
        ids["elsewhere"] = client.calculate_margin(account).calculation_id
        client.apply_trades([Trade(account, PERPETUAL, 50_000.0)])
        later = moved_by(world.snapshot, timedelta(hours=6))
        index = {u: 1.03 * p for u, p in later.index_usd.items()}
        expiries = tuple(replace(e, forward_usd=1.03 * e.forward_usd) for e in later.expiries)
        moved = replace(later, index_usd=index, expiries=expiries)
        newest = client.publish_snapshot(*wire(moved)).snapshot_id
        ids["after"] = client.calculate_margin(account, snapshot_id=newest).calculation_id
        ids["other"] = client.calculate_margin(other).calculation_id
        ids["part"] = client.calculate_book(account_ids=[account]).calculation_id
        ids["portfolio"] = client.calculate_margin(portfolio={PERPETUAL: 100.0}).calculation_id
        yield running, ids


@pytest.fixture
def ids(service: tuple[Running, dict[str, str]]) -> dict[str, str]:
    return service[1]


@pytest.fixture
def client(service: tuple[Running, dict[str, str]]) -> Iterator[MarginClient]:
    with MarginClient(service[0].target) as client:
        yield client


def assert_adds_up(found: RequirementChange) -> None:
    total = found.before_cents
    components = {c.name: c.amount_cents for c in found.before_components}
    assert sum(components.values()) == found.before_cents
    for step in found.steps:
        assert sum(c.amount_cents for c in step.components) == step.change_cents
        for c in step.components:
            components[c.name] = components.get(c.name, 0) + c.amount_cents
        total += step.change_cents
    assert total == found.after_cents
    after = {c.name: c.amount_cents for c in found.after_components}
    assert {n: a for n, a in components.items() if a} == after
    assert sum(after.values()) == found.after_cents


def test_the_steps_sum_exactly_to_the_change(
    client: MarginClient, ids: dict[str, str], world: World
) -> None:
    found = client.explain_change(ids["before"], ids["after"])
    assert found.account_id == world.book.accounts[0]
    assert (found.before.calculation_id, found.after.calculation_id) == (
        ids["before"],
        ids["after"],
    )
    assert found.before_cents == requirement_units(found.before.initial_margin_usd)
    assert found.after_cents == requirement_units(found.after.initial_margin_usd)
    assert_adds_up(found)
    assert tuple(step.replaced for step in found.steps) == STEPS
    changes = {step.replaced: step for step in found.steps}
    for name in ("positions", "time", "index"):
        assert changes[name].change_cents != 0, name
    for name in ("scenarios", "parameters"):
        assert (changes[name].change_cents, changes[name].inputs) == (0, ())
    (snapshot,) = changes["index"].inputs
    assert (snapshot.before_id, snapshot.after_id) == (
        found.before.inputs.snapshot_id,
        found.after.inputs.snapshot_id,
    )
    named = {i.name: (i.before_id, i.after_id) for i in changes["positions"].inputs}
    assert named["book"] == (found.before.inputs.book_id, found.after.inputs.book_id)
    assert named["portfolio_version"] == (
        str(found.before.portfolio_version),
        str(found.after.portfolio_version),
    )


def test_the_way_back_has_the_opposite_change(client: MarginClient, ids: dict[str, str]) -> None:
    there = client.explain_change(ids["before"], ids["after"])
    back = client.explain_change(ids["after"], ids["before"])
    assert_adds_up(back)
    assert (back.before_cents, back.after_cents) == (there.after_cents, there.before_cents)


@pytest.mark.parametrize("name", ["same", "elsewhere"])
def test_without_a_change_of_its_inputs_nothing_is_listed(
    client: MarginClient, ids: dict[str, str], name: str
) -> None:
    """Neither a restart nor a trade of another account is a change."""
    found = client.explain_change(ids["before"], ids[name])
    assert found.before_cents == found.after_cents
    assert all(step.change_cents == 0 and step.inputs == () for step in found.steps)


def test_calculations_of_books_and_of_accounts_can_be_compared(
    client: MarginClient, ids: dict[str, str], world: World
) -> None:
    account = world.book.accounts[0]
    expected = client.explain_change(ids["before"], ids["after"])
    for before, after in (("book", "part"), ("before", "part"), ("book", "after")):
        found = client.explain_change(ids[before], ids[after], account_id=account)
        assert_adds_up(found)
        assert (found.before_cents, found.steps) == (expected.before_cents, expected.steps)
    same = client.explain_change(ids["portfolio"], ids["portfolio"])
    assert (same.account_id, same.before_cents > 0) == ("", True)
    assert_adds_up(same)


def test_what_cannot_be_compared_is_refused(
    client: MarginClient, ids: dict[str, str], world: World
) -> None:
    other = world.book.accounts[1]
    with pytest.raises(NotFoundError):
        client.explain_change(ids["before"], "calculation-" + "0" * 32)
    with pytest.raises(NotFoundError, match="does not contain the account"):
        client.explain_change(ids["book"], ids["part"], account_id=other)
    with pytest.raises(InvalidRequestError, match="not of one account"):
        client.explain_change(ids["before"], ids["other"])
    with pytest.raises(InvalidRequestError, match="not of one account"):
        client.explain_change(ids["before"], ids["after"], account_id=other)
    with pytest.raises(InvalidRequestError, match="not of one account"):
        client.explain_change(ids["before"], ids["portfolio"])
    with pytest.raises(InvalidRequestError, match="not of one account"):
        client.explain_change(ids["book"], ids["part"])
    with pytest.raises(InvalidRequestError) as caught:
        client.explain_change("", "x" * 65, account_id="y" * 129)
    assert len(caught.value.problems) == 3
    with pytest.raises(InvalidRequestError, match="no positions"):
        client.explain_change(ids["book"], ids["book"], account_id="nobody")


def test_a_missing_input_is_a_failed_precondition(
    client: MarginClient, ids: dict[str, str], service: tuple[Running, dict[str, str]]
) -> None:
    snapshot = client.get_calculation(ids["before"]).calculation.inputs.snapshot_id
    path = service[0].folder / "objects" / "market_snapshots" / f"{snapshot}.parquet"
    content = path.read_bytes()
    try:
        for damage in (b"PAR1", None):
            path.unlink()
            if damage is not None:
                path.write_bytes(damage)
            with pytest.raises(NotReadyError) as caught:
                client.explain_change(ids["before"], ids["after"])
            assert snapshot in str(caught.value.problems)
    finally:
        path.write_bytes(content)


def test_the_command_line_gives_the_same_changes(
    client: MarginClient,
    ids: dict[str, str],
    service: tuple[Running, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MARGIN_STORE", str(tmp_path / "empty"))
    expected = client.explain_change(ids["before"], ids["after"])
    command = ["explain", "changes", ids["before"], ids["after"]]
    state = ["--state", str(service[0].folder)]
    result = CliRunner().invoke(app, [*command, *state, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [(s["replaced"], round(100 * s["change_usd"])) for s in found["steps"]] == [
        (s.replaced, s.change_cents) for s in expected.steps
    ]
    assert found["after_usd"] == expected.after_cents / 100
    assert [i["name"] for i in found["steps"][1]["inputs"]] == ["snapshot"]
    text = CliRunner().invoke(app, [*command, *state]).stdout
    assert f"{expected.after_cents / 100:,.2f}" in text
    assert f"snapshot: {expected.before.inputs.snapshot_id}" in text.replace("\n", " ")
    mixed = CliRunner().invoke(app, ["explain", "changes", ids["before"], str(tmp_path)])
    assert mixed.exit_code == 2
    assert "give two ids or two folders" in mixed.output


def test_an_approval_appears_in_answers_and_records(
    client: MarginClient, world: World, service: tuple[Running, dict[str, str]]
) -> None:
    account, gateway = world.book.accounts[0], service[0].gateway
    first = client.calculate_margin(account)
    assert first.generation.model_approved_by == ""
    name, version = world.model.name, world.model.version
    for role, person in (("registered", "Ada"), ("approved", "Grace")):
        gateway.archive.ledger.models.sign(name, version, role, person, now=datetime.now(UTC))
    gateway._use_cases.approvals.refresh()
    second = client.calculate_margin(account)
    generations = [
        second.generation,
        client.calculate_book().generation,
        client.get_status().generation,
        client.explain_margin(account).generation,
        client.get_calculation(second.calculation_id).calculation.generation,
    ]
    assert [g.model_approved_by for g in generations] == ["Grace"] * 5
    before = client.get_calculation(first.calculation_id).calculation
    assert before.generation.model_approved_by == ""
    assert before.caller == "ipv4:127.0.0.1"
    assert second.digest == first.digest
