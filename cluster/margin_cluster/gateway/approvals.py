"""Approvals of model versions as the gateway knows them, for its answers and records."""

from dataclasses import replace

from margin_actors.actors.generation import ResidentGeneration
from margin_cluster.gateway.convert.generations import summary_of_generation
from margin_cluster.ledger import GenerationSummary, Ledger


class ModelApprovals:
    """Who approved each version of a model, as last read from the ledger.

    Calculations take a fraction of a millisecond, so they do not read the ledger themselves. An
    approval given while the gateway runs appears in its answers after the next `refresh`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._approved_by: dict[tuple[str, str], str] = {}

    def refresh(self) -> None:
        """Read all approvals; blocks, and may be called from any thread.

        Raises
        ------
        LedgerUnavailable
            If the ledger cannot be read; what was read before remains valid.
        """
        versions = self._ledger.models.all()
        self._approved_by = {(r.name, r.version): r.approved_by for r in versions}

    def summary(self, generation: ResidentGeneration) -> GenerationSummary:
        """Return the summary of a generation, with the approval of its model."""
        summary = summary_of_generation(generation)
        version = summary.model_name, summary.model_version
        return replace(summary, model_approved_by=self._approved_by.get(version, ""))
