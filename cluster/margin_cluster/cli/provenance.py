"""Identity of the reports that commands write: command, time, model and files read."""

import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from margin_actors.engine.parameters import ModelParameters
from margin_cluster.cli.errors import ARGUMENTS
from margin_cluster.report import ReportIdentity, ReportOrigin
from margin_cluster.sources import UsedFile, is_marked_synthetic
from margin_cluster.wiring import Workspace


def report_origin() -> ReportOrigin:
    """Return the command line of this process and the current time."""
    command = shlex.join(["margin", *ARGUMENTS.get()])
    return ReportOrigin(command, datetime.now(UTC).replace(microsecond=0))


def study_identity(
    workspace: Workspace,
    models: Iterable[ModelParameters],
    *,
    valuation: str,
    inputs: Sequence[tuple[str, str]] = (),
    files: Iterable[UsedFile] = (),
) -> ReportIdentity:
    """Return the identity of a study.

    Parameters
    ----------
    workspace : Workspace
        Its files read are listed, each once.
    models : iterable of ModelParameters
    valuation : str
        Valuation time, or first and last date.
    inputs : sequence of (label, content id)
    files : iterable of UsedFile
        Files that other processes read.
    """
    used = tuple(dict.fromkeys([*workspace.reads, *files]))
    return ReportIdentity(
        valuation=valuation,
        origin=report_origin(),
        models=tuple((f"{m.name} {m.version}", m.id) for m in models),
        inputs=tuple(inputs),
        files=used,
        is_synthetic=any(is_marked_synthetic(Path(file.path)) for file in used),
    )
