"""Readiness of the gateway, and the conditions that prevent normal operation."""

from collections.abc import Callable

from margin_actors.errors import NotStarted


class HealthMonitor:
    """Collects the conditions of readiness; attributes may be set from any thread."""

    def __init__(self) -> None:
        self._accepts_writes = self._has_generation = self._is_stopping = False
        self._ledger_fault: str | None = None
        self._cluster_fault: str | None = None
        self.ledger_failures = 0
        """Number of failed ledger operations so far."""
        self.on_ledger_failure: Callable[[Exception], None] | None = None
        """Called from any thread after a ledger operation has failed."""

    def ledger_failed(self, error: Exception) -> None:
        """Note that a ledger operation has failed; the fault remains until a check succeeds."""
        self._ledger_fault = getattr(error, "summary", str(error))
        self.ledger_failures += 1
        if self.on_ledger_failure is not None:
            self.on_ledger_failure(error)

    def accept_writes(self) -> None:
        """Note that start-up is complete: calls that change something are accepted from now on."""
        self._accepts_writes = True

    def set_generation(self, *, is_resident: bool) -> None:
        """Note whether a generation is resident, on which requests can be answered."""
        self._has_generation = is_resident

    def set_ledger_fault(self, fault: str | None) -> None:
        """Note why the ledger cannot be read or written, or None if it can."""
        self._ledger_fault = fault

    def set_cluster_fault(self, fault: str | None) -> None:
        """Note why Ray does not work normally, or None if it does."""
        self._cluster_fault = fault

    def set_stopping(self) -> None:
        """Note that the gateway is draining."""
        self._is_stopping = True

    @property
    def is_ready(self) -> bool:
        """Return whether changes are accepted: start-up is complete and the ledger works."""
        return self._accepts_writes and self._ledger_fault is None and not self._is_stopping

    @property
    def is_serving(self) -> bool:
        """Return what health checks report: ready, with a generation resident."""
        return self.is_ready and self._has_generation

    def problems(self) -> list[str]:
        """Return the conditions that prevent normal operation; empty if there is none."""
        found: list[str] = []
        if not self._accepts_writes:
            found.append("start-up is not complete: changes and calculations are refused")
        if not self._has_generation:
            found.append(
                "no generation is in use: a market snapshot and a scenario set are required"
            )
        if self._ledger_fault is not None:
            found.append(f"the ledger cannot be used: {self._ledger_fault}")
        if self._cluster_fault is not None:
            found.append(self._cluster_fault)
        if self._is_stopping:
            found.append("the gateway is stopping")
        return found

    def require_started(self) -> None:
        """Refuse a call that changes something before start-up is complete.

        Raises
        ------
        NotStarted
            Until `accept_writes` has been called.
        """
        if not self._accepts_writes:
            raise NotStarted("the service is starting and accepts no changes yet")
