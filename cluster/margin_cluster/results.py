"""Conversion of a finished calculation to tables and files."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin import (
    AccountFailure,
    BookAssessment,
    Equity,
    MarginResult,
    binding_components,
    dominant_add_ons,
    has_floors,
    worst_extended_moves,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet, scenario_set_to_table
from margin_actors.engine.span import risk_arrays_to_table
from margin_actors.market.cleansing import QualityReport
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface
from margin_cluster.previous_close import PreviousClose
from margin_cluster.sources import UsedFile

_EXPIRED_SHOWN = 10
"""Maximum number of accounts listed in the note on expired positions; inputs.json lists all."""


@dataclass(frozen=True)
class CalculationOutput:
    """A calculation with everything that its report shows.

    Arrays are float64 (n_accounts,), in the order of `result.book.accounts`.
    """

    result: MarginResult
    model: ModelParameters
    snapshot: MarketSnapshot
    scenarios: ScenarioSet
    surfaces: dict[str, VolatilitySurface]
    """Fitted volatility surfaces by underlying."""
    quality: tuple[QualityReport, ...]
    equity: Equity | None
    """Value of the collateral; None if the calculation has no collateral."""
    files: tuple[UsedFile, ...]
    unknown_accounts: tuple[str, ...] = ()
    """Accounts with collateral that are not in the book; their collateral is left out."""
    remarks: tuple[str, ...] = ()
    """Sentences on data that were left out."""
    previous: PreviousClose | None = None
    """An earlier run with which the report compares."""

    @property
    def is_synthetic(self) -> bool:
        """True if the snapshot or the scenario set is synthetic."""
        return self.snapshot.is_synthetic or self.scenarios.is_synthetic

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the reader: expired positions, scenarios, model terms, shocked surfaces."""
        found = (check.sentence() for check in self.result.shock_checks)
        expired = _expired_notes(self.result.assessment)
        return (
            *expired,
            *self.scenarios.notes,
            *self.result.risk_inputs.notes,
            *found,
            *self.remarks,
        )

    @property
    def is_complete(self) -> bool:
        """True if every account of the book was margined."""
        return not self.result.failures

    @property
    def collateral_usd(self) -> FloatArray | None:
        """Collateral after haircut, US dollars; None if the calculation has no collateral."""
        return None if self.equity is None else self.equity.counted_usd

    @property
    def option_value_usd(self) -> FloatArray:
        """Market value of options and spot positions, US dollars, long positive.

        Without collateral that is simulated as a position.
        """
        value = self.result.margins.value_usd
        return value if self.equity is None else value - self.equity.simulated_usd

    @property
    def excess_usd(self) -> FloatArray | None:
        """Collateral after haircut + option value - initial margin, US dollars.

        A negative value is a deficit. None if the calculation has no collateral.
        """
        if self.equity is None:
            return None
        return self.equity.excess_usd(self.option_value_usd, self.result.margins.initial_margin_usd)


def _expired_notes(assessment: BookAssessment) -> tuple[str, ...]:
    """Return one sentence on expired positions, or an empty tuple if there are none."""
    if not assessment.expired_positions:
        return ()
    examples = [f"{a}: {', '.join(names)}" for a, names in assessment.expired.items()]
    shown = "; ".join(examples[:_EXPIRED_SHOWN]) + ("; …" if examples[_EXPIRED_SHOWN:] else "")
    count, accounts = assessment.expired_positions, len(assessment.expired)
    return (
        f"Expired, without margin and awaiting settlement: {count:,} "
        f"position{'' if count == 1 else 's'} of {accounts:,} "
        f"account{'' if accounts == 1 else 's'} ({shown})",
    )


