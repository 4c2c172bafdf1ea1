"""gRPC channels to the service."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import grpc
import grpc.aio

MESSAGE_BYTES_MAX = 64 * 2**20

Compression: TypeAlias = Literal["none", "gzip", "deflate"]
_METHODS: dict[Compression, grpc.Compression] = {
    "none": grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS settings of a client.

    Raises
    ------
    ValueError
        If only one of certificate and key is given.
    """

    authority: Path | str | None = None
    """PEM file of the trusted certificate authorities; None for those of the system."""
    certificate: Path | str | None = None
    """PEM file of the client's own certificate chain, if the service requires one."""
    key: Path | str | None = None
    """PEM file of the private key of `certificate`."""
    server_name: str | None = None
    """Name in the service's certificate, if it differs from the address."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give both certificate and key, or neither")

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files and return gRPC credentials."""
        return grpc.ssl_channel_credentials(
            root_certificates=_bytes(self.authority),
            private_key=_bytes(self.key),
            certificate_chain=_bytes(self.certificate),
        )


def _bytes(path: Path | str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def open_blocking_channel(
    target: str, *, tls: Tls | None, compression: Compression
) -> grpc.Channel:
    """Return a channel whose calls block."""
    options, method = _options(tls), _METHODS[compression]
    if tls is None:
        return grpc.insecure_channel(target, options=options, compression=method)
    return grpc.secure_channel(target, tls.credentials(), options=options, compression=method)


def open_asyncio_channel(
    target: str, *, tls: Tls | None, compression: Compression
) -> grpc.aio.Channel:
    """Return a channel whose calls are awaited."""
    options, method = _options(tls), _METHODS[compression]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options, compression=method)
    return grpc.aio.secure_channel(target, tls.credentials(), options=options, compression=method)


def _options(tls: Tls | None) -> list[tuple[str, str | int]]:
    spread = {"loadBalancingConfig": [{"round_robin": {}}]}
    options: list[tuple[str, str | int]] = [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        # Retries are made by `_retries`, which takes the deadline and suggested delay into account.
        ("grpc.enable_retries", 0),
        # If a name resolves to several gateways, calls are distributed over them.
        ("grpc.service_config", json.dumps(spread)),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    if tls is not None and tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options
