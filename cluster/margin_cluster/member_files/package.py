"""The folder of an export: its Parquet files, the model, and a manifest with their hashes."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from io import BytesIO
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from margin_actors.engine.disclosure import Disclosure
from margin_actors.engine.margin import components_of, needs_of, result_digest
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import MONEYNESS
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.parameter_section import ParameterSection
from margin_cluster.member_files.account_tables import (
    components_table,
    figures_table,
    measures_table,
    member_sizes_table,
    positions_table,
    profits_table,
)
from margin_cluster.member_files.market_tables import (
    contracts_table,
    depth_table,
    repairs_table,
    scenarios_table,
    smiles_table,
)

FORM = "margin.export/1"
"""Name and version of the form of the manifest and the files."""
MANIFEST, MODEL = "manifest.json", "model.json"

_TABLES = {
    "contracts": contracts_table,
    "smiles": smiles_table,
    "scenarios": scenarios_table,
    "repairs": repairs_table,
    "depth": depth_table,
    "positions": positions_table,
    "member_sizes": member_sizes_table,
    "components": components_table,
    "measures": measures_table,
    "figures": figures_table,
    "profits": profits_table,
}


def exported_files(disclosure: Disclosure) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of every file of an export; the manifest is the last.

    The same disclosure gives the same files, byte for byte, with the same version of the software
    and of Apache Arrow.
    """
    listed: list[dict[str, object]] = []

    def record(name: str, content: bytes, rows: int | None) -> tuple[str, bytes]:
        sha256 = hashlib.sha256(content).hexdigest()
        listed.append({"name": name, "bytes": len(content), "rows": rows, "sha256": sha256})
        return name, content

    model = disclosure.market.model
    yield record(MODEL, json_bytes({"id": model.id, **complete_parameters(model)}), None)
    for name, table_of in _TABLES.items():
        table = table_of(disclosure)
        if table is not None:
            yield record(f"{name}.parquet", parquet_bytes(table), table.num_rows)
    yield MANIFEST, json_bytes({**manifest(disclosure), "files": listed})


def manifest(disclosure: Disclosure) -> dict[str, object]:
    """Return the content of the manifest, without the list of files."""
    market, scenarios, book = disclosure.market, disclosure.scenarios, disclosure.book
    model, sample = market.model, disclosure.inputs.sample
    digest = result_digest(
        disclosure.margins,
        snapshot_id=market.snapshot.id,
        scenarios_id=scenarios.id,
        model_id=model.id,
        book_id=book.id,
    )
    rules = {label: r.model_dump(mode="json") for label, r in needs_of(model).alternatives.items()}
    return {
        "schema": FORM,
        "software": {"margin-cluster": version("margin-cluster"), "pyarrow": version("pyarrow")},
        "synthetic": market.snapshot.is_synthetic or scenarios.is_synthetic,
        "valuation_time": market.snapshot.time.isoformat(),
        "inputs": {
            "snapshot_id": market.snapshot.id,
            "scenarios_id": scenarios.id,
            "model_id": model.id,
            "book_id": book.id,
        },
        "result_digest": digest,
        "accounts": list(book.accounts),
        "members": sorted(set(book.members)),
        "incomplete_members": incomplete_members(disclosure),
        "components": [c.name for c in components_of(model)],
        "alternatives": rules,
        "index_usd": dict(market.snapshot.index_usd),
        "perpetual_usd": dict(market.snapshot.perpetual_usd),
        "discount_annual": market.snapshot.discount_annual,
        "rate_curve": rate_curve(market.snapshot, model),
        "scenarios": {
            "engine": scenarios.engine,
            "underlyings": list(scenarios.underlyings),
            "horizon_hours": scenarios.horizon_hours,
            "tenors_days": scenarios.tenors_days.tolist(),
            "moneyness": list(MONEYNESS),
            "path_hours": scenarios.path_hours.tolist(),
            "sub_samples": sample.n_samples,
            "calibration": scenarios.calibration.named_values(),
        },
    }


def incomplete_members(disclosure: Disclosure) -> list[str]:
    """Return the members of the export that have further accounts, whose sizes count as theirs."""
    others = disclosure.others
    return [] if others is None else sorted({*others.members} & {*disclosure.book.members})


def rate_curve(snapshot: MarketSnapshot, model: ModelParameters) -> dict[str, object] | None:
    """Return the rate curve with which linear contracts are discounted; None for the flat rate."""
    curve = snapshot.rates
    if model.revaluation.rates.use == "flat" or curve is None:
        return None
    return {
        "day": str(curve.day),
        "tenor_years": curve.tenor_years.tolist(),
        "zero_rate": curve.zero_rate.tolist(),
    }


def complete_parameters(section: ParameterSection) -> dict[str, object]:
    """Return every parameter of a section, also those that are omitted where it is stored."""
    dumped = section.model_dump(mode="json")
    return {
        name: _complete(getattr(section, name), dumped.get(name))
        for name in type(section).model_fields
    }


def _complete(value: object, dumped: object) -> object:
    if isinstance(value, ParameterSection):
        return complete_parameters(value)
    if isinstance(value, tuple):
        items = cast("tuple[object, ...]", value)
        parts = cast("list[object]", dumped) if dumped is not None else [None] * len(items)
        return [_complete(item, part) for item, part in zip(items, parts, strict=True)]
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))
    return value if dumped is None else dumped


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    out = BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def json_bytes(content: Mapping[str, object]) -> bytes:
    """Return a mapping as the bytes of a JSON file."""
    return (json.dumps(content, indent=1) + "\n").encode()
