"""Identification of callers: the identity in a caller's certificate, or its network address."""

from dataclasses import dataclass
from urllib.parse import unquote

from margin_cluster.gateway.rpc import Context

NAME_LENGTH_MAX = 128
_NAMES = ("x509_common_name", "x509_subject_alternative_name")


@dataclass(frozen=True, slots=True)
class Caller:
    """Key and name of the caller of a call."""

    key: str
    """Identity in the certificate, or without one the address including the port, which denotes
    the connection. Calls with the same key share the limits of one caller."""
    name: str
    """For logs and the ledger's audit: the identity, or without one the address without the port;
    printable, at most 128 characters."""


def caller_of(context: Context, *, has_certificates: bool) -> Caller:
    """Return the caller of a call.

    The identity is the common name of the certificate, or its first non-empty alternative name if
    the certificate has no common name.

    Parameters
    ----------
    context
        The call's servicer context.
    has_certificates : bool
        True if callers must present a certificate, which the server has then verified.
    """
    peer = context.peer()
    if has_certificates:
        found = context.auth_context()
        for kind in _NAMES:
            for value in found.get(kind, ()):
                if value:
                    name = printable(value.decode("utf-8", "replace"))
                    return Caller(f"tls:{name}", name)
    return Caller(peer, printable(_without_port(peer)))


def printable(text: str) -> str:
    """Return the first 128 characters of a text, with ``?`` for every unprintable character."""
    short = text[:NAME_LENGTH_MAX]
    return short if short.isprintable() else "".join(c if c.isprintable() else "?" for c in short)


def _without_port(peer: str) -> str:
    """Return ipv4:127.0.0.1 for ipv4:127.0.0.1:4711; other kinds of address have no port."""
    address = unquote(peer)
    return address.rpartition(":")[0] if address.startswith(("ipv4:", "ipv6:")) else address
