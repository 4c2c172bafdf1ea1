"""Conversion of scenario sets to Arrow tables and back, exact to the bit."""

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray
from margin_actors.engine.scenarios.sets.calibration import (
    Calibration,
    calibration_from_values,
)
from margin_actors.engine.scenarios.sets.perpetual_basis import (
    BasisProvenance,
    PerpetualBasisMoves,
)
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


class _Metadata(TypedDict):
    """Metadata of the table, stored as JSON; these names are part of the stored form."""

    id: str
    engine: str
    underlyings: Sequence[str]
    horizon_hours: float
    path_hours: list[float]
    tenors_days: list[float]
    sections: list[tuple[str, int, int]]
    figures: dict[str, float]
    is_synthetic: bool
    notes: Sequence[str]


def _basis_column(underlying: str, days: float) -> str:
    return f"{underlying}.basis_change.{days:g}d"


def _vol_column(underlying: str, days: float, z: float) -> str:
    return f"{underlying}.vol_change.{days:g}d.z{z:g}"


def _perpetual_column(underlying: str, quantity: str) -> str:
    return f"{underlying}.perpetual_basis_{quantity}"


def scenario_set_to_table(scenarios: ScenarioSet) -> pa.Table:
    """Return a table with one row per scenario, one column per factor, and the rest as metadata.

    Columns: ``scenario``, ``window_start``, ``window_end``, ``weight`` and, for each underlying u,
    ``{u}.spot_return``, ``{u}.path_return.{hours}h``, ``{u}.basis_change.{tenor}``,
    ``{u}.vol_change.{tenor}.z{z}`` and ``{u}.provenance`` (text). The columns ``loss_share`` and
    ``name`` exist if the set has them, basis and volatility changes if it has surface moves, and
    ``{u}.perpetual_basis_change`` and ``{u}.perpetual_basis_provenance`` (text) if it moves the
    basis of perpetuals.
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
                columns[_basis_column(u, days)] = pa.array(scenarios.basis_change[:, i, j])
            for j, days in enumerate(tenors):
                for m, z in enumerate(MONEYNESS):
                    columns[_vol_column(u, days, z)] = pa.array(
                        np.ascontiguousarray(scenarios.vol_change[:, i, j, m])
                    )
        columns[f"{u}.provenance"] = pa.array([words[int(v)] for v in scenarios.provenance[:, i]])
        if scenarios.perpetual_basis is not None:
            change, source = scenarios.perpetual_basis.content()
            columns[_perpetual_column(u, "change")] = pa.array(np.ascontiguousarray(change[:, i]))
            columns[_perpetual_column(u, "provenance")] = pa.array(
                [BasisProvenance(int(v)).name.lower() for v in source[:, i]]
            )
    meta: _Metadata = {
        "id": scenarios.id,
        "engine": scenarios.engine,
        "underlyings": scenarios.underlyings,
        "horizon_hours": scenarios.horizon_hours,
        "path_hours": scenarios.path_hours.tolist(),
        "tenors_days": tenors,
        "sections": [(s.name, s.first, s.count) for s in scenarios.sections],
        "figures": scenarios.calibration.named_values(),
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
    meta = _metadata_of(table, where)
    underlyings = tuple(meta["underlyings"])
    columns: dict[str, ColumnKind] = {
        "window_start": "time",
        "window_end": "time",
        "weight": "number",
    }
    for u in underlyings:
        columns[f"{u}.spot_return"], columns[f"{u}.provenance"] = "number", "text"
    require_columns(table, columns, where=where, error=InvalidScenario)
    names = table.column_names
    # Sets that were stored before they had tenors of their own have the standard ones.
    tenors = [float(days) for days in meta.get("tenors_days", TENORS_DAYS)]
    basis, vol = _surface_columns(table, underlyings, tenors)
    loaded = ScenarioSet(
        engine=meta["engine"],
        underlyings=underlyings,
        horizon_hours=meta["horizon_hours"],
        start_time=time_column(table, "window_start"),
        end_time=time_column(table, "window_end"),
        spot_return=_columns(table, [f"{u}.spot_return" for u in underlyings]),
        path_hours=np.array(meta["path_hours"], np.float64),
        path_return=_path_columns(table, underlyings, meta["path_hours"]),
        basis_change=basis,
        vol_change=vol,
        weight=number_column(table, "weight"),
        provenance=_provenance_columns(table, underlyings, where),
        is_synthetic=meta["is_synthetic"],
        notes=tuple(meta["notes"]),
        tenors_days=np.array(tenors),
        loss_share=number_column(table, "loss_share") if "loss_share" in names else None,
        sections=tuple(Section(name, first, count) for name, first, count in meta["sections"]),
        row_names=tuple(table.column("name").to_pylist()) if "name" in names else (),
        calibration=_calibration_of(meta, where),
        perpetual_basis=_perpetual_columns(table, underlyings, where),
    )
    if loaded.id != meta["id"]:
        raise InvalidScenario(
            f"the content of {where} does not match its id",
            [Problem(where, f"stated id {meta['id']}, computed id {loaded.id}", "rebuild the set")],
        )
    return loaded


def _metadata_of(table: pa.Table, where: str) -> _Metadata:
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
    return json.loads(raw)


def _calibration_of(meta: _Metadata, where: str) -> Calibration:
    try:
        return calibration_from_values(meta["figures"])
    except ValueError as fault:
        raise InvalidScenario(
            f"{where} is not a valid scenario set",
            [Problem(f"{where}, metadata", str(fault), "rebuild the set")],
        ) from fault


def _columns(table: pa.Table, names: Sequence[str]) -> FloatArray:
    """Return columns of numbers side by side, float64 (n_scenarios, n_names)."""
    out = np.empty((table.num_rows, len(names)))
    for i, name in enumerate(names):
        out[:, i] = number_column(table, name)
    return out


def _path_columns(
    table: pa.Table, underlyings: Sequence[str], hours: Sequence[float]
) -> FloatArray:
    """Return the log returns inside the windows, float64 (n_scenarios, n_underlyings, n_path)."""
    out = np.empty((table.num_rows, len(underlyings), len(hours)))
    for i, u in enumerate(underlyings):
        out[:, i] = _columns(table, [f"{u}.path_return.{at:g}h" for at in hours])
    return out


def _surface_columns(
    table: pa.Table, underlyings: Sequence[str], tenors: Sequence[float]
) -> tuple[FloatArray, FloatArray]:
    """Return the changes of basis and volatility as in `ScenarioSet`; zeros without columns."""
    n, nu = table.num_rows, len(underlyings)
    basis = np.zeros((n, nu, len(tenors)))
    vol = np.zeros((n, nu, len(tenors), len(MONEYNESS)))
    if _vol_column(underlyings[0], tenors[0], MONEYNESS[0]) not in table.column_names:
        return basis, vol
    for i, u in enumerate(underlyings):
        basis[:, i] = _columns(table, [_basis_column(u, days) for days in tenors])
        for j, days in enumerate(tenors):
            vol[:, i, j] = _columns(table, [_vol_column(u, days, z) for z in MONEYNESS])
    return basis, vol


def _perpetual_columns(
    table: pa.Table, underlyings: Sequence[str], where: str
) -> PerpetualBasisMoves | None:
    """Return the moves of the basis of perpetuals; None without columns."""
    changes = [_perpetual_column(u, "change") for u in underlyings]
    if changes[0] not in table.column_names:
        return None
    sources = [_perpetual_column(u, "provenance") for u in underlyings]
    wanted: dict[str, ColumnKind] = dict.fromkeys(changes, "number")
    wanted |= dict.fromkeys(sources, "text")
    require_columns(table, wanted, where=where, error=InvalidScenario)
    provenance = _words(table, sources, {p.name.lower(): p.value for p in BasisProvenance}, where)
    return PerpetualBasisMoves(_columns(table, changes), provenance)


def _provenance_columns(table: pa.Table, underlyings: Sequence[str], where: str) -> np.ndarray:
    """Return the values of `Provenance`, uint8 (n_scenarios, n_underlyings)."""
    columns = [f"{u}.provenance" for u in underlyings]
    return _words(table, columns, {p.name.lower(): p.value for p in Provenance}, where)


def _words(
    table: pa.Table, columns: Sequence[str], values: Mapping[str, int], where: str
) -> np.ndarray:
    """Return the values of columns of text, uint8 (n_scenarios, n_columns)."""
    out = np.zeros((table.num_rows, len(columns)), np.uint8)
    for i, column in enumerate(columns):
        words = table.column(column).to_pylist()
        unknown = sorted({str(word) for word in words} - set(values))
        if unknown:
            raise InvalidScenario(
                f"{where} is not a valid scenario set",
                [Problem(f"{where}, column {column}", f"unknown: {', '.join(unknown)}")],
            )
        out[:, i] = [values[word] for word in words]
    return out
