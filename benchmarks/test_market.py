# pyright: basic
"""Benchmarks of fitting the smiles of a snapshot and of cleansing minute prices."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_book import make

from margin_actors.market.chains import snapshot_from_chain
from margin_actors.market.surfaces import SmileModel, fit_surfaces

CHAIN = Path(__file__).resolve().parents[2] / "shared/data/options/deribit_chain_2026-05.parquet"


@pytest.mark.parametrize("who", ["svi", "sabr"])
def test_fit_a_snapshot(benchmark, who: SmileModel) -> None:
    if CHAIN.exists():
        time = datetime(2026, 5, 15, 11, 27, 31, tzinfo=UTC)
        snapshot = snapshot_from_chain(pq.read_table(CHAIN), time=time, origin="chain")
        market = "the collected chain of 2026-05-15T11:27:31Z"
    else:
        snapshot = make(n_accounts=1, n_positions=1, n_instruments=1300, n_scenarios=64).snapshot
        market = "a synthetic chain"
    surfaces = fit_surfaces(snapshot, model=who)
    found = [d for s in surfaces.values() for d in s.diagnostics]
    benchmark.extra_info.update(
        table="fit",
        market=market,
        expiries=len(found),
        inside=sum(d.inside for d in found),
        quotes=sum(d.quotes for d in found),
        arbitrage_free=sum(d.is_arbitrage_free for d in found),
    )
    benchmark.pedantic(lambda: fit_surfaces(snapshot, model=who), rounds=9, iterations=1)


def test_five_years_of_minutes(benchmark) -> None:
    script = Path(__file__).parent / "minutes.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    benchmark.extra_info.update(table="minutes", figures=json.loads(done.stdout))
    benchmark.pedantic(lambda: None, rounds=1)
