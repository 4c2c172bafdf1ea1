"""Where and how things run on this machine. Nothing here changes a number."""

import os
from dataclasses import dataclass
from pathlib import Path

from margin_actors.errors import InvalidParameters, Problem


@dataclass(frozen=True)
class Settings:
    """Read once at the start and passed on as a value."""

    store: Path
    """Folder of converted market data and scenario sets; ``MARGIN_STORE``."""
    data: Path | None
    """Folder of market data where ``--data`` is not given; ``MARGIN_DATA``."""
    threads: int
    """Threads of the kernels; ``MARGIN_THREADS``, else the processors this process may use."""
    deribit_url: str
    """Base address of the exchange's public API; ``MARGIN_DERIBIT_URL``."""


def settings_from_environment() -> Settings:
    """Return the settings of this process.

    Raises
    ------
    InvalidParameters
        If ``MARGIN_THREADS`` is no positive whole number.
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
