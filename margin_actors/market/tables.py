"""Columns of a table as arrays; one error names every missing or mistyped column."""

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from margin_actors.arrays import BoolArray, FloatArray, TimeArray
from margin_actors.errors import InvalidMarketData, MarginError, Problem, raise_if_any, row_name

_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+(\.\d{3})*,\d+\s*$")
ColumnKind: TypeAlias = Literal["number", "text", "time", "boolean"]


def _is_text(dtype: pa.DataType) -> bool:
    if pat.is_dictionary(dtype):
        return _is_text(dtype.value_type)
    return pat.is_string(dtype) or pat.is_large_string(dtype) or pat.is_string_view(dtype)


def _fits(dtype: pa.DataType, kind: ColumnKind) -> bool:
    if kind == "text":
        return _is_text(dtype) or pat.is_null(dtype)
    if kind == "time":
        return pat.is_timestamp(dtype) or pat.is_date(dtype)
    if kind == "boolean":
        return pat.is_boolean(dtype)
    return pat.is_integer(dtype) or pat.is_floating(dtype) or pat.is_null(dtype)


def require_columns(
    table: pa.Table,
    columns: Mapping[str, ColumnKind],
    *,
    where: str,
    error: type[MarginError] = InvalidMarketData,
) -> None:
    """Raise `error`, naming every column that is absent or not of the required kind.

    `where` names the input in the messages, for example by its path.
    """
    problems: list[Problem] = []
    for name, kind in columns.items():
        if name not in table.column_names:
            problems.append(
                Problem(where, f"column {name!r} is missing", f"add it; it holds {kind} values")
            )
        elif not _fits(table.schema.field(name).type, kind):
            problems.append(
                Problem(where, _misfit(table, name, kind, where), f"it must hold {kind} values")
            )
    raise_if_any(problems, error, f"{where} does not have the columns it needs")


def _misfit(table: pa.Table, name: str, kind: ColumnKind, source: str) -> str:
    """Describe a column that is not of `kind`, including its first text that is not a number."""
    found = f"column {name!r} is {table.schema.field(name).type}"
    if kind != "number" or not _is_text(table.schema.field(name).type):
        return found
    for row, text in enumerate(table.column(name).to_pylist()):
        if text is not None and not is_number(text):
            comma = ", with a decimal comma: write a point" if _DECIMAL_COMMA.match(text) else ""
            return f"{found}; {row_name(source, row)} holds {text[:40]!r}{comma}"
    return found


def is_number(text: str) -> bool:
    """Return whether a text is a number for Python, which includes nan and inf."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def number_column(table: pa.Table, name: str) -> FloatArray:
    """Return a numeric column as float64 (n_rows,); nulls become NaN."""
    column = pc.cast(table.column(name), pa.float64())
    return np.asarray(column.to_numpy(), dtype=np.float64)


def null_rows(table: pa.Table, name: str) -> BoolArray:
    """Return which rows of a column have no value, bool (n_rows,)."""
    return np.asarray(table.column(name).is_null().to_numpy(), dtype=np.bool_)


def text_column(table: pa.Table, name: str) -> list[str | None]:
    """Return a text column as a list; nulls become None."""
    return table.column(name).to_pylist()


def time_column(table: pa.Table, name: str) -> TimeArray:
    """Return a time column as datetime64[ms] (n_rows,) in UTC; nulls become NaT."""
    column = pc.cast(table.column(name), pa.timestamp("ms"), safe=False)
    return np.asarray(column.to_numpy(), dtype="datetime64[ms]")


def text_codes(table: pa.Table, name: str) -> tuple[np.ndarray, list[str]]:
    """Return (codes, values) of a text column.

    `codes` is int32 (n_rows,), the position of each row's text in `values`, or -1 for a null;
    `values` are the distinct texts, in order of first appearance unless the column is
    dictionary-encoded.
    """
    column = table.column(name)
    if pat.is_null(column.type):
        column = pc.cast(column, pa.string())
    if pat.is_dictionary(column.type):
        array = column.unify_dictionaries().combine_chunks()
        if len(array.dictionary.unique()) < len(array.dictionary):
            # A dictionary may repeat a value; equal texts would then have different codes.
            array = pc.cast(array, array.dictionary.type).dictionary_encode()
    else:
        array = column.combine_chunks().dictionary_encode()
    codes = pc.fill_null(pc.cast(array.indices, pa.int32()), -1).to_numpy()
    return np.asarray(codes, dtype=np.int32), array.dictionary.to_pylist()
