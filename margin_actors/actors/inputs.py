"""What is in use: one market snapshot and one scenario set, changed one at a time."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

ChangeKind: TypeAlias = Literal["publish", "activate"]
"""The kind of a change of what is in use: of the market snapshot, or of the scenario set."""


@dataclass(frozen=True, slots=True)
class ActiveInputs:
    """The inputs in use; stored durably, so that a new coordinator can continue from them."""

    number: int = 0
    """Number of the generation; increases with every change."""
    snapshot_id: str = ""
    """Id of the market snapshot; empty if none is in use."""
    scenarios_id: str = ""
    """Id of the scenario set; empty if none is in use."""

    @property
    def is_complete(self) -> bool:
        """True if both a snapshot and a scenario set are in use."""
        return bool(self.snapshot_id and self.scenarios_id)


@dataclass(frozen=True, slots=True)
class Published:
    """The response to a publication or an activation."""

    number: int
    """Number of the generation that the request produced."""
    was_repeated: bool
    """True if an earlier request with the same key produced it, so that nothing was changed."""
