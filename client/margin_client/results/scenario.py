"""Results of calls of ScenarioService."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScenarioSetSummary:
    """A stored scenario set."""

    scenarios_id: str
    engine: str
    """Engine that built the set, for example historical."""
    underlyings: tuple[str, ...]
    scenarios: int
    """Number of scenarios."""
    horizon_hours: float
    """Margin period of risk in hours."""
    first_window_end: datetime | None
    """End of the first historical window; None if the set has no windows."""
    last_window_end: datetime | None
    is_synthetic: bool
    create_time: datetime
    """Time at which the set was stored."""
    is_active: bool
    """True for the set in use."""


@dataclass(frozen=True, slots=True)
class ActivatedScenarioSet:
    """The result of an activation."""

    generation: int
    """Number of the generation that holds the set."""
    was_repeated: bool = False
    """True if the key had been used with the same id; nothing was changed then."""
