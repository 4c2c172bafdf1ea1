"""Options of the feed of Deribit's public data."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from margin_actors.backoff import Backoff
from margin_actors.errors import InvalidParameters, Problem, raise_if_any

Series: TypeAlias = Literal["trades", "volatility", "funding"]
Resume: TypeAlias = Callable[[Series, str], int | None]
"""Function (series, instrument or underlying) -> time up to which it is recorded, milliseconds
since 1970-01-01 UTC; None if nothing is."""


def nothing_recorded(_series: Series, _name: str) -> None:
    """Resume function of a feed whose data are not recorded."""


@dataclass(frozen=True)
class DeribitOptions:
    """What the feed requests, and its limits.

    Raises
    ------
    InvalidParameters
        If the address is not one of HTTP or there is no currency.
    """

    url: str = "https://www.deribit.com/api/v2"
    """Base address of the HTTP API; that of the WebSocket follows from it."""
    currencies: tuple[str, ...] = ("BTC", "ETH")
    """Underlyings whose chains, indices, perpetuals and volatility indices are requested."""
    books: bool = False
    """Subscribe to the order books of the perpetuals as well."""
    snapshot_seconds: float = 60.0
    """Time between two snapshots of the chains."""
    instruments_seconds: float = 3_600.0
    """Time between two requests for the list of contracts."""
    skew_seconds: float = 60.0
    """Time between two comparisons of the clocks."""
    skew_max_seconds: float = 2.0
    """Largest difference of the clocks, beyond what the duration of the request explains."""
    funding_seconds: float = 900.0
    """Time between two requests for funding rates."""
    heartbeat_seconds: int = 10
    """Interval of the heartbeats that the exchange is asked to send; at least 10."""
    idle_seconds: float = 25.0
    """A connection without any message for this time is closed and opened again."""
    silent_seconds: float = 60.0
    """A channel that reports continuously is silent after this time without a message."""
    requests_per_second: float = 5.0
    """Rate of HTTP requests in the long run."""
    requests_at_once: float = 10.0
    """Number of HTTP requests that may be sent without a delay."""
    attempts: int = 5
    """Number of attempts per HTTP request, including the first."""
    timeout_seconds: float = 20.0
    """Time limit of one attempt, and of opening a connection."""
    backoff: Backoff = field(default=Backoff(0.5, 30.0))
    """Delays before the next attempt or connection."""
    resume_hours_max: float = 24.0
    """How far into the past missing trades and volatilities are requested."""
    malformed_max: int = 20
    """Number of unreadable messages in a row after which the connection is opened again."""
    queue_max: int = 10_000
    """Number of events that wait to be read; beyond it the connection is not read further."""
    resume: Resume = nothing_recorded

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            problems.append(
                Problem("url", repr(self.url), "write https://HOST/api/v2, without a query")
            )
        if not self.currencies:
            problems.append(Problem("currencies", "none given", "name at least one"))
        raise_if_any(problems, InvalidParameters, "the feed cannot be used")

    @property
    def http_url(self) -> str:
        """Base address of the HTTP API, without a slash at the end."""
        return self.url.rstrip("/")

    @property
    def socket_url(self) -> str:
        """Address of the WebSocket.

        Examples
        --------
        >>> DeribitOptions("https://www.deribit.com/api/v2/").socket_url
        'wss://www.deribit.com/ws/api/v2'
        """
        parts = urlsplit(self.http_url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        return urlunsplit((scheme, parts.netloc, f"/ws{parts.path}", "", ""))

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels to subscribe to."""
        out: list[str] = []
        for currency in self.currencies:
            index, perpetual = f"{currency.lower()}_usd", f"{currency}-PERPETUAL"
            out += [
                f"deribit_price_index.{index}",
                f"deribit_volatility_index.{index}",
                f"ticker.{perpetual}.100ms",
                f"trades.{perpetual}.100ms",
            ]
            if self.books:
                out.append(f"book.{perpetual}.100ms")
        return tuple(out)

    @property
    def perpetuals(self) -> tuple[str, ...]:
        """The perpetual of each currency."""
        return tuple(f"{currency}-PERPETUAL" for currency in self.currencies)
