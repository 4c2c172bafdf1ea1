# pyright: basic
"""Benchmarks of aggregation against scipy.sparse, and of a run of 10,000 accounts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from made_book import Made, make

from margin_actors.engine.margin import fit_model_surfaces
from margin_actors.engine.measures import es_from_tail, tail_size, var_from_tail
from margin_actors.engine.revaluation import (
    Contracts,
    RiskCube,
    TailRows,
    build_cube,
    contracts_from_names,
    holdings_from_book,
    join_profits,
    slice_profits,
)
from margin_actors.market.books import Book
from margin_actors.market.portfolios import book_from_table

N_ACCOUNTS = 64


class Small(NamedTuple):
    made: Made
    book: Book
    contracts: Contracts
    cube: RiskCube


@pytest.fixture(scope="module")
def small() -> Small:
    made = make(
        n_accounts=N_ACCOUNTS, n_positions=505 * N_ACCOUNTS, n_instruments=2000, n_scenarios=2560
    )
    book = book_from_table(made.book, where="made")
    surfaces = fit_model_surfaces(made.snapshot, made.model)
    contracts = contracts_from_names(
        book.instruments, made.snapshot, surfaces, made.model.revaluation
    )
    cube = build_cube(contracts, made.snapshot, made.scenarios, made.model.revaluation)
    return Small(made, book, contracts, cube)


def ours(cube: RiskCube, contracts: Contracts, book: Book, n: int, effective: float):
    size = tail_size(n, 0.995, effective)
    holdings = holdings_from_book(contracts, book)
    tails = [TailRows(0, n, size)]
    part = slice_profits(
        cube.values,
        holdings,
        n_scenarios=cube.n_scenarios,
        tails=tails,
        largest_move=cube.largest_move,
    )
    tail = join_profits([part], holdings, tails=tails, accounts=book.accounts).tail_usd
    return (
        var_from_tail(tail, n_scenarios=n, confidence=0.995),
        es_from_tail(tail, n_scenarios=n, confidence=0.995),
    )


def sparse(matrix, dense, quantum):
    pnl = matrix @ dense
    n = pnl.shape[1]
    m = n * 0.005
    k = int(m)
    tail = np.sort(np.partition(pnl, k, axis=1)[:, : k + 1], axis=1) * quantum
    return -tail[:, k], -(tail[:, :k].sum(axis=1) + (m - k) * tail[:, k]) / m


@pytest.mark.parametrize("who", ["ours", "scipy.sparse"])
def test_var_and_es_from_a_finished_cube(benchmark, small: Small, who: str) -> None:
    made, book, contracts, cube = small
    n = len(made.scenarios)
    lots = book.quantity / contracts.lot[book.instrument_index]
    matrix = sp.csr_matrix((lots, book.instrument_index, book.start), shape=(N_ACCOUNTS, 2000))
    dense = np.ascontiguousarray(cube.values.transpose(1, 0, 2).reshape(2000, -1)[:, :n])
    calls = {
        "ours": lambda: ours(cube, contracts, book, n, made.scenarios.effective_size),
        "scipy.sparse": lambda: sparse(matrix, dense, contracts.quantum_usd),
    }
    np.testing.assert_allclose(calls["ours"](), calls["scipy.sparse"](), rtol=1e-9)
    benchmark.extra_info.update(table="aggregation", unit="us", count=N_ACCOUNTS)
    benchmark.pedantic(calls[who], rounds=15, iterations=1)


def test_ten_thousand_accounts(benchmark) -> None:
    """Run in a separate process, so that its peak memory can be measured."""
    script = Path(__file__).parent / "ten_thousand.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    benchmark.extra_info.update(table="book", figures=json.loads(done.stdout))
    benchmark.pedantic(lambda: None, rounds=1)
