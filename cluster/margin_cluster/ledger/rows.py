"""Conversions between records and rows of tables."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import RowMapping

from margin_cluster.ledger.calculation_inputs import (
    generation_from_text,
    generation_to_text,
    inputs_from_text,
    inputs_to_text,
)
from margin_cluster.ledger.columns import Columns
from margin_cluster.ledger.margin_records import (
    failures_from_text,
    failures_to_text,
    margin_from_text,
    margin_to_text,
)
from margin_cluster.ledger.records import (
    CalculationRecord,
    GenerationRecord,
    Origin,
    ScenarioSetRecord,
    SnapshotRecord,
)

_NEVER_MS = -1
"""Represents a missing time in a column that cannot be null."""
_REQUEST_ID_MAX, _CALLER_MAX = 128, 256


def to_ms(time: datetime) -> int:
    """Return the milliseconds from 1970-01-01 UTC to an aware time, rounded."""
    return round(time.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """Return the time, in UTC, that is some milliseconds after 1970-01-01 UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def origin_to_row(origin: Origin) -> Columns:
    """Return the columns of an origin, truncated to their lengths; they are used only for audit."""
    return {
        "request_id": _printable(origin.request_id)[:_REQUEST_ID_MAX],
        "caller": _printable(origin.caller)[:_CALLER_MAX],
    }


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def snapshot_to_row(record: SnapshotRecord) -> Columns:
    """Return the columns of a snapshot."""
    return {
        "snapshot_id": record.snapshot_id,
        "time_ms": to_ms(record.time),
        "options": int(record.options),
        "is_synthetic": bool(record.is_synthetic),
        "create_ms": to_ms(record.create_time),
    }


def snapshot_from_row(row: RowMapping) -> SnapshotRecord:
    """Return the snapshot of a row."""
    return SnapshotRecord(
        row["snapshot_id"],
        from_ms(row["time_ms"]),
        row["options"],
        row["is_synthetic"],
        from_ms(row["create_ms"]),
    )


def scenario_set_to_row(record: ScenarioSetRecord) -> Columns:
    """Return the columns of a scenario set."""
    first, last = record.first_window_end, record.last_window_end
    return {
        "scenarios_id": record.scenarios_id,
        "engine": record.engine,
        "underlyings": json.dumps(record.underlyings),
        "scenarios": int(record.scenarios),
        "horizon_hours": float(record.horizon_hours) + 0.0,
        "first_end_ms": _NEVER_MS if first is None else to_ms(first),
        "last_end_ms": _NEVER_MS if last is None else to_ms(last),
        "is_synthetic": bool(record.is_synthetic),
        "create_ms": to_ms(record.create_time),
    }


def scenario_set_from_row(row: RowMapping) -> ScenarioSetRecord:
    """Return the scenario set of a row."""
    return ScenarioSetRecord(
        row["scenarios_id"],
        row["engine"],
        tuple(json.loads(row["underlyings"])),
        row["scenarios"],
        row["horizon_hours"],
        None if row["first_end_ms"] == _NEVER_MS else from_ms(row["first_end_ms"]),
        None if row["last_end_ms"] == _NEVER_MS else from_ms(row["last_end_ms"]),
        row["is_synthetic"],
        from_ms(row["create_ms"]),
    )


def generation_from_row(row: RowMapping) -> GenerationRecord:
    """Return the generation of a row."""
    return GenerationRecord(
        row["number"],
        row["kind"],
        row["snapshot_id"],
        row["scenarios_id"],
        row["idempotency_key"] or "",
        row["request_id"],
        row["caller"],
        from_ms(row["create_ms"]),
    )


def calculation_to_row(record: CalculationRecord) -> Columns:
    """Return the columns of a calculation."""
    return {
        "calculation_id": record.calculation_id,
        "kind": record.kind,
        "create_ms": to_ms(record.create_time),
        "request_id": record.request_id,
        "account_id": record.account_id,
        "generation": generation_to_text(record.generation),
        "inputs": inputs_to_text(record.inputs),
        "digest": record.digest,
        "accounts": int(record.accounts),
        "positions": int(record.positions),
        "initial_margin_usd": float(record.initial_margin_usd) + 0.0,
        "margin": margin_to_text(record.margin),
        "portfolio_version": int(record.portfolio_version),
        "accounts_failed": int(record.accounts_failed),
        "expired_positions": int(record.expired_positions),
        "failures": failures_to_text(record.failures),
        "idempotency_key": record.idempotency_key or None,
        "caller": _printable(record.caller)[:_CALLER_MAX] or None,
        "portfolio": None if record.portfolio is None else _portfolio_to_text(record.portfolio),
    }


def calculation_from_row(row: RowMapping) -> CalculationRecord:
    """Return the calculation of a row."""
    return CalculationRecord(
        calculation_id=row["calculation_id"],
        kind=row["kind"],
        create_time=from_ms(row["create_ms"]),
        request_id=row["request_id"],
        account_id=row["account_id"],
        generation=generation_from_text(row["generation"]),
        inputs=inputs_from_text(row["inputs"]),
        digest=row["digest"],
        accounts=row["accounts"],
        positions=row["positions"],
        initial_margin_usd=row["initial_margin_usd"],
        margin=margin_from_text(row["margin"]),
        portfolio_version=row["portfolio_version"],
        accounts_failed=row["accounts_failed"],
        expired_positions=row["expired_positions"],
        failures=failures_from_text(row["failures"]),
        idempotency_key=row["idempotency_key"] or "",
        caller=row["caller"] or "",
        portfolio=None if row["portfolio"] is None else _portfolio_from_text(row["portfolio"]),
    )


def _portfolio_to_text(portfolio: Mapping[str, float]) -> str:
    """Return the stored form of positions: JSON, in their order, which is part of a book's id."""
    return json.dumps({name: float(quantity) + 0.0 for name, quantity in portfolio.items()})


def _portfolio_from_text(text: str) -> dict[str, float]:
    return {name: float(quantity) for name, quantity in json.loads(text).items()}
