"""Streams of a service that cannot be written."""

import os

from margin_cluster.streams import SafeStream


def test_a_full_disk_and_a_closed_pipe_do_no_harm() -> None:
    with open("/dev/full", "w", buffering=1) as full:
        stream = SafeStream(full)
        assert stream.write("a line\n") == 7
        stream.flush()
        assert stream.dropped >= 1
        full.detach().detach()
    reader, writer = os.pipe()
    os.close(reader)
    pipe = os.fdopen(writer, "w")
    stream = SafeStream(pipe)
    stream.write("a line\n")
    stream.flush()
    assert stream.dropped >= 1
    pipe.detach().detach()
    assert stream.dropped >= 1
