"""Accounts in deficit, and since when: the file ``shortfalls.csv`` of a run."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from margin_actors.arrays import IntArray
from margin_actors.engine.margin import binding_components
from margin_cluster.previous_close import SHORTFALLS
from margin_cluster.results import CalculationOutput


def accounts_in_deficit(output: CalculationOutput) -> IntArray:
    """Return the indices of the accounts in deficit, the largest deficit first; empty without."""
    excess = output.excess_usd
    if excess is None:
        return np.empty(0, np.int64)
    order = np.argsort(excess, kind="stable")
    return order[excess[order] < 0.0].astype(np.int64)


def short_since(output: CalculationOutput, account: int) -> datetime:
    """Return the valuation time since which an account in deficit has been in deficit.

    It is that of the first run of the chain of previous runs in which the account was in deficit,
    or that of `output` if it was not in deficit in the previous run. `account` is the index in the
    book of the result.
    """
    if output.previous is None:
        return output.snapshot.time
    name = output.result.book.accounts[account]
    return output.previous.short_since.get(name, output.snapshot.time)


def write_shortfalls(folder: Path, output: CalculationOutput) -> None:
    """Write shortfalls.csv: the accounts in deficit; only if the calculation has collateral.

    Amounts are in US dollars; ``deficit_usd`` is positive.
    """
    excess, collateral = output.excess_usd, output.collateral_usd
    if excess is None or collateral is None:
        return
    short = accounts_in_deficit(output)
    r = output.result
    binding = binding_components(r.margins)
    times = [f"{short_since(output, a):%Y-%m-%dT%H:%M:%SZ}" for a in short.tolist()]
    table = pa.table(
        {
            "account_id": pa.array([r.book.accounts[a] for a in short], pa.string()),
            "member_id": pa.array([r.book.members[a] for a in short], pa.string()),
            "deficit_usd": np.abs(excess[short]),
            "initial_margin_usd": r.margins.initial_margin_usd[short],
            "collateral_usd": collateral[short],
            "option_value_usd": output.option_value_usd[short],
            "binding": pa.array([binding[a] for a in short], pa.string()),
            "short_since": pa.array(times, pa.string()),
        }
    )
    pa_csv.write_csv(table, folder / SHORTFALLS)
