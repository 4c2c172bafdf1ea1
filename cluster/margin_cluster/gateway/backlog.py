"""Calls that have reached this process and that gRPC has not handed over yet.

gRPC's own bookkeeping, channelz, counts calls as they come in. grpcio-channelz serves it to others
and reads it through the same function as here.
"""

import re

from grpc._cython import cygrpc  # pyright: ignore[reportMissingModuleSource, reportAttributeAccessIssue]

CHANNELZ = ("grpc.enable_channelz", 1)
"""The option with which a server keeps the books."""
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
        """Return the calls that have come in; some 40 microseconds."""
        found = _STARTED.search(cygrpc.channelz_get_server(self._id))
        return int(found[1]) if found else 0

    def forget(self, arrived: int) -> None:
        """Count as dropped what has not come by now: callers who left while they waited below."""
        self._dropped += max(arrived - self.known, 0)
