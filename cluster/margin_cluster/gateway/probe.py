"""Reads the status of a running service, for the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from margin_protos.v1 import operations_service_pb2 as pb
from margin_protos.v1 import operations_service_pb2_grpc as stubs

from margin_actors.errors import InvalidParameters, Problem, SourceUnavailable, raise_if_any


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS files of a caller; without files the connection is not encrypted.

    Raises
    ------
    InvalidParameters
        If a certificate is given without its key or the reverse, or a server name without any file.
    """

    ca: Path | None = None
    """PEM certificate of the authority that signed the service's certificate."""
    certificate: Path | None = None
    """PEM certificate chain of the caller."""
    key: Path | None = None
    """PEM key of the caller's certificate."""
    server_name: str | None = None
    """Name in the service's certificate, if it differs from the host of the address."""

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        if self.certificate is None and self.key is not None:
            problems.append(Problem("tls_certificate", "is missing", "give it with --tls-key"))
        if self.key is None and self.certificate is not None:
            problems.append(Problem("tls_key", "is missing", "give it with --tls-certificate"))
        if self.ca is None and (self.certificate or self.key or self.server_name):
            problems.append(Problem("tls_ca", "is missing", "give the authority of the service"))
        raise_if_any(problems, InvalidParameters, "the TLS configuration is incomplete")

    def channel(self, address: str) -> grpc.Channel:
        """Return a channel to an address.

        Raises
        ------
        InvalidParameters
            If a file cannot be read.
        """
        if self.ca is None:
            return grpc.insecure_channel(address)
        problems: list[Problem] = []
        contents = {
            name: _content(name, path, problems)
            for name, path in (("ca", self.ca), ("key", self.key), ("cert", self.certificate))
        }
        raise_if_any(problems, InvalidParameters, "a TLS file cannot be read")
        credentials = grpc.ssl_channel_credentials(
            contents["ca"], contents["key"], contents["cert"]
        )
        name = self.server_name
        options = [("grpc.ssl_target_name_override", name)] if name is not None else []
        return grpc.secure_channel(address, credentials, options)


def service_status(
    address: str,
    *,
    timeout_seconds: float,
    tls: ClientTls | None = None,
    metadata: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Return the fields of the GetStatusResponse of the service at an address.

    Raises
    ------
    SourceUnavailable
        If the service does not answer within `timeout_seconds`.
    InvalidParameters
        If a TLS file cannot be read.
    """
    with (tls or ClientTls()).channel(address) as channel:
        stub = stubs.OperationsServiceStub(channel)
        try:
            answer = stub.GetStatus(
                pb.GetStatusRequest(), timeout=timeout_seconds, metadata=metadata
            )
        except grpc.RpcError as error:
            code, text = error.code(), error.details()  # pyright: ignore[reportAttributeAccessIssue]
            raise SourceUnavailable(
                f"no service answers at {address}: {code.name}, {text}"
            ) from error
    return MessageToDict(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _content(name: str, path: Path | None, problems: list[Problem]) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror}"
        problems.append(Problem(f"tls_{name}", what, "give a readable PEM file"))
        return None
