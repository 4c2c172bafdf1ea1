"""Output streams of a service: a log line that cannot be written must not change an answer."""

import sys
from typing import Any, TextIO, cast


class SafeStream:
    """A text stream that drops what cannot be written, because a disk is full or a reader gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.dropped = 0
        """Writes that failed."""

    def write(self, text: str) -> int:
        """Write a text if that is possible; always return its length."""
        try:
            self._stream.write(text)
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Flush the stream if that is possible."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def protect_standard_streams() -> None:
    """Make failures of standard output and standard error harmless for this process."""
    sys.stdout = cast("TextIO", SafeStream(sys.stdout))
    sys.stderr = cast("TextIO", SafeStream(sys.stderr))
