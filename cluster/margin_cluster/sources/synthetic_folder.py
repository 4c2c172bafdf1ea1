"""The embedded synthetic data set, written as the files of a data folder."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from margin_actors.errors import InvalidRequest
from margin_actors.market.candles import candles_to_table
from margin_actors.market.synthetic import (
    SEED,
    UNDERLYINGS,
    VERSION,
    perpetual_candles,
    synthetic_market,
    volatility_index,
)
from margin_actors.numerics.jit import source_digest
from margin_cluster.atomic import folder_atomically
from margin_cluster.sources.candle_files import SYNTHETIC_KEY


def synthetic_folder(root: Path) -> Path:
    """Return the folder of the embedded data set below `root`, generating it on first use."""
    digest = source_digest("market/synthetic", "numerics")[:8]
    path = root / "synthetic" / f"v{VERSION}-{digest}"
    if not path.is_dir():
        try:
            write_synthetic_folder(path, seed=SEED)
        except (InvalidRequest, OSError):
            # Another process has written the same files in the meantime.
            if not path.is_dir():
                raise
    return path


def write_synthetic_folder(
    path: Path, *, seed: int, n_accounts: int = 100, history_days: int = 75
) -> None:
    """Write prices, volatility index, chains, book and collateral, all marked synthetic.

    `history_days` is the number of days with an option chain, the last one included.

    Raises
    ------
    InvalidRequest
        If `path` exists and is not an empty folder.
    """
    market = synthetic_market(seed, n_accounts=n_accounts, history_days=history_days)
    mark = {SYNTHETIC_KEY: f"version {VERSION}, seed {seed}".encode()}

    def write(folder: Path, name: str, table: pa.Table) -> None:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.replace_schema_metadata(mark), target, compression="zstd")

    with folder_atomically(path) as aside:
        for u in UNDERLYINGS:
            for candles in (*market.candles[u], *perpetual_candles(market.path, seed, u)):
                write(aside, f"prices/{candles.source}.parquet", candles_to_table(candles))
            write(
                aside, f"vol/synthetic_dvol_{u}_1d.parquet", volatility_index(market.path, seed, u)
            )
        write(aside, "options/synthetic_chain.parquet", market.chain)
        write(aside, "portfolios/book.parquet", market.book)
        write(aside, "portfolios/collateral.parquet", market.collateral)
        (aside / "README.txt").write_text(
            "Synthetic data: written by this project's generator, deterministic in its seed "
            f"({seed}). No price was observed in a market.\n"
        )
