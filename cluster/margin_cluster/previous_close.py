"""The results of an earlier run: the previous close of a report.

A run with collateral writes ``shortfalls.csv``: its accounts in deficit, each with the valuation
time since which it has been in deficit in every run of the chain of runs. The next run reads that
file, so that the time is carried from run to run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from margin_actors.arrays import FloatArray
from margin_actors.errors import InvalidRequest, Problem

SHORTFALLS = "shortfalls.csv"
_COLUMNS = ("account_id", "member_id", "initial_margin_usd", "core_usd")
_CORE = "core"
_REMEDY = "name the folder that an earlier `margin run` wrote"


@dataclass(frozen=True)
class PreviousClose:
    """Requirements and resources of the accounts at an earlier valuation time; US dollars."""

    time: datetime
    """Valuation time, UTC."""
    model: str
    """Name and version."""
    model_id: str
    digest: str
    """Digest of the earlier result."""
    source: str
    """Folder or calculation from which it was read."""
    members: Mapping[str, str]
    """Member of each account."""
    requirement_usd: Mapping[str, float]
    """By account."""
    components_usd: Mapping[str, float]
    """Sum over all accounts, by component."""
    excess_usd: Mapping[str, float] | None
    """Resources less requirement, by account; None if the run had no collateral."""
    short_since: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    """Accounts in deficit, with the valuation time since which they have been."""


def require_earlier(previous: PreviousClose, time: datetime) -> None:
    """Raise InvalidRequest unless the previous close is before `time`."""
    if previous.time < time:
        return
    problem = Problem(
        "--previous",
        f"its valuation time is {previous.time:%Y-%m-%d %H:%M:%S} UTC",
        f"name a run from before {time:%Y-%m-%d %H:%M:%S} UTC",
    )
    raise InvalidRequest("the previous run is not earlier than this one", [problem])


def read_previous_close(folder: Path) -> PreviousClose:
    """Return the results in the output folder of an earlier `margin run`.

    Raises
    ------
    InvalidRequest
        If the folder does not hold such results, or a file of them cannot be read.
    """
    for name in ("inputs.json", "margin.parquet"):
        if not (folder / name).is_file():
            raise _unusable(folder, f"it has no file {name}")
    try:
        inputs = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
        time = datetime.fromisoformat(str(inputs["snapshot"]["time"])).astimezone(UTC)
        model, digest = inputs["model"], str(inputs["result"]["digest"])
        title, model_id = f"{model['name']} {model['version']}", str(model["id"])
        table = pq.read_table(folder / "margin.parquet")
        since = _short_since(folder / SHORTFALLS)
    except (ValueError, KeyError, TypeError, OSError, pa.ArrowException) as fault:
        raise _unusable(folder, f"its files cannot be read: {fault}") from fault
    lacking = [name for name in _COLUMNS if name not in table.column_names]
    if lacking:
        raise _unusable(folder, f"margin.parquet has no column {', '.join(lacking)}")
    accounts = cast("list[str]", table["account_id"].to_pylist())
    excess = None
    if "excess_usd" in table.column_names:
        values = _numbers(table, "excess_usd")
        excess = dict(zip(accounts, values.tolist(), strict=True))
        # A run before `shortfalls.csv` existed names no time: its own is the earliest known.
        since = {a: since.get(a, time) for a, value in excess.items() if value < 0.0}
    return PreviousClose(
        time=time,
        model=title,
        model_id=model_id,
        digest=digest,
        source=str(folder),
        members=dict(zip(accounts, cast("list[str]", table["member_id"].to_pylist()), strict=True)),
        requirement_usd=dict(
            zip(accounts, _numbers(table, "initial_margin_usd").tolist(), strict=True)
        ),
        components_usd=_components(table),
        excess_usd=excess,
        short_since=since,
    )


def _short_since(path: Path) -> dict[str, datetime]:
    if not path.is_file():
        return {}
    text = pa_csv.ConvertOptions(column_types={"account_id": pa.string()})
    rows = pa_csv.read_csv(path, convert_options=text)
    times = [str(t) for t in rows["short_since"].cast(pa.timestamp("s", "UTC")).to_pylist()]
    accounts = cast("list[str]", rows["account_id"].to_pylist())
    return {
        account: datetime.fromisoformat(time).astimezone(UTC)
        for account, time in zip(accounts, times, strict=True)
    }


def _components(table: pa.Table) -> dict[str, float]:
    """Return the sum of each component; the add-ons are the columns after the measures."""
    names = cast("list[str]", table.column_names)
    binding = [n for n in names if n in ("dominant_add_on", "binding")]
    start = names.index(binding[-1]) + 1 if binding else len(names)
    sums = {_CORE: float(_numbers(table, "core_usd").sum())}
    for name in names[start:]:
        if name not in _NOT_COMPONENTS and name.endswith("_usd"):
            sums[name.removesuffix("_usd")] = float(_numbers(table, name).sum())
    return sums


_NOT_COMPONENTS = frozenset(
    f"{name}_usd"
    for name in (
        "undiversified", "span", "venue_grid", "long", "stress_period", "stress", "extended",
        "collateral_market_value", "collateral", "option_value", "excess", "depeg_equity",
    )
)  # fmt: skip
"""Columns of margin.parquet after the measures that are not components."""


def _numbers(table: pa.Table, name: str) -> FloatArray:
    values = table[name].to_numpy().astype(np.float64)
    if not np.isfinite(values).all():
        raise InvalidRequest(f"a value in the column {name} of the previous run is not a number")
    return values


def _unusable(folder: Path, what: str) -> InvalidRequest:
    problem = Problem("--previous", what, _REMEDY)
    return InvalidRequest(f"{folder} does not hold the results of a run", [problem])
