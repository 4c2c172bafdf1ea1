"""Each bad input ends with one message naming file, row and remedy, and leaves nothing behind."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from margin_cluster.cli import app
from typer.testing import CliRunner

pytestmark = pytest.mark.usefixtures("environment")


def refuse(
    tmp_path: Path, folder: Path, *extra: object, code: int = 2, command: str = "run"
) -> str:
    """Run on `folder`, expect a refusal, and check that nothing was left behind."""
    out = tmp_path / "out"
    before = sorted(tmp_path.iterdir())
    arguments = [command, "--data", folder, "--out", out, *extra]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert sorted(tmp_path.iterdir()) == before
    return " ".join(result.output.split())


def book(tmp_path: Path, **columns: list[object]) -> Path:
    path = tmp_path / "book.csv"
    pa_csv.write_csv(pa.table(columns), path)
    return path


def option_of(folder: Path) -> str:
    table = pq.read_table(folder / "portfolios" / "book.parquet")
    return next(n for n in table.column("instrument_name").to_pylist() if n.endswith("-C"))


def test_all_problems_of_a_book_are_listed_at_once(tmp_path: Path, folder: Path) -> None:
    good = option_of(folder)
    path = book(
        tmp_path,
        member_id=["M"] * 6,
        account_id=["A", "A", "A", "B", "C", "D"],
        instrument_name=[good, good, "BTC-NOPE", good, good, "BTC-2JAN26-90000-C"],
        quantity=[1.0, 2.0, 1.0, float("nan"), float("inf"), 1.0],
    )
    text = refuse(tmp_path, folder, "--book", path)
    assert "(3 problems)" in text
    assert "book.csv, line 5: quantity is nan (give a finite number)" in text
    assert "book.csv, line 6: quantity is inf" in text
    assert f"book.csv, line 3: account A already has a position in {good}" in text


@pytest.mark.slow
def test_past_snapshots_that_cannot_be_fitted_are_counted(tmp_path: Path, folder: Path) -> None:
    copy = tmp_path / "copy"
    for part in ("prices", "options", "vol", "portfolios"):
        (copy / part).mkdir(parents=True)
        for item in (folder / part).iterdir():
            (copy / part / item.name).symlink_to(item)
    chain = copy / "options" / "synthetic_chain.parquet"
    table = pq.read_table(chain)
    first = pc.equal(table.column("snapshot"), pc.min(table.column("snapshot"))).to_numpy()
    for name in ("mark_price", "underlying"):
        column = np.where(first, np.nan, table.column(name).to_numpy())
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.array(column, from_pandas=True))
    chain.unlink()
    pq.write_table(table, chain)
    arguments = ["run", "--data", str(copy), "--out", str(tmp_path / "out"), "--no-pnl"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "1 of 36 snapshots of synthetic_chain.parquet cannot be fitted" in said
    assert "cannot be fitted" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BTC-NOPE", "unknown instrument: 'BTC-NOPE'"),
        ("BTC-3JUL26-90000-C", "BTC 3JUL26 has no forward and no quotes (add its option chain"),
        ("DOGE-PERPETUAL", "DOGE has no index price"),
    ],
)
def test_instruments_that_cannot_be_margined(
    tmp_path: Path, folder: Path, name: str, text: str
) -> None:
    path = book(
        tmp_path, member_id=["M"], account_id=["A"], instrument_name=[name], quantity=[10.0]
    )
    said = refuse(tmp_path, folder, "--book", path)
    assert text in said
    assert "book.csv" in said


def test_duplicate_positions_and_an_empty_book(tmp_path: Path, folder: Path) -> None:
    good = option_of(folder)
    path = book(
        tmp_path, member_id=["M", "M"], account_id=["A", "A"], instrument_name=[good, good],
        quantity=[1.0, 2.0],
    )  # fmt: skip
    assert f"line 3: account A already has a position in {good}" in refuse(
        tmp_path, folder, "--book", path
    )
    path.write_text("member_id,account_id,instrument_name,quantity\n")
    assert "the book is empty" in refuse(tmp_path, folder, "--book", path)


def test_missing_and_mistyped_columns(tmp_path: Path, folder: Path) -> None:
    path = book(tmp_path, member_id=["M"], account_id=["A"], quantity=["many"])
    text = refuse(tmp_path, folder, "--book", path)
    assert "column 'instrument_name' is missing" in text
    assert "column 'quantity' is string; line 2 holds 'many'" in text


def test_a_book_separated_by_semicolons_is_read(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "book.csv"
    path.write_text(f"member_id;account_id;instrument_name;quantity\nM;A;{option_of(folder)};2\n")
    arguments = ["run", "--data", folder, "--out", tmp_path / "ok", "--book", path, "--json"]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    path.write_text(f"member_id;account_id;instrument_name;quantity\nM;A;{option_of(folder)};1,5\n")
    assert "line 2 holds '1,5'" in refuse(tmp_path, folder, "--book", path)


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_a_bad_date_is_blamed_on_its_own_option(tmp_path: Path, folder: Path, option: str) -> None:
    text = refuse(tmp_path, folder, option, "soon", command="backtest")
    assert f"{option}: soon (write a date" in text
    assert "--snapshot" not in text


def test_a_period_that_is_too_short_is_described(tmp_path: Path, folder: Path) -> None:
    text = refuse(tmp_path, folder, "--from", "2026-01-16", command="backtest")
    assert "0 dates from 2026-01-16" in text
    assert "--from, --to: prices run to" in text


def small_book(tmp_path: Path, folder: Path, accounts: dict[str, float]) -> Path:
    """A book file that gives each account one position in a listed option."""
    n = len(accounts)
    return book(
        tmp_path, member_id=["M"] * n, account_id=list(accounts),
        instrument_name=[option_of(folder)] * n, quantity=list(accounts.values()),
    )  # fmt: skip


def collateral(tmp_path: Path, *rows: tuple[str, str, float]) -> Path:
    path = tmp_path / "collateral.csv"
    lines = [f"{account},{asset},{amount}" for account, asset, amount in rows]
    path.write_text("\n".join(["account_id,asset,amount", *lines]) + "\n")
    return path


@pytest.mark.parametrize("command", ["run", "report"])
def test_collateral_of_unknown_accounts_is_refused_before_the_work(
    tmp_path: Path, folder: Path, command: str
) -> None:
    """No deposit is left out without a message: accounts that the book lacks are named by line."""
    held = small_book(tmp_path, folder, {"A": 10.0})
    path = collateral(tmp_path, ("A", "USD", 1e6), ("NOBODY", "BTC", 5), ("NOBODY", "USD", 1),
                      ("a", "USD", 2), ("A", "DOGE", 3))  # fmt: skip
    text = refuse(tmp_path, folder, "--book", held, "--collateral", path, command=command)
    assert "collateral.csv, line 3 and 1 more: account NOBODY is not in the book" in text
    assert "collateral.csv, line 5: account a is not in the book (correct the account" in text
    assert "collateral.csv, line 6: DOGE has no index price" in text
    assert "(3 problems); --list-unknown-collateral leaves out" in text
    assert "Cleansing" not in text


def test_collateral_of_unknown_accounts_is_listed_on_request(tmp_path: Path, folder: Path) -> None:
    held = small_book(tmp_path, folder, {"A": 10.0})
    path = collateral(tmp_path, ("A", "USD", 1e6), ("NOBODY", "BTC", 5))
    out = tmp_path / "out"
    arguments = ["run", "--data", folder, "--out", out, "--book", held, "--collateral", path]
    result = CliRunner().invoke(app, [*map(str, arguments), "--list-unknown-collateral"])
    assert result.exit_code == 0, result.output
    assert "that are not in the book (1), left out: NOBODY" in " ".join(result.output.split())
    inputs = json.loads((out / "inputs.json").read_text())
    assert inputs["book"]["collateral_not_in_book"] == ["NOBODY"]


def test_a_bad_collateral_file_is_noticed_before_the_revaluation(
    tmp_path: Path, folder: Path
) -> None:
    held = small_book(tmp_path, folder, {"A": 10.0})
    path = collateral(tmp_path, ("A", "USD", -1.0), ("", "USD", 1.0))
    text = refuse(tmp_path, folder, "--book", held, "--collateral", path)
    assert "line 2: amount is -1.0" in text
    assert "line 3: account_id is empty" in text
    assert "Cleansing" not in text


def test_an_account_without_positions_may_hold_collateral(tmp_path: Path, folder: Path) -> None:
    held = small_book(tmp_path, folder, {"A": 10.0, "FLAT": 0.0})
    path = collateral(tmp_path, ("A", "USD", 1e6), ("FLAT", "USD", 1e6))
    arguments = ["run", "--data", folder, "--out", tmp_path / "out", "--book", held]
    result = CliRunner().invoke(app, [str(a) for a in (*arguments, "--collateral", path)])
    assert result.exit_code == 0, result.output
    assert "that hold no position (1), left out: FLAT" in " ".join(result.output.split())
    table = pq.read_table(tmp_path / "out" / "margin.parquet").to_pydict()
    assert table["account_id"] == ["A"]
    assert table["collateral_usd"] == [1e6]


@pytest.mark.parametrize("name", ["book.parquet", "absent.parquet", "book.csv.gz"])
def test_damaged_and_absent_files(tmp_path: Path, folder: Path, name: str) -> None:
    path = tmp_path / name
    raw = (folder / "portfolios" / "book.parquet").read_bytes()
    if not name.startswith("absent"):
        path.write_bytes(raw[: len(raw) // 2])
    text = refuse(tmp_path, folder, "--book", path)
    assert name in text
    assert "does not exist" in text or "damaged" in text


def test_a_truncated_price_file_is_named(tmp_path: Path, folder: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for part in ("prices", "options", "vol", "portfolios"):
        (copy / part).mkdir()
        for item in (folder / part).iterdir():
            (copy / part / item.name).write_bytes(item.read_bytes())
    victim = copy / "prices" / "synthetic_a_BTCUSD_1d.parquet"
    victim.write_bytes(victim.read_bytes()[:-100])
    assert "synthetic_a_BTCUSD_1d.parquet: damaged" in refuse(tmp_path, copy)
    table = pq.read_table(folder / "prices" / "synthetic_a_BTCUSD_1d.parquet")
    pq.write_table(table.drop_columns(["close"]), victim)
    assert "column 'close' is missing" in refuse(tmp_path, copy)
    pq.write_table(table.set_column(4, "close", pa.array(["x"] * table.num_rows)), victim)
    assert "column 'close' is string" in refuse(tmp_path, copy)


@pytest.mark.slow
def test_a_held_expiry_without_quotes(tmp_path: Path, folder: Path) -> None:
    copy = tmp_path / "copy"
    for part in ("prices", "options", "vol", "portfolios"):
        (copy / part).mkdir(parents=True)
        for item in (folder / part).iterdir():
            (copy / part / item.name).symlink_to(item)
    chain = copy / "options" / "synthetic_chain.parquet"
    table = pq.read_table(chain)
    label = option_of(folder).split("-")[1]
    names = np.array(table.column("instrument_name").to_pylist())
    held = np.char.find(names, f"-{label}-") >= 0
    last = pc.equal(table.column("snapshot"), pc.max(table.column("snapshot"))).to_numpy()
    chain.unlink()
    pq.write_table(table.filter(pa.array(~(held & last))), chain)
    assert f"{label} has no forward and no quotes" in refuse(tmp_path, copy)
    for name in ("bid_price", "implied_volatility"):
        column = table.column(name).to_numpy().copy()
        column[held & last] = np.nan
        table = table.set_column(
            table.column_names.index(name), name, pa.array(column, from_pandas=True)
        )
    pq.write_table(table, chain)
    text = refuse(tmp_path, copy)
    assert re.search(rf"{label} has no smile \(fewer than 5 of its \d+ options have a usable", text)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ('extends = "hs-surface"\n[scenarios]\nwindows = 5000', "the model requires 5000"),
        ('extends = "hs-surface"\n[measure]\nconfidence = 1.5', "measure.confidence"),
        ('extends = "hs-surface"\n[measure]\nconfidence = 0', "measure.confidence"),
        ('extends = "hs-surface"\n[scenarios]\nhorizon_hours = 0', "scenarios.horizon_hours"),
        ('extends = "hs-surface"\n[scenarios]\nhorizon_hours = -2', "scenarios.horizon_hours"),
        ('extends = "hs-surface"\n[scenarios]\nhorizn = 2', "scenarios.horizn"),
        ('extends = "nothing"', "unknown model preset 'nothing'"),
        ("extends = ", "not valid TOML"),
        ('extends = "hs-surface"\n[quality]\nrepaired_fraction_max = 0.0', "quality limits"),
    ],
)
def test_models_that_cannot_be(tmp_path: Path, folder: Path, model: str, text: str) -> None:
    path = tmp_path / "model.toml"
    path.write_text(model)
    code = 3 if "quality" in model else 2
    assert text in refuse(tmp_path, folder, "--model", path, code=code)


def test_two_faults_of_a_model_are_both_named(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text('extends = "plain-hs"\n[measure]\nconfidence = 2\n[scenarios]\nwindows = 0')
    text = refuse(tmp_path, folder, "--model", path)
    assert "measure.confidence" in text
    assert "scenarios.windows" in text


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        (("--snapshot", "yesterday"), "'yesterday' is not a time"),
        (("--snapshot", "2026-01-15T12:00:00Z"), "the nearest are 2026-01-14T00:00:00Z"),
        (
            ("--model", "no-such"),
            "give a TOML file or one of: ccp-default, ccp-default@1, fhs-surface, hs-surface",
        ),
        (("--scenarios", "scenarios-00"), "scenarios-00 is not in the store"),
        (("--collateral", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_requests_that_cannot_be_met(
    tmp_path: Path, folder: Path, extra: tuple[str, str], text: str
) -> None:
    assert text in refuse(tmp_path, folder, *extra)


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    assert "has no option chains" in refuse(tmp_path, tmp_path)
    assert "is not a folder" in refuse(tmp_path, tmp_path / "absent")


def test_a_snapshot_file_lists_all_its_faults(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "market.toml"
    path.write_text(
        "time = 2026-01-16T00:00:00\n[index]\nBTC = 1.0\n"
        '[[option]]\nname = "BTC-2JAN26-1-C"\nvolatility = -1\n'
        '[[option]]\nname = "ETH-27MAR26-1-C"\n[[option]]\nname = "x"\n'
        '[[option]]\nname = "BTC-27MAR26-1-C"\ncolour = 3\n'
        '[[future]]\nname = "BTC-27MAR26"\nprice = -1\n[[future]]\nname = "BTC-PERPETUAL"\n'
        '[[future]]\nname = "BTC-27MAR26-1-C"\nprice = 1\n'
    )
    text = refuse(tmp_path, folder, "--snapshot", path)
    for part in (
        "has no time zone",
        "has expired",
        "volatility is -1",
        "[index] has no ETH",
        "'x' is not",
        "unknown field 'colour'",
        "price is -1",
        "future 2: price is None",
        "BTC-27MAR26-1-C is not a future",
    ):
        assert part in text


@pytest.mark.parametrize("threads", ["0", "-1", "many", "1.5"])
def test_settings_that_cannot_be(
    tmp_path: Path, folder: Path, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARGIN_THREADS", threads)
    assert f"MARGIN_THREADS: {threads!r}" in refuse(tmp_path, folder)
