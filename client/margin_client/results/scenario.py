"""Results of ScenarioService."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScenarioSetSummary:
    """A stored scenario set."""

    scenarios_id: str
    engine: str
    underlyings: tuple[str, ...]
    scenarios: int
    horizon_hours: float
    first_window_end: datetime | None
    last_window_end: datetime | None
    is_synthetic: bool
    create_time: datetime
    is_active: bool


@dataclass(frozen=True, slots=True)
class ActivatedScenarioSet:
    """The set is in use."""

    generation: int
    was_repeated: bool = False
    """True if the key had been used with the same id: nothing was changed."""
