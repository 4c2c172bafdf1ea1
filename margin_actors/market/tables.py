"""Columns of a table as arrays, with every missing or mistyped column named at once."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from margin_actors.arrays import FloatArray, TimeArray
from margin_actors.errors import InvalidMarketData, MarginError, Problem, raise_if_any

ColumnKind: TypeAlias = Literal["number", "text", "time"]


def _is_text(dtype: pa.DataType) -> bool:
    if pat.is_dictionary(dtype):
        return _is_text(dtype.value_type)
    return pat.is_string(dtype) or pat.is_large_string(dtype) or pat.is_string_view(dtype)


def _fits(dtype: pa.DataType, kind: ColumnKind) -> bool:
    if kind == "text":
        return _is_text(dtype) or pat.is_null(dtype)
    if kind == "time":
        return pat.is_timestamp(dtype) or pat.is_date(dtype)
    return pat.is_integer(dtype) or pat.is_floating(dtype) or pat.is_null(dtype)


def require_columns(
    table: pa.Table,
    columns: Mapping[str, ColumnKind],
    *,
    where: str,
    error: type[MarginError] = InvalidMarketData,
) -> None:
    """Raise `error` naming every column that is absent or of another kind than asked.

    `where` names the input in the messages, as a file path does.
    """
    problems: list[Problem] = []
    for name, kind in columns.items():
        if name not in table.column_names:
            problems.append(
                Problem(where, f"column {name!r} is missing", f"add it; it holds {kind} values")
            )
        elif not _fits(table.schema.field(name).type, kind):
            problems.append(
                Problem(where, _misfit(table, name, kind), f"it must hold {kind} values")
            )
    raise_if_any(problems, error, f"{where} does not have the columns it needs")


def _misfit(table: pa.Table, name: str, kind: ColumnKind) -> str:
    """Return what a column holds instead of a kind, with the first value at fault."""
    found = f"column {name!r} is {table.schema.field(name).type}"
    if kind != "number" or not _is_text(table.schema.field(name).type):
        return found
    for row, text in enumerate(table.column(name).to_pylist()):
        if text is not None and not _is_number(text):
            return f"{found}; row {row} holds {text[:40]!r}"
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def number_column(table: pa.Table, name: str) -> FloatArray:
    """Return a numeric column as float64, a null as NaN."""
    column = pc.cast(table.column(name), pa.float64())
    return np.asarray(column.to_numpy(), dtype=np.float64)


def text_column(table: pa.Table, name: str) -> list[str | None]:
    """Return a text column as a list, a null as None."""
    return table.column(name).to_pylist()


def time_column(table: pa.Table, name: str) -> TimeArray:
    """Return a time column as datetime64[ms] in UTC, a null as NaT."""
    column = pc.cast(table.column(name), pa.timestamp("ms"), safe=False)
    return np.asarray(column.to_numpy(), dtype="datetime64[ms]")


def text_codes(table: pa.Table, name: str) -> tuple[np.ndarray, list[str]]:
    """Return (codes, values): a text column as int32 indices into its distinct values.

    A null has the code -1. Values stand in the order of first appearance.
    """
    column = table.column(name)
    if pat.is_null(column.type):
        column = pc.cast(column, pa.string())
    if pat.is_dictionary(column.type):
        array = column.unify_dictionaries().combine_chunks()
        if len(array.dictionary.unique()) < len(array.dictionary):
            # A dictionary may repeat a value, and then equal texts would have different codes.
            array = pc.cast(array, array.dictionary.type).dictionary_encode()
    else:
        array = column.combine_chunks().dictionary_encode()
    codes = pc.fill_null(pc.cast(array.indices, pa.int32()), -1).to_numpy()
    return np.asarray(codes, dtype=np.int32), array.dictionary.to_pylist()
