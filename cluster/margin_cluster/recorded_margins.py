"""Storage of one date of a study under the ids of everything that it depends on.

A date of a backtest or of a model impact report takes seconds. Its result is therefore kept in the
store, and a study that was interrupted or is repeated computes only the dates that the store lacks.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray
from margin_actors.engine.backtest import RequirementDate
from margin_actors.market.identity import content_id
from margin_actors.numerics.jit import source_digest
from margin_cluster.sources import DataFolder, file_sha256

KIND = "requirement_dates"
"""Kind of the stored objects."""
_KEY = b"requirement_date"
_MARKET_FOLDERS = ("prices", "vol", "rates", "options")


def market_digest(data: DataFolder) -> str:
    """Return a hash of the names and contents of all market data files of a folder."""
    digest = sha256()
    for folder in _MARKET_FOLDERS:
        for path in sorted(p for p in (data.root / folder).rglob("*") if p.is_file()):
            digest.update(f"{path.relative_to(data.root)} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def study_id(parts: Mapping[str, object]) -> str:
    """Return the id of a study without its dates; the versions of the software are included."""
    software = [version("margin-cluster"), source_digest()]
    return content_id("study", {**parts, "software": software})


def date_id(study: str, times: Sequence[np.datetime64]) -> str:
    """Return the id of one date of a study; `times` are the times of its chains."""
    return content_id("date", {"study": study, "times": [str(t) for t in times]})


def date_to_table(date: RequirementDate) -> pa.Table:
    """Return one row per account; everything that is not per account is in the schema's metadata.

    Exact: `date_from_table` returns the same bits.
    """
    notes = {
        "time": str(date.time),
        "end": str(date.end),
        "ids": [date.snapshot_id, date.end_snapshot_id, date.scenarios_id, date.model_id],
        "digest": date.digest,
        "index_usd": date.index_usd,
        "components": list(date.components),
        "groups": list(date.groups),
        "stress_cover_usd": date.stress_cover_usd.tolist(),
        "left_out": dict(date.left_out),
        "failures": [list(f) for f in date.failures],
    }
    columns: dict[str, pa.Array | FloatArray] = {
        "account": pa.array(date.accounts, pa.string()),
        "member": pa.array(date.members, pa.string()),
        "positions": pa.array(date.positions),
    }
    for name in _FIELDS:
        columns[name] = getattr(date, name)
    for k, name in enumerate(date.components):
        columns[f"component.{name}"] = np.ascontiguousarray(date.components_usd[:, k])
    return pa.table(columns).replace_schema_metadata({_KEY: json.dumps(notes).encode()})


_FIELDS = ("core_usd", "requirement_usd", "value_usd", "profit_usd", "shortfall_usd")


def date_from_table(table: pa.Table) -> RequirementDate:
    """Return the date that `date_to_table` wrote."""
    notes = json.loads((table.schema.metadata or {})[_KEY])
    values = {name: table.column(name).to_numpy() for name in _FIELDS}
    components = tuple(notes["components"])
    amounts = [table.column(f"component.{name}").to_numpy() for name in components]
    snapshot, end_snapshot, scenarios, model = notes["ids"]
    groups = tuple(notes["groups"])
    return RequirementDate(
        time=np.datetime64(notes["time"], "ms"),
        end=np.datetime64(notes["end"], "ms"),
        snapshot_id=snapshot,
        end_snapshot_id=end_snapshot,
        scenarios_id=scenarios,
        model_id=model,
        digest=notes["digest"],
        index_usd=notes["index_usd"],
        accounts=tuple(table.column("account").to_pylist()),
        members=tuple(table.column("member").to_pylist()),
        positions=table.column("positions").to_numpy(),
        components=components,
        components_usd=np.ascontiguousarray(np.column_stack(amounts)),
        groups=groups,
        stress_cover_usd=np.array(notes["stress_cover_usd"], np.float64).reshape(len(groups), 2),
        left_out=notes["left_out"],
        failures=tuple((a, b) for a, b in notes["failures"]),
        **values,
    )
