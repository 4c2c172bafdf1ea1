"""The whole requirement on recorded chains, and model impact, from the command line."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from json_documents import validated
from margin_cluster.chain_backtest import ChainBacktestRequest, run_chain_backtest
from margin_cluster.cli import app
from margin_cluster.recorded_margins import KIND, date_from_table, date_to_table
from margin_cluster.recorded_markets import snapshot_pairs
from margin_cluster.settings import Settings
from margin_cluster.wiring import Workspace, load_model, open_workspace, time_from_text
from report_parts import body_of
from typer.testing import CliRunner

from margin_actors.engine.backtest import group_of, is_unchanged

SMALL = """
name = "small chains"
version = "1"
extends = "hs-surface"
[scenarios]
windows = 300
surface_moves = "index"
[scenarios.stress]
enabled = true
events = []
[addons.liquidity]
enabled = true
[collateral]
depeg = { USDC = 0.13 }
"""


@pytest.fixture(scope="module", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARGIN_STORE", str(tmp_path_factory.mktemp("chains") / "store"))
        patch.setenv("MARGIN_DATA", str(folder))
        patch.setenv("COLUMNS", "160")
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.toml"
    path.write_text(SMALL)
    return path


def margin(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output if code else result.stdout


@pytest.fixture(scope="module")
def arguments(folder: Path, model: Path) -> list[object]:
    held = folder / "portfolios"
    return ["backtest", "--chains", "--model", model, "--from", "2026-01-11", "--book",
            held / "book.parquet", "--collateral", held / "collateral.parquet"]  # fmt: skip


@pytest.fixture(scope="module")
def tested(arguments: list[object], tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("tested") / "out"
    return validated(margin(*arguments, "--out", out, "--json"))


def opened(root: Path) -> Workspace:
    store = Path(os.environ["MARGIN_STORE"])
    return open_workspace(Settings(store=store, data=root, threads=1, deribit_url=""), root)


def test_the_verdict_comes_first_and_counts_every_account(tested: dict) -> None:
    assert tested["verdict"][0].startswith("The requirement covered ")
    assert (tested["first_date"], tested["last_date"]) == ("2026-01-11", "2026-01-14")
    assert "The first date is 2026-01-11, as asked for." in tested["remarks"]
    pooled = {(p["group"], p["measure"]): p for p in tested["pooled"]}
    assert pooled["benchmark", "requirement"]["observations"] == 8 * 4
    assert pooled["book", "requirement"]["windows"] == 2
    above = sum(p["exceptions"] for k, p in pooled.items() if k[1] == "requirement")
    assert len(tested["exceptions"]) == above
    for day in tested["dates"]:
        assert sum(day["components_usd"].values()) == pytest.approx(day["requirement_usd"])
        assert day["above_margin_usd"] <= day["above_core_usd"] <= day["loss_usd"] + 1e-9
        assert day["cover_1_usd"] <= day["cover_2_usd"] <= day["above_margin_usd"] + 1e-9
    book = [d for d in tested["dates"] if d["group"] == "book"]
    assert all(d["stress_cover_2_usd"] <= d["default_fund_usd"] for d in book)
    html = (Path(tested["out"]) / "report.html").read_text()
    body = html[html.index("</header>") :]
    assert body.index("The requirement covered") < body.index("Coverage")
    assert "NaN" not in body_of(html)


def test_the_accounts_file_reproduces_the_coverage(tested: dict) -> None:
    table = pq.read_table(Path(tested["out"]) / "accounts.parquet")
    groups = np.array(table.column("group").to_pylist())
    loss = -table.column("profit_usd").to_numpy()
    for p in tested["pooled"]:
        margin_usd = table.column(f"{p['measure']}_usd").to_numpy()
        own = groups == p["group"]
        assert int((loss[own] > margin_usd[own] + 0.01).sum()) == p["exceptions"]


def test_a_finished_date_is_not_computed_again(
    tested: dict, arguments: list[object], folder: Path, model: Path, tmp_path: Path
) -> None:
    place = opened(folder)
    held = folder / "portfolios"
    request = ChainBacktestRequest(
        load_model(str(model)), (held / "book.parquet",), (held / "collateral.parquet",),
        time_from_text("2026-01-11"), None,
    )  # fmt: skip
    stored = place.store.ids(KIND)
    place.store.path(KIND, stored[1]).unlink()  # as if the backtest had been interrupted
    again = run_chain_backtest(place, request)
    assert again.resumed == 3
    assert sorted(place.store.ids(KIND)) == sorted(stored)
    assert list(again.verdict()) == tested["verdict"]
    date = again.history.dates[0]
    kept = date_from_table(date_to_table(date))
    assert kept.digest == date.digest
    for name in ("profit_usd", "shortfall_usd", "components_usd", "stress_cover_usd"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(date, name))


def test_later_chains_do_not_change_the_requirements_of_a_date(
    tested: dict, folder: Path, model: Path, tmp_path: Path
) -> None:
    """Without the chains after its outcome, a date has the same requirements to the bit."""
    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    path = cut / "options" / "synthetic_chain.parquet"
    table = pq.read_table(path)
    until = np.datetime64("2026-01-15T12:00")
    early = table.column("snapshot").to_numpy() < until
    pq.write_table(table.filter(early), path)
    place = opened(cut)
    request = ChainBacktestRequest(
        load_model(str(model)), (cut / "portfolios" / "book.parquet",), (),
        time_from_text("2026-01-11"), None,
    )  # fmt: skip
    assert len(snapshot_pairs(place, request.first, None, 48.0)) == 3
    found = run_chain_backtest(place, request).history.dates[0]
    full = pq.read_table(Path(tested["out"]) / "accounts.parquet").to_pylist()
    first = full[0]["time"]
    expected = {
        (r["group"], r["account_id"]): r["requirement_usd"]
        for r in full
        if r["time"] == first and not is_unchanged(r["group"])
    }
    own = {
        group_of(a): float(x)
        for a, x in zip(found.accounts, found.requirement_usd, strict=True)
        if not is_unchanged(group_of(a)[0])
    }
    assert own == expected


def test_options_that_do_not_fit_are_refused(tmp_path: Path, folder: Path) -> None:
    book = folder / "portfolios" / "book.parquet"
    out = tmp_path / "out"
    text = margin("backtest", "--out", out, "--chains", "--engine", "historical", code=2)
    assert "--chains tests the requirement of one model" in text
    text = margin("backtest", "--out", out, "--book", book, "--book", book, code=2)
    assert "only with --chains" in text
    text = margin("backtest", "--out", out, "--chains", "--book", book, "--book", book, code=2)
    assert "each book needs a name of its own" in text
    text = margin("backtest", "--out", out, "--chains", "--from", "2026-01-14", code=2)
    assert "at least 3" in text


@pytest.fixture(scope="module")
def newer(model: Path) -> Path:
    path = model.parent / "newer.toml"
    path.write_text(
        SMALL.replace('version = "1"', 'version = "2"') + "[measure]\nconfidence = 0.97\n"
    )
    return path


def test_the_impact_of_a_change_names_who_pays_and_why(
    folder: Path, model: Path, newer: Path, tmp_path: Path
) -> None:
    held = folder / "portfolios"
    given = ["--book", held / "book.parquet", "--collateral", held / "collateral.parquet"]
    found = validated(
        margin("model", "impact", newer, model, "--out", tmp_path / "out", *given, "--from",
               "2026-01-13", "--to", "2026-01-14", "--json")
    )  # fmt: skip
    assert [c["field"] for c in found["changes"]] == ["measure.confidence"]
    assert len(found["dates"]) == 2
    assert "asks" in found["verdict"][0]
    for date in found["dates"]:
        changes = [date["new_components_usd"][k] - v for k, v in date["old_components_usd"].items()]
        assert sum(changes) == pytest.approx(date["new_usd"] - date["old_usd"])
        assert date["new_usd"] > date["old_usd"]  # a higher confidence
    assert all(a["cause"] == "core" for a in found["accounts"] if a["change_usd"] > 1.0)
    sizes = [abs(a["change_usd"]) for a in found["accounts"]]
    assert sizes == sorted(sizes, reverse=True)
    assert found["responsiveness"]["accounts"] > 0
    last = found["dates"][-1]
    fallen = [
        a["account"] for a in found["accounts"]
        if a["old_excess_usd"] >= 0.0 > a["new_excess_usd"]
    ]  # fmt: skip
    assert sorted(fallen) == sorted(last["into_deficit"])
    html = (tmp_path / "out" / "report.html").read_text()
    body = html[html.index("</header>") :]
    assert body.index("asks") < body.index("Requirements of all accounts")
    assert body.index("Changed parameters") < body.index("Signatures")


def test_a_challenge_must_be_one_of_the_model(
    folder: Path, model: Path, newer: Path, tmp_path: Path
) -> None:
    book = folder / "portfolios" / "book.parquet"
    file = tmp_path / "challenge.json"
    file.write_text(json.dumps({"schema": "margin.challenge/1", "model_id": "other", "ratio": 0.5}))
    common = ("model", "impact", model, newer, "--out", tmp_path / "out", "--book", book)
    text = margin(*common, "--challenge-old", file, code=2)
    assert "is not one of the model small chains 1" in text
    file.write_text("{}")
    assert "its schema is not" in margin(*common, "--challenge-new", file, code=2)
    text = margin("model", "impact", model, model, "--out", tmp_path / "o", "--book", book, code=2)
    assert "the two models have the same parameters" in text
