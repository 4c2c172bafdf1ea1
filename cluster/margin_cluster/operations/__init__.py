"""The clearing day in operation: the clearing house on the log of the ledger."""

from margin_cluster.operations.machine import HOUSE, HouseLog, clearing_log

__all__ = ["HOUSE", "HouseLog", "clearing_log"]
