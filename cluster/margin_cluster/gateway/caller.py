"""Who makes a call: the identity in its certificate, or the address it comes from."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

NAME_LENGTH_MAX = 128
_NAMES = ("x509_common_name", "x509_subject_alternative_name")


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a call."""

    key: str
    """Calls with the same key share the limits of one caller: the identity, else the connection."""
    name: str
    """For logs and the ledger's audit: the identity, else the address without the port of the
    connection; printable, at most 128 characters."""


def caller_of(context: Any, *, has_certificates: bool) -> Caller:
    """Return the caller of a call.

    Parameters
    ----------
    context
        The call's servicer context.
    has_certificates : bool
        Whether callers must show a certificate, which the server has then verified.
    """
    peer: str = context.peer()
    if has_certificates:
        found = context.auth_context()
        for kind in _NAMES:
            for value in found.get(kind, ()):
                if value:
                    name = printable(value.decode("utf-8", "replace"))
                    return Caller(f"tls:{name}", name)
    return Caller(peer, printable(_without_port(peer)))


def printable(text: str) -> str:
    """Return at most 128 characters of a text, with `?` for those that cannot be printed."""
    short = text[:NAME_LENGTH_MAX]
    return short if short.isprintable() else "".join(c if c.isprintable() else "?" for c in short)


def _without_port(peer: str) -> str:
    """Return ipv4:127.0.0.1 for ipv4:127.0.0.1:4711; other kinds of address have no port."""
    address = unquote(peer)
    return address.rpartition(":")[0] if address.startswith(("ipv4:", "ipv6:")) else address
