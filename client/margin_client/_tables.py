"""Conversion from and to pandas, which is imported only if a table is requested or given."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from types import ModuleType
from typing import TYPE_CHECKING

from typing_extensions import TypeIs

if TYPE_CHECKING:
    import pandas as pd
    from _typeshed import DataclassInstance


def frame_of(items: Iterable["DataclassInstance"]) -> "pd.DataFrame":
    """Return a table with one row per dataclass instance; nested names are joined with dots."""
    pandas = _pandas()
    return pandas.json_normalize([asdict(item) for item in items])


def frame_of_columns(columns: Mapping[str, Sequence[object]], *, index: str) -> "pd.DataFrame":
    """Return a table from columns of equal length, indexed by the column `index`."""
    return _pandas().DataFrame({name: list(c) for name, c in columns.items()}).set_index(index)


def is_frame(value: object) -> TypeIs["pd.DataFrame"]:
    """Return whether a value is a pandas DataFrame, without importing pandas."""
    kind = type(value)
    return kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "DataFrame"


def columns_of(frame: "pd.DataFrame", names: Sequence[str], what: str) -> list["pd.Series"]:
    """Return the named columns of a table; the levels of its index count as columns.

    Raises
    ------
    ValueError
        If a column is missing; `what` names the table in the message.
    """
    flat = frame.reset_index() if set(frame.index.names) & set(names) else frame
    missing = [name for name in names if name not in flat.columns]
    if missing:
        raise ValueError(
            f"{what}: no column {', '.join(missing)}; the table has "
            f"{', '.join(map(str, flat.columns))}"
        )
    return [flat[name] for name in names]


def chunks_of(frame: "pd.DataFrame", rows: int) -> Iterator["pd.DataFrame"]:
    """Yield chunks of a table of at most `rows` rows; an empty table gives one empty chunk."""
    for start in range(0, max(len(frame), 1), rows):
        yield frame.iloc[start : start + rows]


def codes_and_categories(column: "pd.Series") -> tuple[list[int], list[str]]:
    """Return (codes, categories) of a column of texts; row i is the category with index codes[i].

    Raises
    ------
    ValueError
        If a row has a missing value.
    """
    codes, categories = _pandas().factorize(column)
    if len(codes) and codes.min() < 0:
        raise ValueError(f"{column.name}: a value is missing in {int((codes < 0).sum())} rows")
    return codes.tolist(), list(categories)


def _pandas() -> ModuleType:
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "tables need pandas: pip install 'margin-cluster[pandas]'", name="pandas"
        ) from error
    return pd
