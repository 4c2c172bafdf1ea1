"""Metrics of the intraday loop for Prometheus."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 30, 60)


class LoopMetrics:
    """The metrics of one loop; safe to set from any thread.

    Parameters
    ----------
    registry : CollectorRegistry, optional
        For example that of the gateway; a separate one by default.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._stages = Histogram(
            "margin_cycle_stage_seconds",
            "Duration of the stages of a cycle",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._whole = Histogram(
            "margin_cycle_seconds",
            "Duration of cycles, from the snapshot to the commit",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._cycles = self._counter("cycles", "Cycles by outcome", "outcome")
        self._reasons = self._counter("cycle_reasons", "Reasons of cycles", "cause")
        self._number = self._gauge("cycle_number", "Number of the last recorded cycle")
        self._age = self._gauge(
            "cycle_valuation_age_seconds", "Age of the market data when the cycle was recorded"
        )
        self._accounts = self._gauge("cycle_accounts", "Accounts of the last cycle")
        self._failed = self._gauge("cycle_accounts_failed", "Accounts that could not be margined")
        self._calls = self._counter("cycle_calls", "Calls that cycles changed")
        self._factor = self._gauge("margin_factor", "Factor on margins because of old data")
        self._jobs = self._counter("loop_jobs", "Settlements and other jobs", "job", "outcome")

    def finished(
        self,
        outcome: str,
        stages: Mapping[str, float],
        causes: tuple[str, ...] = (),
    ) -> None:
        """Count a cycle and record its stages, seconds."""
        self._cycles.labels(outcome).inc()
        for cause in causes:
            self._reasons.labels(cause).inc()
        for stage, seconds in stages.items():
            self._stages.labels(stage).observe(seconds)
        self._whole.observe(sum(stages.values()))

    def recorded(
        self, number: int, *, accounts: int, failed: int, calls: int, age_seconds: float
    ) -> None:
        """Note a recorded cycle."""
        self._number.set(number)
        self._accounts.set(accounts)
        self._failed.set(failed)
        self._calls.inc(calls)
        self._age.set(age_seconds)

    def set_factor(self, factor: float) -> None:
        """Note the factor on margins."""
        self._factor.set(factor)

    def job_finished(self, job: str, outcome: str) -> None:
        """Count a job of the loop by its outcome."""
        self._jobs.labels(job, outcome).inc()

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"margin_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"margin_{name}", what, registry=self.registry)


__all__ = ["LoopMetrics"]
