"""Figures for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """Counters of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "margin_calls", "Calls by method and status", ["method", "code"], registry=self.registry
        )
        self._seconds = Histogram(
            "margin_call_seconds",
            "Duration of calls",
            ["method"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._active = Gauge("margin_calls_active", "Calls at work", registry=self.registry)
        self._generation = Gauge(
            "margin_generation", "Number of the generation in use", registry=self.registry
        )
        ProcessCollector(registry=self.registry)

    def finished(self, method: str, code: str, seconds: float, active: int) -> None:
        """Count a finished call."""
        self._calls.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)
        self._active.set(active)

    def rejected(self, method: str) -> None:
        """Count a call turned away."""
        self._calls.labels(method, "RESOURCE_EXHAUSTED").inc()

    def generation(self, number: int) -> None:
        """Note the generation in use."""
        self._generation.set(number)
