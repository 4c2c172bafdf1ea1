"""Settings of a gateway: addresses, limits and TLS files."""

from dataclasses import dataclass
from pathlib import Path

from margin_actors.errors import InvalidParameters, Problem, raise_if_any
from margin_cluster.gateway.admission import ClassLimits
from margin_cluster.gateway.tls import combination_problems

_PORT_MAX = 65_535
_COUNTS = (
    "threads",
    "unary_active_max",
    "unary_waiting_max",
    "unary_caller_waiting_max",
    "streaming_active_max",
    "streaming_caller_active_max",
    "streaming_waiting_max",
    "streaming_caller_waiting_max",
    "uploads_max",
    "caller_uploads_max",
    "watches_max",
    "caller_watches_max",
    "connection_streams_max",
    "message_bytes_max",
    "waiting_bytes_max",
)
_COUNT_MAX = 2**31 - 1
_SECONDS = (
    "unary_seconds_max",
    "streaming_seconds_max",
    "first_message_seconds_max",
    "stall_seconds_max",
    "unread_seconds_max",
    "drain_seconds_max",
)
_SECONDS_MAX = 86_400.0


@dataclass(frozen=True)
class GatewayOptions:
    """Addresses, limits and TLS files of a gateway.

    Raises
    ------
    InvalidParameters
        If a value is out of range, or the TLS files are incomplete; names every problem.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    """0 for any free port."""
    health_port: int = 50052
    """Port for health checks only, for probes; 0 for any free port."""
    metrics_port: int | None = None
    """Port for Prometheus over HTTP; 0 for any free port, None for no metrics port."""
    threads: int = 2
    """Number of computing threads."""
    unary_active_max: int = 4
    """Unary calls that are active at the same time."""
    unary_waiting_max: int = 24
    """Waiting unary calls of all callers, of which at most 4 per caller count."""
    unary_caller_waiting_max: int = 256
    """Waiting unary calls of one caller: the longest burst that is served without rejection."""
    streaming_active_max: int = 16
    """Streaming calls that are active at the same time."""
    streaming_caller_active_max: int = 8
    """Streaming calls of one caller that are active at the same time."""
    streaming_waiting_max: int = 32
    """Waiting streaming calls of all callers, of which at most 4 per caller count."""
    streaming_caller_waiting_max: int = 32
    """Waiting streaming calls of one caller."""
    uploads_max: int = 32
    """Open streams of requests (uploads and snapshots) of all callers."""
    caller_uploads_max: int = 4
    """Open streams of requests of one caller."""
    watches_max: int = 512
    """Open streams of events of all callers."""
    caller_watches_max: int = 128
    """Open streams of events of one caller."""
    message_bytes_max: int = 16 * 2**20
    """Largest request message; a response message may have four times as many bytes."""
    waiting_bytes_max: int = 128 * 2**20
    """Bytes of all requests that wait for their turn; a request that waits alone may exceed it."""
    connection_streams_max: int = 1_000
    """Calls in progress on one connection."""
    unary_seconds_max: float = 60.0
    """Longest duration of a unary call, whatever deadline the caller sets."""
    streaming_seconds_max: float = 3_600.0
    """Longest duration of a streaming call."""
    first_message_seconds_max: float = 5.0
    """Longest wait for the first message of a call."""
    stall_seconds_max: float = 10.0
    """Longest wait for the next message of a stream of requests."""
    unread_seconds_max: float = 30.0
    """Longest wait until the caller reads a message of the response."""
    drain_seconds_max: float = 20.0
    """Longest time for calls in progress to finish after the gateway is asked to stop."""
    tls_certificate: Path | None = None
    """PEM certificate chain; if it and its key are given, every port uses TLS."""
    tls_key: Path | None = None
    """PEM key of the certificate."""
    tls_client_ca: Path | None = None
    """PEM certificate of an authority; callers must then present a certificate signed by it."""

    def __post_init__(self) -> None:
        problems = [p for name in _COUNTS for p in self._out_of(name, 1, _COUNT_MAX)]
        problems += [p for name in _SECONDS for p in self._out_of(name, 0.001, _SECONDS_MAX)]
        ports = ("port", "health_port") + (("metrics_port",) if self.metrics_port else ())
        problems += [p for name in ports for p in self._out_of(name, 0, _PORT_MAX)]
        problems += combination_problems(self.tls_certificate, self.tls_key, self.tls_client_ca)
        raise_if_any(problems, InvalidParameters, "the gateway's settings are not valid")

    @property
    def unary_limits(self) -> ClassLimits:
        """Return the limits of unary calls."""
        return ClassLimits(
            self.unary_active_max,
            self.unary_waiting_max,
            self.unary_caller_waiting_max,
            self.unary_active_max,
        )

    @property
    def streaming_limits(self) -> ClassLimits:
        """Return the limits of streaming calls."""
        return ClassLimits(
            self.streaming_active_max,
            self.streaming_waiting_max,
            self.streaming_caller_waiting_max,
            self.streaming_caller_active_max,
        )

    def _out_of(self, name: str, least: float, most: float) -> list[Problem]:
        value = getattr(self, name)
        if least <= value <= most:
            return []
        return [Problem(name, f"{value}", f"give a number from {least:g} to {most:,g}")]
