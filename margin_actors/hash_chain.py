"""Hashes of a log whose entries cover all entries before them.

An entry covers its content through the content's hash, and all earlier entries through the hash of
the preceding entry. Hashes are taken over integers, strings and booleans, and floats in the
shortest decimal form that reads back to the same bits.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256

FIRST_HASH = "0" * 64
"""Previous hash of the first entry."""
_LONG = 200
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def content_hash(kind: str, row: Mapping[str, object]) -> str:
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


def lines_hash(columns: Iterable[int | str]) -> str:
    """Return sha256 of the columns of an entry, one per line; texts must not contain line ends."""
    return sha256("\n".join(map(str, columns)).encode()).hexdigest()
