"""Types of the values that the ledger's tables hold."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import RowMapping

Value: TypeAlias = int | float | str | bytes | bool | None
"""One value of a column."""
Columns: TypeAlias = dict[str, Value]
"""The columns of one row to be written, by name."""
DriverRow: TypeAlias = Sequence[Any]
"""A row as the driver returns it: the values in the order of the query."""


def columns_of(row: RowMapping) -> Columns:
    """Return the columns of a row that was read, by name."""
    return {str(name): value for name, value in row.items()}


def whole_number(row: Columns, name: str) -> int:
    """Return the value of a column of whole numbers that is never null."""
    value = row[name]
    assert isinstance(value, int)
    return value


__all__ = ["Columns", "DriverRow", "Value", "columns_of", "whole_number"]
