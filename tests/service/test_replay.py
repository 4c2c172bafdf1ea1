"""Recorded calculations are computed again, from the state folder alone, with the same bits."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from json_documents import validated
from margin_client import MarginClient, Trade
from margin_cluster.cli import app
from service_world import Running, World
from typer.testing import CliRunner

PERPETUAL = "BTC-PERPETUAL"


IN_USE = {
    "market_snapshots": "SELECT snapshot_id FROM generations ORDER BY number DESC LIMIT 1",
    "scenarios": "SELECT scenarios_id FROM generations ORDER BY number DESC LIMIT 1",
    "books": "SELECT content FROM portfolio_changes WHERE kind = 'upload' "
    "ORDER BY version DESC LIMIT 1",
}
"""Queries of the ids of the objects in use, by kind of object."""


@dataclass
class Recorded:
    """A copy of the state folder of a service, with ids of recorded calculations."""

    root: Path
    ids: dict[str, str]
    since: datetime

    def invoke(self, *arguments: str, code: int) -> str:
        command = ["replay", *arguments, "--state", str(self.root)]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == code, result.output
        return result.output

    def replay(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        return validated(self.invoke(*arguments, "--json", code=code))

    def change(self, statement: str) -> None:
        """Change the ledger as anyone with access to the file can."""
        with closing(sqlite3.connect(self.root / "ledger.sqlite")) as connection:
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            ).fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute(statement)
            connection.commit()

    def object(self, kind: str) -> Path:
        """Return the file of the object that the calculations use; others may be stored too."""
        with closing(sqlite3.connect(self.root / "ledger.sqlite")) as connection:
            (name,) = connection.execute(IN_USE[kind]).fetchone()
        return self.root / "objects" / kind / f"{name}.parquet"


@pytest.fixture(scope="module")
def backed_up(running: Running, world: World, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Calculations of every kind, backed up and restored into another folder."""
    account, other = world.book.accounts[:2]
    since = datetime.now(UTC).replace(microsecond=0)
    with MarginClient(running.target) as client:
        ids = {"account": client.calculate_margin(account).calculation_id}
        client.apply_trades([Trade(account, PERPETUAL, 50.0)])
        ids["traded"] = client.calculate_margin(account).calculation_id
        ids["part"] = client.calculate_book(account_ids=[account, other]).calculation_id
        client.apply_trades([Trade(account, PERPETUAL, -50.0)])
        ids["portfolio"] = client.calculate_margin(
            portfolio={PERPETUAL: -200.0, world.book.instruments[0]: 3.0}
        ).calculation_id
        ids["book"] = client.calculate_book().calculation_id
    folder = tmp_path_factory.mktemp("replay")
    source = ["--state", str(running.folder)]
    for command in (
        ["backup", str(folder / "backup"), *source],
        ["restore", str(folder / "backup"), "--state", str(folder / "state")],
    ):
        result = CliRunner().invoke(app, ["ledger", *command])
        assert result.exit_code == 0, result.output
    return Recorded(folder / "state", ids, since)


@pytest.fixture
def recorded(
    backed_up: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Recorded]:
    """A copy that a test may damage; the store of the command line is empty."""
    monkeypatch.setenv("MARGIN_STORE", str(tmp_path / "empty"))
    root = tmp_path / "state"
    shutil.copytree(backed_up.root, root)
    return Recorded(root, backed_up.ids, backed_up.since)


@pytest.mark.parametrize("name", ["account", "traded", "part", "portfolio", "book"])
def test_a_replay_gives_the_recorded_digest(recorded: Recorded, name: str) -> None:
    document = recorded.replay(recorded.ids[name])
    assert (document["is_equal"], document["equal"]) == (True, 1)
    (found,) = document["calculations"]
    assert found["found_digest"] == found["recorded_digest"] != ""
    assert found["differences"] == []
    assert found["caller"] != ""
    text = recorded.invoke(recorded.ids[name], code=0)
    assert f"EQUAL: digest {found['found_digest']}" in text
    assert "not registered, not approved" in text


def test_all_calculations_of_a_time_range_are_replayed(recorded: Recorded, world: World) -> None:
    account = world.book.accounts[0]
    text = recorded.invoke("--from", recorded.since.isoformat(), code=0)
    assert " equal, 0 different, 0 with a missing input" in text
    for wanted in recorded.ids.values():
        assert wanted in text
    own = recorded.replay("--account", account)
    assert {recorded.ids["account"], recorded.ids["traded"]} <= {
        c["calculation_id"] for c in own["calculations"]
    }
    assert {c["account"] for c in own["calculations"]} == {account}
    assert recorded.replay("--to", "2026-01-01")["calculations"] == []


