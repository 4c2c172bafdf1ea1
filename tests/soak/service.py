"""The processes under test: a Ray cluster, gateways started by the real command, their children."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from margin_cluster.service import ray_environment

ROOT = Path(__file__).resolve().parents[2]
MARGIN = Path(sys.executable).parent / "margin"
PATHS = os.pathsep.join(str(ROOT / p) for p in ("", "protos", "client", "cluster", "tests"))
START_SECONDS = 180.0
STOP_SECONDS = 35.0
"""Longest that a clean stop may take; most deployments kill a process after about 30 s."""
_RAY_HEAD = """
import sys
from ray.cluster_utils import Cluster
head = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 2**29})
head.wait_for_nodes()
print("address", head.address, flush=True)
sys.stdin.read()
head.shutdown()
"""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def environment(store: Path) -> dict[str, str]:
    """Return the environment of every process under test."""
    ray_environment(2)
    paths = os.environ.get("PYTHONPATH")
    return os.environ | {
        "PYTHONPATH": f"{PATHS}{os.pathsep}{paths}" if paths else PATHS,
        "MARGIN_STORE": str(store),
        "COLUMNS": "120",
    }


class RayHead:
    """A Ray cluster of one node below a process of its own."""

    def __init__(self, folder: Path, store: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "ray.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _RAY_HEAD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(store),
                cwd=folder,
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("address"):
                self.address = line.split()[1]
                return
        raise RuntimeError(f"Ray did not start: {self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        children = descendants(self.process.pid)
        assert self.process.stdin is not None
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        end(children)
        self.process.kill()
        self.process.wait()


@dataclass
class Gateway:
    """One `margin serve`; the ports and the command line stay the same over restarts."""

    name: str
    folder: Path
    store: Path
    options: tuple[str, ...]
    port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    _left_over: list[psutil.Process] = field(default_factory=list)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def out(self) -> Path:
        return self.folder / f"{self.name}.out"

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Start the process without waiting for it."""
        end(self._left_over)
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = ("--port", str(self.port), "--health-port", str(self.health_port))
        with self.out.open("wb") as out, self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [MARGIN, "serve", *ports, *self.options],
                stdout=out,
                stderr=log,
                env=environment(self.store),
                cwd=self.folder,
            )
        self.starts += 1

    def wait(self, seconds: float = START_SECONDS) -> float:
        """Return the seconds until the command said that it is ready.

        Raises
        ------
        RuntimeError
            If it ended, or took too long.
        """
        started = time.monotonic()
        while not re.search(r"Ready on", self.out.read_text(errors="replace")):
            if not self.is_alive:
                raise RuntimeError(f"{self.name} ended while starting: {self.tail()}")
            if time.monotonic() - started > seconds:
                raise RuntimeError(f"{self.name} was not ready within {seconds:g} s: {self.tail()}")
            time.sleep(0.05)
        return time.monotonic() - started

    def start(self) -> float:
        self.launch()
        return self.wait()

    def tail(self, size: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    def terminate(self) -> tuple[int, float]:
        """Send SIGTERM; returns (exit status, seconds). Kills it after `STOP_SECONDS`."""
        assert self.process is not None
        self._left_over = descendants(self.process.pid)
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        return status, time.monotonic() - started

    def kill(self) -> None:
        """Send SIGKILL. Processes of an embedded Ray are ended before the next start."""
        assert self.process is not None
        self._left_over = descendants(self.process.pid)
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.is_alive:
            self.kill()
        end(self._left_over)

    def usage(self) -> tuple[float, int] | None:
        """Return (resident MiB, open descriptors) of the gateway's process."""
        if not self.is_alive or self.process is None:
            return None
        try:
            process = psutil.Process(self.process.pid)
            return process.memory_info().rss / 2**20, process.num_fds()
        except psutil.Error:
            return None


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def end(processes: list[psutil.Process]) -> None:
    """Kill those of our processes that are still there."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.is_running():
                process.kill()
    psutil.wait_procs(processes, timeout=10)
    processes.clear()


def kill_titled(roots: list[int], *titles: str) -> int:
    """Kill Ray's processes below `roots` whose title has one of the texts; returns how many."""
    killed = 0
    for root in roots:
        for process in descendants(root):
            with contextlib.suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if title.startswith("ray::") and any(t in title for t in titles):
                    process.kill()
                    killed += 1
    return killed
