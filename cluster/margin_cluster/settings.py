"""Settings of the process: folders, threads and addresses. They do not affect any result."""

import os
from dataclasses import dataclass
from pathlib import Path

from margin_actors.errors import InvalidParameters, Problem


@dataclass(frozen=True)
class Settings:
    """Settings of the process; read once from the environment and passed on as a value."""

    store: Path
    """Folder of converted market data and scenario sets; ``MARGIN_STORE``."""
    data: Path | None
    """Folder of market data if ``--data`` is not given; ``MARGIN_DATA``."""
    threads: int
    """Number of compute threads; ``MARGIN_THREADS``, by default one per usable processor."""
    deribit_url: str
    """Base address of the exchange's public API; ``MARGIN_DERIBIT_URL``."""


def settings_from_environment() -> Settings:
    """Return the settings of this process.

    Raises
    ------
    InvalidParameters
        If ``MARGIN_THREADS`` is not a positive whole number.
    """
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    given = os.environ.get("MARGIN_THREADS")
    if given is not None and not (given.isdecimal() and int(given) > 0):
        raise InvalidParameters(
            "a setting is not valid",
            [Problem("MARGIN_THREADS", f"{given!r}", "give a whole number of at least 1")],
        )
    threads = len(os.sched_getaffinity(0)) if given is None else int(given)
    data = os.environ.get("MARGIN_DATA")
    return Settings(
        store=Path(os.environ.get("MARGIN_STORE") or home / "margin-cluster"),
        data=Path(data) if data else None,
        threads=threads,
        deribit_url=os.environ.get("MARGIN_DERIBIT_URL") or "https://www.deribit.com/api/v2",
    )