def test_a_model_that_is_registered_and_approved_later_changes_no_replay(
    recorded: Recorded, world: World, tmp_path: Path
) -> None:
    changed = tmp_path / "model.toml"
    changed.write_text(f'extends = "hs-surface"\nname = "{world.model.name}"\nversion = "next"\n')
    state = ["--state", str(recorded.root)]
    for command in (
        ["register", str(changed), "--by", "Ada"],
        ["approve", f"{world.model.name}@next", "--by", "Grace"],
    ):
        result = CliRunner().invoke(app, ["model", *command, *state])
        assert result.exit_code == 0, result.output
    (found,) = recorded.replay(recorded.ids["account"])["calculations"]
    assert found["is_equal"]
    assert found["model_version"] == world.model.version
    assert (found["registered_by"], found["approved_by"]) == ("", "")
    recorded.change(
        "UPDATE model_signatures SET version = "
        "(SELECT version FROM model_versions ORDER BY sequence LIMIT 1)"
    )
    (found,) = recorded.replay(recorded.ids["account"])["calculations"]
    assert (found["registered_by"], found["approved_by"]) == ("Ada", "Grace")
    assert not found["approved_when_calculated"]
    assert "approved by Grace (not yet when it was calculated)" in recorded.invoke(
        recorded.ids["account"], code=0
    )


@pytest.mark.parametrize("kind", ["market_snapshots", "scenarios", "books"])
def test_a_missing_object_is_named(recorded: Recorded, kind: str) -> None:
    path = recorded.object(kind)
    path.unlink()
    document = recorded.replay(recorded.ids["account"], code=6)
    (found,) = document["calculations"]
    assert path.name in found["missing"]
    assert (document["missing"], document["different"], found["is_equal"]) == (1, 0, False)
    assert "NOT REPLAYED" in recorded.invoke(recorded.ids["account"], code=6)


def test_a_missing_model_is_named(recorded: Recorded) -> None:
    recorded.change("DELETE FROM model_versions")
    (found,) = recorded.replay(recorded.ids["account"], code=6)["calculations"]
    assert found["inputs"]["model_id"] in found["missing"]


@pytest.mark.parametrize("kind", ["market_snapshots", "scenarios", "books"])
def test_a_tampered_object_is_a_difference(recorded: Recorded, kind: str) -> None:
    path = recorded.object(kind)
    table = pq.read_table(path)
    pq.write_table(table.slice(0, table.num_rows - 1), path)
    document = recorded.replay(recorded.ids["account"], code=2)
    (difference, *_) = document["calculations"][0]["differences"]
    assert difference["where"].endswith(path.stem)
    path.write_bytes(b"PAR1 and no more")
    (difference, *_) = recorded.replay(recorded.ids["account"], code=2)["calculations"][0][
        "differences"
    ]
    assert path.stem in difference["where"]


def test_the_first_value_that_differs_is_named(recorded: Recorded) -> None:
    name = recorded.ids["account"]
    where = f"WHERE calculation_id = '{name}'"
    recorded.change(
        f'UPDATE calculations SET margin = replace(margin, \'"name": "core"\', '
        f'\'"name": "cores"\') {where}'
    )
    differences = recorded.replay(name, code=2)["calculations"][0]["differences"]
    assert [d["where"] for d in differences] == ["component cores", "component core"]
    recorded.change(f"UPDATE calculations SET digest = 'result-0', positions = 0 {where}")
    differences = recorded.replay(name, code=2)["calculations"][0]["differences"]
    assert (differences[0]["where"], differences[0]["recorded"]) == ("digest", "result-0")
    assert differences[1]["where"] == "positions"
    assert "digest: recorded result-0, now result-" in recorded.invoke(name, code=2)
    recorded.change("UPDATE trades SET quantity = 7")
    differences = recorded.replay(recorded.ids["traded"], code=2)["calculations"][0]["differences"]
    assert [d["where"] for d in differences[:2]] == ["book_id", "digest"]


def test_a_changed_result_of_a_book_is_a_difference(recorded: Recorded) -> None:
    name = recorded.ids["part"]
    path = recorded.root / "objects" / "calculations" / f"{name}.parquet"
    table = pq.read_table(path)
    column = table.column_names.index("es_usd")
    values = table.column("es_usd").to_pylist()
    pq.write_table(table.set_column(column, "es_usd", [[values[0], values[1] + 0.01]]), path)
    (difference,) = recorded.replay(name, code=2)["calculations"][0]["differences"]
    assert difference["where"].endswith("es_usd")
    path.unlink()
    assert path.name in recorded.replay(name, code=6)["calculations"][0]["missing"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give an id, or --from, --to or --account"),
        (["calculation-x", "--from", "2026-01-01"], "give either an id"),
        (["--from", "yesterday"], "give a time such as"),
        (["calculation-x"], "there is no such calculation"),
    ],
)
def test_a_choice_of_calculations_is_required(
    recorded: Recorded, arguments: list[str], message: str
) -> None:
    assert message in recorded.invoke(*arguments, code=2)
