"""Calls that have reached this process and that gRPC has not handed over yet.

gRPC's own bookkeeping, channelz, counts calls as they come in. grpcio-channelz serves it to others
and reads it through the same function as here.
"""

import re

from grpc._cython import cygrpc  # pyright: ignore[reportMissingModuleSource, reportAttributeAccessIssue]

CHANNELZ = ("grpc.enable_channelz", 1)
"""The option with which a server keeps the books."""
_GONE_SECONDS = 1.0
_STARTED = re.compile(rb'"callsStarted":"(\d+)"')
_ID = re.compile(rb'"serverId":"(\d+)"')


def server_ids() -> set[int]:
    """Return the ids of this process's servers that keep books."""
    return {int(found) for found in _ID.findall(cygrpc.channelz_get_servers(0))}


class Backlog:
    """The backlog of one server; belongs to one event loop."""

    def __init__(self) -> None:
        self._id = 0
        self._handed = 0
        self._dropped = 0
        self._least, self._since = 0, 0.0

    def watch(self, server_id: int) -> None:
        """Follow a server that has not been started yet."""
        self._id = server_id

    def handed_over(self) -> None:
        """Note that a call was handed over."""
        self._handed += 1

    @property
    def known(self) -> int:
        """Calls handed over, or dropped by gRPC before that."""
        return self._handed + self._dropped

    def arrived(self) -> int:
        """Return the calls that have come in; some 60 microseconds."""
        found = self._count()
        self._dropped = min(self._dropped, max(found - self._handed, 0))
        return found

    def _count(self) -> int:
        found = _STARTED.search(cygrpc.channelz_get_server(self._id))
        return int(found[1]) if found else 0

    def left_over(self, count: int, now: float) -> None:
        """Note how many had not been handed over when the loop went on all the same.

        As many as are always left over for a second have gone: their callers left while they waited
        below. Nobody is counted out sooner, for one who then comes would hide another for good.
        """
        if now < self._since + _GONE_SECONDS:
            self._least = min(self._least, count)
            return
        self._dropped += self._least
        self._least, self._since = max(count - self._least, 0), now