def margin_table(output: CalculationOutput) -> pa.Table:
    """Return one row per margined account, in the order of the book; amounts in US dollars.

    Optional measures and components have a column only if the model calculates them.
    """
    r = output.result
    columns: dict[str, pa.Array | FloatArray | None] = {
        "account_id": pa.array(r.book.accounts),
        "member_id": pa.array(r.book.members),
        "positions": pa.array(r.margins.positions),
        "value_usd": r.margins.value_usd,
        "var_usd": r.margins.var_usd,
        "es_usd": r.margins.es_usd,
        "worst_usd": r.margins.worst_usd,
        "worst_scenario": pa.array(r.margins.worst_scenario),
        "worst_scenario_end": pa.array(
            output.scenarios.end_time[r.margins.worst_scenario], pa.timestamp("ms", "UTC")
        ),
        "core_usd": r.margins.core_usd,
        "initial_margin_usd": r.margins.initial_margin_usd,
        "var_low_usd": r.margins.var_low_usd,
        "var_high_usd": r.margins.var_high_usd,
        "es_standard_error_usd": r.margins.es_standard_error_usd,
        "rounding_bound_usd": r.margins.rounding_bound_usd,
    }
    columns["dominant_add_on"] = pa.array(dominant_add_ons(r.margins), pa.string())
    for name in ("undiversified", "span", "venue_grid", "long", "stress_period", "stress"):
        values = getattr(r.margins, f"{name}_usd")
        if np.isfinite(values).any():
            columns[f"{name}_usd"] = values
    if "stress_usd" in columns:
        columns["stress_row"] = pa.array(
            [output.scenarios.row_name(s) for s in r.margins.stress_scenario]
        )
    extended = worst_extended_moves(r.margins)
    if extended is not None:
        columns["extended_usd"], columns["extended_row"] = extended[0], pa.array(extended[1])
    if has_floors(output.model):
        columns["binding"] = pa.array(binding_components(r.margins))
    for name in r.margins.components_used[1:]:
        columns[f"{name}_usd"] = np.ascontiguousarray(r.margins.component_usd(name))
    if output.equity is not None:
        columns["collateral_market_value_usd"] = output.equity.market_value_usd
        columns["collateral_usd"] = output.equity.counted_usd
        columns["option_value_usd"] = output.option_value_usd
        columns["excess_usd"] = output.excess_usd
        in_depeg = output.equity.depeg_equity_usd(output.option_value_usd)
        if in_depeg is not None:
            columns["depeg_equity_usd"] = in_depeg
    return pa.table(columns)


def failures_table(failures: Sequence[AccountFailure]) -> pa.Table:
    """Return the accounts that could not be margined; one row per account and reason."""
    rows = [(f, problem) for f in failures for problem in f.problems]
    return pa.table(
        {
            "account_id": pa.array([f.account_id for f, _ in rows], pa.string()),
            "member_id": pa.array([f.member_id for f, _ in rows], pa.string()),
            "positions": pa.array([f.positions for f, _ in rows], pa.int64()),
            "instrument_name": pa.array([p.instrument_name for _, p in rows], pa.string()),
            "reason": pa.array([p.description for _, p in rows], pa.string()),
        }
    )


def write_failures(folder: Path, failures: Sequence[AccountFailure]) -> None:
    """Write not_margined.parquet and not_margined.csv, if there are failures."""
    if failures:
        table = failures_table(failures)
        pq.write_table(table, folder / "not_margined.parquet", compression="zstd")
        pa_csv.write_csv(table, folder / "not_margined.csv")


def part_inputs_table(output: CalculationOutput) -> pa.Table | None:
    """Return the inputs from which components can be recomputed, one row per input, or None."""
    inputs = output.result.margins.inputs
    if len(inputs) == 0:
        return None
    columns = {
        "account_id": (inputs.account, output.result.book.accounts),
        "part": (inputs.component, inputs.components),
        "of": (inputs.label, inputs.labels),
        "figure": (inputs.figure, inputs.figures),
    }
    texts = {
        name: pa.DictionaryArray.from_arrays(pa.array(index), pa.array(distinct))
        for name, (index, distinct) in columns.items()
    }
    return pa.table({**texts, "value": inputs.value})


def pnl_table(output: CalculationOutput) -> pa.Table | None:
    """Return one row per account with its profits in all scenarios; None if these were not kept.

    ``pnl_usd`` is a list column: n_scenarios profits in US dollars, a loss is negative.
    """
    pnl = output.result.pnl_usd
    if pnl is None:
        return None
    flat = pa.array(np.ascontiguousarray(pnl).reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(flat, pnl.shape[1])
    return pa.table({"account_id": pa.array(output.result.book.accounts), "pnl_usd": rows})


def inputs_mapping(output: CalculationOutput) -> dict[str, object]:
    """Return the contents of inputs.json: ids and hashes of all inputs, and the result's digest."""
    r, held = output.result, output.result.assessment.held
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
            "id": held.id,
            "accounts": len(held.accounts),
            "positions": held.n_positions,
            "instruments": len(held.instruments),
            "collateral_not_in_book": list(output.unknown_accounts),
            "expired": {a: list(names) for a, names in r.assessment.expired.items()},
        },
        "surfaces": {u: s.id for u, s in output.surfaces.items()},
        "files": [asdict(f) for f in output.files],
        "data_quality": [q.to_mapping() for q in output.quality],
        "chain_findings": [f.to_mapping() for f in r.findings],
        "result": {"digest": r.digest, **_completeness(output)},
    }


