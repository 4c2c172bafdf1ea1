"""TLS of all ports of a gateway; every file is read and checked before a port is opened."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import grpc

from margin_actors.errors import InvalidParameters, Problem

_ADVICE = "give --tls-certificate and --tls-key together, and --tls-client-ca only with both"


class HttpTls(TypedDict, total=False):
    """Options of the HTTP server of the metrics; without TLS there are none."""

    certfile: str
    """PEM certificate chain."""
    keyfile: str
    """PEM key."""
    client_cafile: str
    """PEM certificate of the authority of client certificates."""
    client_auth_required: bool


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Certificate and key of the server and, optionally, the authority of client certificates.

    With an authority, callers must present a certificate that it has signed.
    """

    certificate: Path
    key: Path
    client_ca: Path | None
    certificate_pem: bytes
    key_pem: bytes
    client_ca_pem: bytes | None

    def credentials(self) -> grpc.ServerCredentials:
        """Return the credentials of a gRPC port."""
        return grpc.ssl_server_credentials(
            [(self.key_pem, self.certificate_pem)],
            root_certificates=self.client_ca_pem,
            require_client_auth=self.client_ca_pem is not None,
        )

    def http_options(self) -> HttpTls:
        """Return the options of the HTTP server of the metrics."""
        options = HttpTls(certfile=str(self.certificate), keyfile=str(self.key))
        if self.client_ca is not None:
            options["client_cafile"] = str(self.client_ca)
            options["client_auth_required"] = True
        return options


def combination_problems(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> list[Problem]:
    """Return the problems of a combination of files; an incomplete one is never ignored."""
    problems: list[Problem] = []
    if certificate is None and (key is not None or client_ca is not None):
        problems.append(Problem("tls_certificate", "is missing", _ADVICE))
    if key is None and (certificate is not None or client_ca is not None):
        problems.append(Problem("tls_key", "is missing", _ADVICE))
    return problems


def load_server_tls(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> ServerTls | None:
    """Return the TLS of a gateway, or None if no file is given.

    Raises
    ------
    InvalidParameters
        If the combination is incomplete, or a file cannot be read, or a file is not a valid PEM
        file of its kind.
    """
    problems = combination_problems(certificate, key, client_ca)
    contents: dict[str, bytes] = {}
    named = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": client_ca}
    for name, path in named.items():
        if path is None:
            continue
        try:
            contents[name] = path.read_bytes()
        except OSError as error:
            what = f"{path} cannot be read: {error.strerror}"
            problems.append(Problem(name, what, "give a readable PEM file"))
    if not problems:
        problems = _content_problems(certificate, key, client_ca)
    if problems:
        raise InvalidParameters(
            "the TLS configuration is incomplete or invalid; no port was opened", problems
        )
    if certificate is None or key is None:
        return None
    return ServerTls(
        certificate,
        key,
        client_ca,
        contents["tls_certificate"],
        contents["tls_key"],
        contents.get("tls_client_ca"),
    )


def _content_problems(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> list[Problem]:
    """Return the problems in the content of readable files."""
    problems: list[Problem] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None and key is not None:
        try:
            # OpenSSL would otherwise ask for the password of an encrypted key on the terminal.
            context.load_cert_chain(certificate, key, password=lambda: b"")
        except (ssl.SSLError, OSError, ValueError) as error:
            what = f"{certificate} and {key} are not a PEM certificate chain and its key: {error}"
            remedy = "give an unencrypted PEM key that belongs to the first certificate of the file"
            problems.append(Problem("tls_certificate, tls_key", what, remedy))
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (ssl.SSLError, OSError, ValueError) as error:
            what = f"{client_ca} does not contain a PEM certificate: {error}"
            problems.append(Problem("tls_client_ca", what, "give the authority's certificate"))
    return problems
