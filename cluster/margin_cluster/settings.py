"""Settings of the process: folders, threads and addresses. They do not affect any result."""

import os
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from margin_actors.errors import InvalidParameters, Problem

_PREFIX = "MARGIN_"
_REMEDIES = {"threads": "give a whole number of at least 1"}


def _store() -> Path:
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "margin-cluster"


def _processors() -> int:
    return len(os.sched_getaffinity(0))


class Settings(BaseSettings):
    """Settings of the process; read once from the environment and passed on as a value.

    An empty variable counts as not set.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    store: Path = Field(default_factory=_store)
    """Folder of converted market data and scenario sets; ``MARGIN_STORE``, by default
    ``margin-cluster`` in ``XDG_DATA_HOME`` or in ``~/.local/share``."""
    data: Path | None = None
    """Folder of market data if ``--data`` is not given; ``MARGIN_DATA``."""
    threads: int = Field(default_factory=_processors, ge=1)
    """Number of compute threads; ``MARGIN_THREADS``, by default one per usable processor."""
    deribit_url: str = "https://www.deribit.com/api/v2"
    """Base address of the exchange's public API; ``MARGIN_DERIBIT_URL``."""


def settings_from_environment() -> Settings:
    """Return the settings of this process.

    Raises
    ------
    InvalidParameters
        If a variable has an invalid value, for example ``MARGIN_THREADS=0``; names every one.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = [
            Problem(
                _PREFIX + str(fault["loc"][0]).upper(),
                repr(fault["input"]),
                _REMEDIES.get(str(fault["loc"][0]), fault["msg"]),
            )
            for fault in error.errors()
        ]
        raise InvalidParameters("a setting is not valid", problems) from None
