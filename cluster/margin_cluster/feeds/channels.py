"""Which channels of a connection are silent. Pure; times are monotonic seconds."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class ChannelWatch:
    """The last message of each channel, and which channels have been reported as silent.

    Channels that report only events, such as trades, are not watched: their silence is normal.
    """

    limit_seconds: float
    _last: dict[str, float] = field(default_factory=dict[str, float])
    _silent: set[str] = field(default_factory=set[str])

    def start(self, channels: Iterable[str], now: float) -> None:
        """Begin to watch channels; their time starts now."""
        self._last = dict.fromkeys(channels, now)

    def stop(self) -> None:
        """Watch no channel: the connection is closed, and that is reported instead."""
        self._last.clear()

    def arrived(self, channel: str, now: float) -> bool:
        """Note a message; return True if the channel had been reported as silent."""
        if channel in self._last:
            self._last[channel] = now
        if channel in self._silent:
            self._silent.discard(channel)
            return True
        return False

    def newly_silent(self, now: float) -> list[tuple[str, float]]:
        """Return (channel, seconds of silence) of channels that became silent; each once."""
        found = [
            (channel, now - last)
            for channel, last in self._last.items()
            if now - last > self.limit_seconds and channel not in self._silent
        ]
        self._silent.update(channel for channel, _ in found)
        return found