class Completeness(TypedDict):
    """Numbers of accounts margined and failed, and of expired positions."""

    accounts: int
    accounts_failed: int
    is_complete: bool
    expired_positions: int


class CollateralTotals(TypedDict):
    """Totals of accounts with collateral; amounts in US dollars."""

    collateral_usd: float
    """Collateral after haircut."""
    accounts_in_deficit: int
    deficit_usd: float
    """Sum over accounts in deficit: the excess of one account does not offset the deficit of
    another."""


class Totals(Completeness):
    """Totals over all margined accounts; amounts in US dollars."""

    positions: int
    instruments: int
    scenarios: int
    value_usd: float
    option_value_usd: float
    var_usd: float
    es_usd: float
    components_usd: dict[str, float]
    """Sums of the requirement components that are used, by name."""
    accounts_by_binding: dict[str, int]
    """Number of accounts whose requirement before add-ons each component determines."""
    initial_margin_usd: float
    accounts_with_dominant_add_on: int
    """Number of accounts with an add-on above half of their requirement."""
    digest: str
    synthetic: bool


def _completeness(output: CalculationOutput) -> Completeness:
    """Return the numbers of accounts margined and failed, and of expired positions."""
    return {
        "accounts": len(output.result.book.accounts),
        "accounts_failed": len(output.result.failures),
        "is_complete": output.is_complete,
        "expired_positions": output.result.assessment.expired_positions,
    }


def accounts_by_binding(output: CalculationOutput) -> dict[str, int]:
    """Return the number of accounts that each component binds, see `binding_components`.

    In the order of calculation, without components that bind no account; empty if the model has no
    floor.
    """
    margins = output.result.margins
    if not has_floors(output.model):
        return {}
    binding = binding_components(margins)
    return {name: count for name in margins.components if (count := binding.count(name))}


def totals(output: CalculationOutput) -> Totals:
    """Return the totals over all margined accounts."""
    r = output.result
    return {
        **_completeness(output),
        "positions": r.book.n_positions,
        "instruments": len(r.book.instruments),
        "scenarios": len(output.scenarios),
        "value_usd": float(r.margins.value_usd.sum()),
        "option_value_usd": float(output.option_value_usd.sum()),
        "var_usd": float(r.margins.var_usd.sum()),
        "es_usd": float(r.margins.es_usd.sum()),
        "components_usd": {
            name: float(r.margins.component_usd(name).sum()) for name in r.margins.components_used
        },
        "accounts_by_binding": accounts_by_binding(output),
        "initial_margin_usd": float(r.margins.initial_margin_usd.sum()),
        "accounts_with_dominant_add_on": sum(map(bool, dominant_add_ons(r.margins))),
        "digest": r.digest,
        "synthetic": output.is_synthetic,
    }


def collateral_totals(output: CalculationOutput) -> CollateralTotals | None:
    """Return the totals of collateral and deficits; None if no collateral is given."""
    excess = output.excess_usd
    if excess is None or output.collateral_usd is None:
        return None
    return {
        "collateral_usd": float(output.collateral_usd.sum()),
        "accounts_in_deficit": int((excess < 0).sum()),
        "deficit_usd": float(np.abs(excess[excess < 0]).sum()),
    }


def write_tables(folder: Path, output: CalculationOutput) -> None:
    """Write margin.parquet, margin.csv, scenarios.parquet and inputs.json.

    Written only if there is content: not_margined, span_arrays and grid_arrays (Parquet and CSV
    each), part_inputs.parquet and pnl.parquet.
    """
    table = margin_table(output)
    pq.write_table(table, folder / "margin.parquet", compression="zstd")
    pa_csv.write_csv(table, folder / "margin.csv")
    write_failures(folder, output.result.failures)
    pq.write_table(
        scenario_set_to_table(output.scenarios), folder / "scenarios.parquet", compression="zstd"
    )
    inputs = part_inputs_table(output)
    if inputs is not None:
        pq.write_table(inputs, folder / "part_inputs.parquet", compression="zstd")
    for name in ("span", "grid"):
        arrays = getattr(output.result.risk_inputs, name)
        if arrays is not None:
            table = risk_arrays_to_table(arrays)
            pq.write_table(table, folder / f"{name}_arrays.parquet", compression="zstd")
            pa_csv.write_csv(table, folder / f"{name}_arrays.csv")
    pnl = pnl_table(output)
    if pnl is not None:
        pq.write_table(pnl, folder / "pnl.parquet", compression="zstd", use_dictionary=False)
    (folder / "inputs.json").write_text(json.dumps(inputs_mapping(output), indent=1) + "\n")
