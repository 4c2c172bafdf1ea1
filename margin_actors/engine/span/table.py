"""Risk arrays as a table for clearing members."""

import numpy as np
import pyarrow as pa

from margin_actors.engine.span.arrays import RiskArrays


def risk_arrays_to_table(arrays: RiskArrays) -> pa.Table:
    """Return a table with one row per contract.

    Columns: ``instrument_name``, ``underlying``, ``tier``, ``composite_delta_coins`` and, for each
    scenario, ``row_01``, ``row_02``, ...: the loss of one unit in US dollars, a loss positive. The
    schema metadata map each of these columns to the name of its scenario.
    """
    columns: dict[str, pa.Array] = {
        "instrument_name": pa.array(arrays.names),
        "underlying": pa.array([arrays.underlyings[u] for u in arrays.underlying]),
        "tier": pa.array(arrays.tier),
        "composite_delta_coins": pa.array(arrays.delta),
    }
    meta: dict[str, str] = {}
    for row, name in enumerate(arrays.row_names):
        column = f"row_{row + 1:02d}"
        columns[column] = pa.array(np.ascontiguousarray(arrays.loss[:, row]))
        meta[column] = name
    return pa.table(columns).replace_schema_metadata(meta)
