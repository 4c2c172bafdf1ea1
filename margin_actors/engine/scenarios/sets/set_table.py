"""Conversion of scenario sets to Arrow tables and back, exact to the bit."""

import json

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray
from margin_actors.engine.scenarios.sets.scenario_set import (
    MONEYNESS,
    TENORS_DAYS,
    Provenance,
    ScenarioSet,
    Section,
)
from margin_actors.errors import InvalidScenario, Problem
from margin_actors.market.tables import ColumnKind, number_column, require_columns, time_column

_META = b"margin_scenario_set"


def _tenor(days: float) -> str:
    return f"{days:g}d"


def scenario_set_to_table(scenarios: ScenarioSet) -> pa.Table:
    """Return a table with one row per scenario, one column per factor, and the rest as metadata.

    Columns: ``scenario``, ``window_start``, ``window_end``, ``weight`` and, for each underlying u,
    ``{u}.spot_return``, ``{u}.path_return.{hours}h``, ``{u}.basis_change.{tenor}``,
    ``{u}.vol_change.{tenor}.z{z}`` and ``{u}.provenance`` (text). The columns ``loss_share`` and
    ``name`` exist if the set has them, basis and volatility changes if it has surface moves.
    ``window_start`` and ``window_end`` are null for rows without a window.
    """
    columns: dict[str, pa.Array] = {
        "scenario": pa.array(np.arange(len(scenarios), dtype=np.int32)),
        "window_start": pa.array(scenarios.start_time, pa.timestamp("ms", "UTC")),
        "window_end": pa.array(scenarios.end_time, pa.timestamp("ms", "UTC")),
        "weight": pa.array(scenarios.weight),
    }
    tenors = scenarios.tenors_days.tolist()
    if scenarios.loss_share is not None:
        columns["loss_share"] = pa.array(scenarios.loss_share)
    if scenarios.row_names:
        columns["name"] = pa.array(scenarios.row_names)
    words = {p.value: p.name.lower() for p in Provenance}
    for i, u in enumerate(scenarios.underlyings):
        columns[f"{u}.spot_return"] = pa.array(scenarios.spot_return[:, i])
        for j, hours in enumerate(scenarios.path_hours):
            columns[f"{u}.path_return.{hours:g}h"] = pa.array(scenarios.path_return[:, i, j])
        if scenarios.has_surface_moves:
            for j, days in enumerate(tenors):
                columns[f"{u}.basis_change.{_tenor(days)}"] = pa.array(
                    scenarios.basis_change[:, i, j]
                )
            for j, days in enumerate(tenors):
                for m, z in enumerate(MONEYNESS):
                    columns[f"{u}.vol_change.{_tenor(days)}.z{z:g}"] = pa.array(
                        np.ascontiguousarray(scenarios.vol_change[:, i, j, m])
                    )
        columns[f"{u}.provenance"] = pa.array([words[int(v)] for v in scenarios.provenance[:, i]])
    meta = {
        "id": scenarios.id,
        "engine": scenarios.engine,
        "underlyings": scenarios.underlyings,
        "horizon_hours": scenarios.horizon_hours,
        "path_hours": scenarios.path_hours.tolist(),
        "tenors_days": tenors,
        "sections": [[s.name, s.first, s.count] for s in scenarios.sections],
        "figures": dict(scenarios.figures),
        "is_synthetic": scenarios.is_synthetic,
        "notes": scenarios.notes,
    }
    return pa.table(columns).replace_schema_metadata({_META: json.dumps(meta).encode()})


def scenario_set_from_table(table: pa.Table, *, where: str) -> ScenarioSet:
    """Return the scenario set of a table written by `scenario_set_to_table`.

    Parameters
    ----------
    table : pyarrow.Table
    where : str
        Name of the table in error messages.

    Raises
    ------
    InvalidScenario
        If the table is not a scenario set, or the id of its content differs from the stated id.
    """
    raw = (table.schema.metadata or {}).get(_META)
    if raw is None:
        raise InvalidScenario(
            f"{where} is not a scenario set",
            [
                Problem(
                    where,
                    "the metadata of a scenario set are missing",
                    "build it with `margin scenarios build`",
                )
            ],
        )
    meta = json.loads(raw)
    underlyings = tuple(meta["underlyings"])
    names = table.column_names
    n, nu = table.num_rows, len(underlyings)
    path_hours = np.array(meta["path_hours"], np.float64)
    tenors = [float(days) for days in meta.get("tenors_days", TENORS_DAYS)]
    has_moves = f"{underlyings[0]}.vol_change.{_tenor(tenors[0])}.z{MONEYNESS[0]:g}" in (
        table.column_names
    )
    columns: dict[str, ColumnKind] = {
        "window_start": "time",
        "window_end": "time",
        "weight": "number",
    }
    for u in underlyings:
        columns[f"{u}.spot_return"], columns[f"{u}.provenance"] = "number", "text"
    require_columns(
        table,
        columns,
        where=where,
        error=InvalidScenario,
    )
    basis = np.zeros((n, nu, len(tenors)))
    vol = np.zeros((n, nu, len(tenors), len(MONEYNESS)))
    path = np.zeros((n, nu, path_hours.size))
    spot: FloatArray = np.zeros((n, nu))
    provenance = np.zeros((n, nu), np.uint8)
    values = {p.name.lower(): p.value for p in Provenance}
    for i, u in enumerate(underlyings):
        spot[:, i] = number_column(table, f"{u}.spot_return")
        words = table.column(f"{u}.provenance").to_pylist()
        unknown = sorted({str(word) for word in words} - set(values))
        if unknown:
            raise InvalidScenario(
                f"{where} is not a valid scenario set",
                [Problem(f"{where}, column {u}.provenance", f"unknown: {', '.join(unknown)}")],
            )
        provenance[:, i] = [values[word] for word in words]
        for j, hours in enumerate(path_hours):
            path[:, i, j] = number_column(table, f"{u}.path_return.{hours:g}h")
        for j, days in enumerate(tenors if has_moves else ()):
            basis[:, i, j] = number_column(table, f"{u}.basis_change.{_tenor(days)}")
            for m, z in enumerate(MONEYNESS):
                vol[:, i, j, m] = number_column(table, f"{u}.vol_change.{_tenor(days)}.z{z:g}")
    loaded = ScenarioSet(
        engine=meta["engine"],
        underlyings=underlyings,
        horizon_hours=meta["horizon_hours"],
        start_time=time_column(table, "window_start"),
        end_time=time_column(table, "window_end"),
        spot_return=spot,
        path_hours=path_hours,
        path_return=path,
        basis_change=basis,
        vol_change=vol,
        weight=number_column(table, "weight"),
        provenance=provenance,
        is_synthetic=meta["is_synthetic"],
        notes=tuple(meta["notes"]),
        tenors_days=np.array(tenors),
        loss_share=number_column(table, "loss_share") if "loss_share" in names else None,
        sections=tuple(Section(name, first, count) for name, first, count in meta["sections"]),
        row_names=tuple(table.column("name").to_pylist()) if "name" in names else (),
        figures=meta["figures"],
    )
    if loaded.id != meta["id"]:
        raise InvalidScenario(
            f"the content of {where} does not match its id",
            [Problem(where, f"stated id {meta['id']}, computed id {loaded.id}", "rebuild the set")],
        )
    return loaded
