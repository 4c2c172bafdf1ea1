"""Streams of a service that cannot be written."""

import contextlib
import os

from margin_cluster.streams import SafeStream


def test_a_full_disk_and_a_closed_pipe_do_no_harm() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for descriptor in (os.open("/dev/full", os.O_WRONLY), writer):
        file = os.fdopen(descriptor, "w")
        stream = SafeStream(file)
        assert stream.write("a line\n") == 7
        stream.flush()
        assert stream.dropped == 1
        with contextlib.suppress(OSError):
            file.close()
        stream.write("after the end\n")
        assert stream.dropped == 2
