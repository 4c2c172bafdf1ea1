"""The choice of a feed by a text, as on the command line."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from margin_actors.errors import InvalidParameters, Problem
from margin_cluster.feeds.deribit.options import DeribitOptions

FORMS = "none, deribit, deribit:URL or replay:DIR@SPEED (for example replay:data@60x, or @max)"
_SPEED = re.compile(r"(\d+(?:\.\d+)?)x")


@dataclass(frozen=True, slots=True)
class DeribitChoice:
    """The feed of Deribit's public data."""

    url: str
    """Base address of the HTTP API."""


@dataclass(frozen=True, slots=True)
class ReplayChoice:
    """The replay of a data folder."""

    folder: Path
    speed: float
    """Recorded seconds per second; infinity for no pauses."""


FeedChoice: TypeAlias = DeribitChoice | ReplayChoice


def feed_from_text(text: str, *, default_url: str) -> FeedChoice | None:
    """Return the feed that a text names; None for ``none``.

    Raises
    ------
    InvalidParameters
        If the text has another form, an address is not one of HTTP, a speed is not positive, or a
        folder does not exist.

    Examples
    --------
    >>> feed_from_text("deribit", default_url="https://x.example/api/v2")
    DeribitChoice(url='https://x.example/api/v2')
    """
    kind, _, rest = text.strip().partition(":")
    if kind == "none" and not rest:
        return None
    if kind == "deribit":
        url = rest or default_url
        DeribitOptions(url)
        return DeribitChoice(url)
    if kind == "replay" and rest:
        return _replay(text, rest)
    raise _refusal(text, f"write {FORMS}")


def _replay(text: str, rest: str) -> ReplayChoice:
    folder, at, speed = rest.rpartition("@")
    if not at:
        folder, speed = rest, "1x"
    found = _SPEED.fullmatch(speed)
    if speed == "max":
        factor = math.inf
    elif found is not None and float(found[1]) > 0.0:
        factor = float(found[1])
    else:
        raise _refusal(text, f"the speed {speed!r} is not a positive number such as 60x, or max")
    if not folder or not Path(folder).is_dir():
        raise _refusal(text, f"the folder {folder or '(empty)'} does not exist")
    return ReplayChoice(Path(folder), factor)


def _refusal(text: str, remedy: str) -> InvalidParameters:
    return InvalidParameters("the feed is not valid", [Problem("--feed", repr(text), remedy)])
