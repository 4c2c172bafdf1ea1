"""A finished calculation as tables and files."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin import MarginResult
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet, scenario_set_to_table
from margin_actors.market.cleansing import QualityReport
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface
from margin_cluster.sources import UsedFile


@dataclass(frozen=True)
class CalculationOutput:
    """Everything a report shows."""

    result: MarginResult
    model: ModelParameters
    snapshot: MarketSnapshot
    scenarios: ScenarioSet
    surfaces: dict[str, VolatilitySurface]
    quality: tuple[QualityReport, ...]
    collateral_usd: FloatArray | None
    files: tuple[UsedFile, ...]
    remarks: tuple[str, ...] = ()
    """What was left out on the way."""

    @property
    def is_synthetic(self) -> bool:
        """True where any input was made up."""
        return self.snapshot.is_synthetic or self.scenarios.is_synthetic

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the scenarios and of the surfaces they shock."""
        checks = self.result.shock_checks
        found = (check.sentence() for check in checks)
        return (*self.scenarios.notes, *found, *self.remarks)

    @property
    def excess_usd(self) -> FloatArray | None:
        """Collateral plus option value less initial margin, US dollars; None without collateral."""
        if self.collateral_usd is None:
            return None
        return self.collateral_usd + self.result.value_usd - self.result.initial_margin_usd


def margin_table(output: CalculationOutput) -> pa.Table:
    """Return one row an account, in the order of the book; amounts in US dollars."""
    r = output.result
    columns: dict[str, Any] = {
        "account_id": pa.array(r.book.accounts),
        "member_id": pa.array(r.book.members),
        "positions": pa.array(r.positions),
        "value_usd": r.value_usd,
        "var_usd": r.var_usd,
        "es_usd": r.es_usd,
        "worst_usd": r.worst_usd,
        "worst_scenario": pa.array(r.worst_scenario),
        "worst_scenario_end": pa.array(
            output.scenarios.end_time[r.worst_scenario], pa.timestamp("ms", "UTC")
        ),
        "core_usd": r.core_usd,
        "initial_margin_usd": r.initial_margin_usd,
        "var_low_usd": r.var_low_usd,
        "var_high_usd": r.var_high_usd,
        "es_standard_error_usd": r.es_standard_error_usd,
        "rounding_bound_usd": r.rounding_bound_usd,
    }
    if output.collateral_usd is not None:
        columns["collateral_usd"] = output.collateral_usd
        columns["excess_usd"] = output.excess_usd
    return pa.table(columns)


def pnl_table(output: CalculationOutput) -> pa.Table | None:
    """Return ``account_id`` and a list column ``pnl_usd`` (its scenarios); None if not kept."""
    pnl = output.result.pnl_usd
    if pnl is None:
        return None
    flat = pa.array(np.ascontiguousarray(pnl).reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(flat, pnl.shape[1])
    return pa.table({"account_id": pa.array(output.result.book.accounts), "pnl_usd": rows})


def inputs_mapping(output: CalculationOutput) -> dict[str, Any]:
    """Return the ids and hashes of all that went in, and the digest of what came out."""
    r = output.result
    return {
        "software": {
            "margin-cluster": version("margin-cluster"),
            "numpy": version("numpy"),
            "numba": version("numba"),
        },
        "synthetic": output.is_synthetic,
        "snapshot": {
            "id": r.snapshot_id,
            "time": output.snapshot.time.isoformat(),
            "origin": output.snapshot.origin,
            "index_usd": output.snapshot.index_usd,
            "expiries": len(output.snapshot.expiries),
            "options": len(output.snapshot.options),
        },
        "scenarios": {
            "id": r.scenarios_id,
            "engine": output.scenarios.engine,
            "count": len(output.scenarios),
            "horizon_hours": output.scenarios.horizon_hours,
            "windows_that_do_not_overlap": output.scenarios.effective_size,
            "notes": list(output.notes),
        },
        "model": {"id": r.model_id, **output.model.model_dump(mode="json")},
        "book": {
            "id": r.book.id,
            "accounts": len(r.book.accounts),
            "positions": r.book.n_positions,
            "instruments": len(r.book.instruments),
        },
        "surfaces": {u: s.id for u, s in output.surfaces.items()},
        "files": [asdict(f) for f in output.files],
        "data_quality": [q.to_mapping() for q in output.quality],
        "result": {"digest": r.digest},
    }


def totals(output: CalculationOutput) -> dict[str, Any]:
    """Return the sums that a summary shows, US dollars."""
    r = output.result
    out: dict[str, Any] = {
        "accounts": len(r.book.accounts),
        "positions": r.book.n_positions,
        "instruments": len(r.book.instruments),
        "scenarios": len(output.scenarios),
        "value_usd": float(r.value_usd.sum()),
        "var_usd": float(r.var_usd.sum()),
        "es_usd": float(r.es_usd.sum()),
        "initial_margin_usd": float(r.initial_margin_usd.sum()),
        "digest": r.digest,
        "synthetic": output.is_synthetic,
    }
    excess = output.excess_usd
    if excess is not None:
        out["accounts_in_deficit"] = int((excess < 0).sum())
        out["deficit_usd"] = float(-excess[excess < 0].sum())
    return out


def write_tables(folder: Path, output: CalculationOutput) -> None:
    """Write margin.parquet and .csv, scenarios.parquet, inputs.json and, if kept, pnl.parquet."""
    table = margin_table(output)
    pq.write_table(table, folder / "margin.parquet", compression="zstd")
    pa_csv.write_csv(table, folder / "margin.csv")
    pq.write_table(
        scenario_set_to_table(output.scenarios), folder / "scenarios.parquet", compression="zstd"
    )
    pnl = pnl_table(output)
    if pnl is not None:
        pq.write_table(pnl, folder / "pnl.parquet", compression="zstd", use_dictionary=False)
    (folder / "inputs.json").write_text(json.dumps(inputs_mapping(output), indent=1) + "\n")
