"""The files of risk arrays for members: arrays, the rows they are means of, and their errors."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from margin_actors.engine.disclosure import MemberArrays
from margin_actors.engine.margin import PreparedMarket
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.instruments import Instrument, Kind, instrument_from_name
from margin_cluster.member_files.package import json_bytes, parquet_bytes

ARRAYS_FORM = "margin.member_arrays/1"
_PRODUCT_TYPES = {Kind.FUTURE: "FUT", Kind.PERPETUAL: "FUT", Kind.SPOT: "PHY"}
COMBINED_COMMODITY = "ALL"
"""One combined commodity for all underlyings: the maximum is taken over joint moves."""


def risk_array_files(
    market: PreparedMarket, scenarios: ScenarioSet, arrays: MemberArrays
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the files of risk arrays; the errors are also in each file's header.

    Parameters
    ----------
    market : PreparedMarket
        The market of the arrays, for the ids of the inputs.
    scenarios : ScenarioSet
        As built.
    arrays : MemberArrays
    """
    header = _header(market, scenarios, arrays)
    table = arrays_table(arrays)
    meta = {"margin_member_arrays": json.dumps(header)}
    yield "risk_arrays.parquet", parquet_bytes(table.replace_schema_metadata(meta))
    out = BytesIO()
    pa_csv.write_csv(table, out)
    comment = "".join(f"# {line}\n" for line in json.dumps(header, indent=1).splitlines())
    yield "risk_arrays.csv", comment.encode() + out.getvalue()
    yield "array_rows.parquet", parquet_bytes(array_rows_table(scenarios, arrays))
    yield "risk_arrays.json", json_bytes(header)


def arrays_table(arrays: MemberArrays) -> pa.Table:
    """Return one row per contract, with the names of columns of SPAN parameter files."""
    items = [instrument_from_name(name) for name in arrays.names]
    columns: dict[str, pa.Array] = {
        "instrument_name": pa.array(arrays.names),
        "combined_commodity": pa.array([COMBINED_COMMODITY] * len(items)),
        "product_type": pa.array([_product_type(i) for i in items]),
        "underlying": pa.array([i.underlying for i in items]),
        "expiry": pa.array([i.expiry and i.expiry.strftime("%Y%m%d") for i in items], pa.string()),
        "option_right": pa.array([_right(i) for i in items], pa.string()),
        "strike_usd": pa.array([i.strike for i in items], pa.float64()),
    }
    for k in range(arrays.loss_usd.shape[1]):
        columns[f"array_{k + 1:02d}"] = pa.array(np.ascontiguousarray(arrays.loss_usd[:, k]))
    return pa.table(columns)


def _product_type(item: Instrument) -> str:
    """Return the product type of SPAN: options on physicals, futures, physicals."""
    return "OOP" if item.kind is Kind.OPTION else _PRODUCT_TYPES[item.kind]


def _right(item: Instrument) -> str | None:
    return None if item.is_call is None else ("C" if item.is_call else "P")


def array_rows_table(scenarios: ScenarioSet, arrays: MemberArrays) -> pa.Table:
    """Return one row per array and scenario: the weights with which an array is a mean."""
    number = np.concatenate([np.full(r.size, k + 1, np.int32) for k, r in enumerate(arrays.row)])
    row = np.concatenate(arrays.row)
    sections = [arrays.section[k - 1] for k in number.tolist()]
    columns: dict[str, pa.Array] = {
        "array": pa.array(number),
        "section": pa.array(sections),
        "scenario": pa.array(row.astype(np.int32)),
        "row_name": pa.array([scenarios.row_name(int(r)) for r in row]),
        "weight": pa.array(np.concatenate(arrays.weight)),
    }
    for u, name in enumerate(scenarios.underlyings):
        columns[f"{name}.spot_return"] = pa.array(scenarios.spot_return[row, u])
    return pa.table(columns)


def _header(
    market: PreparedMarket, scenarios: ScenarioSet, arrays: MemberArrays
) -> dict[str, object]:
    """Return what a reader of the arrays must know: inputs, target and measured errors."""
    return {
        "schema": ARRAYS_FORM,
        "software": {"margin-cluster": version("margin-cluster")},
        "valuation_time": market.snapshot.time.isoformat(),
        "synthetic": market.snapshot.is_synthetic or scenarios.is_synthetic,
        "inputs": {
            "snapshot_id": market.snapshot.id,
            "scenarios_id": scenarios.id,
            "model_id": market.model.id,
        },
        "rule": "requirement = max(0, max over arrays of sum of quantity * array), US dollars",
        "unit": "US dollars of loss per unit of a long position; a loss is positive",
        "target": arrays.target,
        "measure": market.model.measure.core,
        "confidence": market.model.measure.confidence,
        "is_lower_bound": arrays.is_lower_bound,
        "multiplier_95": arrays.multiplier_95,
        "arrays": [
            {"array": k + 1, "section": section, "is": label}
            for k, (section, label) in enumerate(
                zip(arrays.section, arrays.chosen_for, strict=True)
            )
        ],
        "errors": [asdict(e) for e in arrays.errors],
    }
