"""Content ids: the id of an immutable object is a hash of its content."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import numpy as np


def content_id(prefix: str, parts: Mapping[str, object]) -> str:
    """Return ``prefix-`` followed by 32 hexadecimal digits that depend on every part and its name.

    Parts may be None, bool, int, float and str, numpy arrays of booleans, integers, floats or
    datetimes (byte order and memory layout do not matter), and sequences or mappings of these.

    Raises
    ------
    TypeError
        If a part is of another type.
    """
    digest = sha256()
    _feed(digest.update, parts)
    return f"{prefix}-{digest.hexdigest()[:32]}"


def _feed(update: Callable[[bytes], None], value: object) -> None:
    kind = type(value)
    if kind is str or kind is float or kind is int:  # the most frequent types first
        text = f"{kind.__name__} {value!r}".encode()
        update(f"{len(text)}:".encode() + text)
    elif isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        if array.dtype.kind not in "biufM":
            raise TypeError(f"cannot compute a content id of an array of {array.dtype}")
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        update(f"array {array.dtype.str[1:]} {array.shape};".encode())
        update(little.tobytes())
    elif isinstance(value, Mapping):
        update(f"map {len(value)};".encode())
        for key in sorted(value):
            _feed(update, str(key))
            _feed(update, value[key])
    elif isinstance(value, Sequence) and not isinstance(value, str):
        update(f"list {len(value)};".encode())
        for item in value:
            _feed(update, item)
    elif value is None or isinstance(value, (bool, int, float, str)):
        text = f"{kind.__name__} {value!r}".encode()
        update(f"{len(text)}:".encode() + text)
    else:
        raise TypeError(f"cannot compute a content id of a {type(value).__name__}")
