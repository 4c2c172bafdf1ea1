"""Risk arrays as a table that a member can read."""

import numpy as np
import pyarrow as pa

from margin_actors.engine.span.arrays import RiskArrays


def risk_arrays_to_table(arrays: RiskArrays) -> pa.Table:
    """Return one row a contract: loss of one unit in each row, US dollars, and composite delta.

    Columns: ``instrument_name``, ``underlying``, ``tier``, ``composite_delta_coins``, ``row_01``,
    ``row_02``, ...; what each row is stands in the metadata under its column's name.
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
