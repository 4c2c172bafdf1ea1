"""Books with accounts that cannot be margined, and deficits: files, terminal, JSON and report."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from margin_cluster.cli import app
from report_parts import body_of, unpacked
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("environment")
EXPIRED = "BTC-2JAN26-90000-C"


def margin(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[dict[str, object]]:
    return pq.read_table(folder / "portfolios" / "book.parquet").to_pylist()


def write_book(path: Path, rows: list[dict[str, object]], *more: tuple[str, str, float]) -> Path:
    added = [
        {"member_id": "MX", "account_id": a, "instrument_name": n, "quantity": q}
        for a, n, q in more
    ]
    pa_csv.write_csv(pa.Table.from_pylist([*rows, *added]), path)
    return path


@pytest.fixture(scope="module")
def incomplete(
    tmp_path_factory: pytest.TempPathFactory,
    store_root: Path,
    folder: Path,
    rows: list[dict[str, object]],
) -> tuple[Path, str]:
    """A run on a book of which three accounts cannot be margined, and what it printed."""
    work = tmp_path_factory.mktemp("incomplete")
    book = write_book(
        work / "book.csv", rows, ("X-NAME", "BTC-NOPE", 1.0), ("X-LOT", "BTC-PERPETUAL", 3.0),
        ("X-TWO", "DOGE-PERPETUAL", 10.0), ("X-TWO", "BTC-3JUL26-90000-C", 1.0),
        ("OLD", EXPIRED, 1.0),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARGIN_STORE", str(store_root))
        patch.delenv("MARGIN_DATA", raising=False)
        patch.setenv("COLUMNS", "160")
        text = margin("run", "--data", folder, "--book", book, "--out", work / "out", code=5)
    return work / "out", text


def test_one_account_that_cannot_be_margined_does_not_stop_the_others(
    incomplete: tuple[Path, str], folder: Path, tmp_path: Path
) -> None:
    """Its account is listed with the reason; all others have the margins of a book without it."""
    out, _ = incomplete
    margin("run", "--data", folder, "--out", tmp_path / "whole", "--book",
           folder / "portfolios" / "book.parquet")  # fmt: skip
    whole = pq.read_table(tmp_path / "whole" / "margin.parquet").to_pydict()
    part = pq.read_table(out / "margin.parquet").to_pydict()
    assert set(part["account_id"]) == {*whole["account_id"], "OLD"}
    for account, value in zip(whole["account_id"], whole["initial_margin_usd"], strict=True):
        assert part["initial_margin_usd"][part["account_id"].index(account)] == value
    inputs = json.loads((out / "inputs.json").read_text())
    assert inputs["result"]["is_complete"] is False
    assert inputs["result"]["accounts_failed"] == 3
    assert not (tmp_path / "whole" / "not_margined.csv").exists()


def test_accounts_that_are_not_margined_are_listed_with_reasons(
    incomplete: tuple[Path, str],
) -> None:
    out, text = incomplete
    with (out / "not_margined.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [(r["account_id"], r["instrument_name"]) for r in listed] == [
        ("X-LOT", "BTC-PERPETUAL"),
        ("X-NAME", "BTC-NOPE"),
        ("X-TWO", "BTC-3JUL26-90000-C"),
        ("X-TWO", "DOGE-PERPETUAL"),
    ]
    assert {r["member_id"] for r in listed} == {"MX"}
    assert [r["positions"] for r in listed] == ["1", "1", "2", "2"]
    assert "not a whole number of lots of 10" in listed[0]["reason"]
    assert pq.read_table(out / "not_margined.parquet").num_rows == 4
    assert "INCOMPLETE: 3 of 14 accounts could not be margined" in text
    assert "X-NAME (1 position): BTC-NOPE: unknown instrument" in text
    assert "and 1 more" in text
    body = body_of(out / "report.html")
    assert "Incomplete: 3 of 14 accounts could not be margined" in body
    assert body.index("Incomplete: 3 of 14") < body.index("Largest requirements")
    assert "DOGE has no index price" in body
    inputs = json.loads((out / "inputs.json").read_text())
    assert inputs["book"]["id"] in body, "the whole book, as in the record"


def test_an_expired_position_is_noted_and_does_not_make_a_run_incomplete(
    folder: Path, rows: list[dict[str, object]], tmp_path: Path, incomplete: tuple[Path, str]
) -> None:
    """The book of a day with an expiry is margined whole."""
    first = str(rows[0]["account_id"])
    book = write_book(tmp_path / "book.csv", rows, ("OLD", EXPIRED, 1.0))
    with book.open("a") as file:
        file.write(f"{rows[0]['member_id']},{first},{EXPIRED},2\n")
    out = tmp_path / "out"
    found = json.loads(margin("run", "--data", folder, "--book", book, "--out", out, "--json"))
    assert found["is_complete"] is True
    assert found["expired_positions"] == 2
    assert found["positions"] == len(rows)
    inputs = json.loads((out / "inputs.json").read_text())
    assert inputs["book"]["expired"] == {first: [EXPIRED], "OLD": [EXPIRED]}
    assert "awaiting settlement: 2 positions of 2 accounts" in body_of(out / "report.html")
    assert "awaiting settlement: 1 position of 1 account (OLD: " in " ".join(incomplete[1].split())
    # The account itself can be explained, and one that holds nothing else has nothing to explain.
    explained = json.loads(margin("explain", "account", out, "--account", first, "--json"))
    assert EXPIRED not in {p["instrument"] for p in explained["positions"]}
    assert "OLD has no margin to explain" in margin(
        "explain", "account", out, "--account", "OLD", code=2
    )


def test_a_book_of_expired_positions_alone_needs_no_margin(folder: Path, tmp_path: Path) -> None:
    book = write_book(tmp_path / "book.csv", [], ("OLD", EXPIRED, 1.0))
    out = tmp_path / "out"
    found = json.loads(margin("run", "--data", folder, "--book", book, "--out", out, "--json"))
    assert (found["initial_margin_usd"], found["accounts"]) == (0.0, 1)
    assert "Contributions to the VaR and ES" not in body_of(out / "report.html")
    assert "every position has expired" in margin(
        "compare", "--data", folder, "--book", book, "--out", tmp_path / "y", "--method", "span",
        code=2,
    )  # fmt: skip


def test_a_book_without_one_account_that_can_be_margined_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    book = write_book(tmp_path / "book.csv", [], ("A", "BTC-NOPE", 1.0), ("B", "DOGE_USDC", 1.0))
    for command in (("run",), ("report",), ("compare", "--method", "span")):
        target = tmp_path / "out"
        text = margin(*command, "--data", folder, "--book", book, "--out", target, code=2)
        assert "BTC-NOPE" in text
        assert "DOGE has no index price" in text
        assert not target.exists()


def test_a_comparison_leaves_out_what_a_method_cannot_margin(
    folder: Path, rows: list[dict[str, object]], tmp_path: Path
) -> None:
    book = write_book(tmp_path / "book.csv", rows, ("X", "BTC-NOPE", 1.0), ("OLD", EXPIRED, 1.0))
    out = tmp_path / "out"
    arguments = ("compare", "--data", folder, "--out", out, "--method", "span", "--method",
                 "venue-grid")  # fmt: skip
    text = margin(*arguments, "--book", book, code=5)
    assert "INCOMPLETE: 1 of 12 accounts could not be margined" in text
    assert "awaiting settlement: 1 position" in text
    assert "Incomplete: 1 of 12 accounts" in body_of(out / "report.html")
    listed = pa_csv.read_csv(out / "not_margined.csv").to_pylist()
    assert [r["account_id"] for r in listed] == ["X"]
    table = pq.read_table(out / "methods.parquet").to_pydict()
    margin(*arguments, "--book", folder / "portfolios" / "book.parquet", "--force")
    whole = pq.read_table(out / "methods.parquet").to_pydict()
    assert set(table["account_id"]) == {*whole["account_id"], "OLD"}
    name = "span.requirement_usd"
    of_part = dict(zip(table["account_id"], table[name], strict=True))
    assert {a: of_part[a] for a in whole["account_id"]} == dict(
        zip(whole["account_id"], whole[name], strict=True)
    )
    assert of_part["OLD"] == 0.0


def test_a_report_of_an_incomplete_book_says_so(
    folder: Path, rows: list[dict[str, object]], tmp_path: Path
) -> None:
    book = write_book(tmp_path / "book.csv", rows, ("X", "BTC-NOPE", 1.0))
    target = tmp_path / "page.html"
    margin("report", "--data", folder, "--book", book, "--out", target, code=5)
    assert "Incomplete: 1 of 11 accounts could not be margined" in body_of(target)


@pytest.fixture(scope="module")
def collateralised(
    tmp_path_factory: pytest.TempPathFactory,
    store_root: Path,
    folder: Path,
) -> tuple[Path, str, dict[str, object]]:
    """A run with collateral that leaves some accounts in deficit and one in large excess."""
    work = tmp_path_factory.mktemp("collateral")
    accounts = sorted({r["account_id"] for r in pq.read_table(
        folder / "portfolios" / "book.parquet").to_pylist()})  # fmt: skip
    deposits = {"account_id": [accounts[0]], "asset": ["USD"], "amount": [1e12]}
    pa_csv.write_csv(pa.table(deposits), work / "collateral.csv")
    arguments = ("run", "--data", folder, "--book", folder / "portfolios" / "book.parquet",
                 "--collateral", work / "collateral.csv")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARGIN_STORE", str(store_root))
        patch.delenv("MARGIN_DATA", raising=False)
        patch.setenv("COLUMNS", "160")
        text = margin(*arguments, "--out", work / "out")
        patch.setenv("COLUMNS", "80")
        narrow = margin(*arguments, "--out", work / "narrow")
        found = json.loads(margin(*arguments, "--out", work / "json", "--json"))
    return work / "out", text + "\n#\n" + narrow, found


def test_deficits_are_summed_gross(collateralised: tuple[Path, str, dict[str, object]]) -> None:
    """One account's excess of a trillion must not hide the deficits of the others."""
    out, text, found = collateralised
    excess = pq.read_table(out / "margin.parquet").column("excess_usd").to_numpy()
    short = excess < 0
    assert short.any()
    assert excess.sum() > 0
    assert found["accounts_in_deficit"] == int(short.sum())
    assert found["deficit_usd"] == pytest.approx(-excess[short].sum())
    wide, narrow = text.split("\n#\n")
    for printed in (wide, narrow):
        assert f"In deficit: {short.sum()} of 10 accounts" in " ".join(printed.split())
        last = next(line for line in printed.splitlines() if line.startswith("│ all"))
        cells = [c.strip() for c in last.strip("│").split("│")]
        assert cells[-1] == ""  # Excesses are not summed.
    assert "Not shown in 80 columns: positions, VaR, ES, worst, window" in narrow
    assert "Not shown" not in wide


