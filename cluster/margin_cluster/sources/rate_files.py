"""Interest rate files of a data folder: rates/NAME.parquet (or .csv), one row per day.

A file of Treasury yields has the columns `date` and, for each maturity, ``DGS1MO``, ``DGS2``, …
(FRED): percent a year, bond equivalent. A file of the overnight rate has `date` and one more
column, percent a year. Days without a value are empty.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from margin_actors.engine.parameters import ModelParameters, RateParameters
from margin_actors.market.rates import RateCurve, curve_from_yields
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.tables import ColumnKind, number_column, require_columns, time_column
from margin_cluster.sources.data_folder import UsedFile
from margin_cluster.sources.files import file_sha256, read_table

_MATURITY = re.compile(r"DGS(\d+)(MO)?")
_ENDINGS = (".parquet", ".csv")


def with_recorded_rates(
    snapshot: MarketSnapshot, model: ModelParameters | None, root: Path
) -> tuple[MarketSnapshot, list[UsedFile]]:
    """Return the snapshot with the rate curve recorded at its time, and the files used.

    The snapshot is unchanged if the model does not use a curve, if it has a curve, or if no recent
    rates are recorded below the data folder `root`. Errors are as in `load_rate_curve`.
    """
    if model is None or model.revaluation.rates.use == "flat" or snapshot.rates is not None:
        return snapshot, []
    curve, used = load_rate_curve(root, model.revaluation.rates, snapshot.time)
    return (snapshot if curve is None else replace(snapshot, rates=curve)), used


def load_rate_curve(
    root: Path, parameters: RateParameters, as_of: datetime
) -> tuple[RateCurve | None, list[UsedFile]]:
    """Return the rate curve known at a time, and the files used.

    A value is known at the end of its day, UTC. The last values are used unless they are older than
    `parameters.age_days_max`; the curve is None if there are none.

    Parameters
    ----------
    root : Path
        The data folder.
    parameters : RateParameters
    as_of : aware datetime

    Raises
    ------
    InvalidMarketData
        If a file cannot be read or lacks a column, or its values are not possible rates.
    """
    used: list[UsedFile] = []
    last = as_of.astimezone(UTC).date() - timedelta(days=1)
    first = last - timedelta(days=parameters.age_days_max)
    yields: dict[float, float] = {}
    overnight: float | None = None
    days: list[date] = []
    treasury = _found(root, parameters.treasury_sources)
    if treasury is not None:
        table = read_table(treasury, what="Treasury yields")
        maturities = {n: _years(n) for n in table.column_names if _MATURITY.fullmatch(n)}
        row = _last_row(table, tuple(maturities), first, last, treasury)
        if row is not None:
            yields = {maturities[n]: row[1][n] / 100.0 for n in row[1]}
            days.append(row[0])
            used.append(UsedFile("interest rates", str(treasury), file_sha256(treasury)))
    bank = _found(root, parameters.overnight_sources)
    if bank is not None:
        table = read_table(bank, what="overnight rate")
        names = tuple(n for n in table.column_names if n != "date")[:1]
        row = _last_row(table, names, first, last, bank)
        if row is not None:
            overnight = row[1][names[0]] / 100.0
            days.append(row[0])
            used.append(UsedFile("interest rates", str(bank), file_sha256(bank)))
    if not days:
        return None, []
    return curve_from_yields(max(days), yields, overnight=overnight), used


def _found(root: Path, names: Sequence[str]) -> Path | None:
    """Return the first file of the folder `rates` with one of the names, or None."""
    paths = (root / "rates" / f"{name}{ending}" for name in names for ending in _ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def _years(column: str) -> float:
    """Return the maturity of a column of Treasury yields, years."""
    found = _MATURITY.fullmatch(column)
    assert found is not None
    return int(found[1]) / 12.0 if found[2] else float(found[1])


def _last_row(
    table: pa.Table, columns: tuple[str, ...], first: date, last: date, path: Path
) -> tuple[date, dict[str, float]] | None:
    """Return the last day from `first` to `last` with a value, and its values by column, percent.

    None if there is no such day.
    """
    wanted: dict[str, ColumnKind] = dict.fromkeys(columns or ("DGS1MO",), "number")
    require_columns(table, {"date": "time", **wanted}, where=str(path))
    day = time_column(table, "date").astype("datetime64[D]")
    values = np.array([number_column(table, name) for name in columns])
    good = np.isfinite(values).any(axis=0) & (day >= np.datetime64(first))
    rows = np.flatnonzero(good & (day <= np.datetime64(last)))
    if rows.size == 0:
        return None
    row = int(rows[np.argmax(day[rows])])
    found = {
        name: float(value)
        for name, value in zip(columns, values[:, row], strict=True)
        if np.isfinite(value)
    }
    return day[row].astype(date), found
