"""The hash chain over the ledger's rows: any changed, lost or inserted row breaks it.

An entry of the log covers one row through the row's content hash, and all entries before it
through the previous entry's hash. Hashes are taken over values as both databases return them:
integers, strings, booleans, and floats in the shortest decimal form that reads back to the same
bits. A negative zero is recorded as zero, because SQLite does not keep its sign.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

FIRST_HASH = "0" * 64
"""Previous hash of the first entry."""
_LONG = 200
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def content_hash(kind: str, row: Mapping[str, Any]) -> str:
    """Return the hash of a row: sha256 of its kind and its columns as JSON with sorted names.

    Columns without a value are left out, so that adding a column later does not change the hashes
    of old rows. A long text is replaced by ``["sha256", its hash]``, because encoding it as JSON
    again would take most of the time.
    """
    known = {
        name: value if type(value) is not str or len(value) <= _LONG else _hashed(value)
        for name, value in row.items()
        if value is not None
    }
    return sha256(_encode([kind, known]).encode()).hexdigest()


def _hashed(text: str) -> list[str]:
    return ["sha256", sha256(text.encode()).hexdigest()]


def entry_hash(
    sequence: int, kind: str, subject: str, content: str, previous: str, create_ms: int
) -> str:
    """Return the hash of an entry: sha256 of its columns, one per line."""
    text = f"{sequence}\n{kind}\n{subject}\n{content}\n{previous}\n{create_ms}"
    return sha256(text.encode()).hexdigest()


def trade_content(account: str, member: str, instrument: str, quantity: float) -> list[Any]:
    """Return a trade in the form that the content hash of its change covers."""
    return [account, member, instrument, quantity]


__all__ = ["FIRST_HASH", "content_hash", "entry_hash", "trade_content"]
