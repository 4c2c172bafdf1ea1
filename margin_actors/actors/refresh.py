"""Refreshes: the nodes are listed and the inputs in use are read, at intervals and on demand."""

import math
from dataclasses import dataclass

from margin_actors.actors.instructions import ListNodes, ReadInputs


@dataclass
class Refresh:
    """The schedule of refreshes and the progress of the one in progress.

    A refresh is one listing of the nodes and one reading of the inputs in use; at most one is in
    progress.
    """

    interval_seconds: float
    """Interval between refreshes without a request."""
    number: int = 0
    """Number of the last refresh; 0 before the first."""
    awaits_nodes: bool = False
    """True until the nodes are listed."""
    awaits_inputs: bool = False
    """True until the inputs are read."""
    nodes_fault: str = ""
    """Why the last listing of the nodes failed; empty if it succeeded."""
    inputs_fault: str = ""
    """Why the last reading of the inputs failed; empty if it succeeded."""
    is_requested: bool = False
    """True if a refresh is required as soon as possible."""
    due_at: float = math.inf
    """Time of the next refresh without a request, seconds of the monotonic clock."""
    not_before: float = -math.inf
    """Time before which no refresh begins, because of the back-off after a loss."""

    @property
    def is_in_progress(self) -> bool:
        """True if an answer to the last refresh is missing."""
        return self.awaits_nodes or self.awaits_inputs

    @property
    def fault(self) -> str:
        """Why the last refresh failed; empty if it succeeded."""
        fault = self.nodes_fault or self.inputs_fault
        if not fault:
            return ""
        return f"the nodes or the inputs in use could not be checked: {fault}"

    @property
    def next_time(self) -> float:
        """Time at which the next refresh may begin."""
        return max(-math.inf if self.is_requested else self.due_at, self.not_before)

    def begin(self) -> tuple[ListNodes, ReadInputs]:
        """Begin a refresh."""
        assert not self.is_in_progress
        self.number += 1
        self.awaits_nodes = self.awaits_inputs = True
        self.is_requested = False
        return ListNodes(self.number), ReadInputs(self.number)

    def accept_nodes(self, refresh: int, fault: str = "") -> bool:
        """Accept an answer about the nodes; return False if it is late or a duplicate."""
        if refresh != self.number or not self.awaits_nodes:
            return False
        self.awaits_nodes, self.nodes_fault = False, fault
        return True

    def accept_inputs(self, refresh: int, fault: str = "") -> bool:
        """Accept an answer about the inputs in use; return False if it is late or a duplicate."""
        if refresh != self.number or not self.awaits_inputs:
            return False
        self.awaits_inputs, self.inputs_fault = False, fault
        return True
