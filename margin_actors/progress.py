"""The progress callback of long calculations."""

from collections.abc import Callable
from typing import TypeAlias

ProgressCallback: TypeAlias = Callable[[str, int, int], None]
"""Takes (description of the stage, steps done, steps in total); both numbers are 0 if the steps
cannot be counted."""


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Progress callback that does nothing."""
