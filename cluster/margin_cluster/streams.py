"""Output streams that do not raise: a failed log write must not affect the answer to a call."""

import sys
from typing import TextIO, cast


class SafeStream:
    """A text stream that drops output that cannot be written (disk full, reader closed)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.dropped = 0
        """Number of writes and flushes that failed."""

    def write(self, text: str) -> int:
        """Write a text if possible; always return its length."""
        try:
            self._stream.write(text)
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Flush the stream if possible."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += 1

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def protect_standard_streams() -> None:
    """Replace standard output and standard error by streams that do not raise."""
    sys.stdout = cast("TextIO", SafeStream(sys.stdout))
    sys.stderr = cast("TextIO", SafeStream(sys.stderr))
