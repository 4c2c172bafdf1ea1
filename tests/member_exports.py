"""Exports for members in folders, and the program that recomputes them."""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
from made import sections
from margin_cluster.member_files import MANIFEST, exported_files

from margin_actors.engine.disclosure import disclose
from margin_actors.engine.margin import PreparedMarket, prepare_market
from margin_actors.engine.parameters import ModelParameters
from margin_actors.market.books import Book
from margin_actors.market.snapshots import MarketSnapshot

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "examples" / "replicate.py"
_MARKETS: dict[tuple[str, str], PreparedMarket] = {}


def write_export(folder: Path, snapshot: MarketSnapshot, book: Book, model: ModelParameters,
                 scenarios=None, others=None) -> Path:  # fmt: skip
    market = _MARKETS.get((snapshot.id, model.id))
    if market is None:  # fitting the smiles takes most of the time
        market = _MARKETS[snapshot.id, model.id] = prepare_market(snapshot, model)
    found = disclose(market, sections() if scenarios is None else scenarios, book, others)
    folder.mkdir(exist_ok=True)
    for name, content in exported_files(found):
        (folder / name).write_bytes(content)
    return folder


def load_program() -> ModuleType:
    """Return `examples/replicate.py` as a module; its parts are found beside it."""
    sys.path.insert(0, str(PROGRAM.parent))
    try:
        spec = importlib.util.spec_from_file_location("replicate", PROGRAM)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(PROGRAM.parent))
    return module


def tampered(export: Path, folder: Path, file: str, change) -> Path:
    """Copy an export with one table changed, and with the hash of the changed file."""
    folder.mkdir()
    for path in export.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    table = change(pd.read_parquet(folder / file))
    table.to_parquet(folder / file)
    manifest = json.loads((folder / MANIFEST).read_text())
    for entry in manifest["files"]:
        if entry["name"] == file:
            entry["sha256"] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder
