"""What is durable: positions, published data, calculations, and what is in use."""

from margin_cluster.ledger.database import sqlite_url
from margin_cluster.ledger.ledger import Ledger
from margin_cluster.ledger.records import (
    CalculationKind,
    CalculationRecord,
    Change,
    ScenarioSetRecord,
    SnapshotRecord,
    Trade,
)

__all__ = [
    "CalculationKind",
    "CalculationRecord",
    "Change",
    "Ledger",
    "ScenarioSetRecord",
    "SnapshotRecord",
    "Trade",
    "sqlite_url",
]