def test_the_excess_follows_from_the_columns_beside_it(
    collateralised: tuple[Path, str, dict[str, object]],
) -> None:
    out, text, _ = collateralised
    table = {
        name: np.array(values)
        for name, values in pq.read_table(out / "margin.parquet").to_pydict().items()
    }
    np.testing.assert_allclose(
        table["collateral_usd"] + table["option_value_usd"] - table["initial_margin_usd"],
        table["excess_usd"],
        rtol=1e-12,
    )
    assert "Excess = option value + collateral after haircut - requirement" in text
    body = body_of(out / "report.html")
    assert "Deficit = requirement − resources, where resources are collateral" in body
    heads = body[body.index("<h2>Shortfalls</h2>") :]
    heads = heads[heads.index("<thead>") : heads.index("</thead>")]
    order = [heads.index(f">{name}<") for name in ("deficit", "resources", "requirement", "why")]
    assert order == sorted(order)


def test_the_chart_in_order_of_the_requirement_shows_the_requirement(
    collateralised: tuple[Path, str, dict[str, object]],
) -> None:
    out, _, _ = collateralised
    figure = unpacked(out / "report.html", "figures")["accounts"]
    assert [t["name"] for t in figure["data"]] == [
        "requirement", "resources, sufficient", "resources, in deficit",
    ]  # fmt: skip
    table = pq.read_table(out / "margin.parquet").to_pydict()
    largest = sorted(
        zip(table["initial_margin_usd"], table["account_id"], strict=True), reverse=True
    )
    assert figure["data"][0]["x"] == [account for _, account in largest]
