"""Processes that commit to a log of the clearing house until they are killed or done.

A process that has imported everything forks the writers, because an import takes longer than their
whole life. Run as a program: ``clearing_writers.py`` reads one line of JSON per writer and reports
its process id; each writer reports in lines of its own on a pipe.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearing_logs import opened
from small_house import Deposit, Require

ACCOUNTS = 5


def command(name: str) -> Deposit | Require:
    """Return the command of an id; the same in every process."""
    number = int(name.rsplit("-", 1)[1])
    account = f"A{number % ACCOUNTS}"
    if number % 3:
        return Require(name, account, (number % 7) * 100_000_00)
    return Deposit(name, account, 1 + (number % 5) * 100_000_00)


def write(url: str, name: str, threads: int, each: int, target: int = 0, gate: str = "") -> None:
    """Commit in several threads and report each id before it is submitted and after its reply.

    Writers with the same `gate` begin together, when a file of that name exists. With a `target`, a
    writer ends by reporting its state when that many events are committed.
    """

    def report(word: str, text: object) -> None:
        os.write(1, f"{word} {text}\n".encode())  # one write: threads do not mix their lines

    with opened(url) as log:
        report("ready", name)
        while gate and not Path(gate).exists():
            time.sleep(0.001)

        def run(thread: int) -> None:
            for i in range(each):
                one = f"{name}-{thread}-{i}"
                report("submitted", one)
                log.submit(command(one), wait_seconds=60).result()
                report("committed", one)

        running = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        if target:
            assert log.wait_for(target, 60)
            report("state", f"{log.committed.at.token} {log.state.digest}")


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os.dup2(os.open(order.pop("report"), os.O_WRONLY), 1)
            try:
                write(**order)
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                os._exit(1)
            os._exit(0)
        print(child, flush=True)


@dataclass
class Writer:
    """A writer that runs, and what it has reported."""

    pid: int
    pipe: int
    submitted: list[str] = field(default_factory=list)
    committed: list[str] = field(default_factory=list)
    state: str = ""

    def drain(self) -> None:
        """Read everything that was reported until the writer's end."""
        with os.fdopen(self.pipe, "rb") as reports:
            for line in reports.read().decode().splitlines():
                word, text = line.split(" ", 1)
                if word == "state":
                    self.state = text
                elif word != "ready":
                    getattr(self, word).append(text)


class Nursery:
    """The process that forks writers."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process, self._folder, self._count = process, folder, 0

    def start(self, url: str, name: str, **order: Any) -> Writer:
        self._count += 1
        path = self._folder / f"reports-{self._count}"
        os.mkfifo(path)
        pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(pipe, True)
        # Held open until the writer has opened its end; otherwise the pipe would seem to be over.
        holder = os.open(path, os.O_WRONLY)
        order = {"url": url, "name": name, "report": str(path)} | order
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        writer = Writer(int(self._process.stdout.readline()), pipe)
        while os.read(pipe, 1) != b"\n":  # the line `ready`: the writer has opened its end
            pass
        os.close(holder)
        return writer


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    """Run the process that forks writers until the end of the block."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield Nursery(process, folder)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    main()
