"""Durable state: positions, published data, calculations, and what is in use."""

from margin_cluster.ledger.address import address_from_url, sqlite_url
from margin_cluster.ledger.calculation_inputs import GenerationSummary, InputIds
from margin_cluster.ledger.database import Database
from margin_cluster.ledger.ledger import Ledger
from margin_cluster.ledger.margin_records import (
    AccountFailureRecord,
    AccountMarginRecord,
    ComponentInputRecord,
    ComponentRecord,
)
from margin_cluster.ledger.records import (
    CalculationKind,
    CalculationRecord,
    Change,
    ChangeResult,
    GenerationRecord,
    LedgerHead,
    Origin,
    PositionChange,
    ScenarioSetRecord,
    SnapshotRecord,
    Trade,
)

__all__ = [
    "AccountFailureRecord",
    "AccountMarginRecord",
    "CalculationKind",
    "CalculationRecord",
    "Change",
    "ChangeResult",
    "ComponentInputRecord",
    "ComponentRecord",
    "Database",
    "GenerationRecord",
    "GenerationSummary",
    "InputIds",
    "Ledger",
    "LedgerHead",
    "Origin",
    "PositionChange",
    "ScenarioSetRecord",
    "SnapshotRecord",
    "Trade",
    "address_from_url",
    "sqlite_url",
]
