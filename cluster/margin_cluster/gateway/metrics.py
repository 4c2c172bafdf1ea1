"""Metrics for Prometheus."""

import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Protocol, Unpack
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from margin_cluster.feeds import FeedBoard
from margin_cluster.gateway.admission import PriorityClass, Reason
from margin_cluster.gateway.tls import HttpTls

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


class QueueLengths(Protocol):
    """The lengths of the queue of one priority class."""

    active: int
    """Active calls."""
    pending: int
    """Admitted calls that are not active."""


class _FeedCollector(Collector):
    """The metrics of the sources of market data."""

    def __init__(self, board: FeedBoard) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; a source without messages has no age."""
        gauge, counter = GaugeMetricFamily, CounterMetricFamily
        age = gauge("margin_feed_age_seconds", "Seconds since the last message", labels=["source"])
        connected = gauge("margin_feed_connected", "1 if connected, else 0", labels=["source"])
        snapshots = counter("margin_feed_snapshots", "Snapshots", labels=["source", "outcome"])
        messages = counter("margin_feed_messages", "Messages with data", labels=["source"])
        faults = counter("margin_feed_faults", "Faults by kind", labels=["source", "kind"])
        for report in self._board.reports():
            name = report.source
            if report.age_seconds is not None:
                age.add_metric([name], report.age_seconds)
            connected.add_metric([name], float(report.is_connected))
            snapshots.add_metric([name, "accepted"], report.accepted)
            snapshots.add_metric([name, "rejected"], report.rejected)
            messages.add_metric([name], report.messages)
            for kind, count in sorted(report.faults.items()):
                faults.add_metric([name, kind], count)
        yield from (age, connected, snapshots, messages, faults)


class Metrics:
    """The metrics of one gateway, in a separate registry; safe to set from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = self._counter("calls", "Calls by method and status", "method", "code")
        self._seconds = Histogram(
            "margin_call_seconds",
            "Duration of calls",
            ["method"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._rejected = self._counter("rejections", "Rejected calls", "class", "reason")
        self._active = self._gauge("calls_active", "Active calls", "class")
        self._waiting = self._gauge("calls_waiting", "Admitted calls that are waiting", "class")
        self._generation = self._gauge("generation", "Number of the generation in use")
        self._snapshot_age = self._gauge(
            "snapshot_age_seconds", "Seconds since the time of the current snapshot; NaN before it"
        )
        self._snapshot_age.set(float("nan"))
        self._accounts = self._gauge("accounts", "Accounts with positions")
        self._positions = self._gauge("positions", "Positions of all accounts")
        self._slots = self._gauge(
            "run_slots", "Run slots: book calculations that may run at the same time"
        )
        self._slots_free = self._gauge("run_slots_free", "Free run slots")
        self._ledger_failures = self._counter("ledger_failures", "Failed ledger operations")
        self._ready = self._gauge("ready", "1 if changes are accepted, else 0")
        self._rejections: dict[tuple[str, Reason], tuple[Counter, ...]] = {}
        ProcessCollector(registry=self.registry)

    def finished(self, method: str, code: str, seconds: float) -> None:
        """Count a finished call and record its duration in seconds."""
        self._calls.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)

    def rejected(self, method: str, priority: PriorityClass, reason: Reason) -> None:
        """Count a rejected call."""
        counters = self._rejections.get((method, reason))
        if counters is None:
            counters = self._rejections[method, reason] = (
                self._calls.labels(method, "RESOURCE_EXHAUSTED"),
                self._rejected.labels(priority.value, reason.value),
            )
        for counter in counters:
            counter.inc()

    def watch_queue(self, priority: PriorityClass, queue: QueueLengths) -> None:
        """Read the lengths of a class's queue whenever the metrics are collected."""
        self._active.labels(priority.value).set_function(lambda: queue.active)
        self._waiting.labels(priority.value).set_function(lambda: queue.pending)

    def set_generation(self, number: int) -> None:
        """Note the generation in use."""
        self._generation.set(number)

    def set_snapshot_time(self, unix_seconds: float) -> None:
        """Note the time of the current snapshot; its age is computed at each collection."""
        self._snapshot_age.set_function(lambda: time.time() - unix_seconds)

    def set_positions(self, *, accounts: int, positions: int) -> None:
        """Note how many accounts hold positions, and how many positions there are."""
        self._accounts.set(accounts)
        self._positions.set(positions)

    def set_run_slots(self, *, total: int, free: int) -> None:
        """Note how many books may run at the same time, and how many more may start."""
        self._slots.set(total)
        self._slots_free.set(free)

    def ledger_failed(self) -> None:
        """Count a failed ledger operation."""
        self._ledger_failures.inc()

    def watch_ready(self, is_ready: Callable[[], bool]) -> None:
        """Read whether changes are accepted whenever the metrics are collected."""
        self._ready.set_function(lambda: float(is_ready()))

    def watch_feeds(self, board: FeedBoard) -> None:
        """Read the states of the sources of market data whenever the metrics are collected."""
        self.registry.register(_FeedCollector(board))

    def listen(self, host: str, port: int, **tls: Unpack[HttpTls]) -> tuple[WSGIServer, Thread]:
        """Serve the metrics over HTTP, or HTTPS with TLS options, and return (server, thread)."""
        return start_http_server(port, addr=host, registry=self.registry, **tls)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"margin_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"margin_{name}", what, labels, registry=self.registry)
