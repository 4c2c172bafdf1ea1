"""Files for members of a model with perpetuals, floors, sizes by member and bounds of add-ons."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from made import ADD_ONS, EVERYTHING, model_from, options_of, sections
from margin_cluster.member_files import FILES, MANIFEST
from member_exports import load_program, tampered, write_export

from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import BasisProvenance, PerpetualBasisMoves, ScenarioSet
from margin_actors.market.books import Book, book_of_portfolios, other_accounts, select_account
from margin_actors.market.rates import RateCurve
from margin_actors.market.snapshots import MarketSnapshot


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return load_program()


BOUNDS: dict[str, object] = {
    **EVERYTHING,
    "scenarios": {"stress": {"enabled": True}, "perpetual_basis": {"moves": "history"}},
    "revaluation": {"rates": {"use": "curve"}, "unlisted_options": "surface"},
    "addons": {
        **ADD_ONS,
        "concentration": {"enabled": True, "participation": 0.001},
        "measure": "core",
        "members": {"enabled": True},
        "hedge": {"enabled": True},
        "close_out": {"parity": True, "value_bound": True, "settling_share": 1.0},
        "loss_bound": {"enabled": True},
    },
}


@pytest.fixture(scope="module")
def moving(snapshot: MarketSnapshot) -> tuple[MarketSnapshot, ScenarioSet, ModelParameters]:
    """A market with perpetuals of their own price and a rate curve, and a model that uses them."""
    made = sections()
    change = 0.003 * np.random.default_rng(4).normal(size=(len(made), 2))
    basis = PerpetualBasisMoves(change, np.full(change.shape, BasisProvenance.MADE, np.uint8))
    curve = RateCurve(date(2026, 1, 15), np.array([0.1, 1.0]), np.array([0.05, 0.04]))
    own = {u: 1.002 * level for u, level in snapshot.index_usd.items()}
    market = replace(snapshot, perpetual_usd=own, rates=curve)
    return market, replace(made, perpetual_basis=basis), model_from("hs-surface", **BOUNDS)


@pytest.fixture(scope="module")
def members(snapshot: MarketSnapshot, book: Book) -> Book:
    """Six accounts, three to a member, an account that can lose only its options, and one
    with every other kind of contract."""
    held = [(name, f"M{a // 3}", positions_of(book, a)) for a, name in enumerate(book.accounts[:6])]
    cheap = [n for n in options_of(snapshot) if n.endswith("-C")][-1]
    expiry = cheap.split("-")[1]
    other = {cheap.replace("-", "_USDC-", 1): 40.0, f"ETH-{expiry}": -9e5, "BTC_USDC": 2.0,
             f"BTC_USDC-{expiry}": -3.0, "BTC_USDC-PERPETUAL": 5.0}  # fmt: skip
    return book_of_portfolios([*held, ("Y", "", other), ("Z", "", {cheap: 3.0})])


def positions_of(book: Book, account: int) -> dict[str, float]:
    rows = range(int(book.start[account]), int(book.start[account + 1]))
    return {book.instruments[book.instrument_index[p]]: float(book.quantity[p]) for p in rows}


@pytest.fixture(scope="module")
def clearing_house(tmp_path_factory, moving, members: Book) -> Path:
    snapshot, scenarios, model = moving
    return write_export(tmp_path_factory.mktemp("bounds"), snapshot, members, model, scenarios)


def test_floors_sizes_by_member_and_bounds_are_recomputed(program, clearing_house: Path) -> None:
    table = program.recompute(program.load(clearing_house))
    assert table["difference"].max() < 1e-6
    figures = pd.read_parquet(clearing_house / "figures.parquet")
    for figure in ("factor_max", "bucket_es_usd", "unbounded_usd", "counted_loss_usd"):
        assert (figures["figure"] == figure).any(), figure
    amounts = table.groupby("component")["amount_usd"].sum()
    assert (amounts[["extended_moves", "concentration", "liquidity", "model_risk"]] > 0.0).all()


def test_an_account_needs_no_position_of_its_member_s_other_accounts(
    program, tmp_path, moving, members: Book, clearing_house: Path
) -> None:
    snapshot, scenarios, model = moving
    account, name = select_account(members, 4), members.accounts[4]
    others = other_accounts(members, [name])
    folder = write_export(tmp_path / "e", snapshot, account, model, scenarios, others)
    whole, own = (t.recompute(t.load(f)) for t, f in ((program, clearing_house), (program, folder)))
    assert own["difference"].max() < 1e-6
    whole = whole[whole["account_id"] == name]
    assert own["amount_usd"].tolist() == whole["amount_usd"].tolist()
    assert json.loads((folder / MANIFEST).read_text())["incomplete_members"] == ["M1"]
    fellows = set(others.accounts)
    for item in FILES:
        if item.is_own:
            table = pd.read_parquet(folder / f"{item.name}.parquet")
            assert not fellows & set(table["account_id"])
    alone = write_export(tmp_path / "alone", snapshot, account, model, scenarios)
    charged = pd.read_parquet(folder / "components.parquet").set_index("component")["amount_usd"]
    apart = pd.read_parquet(alone / "components.parquet").set_index("component")["amount_usd"]
    assert charged["concentration"] > apart["concentration"]


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("contracts.parquet", "discount"),
        pytest.param("depth.parquet", "typical_vol", marks=pytest.mark.slow),
        pytest.param("positions.parquet", "lots", marks=pytest.mark.slow),
        pytest.param("scenarios.parquet", "loss_share", marks=pytest.mark.slow),
        ("scenarios.parquet", "ETH.perpetual_basis_change"),
    ],
)
def test_every_further_input_is_used(
    program, tmp_path, clearing_house: Path, file: str, column: str
) -> None:
    changed = tampered(
        clearing_house, tmp_path / "e", file, lambda t: t.assign(**{column: 1.01 * t[column]})
    )
    assert program.main(changed) == 1


def test_every_column_is_described_and_exists(clearing_house: Path) -> None:
    for item in FILES:
        found = pq.read_schema(clearing_house / f"{item.name}.parquet").names
        assert {c for c in found if item.column(c) is None} == set(), item.name
        used = {c.names for c in (item.column(name) for name in found) if c is not None}
        assert {c.names for c in item.columns} == used, item.name
