"""Long payloads of clearing events are stored compressed; hashes cover the text.

A compressed payload depends on the version of the compression library, the text does not. Hence a
row enters a hash with its text in the column `payload` and without the column `packed`.
"""

import zlib

from margin_cluster.ledger.columns import Columns

PACKED = frozenset({"clearing_event"})
"""Kinds of entries whose rows have the columns `payload` and `packed`."""
PLAIN_MAX = 1_000
"""Largest number of characters of a payload that is stored as text."""
_LEVEL = 3


def packed(row: Columns) -> Columns:
    """Return the row as it is stored; a long payload moves to the column `packed`."""
    text = row["payload"]
    assert isinstance(text, str)
    if len(text) <= PLAIN_MAX:
        return row | {"packed": None}
    return row | {"payload": None, "packed": zlib.compress(text.encode(), _LEVEL)}


def unpacked(row: Columns) -> Columns:
    """Return the row as it is hashed: with its payload as text.

    Raises
    ------
    ValueError
        If the compressed payload is damaged.
    """
    kept = row["packed"]
    if kept is None:
        return row
    assert isinstance(kept, bytes)
    return row | {"payload": text_of(kept), "packed": None}


def text_of(compressed: bytes) -> str:
    """Return the text of a compressed payload.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    try:
        return zlib.decompress(compressed).decode()
    except zlib.error as error:
        raise ValueError(f"a compressed payload is damaged: {error}") from None


__all__ = ["PACKED", "PLAIN_MAX", "packed", "text_of", "unpacked"]
