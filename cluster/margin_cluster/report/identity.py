"""Identity of a report: the time, the data, the model and the command that it comes from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from margin_cluster.sources import UsedFile

SOFTWARE = f"margin-cluster {version('margin-cluster')}"
Pair = tuple[str, str]


@dataclass(frozen=True)
class ReportOrigin:
    """Who wrote a report, and when."""

    command: str
    """Command that wrote the report, or name of the service."""
    created: datetime
    """Time at which the report was written, with a zone."""


@dataclass(frozen=True, kw_only=True)
class ReportIdentity:
    """What identifies a report; shown on every one of them."""

    valuation: str
    """Valuation time, or first and last time of a study, UTC."""
    origin: ReportOrigin
    models: tuple[Pair, ...]
    """Pairs (name and version, content id)."""
    inputs: tuple[Pair, ...] = ()
    """Pairs (label, content id) of snapshots, books, scenario sets and results."""
    files: tuple[UsedFile, ...] = ()
    """Files read, with the SHA-256 of their content."""
    is_synthetic: bool = False

    @property
    def data_hash(self) -> str:
        """SHA-256 over the sorted hashes of the files read; empty without files."""
        return data_hash(self.files)


def data_hash(files: Sequence[UsedFile]) -> str:
    """Return the SHA-256 over the sorted content hashes of files; empty without files.

    It depends on the contents alone, not on paths or on the order of reading.
    """
    if not files:
        return ""
    hashes = "\n".join(sorted({f.sha256 for f in files}))
    return hashlib.sha256(hashes.encode()).hexdigest()


def identity_rows(identity: ReportIdentity) -> list[Pair]:
    """Return rows (label, text) of the identity block, without the list of files."""
    rows = [
        ("valuation time", identity.valuation),
        ("written", f"{identity.origin.created:%Y-%m-%d %H:%M:%S} UTC"),
        ("command", identity.origin.command),
        ("software", SOFTWARE),
        *((f"model {name}", identifier) for name, identifier in identity.models),
        *identity.inputs,
    ]
    if identity.files:
        count = len(identity.files)
        noun = "file" if count == 1 else "files"
        rows.append((f"data, {count:,} {noun}", f"sha256 {identity.data_hash}"))
    if identity.is_synthetic:
        rows.append(("origin of the data", "SYNTHETIC: generated, not observed in a market"))
    return rows
