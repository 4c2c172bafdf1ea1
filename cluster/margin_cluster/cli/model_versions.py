"""`margin model register`, `approve` and `versions`: versions of models and who signed them."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from margin_cluster.cli.console import out, print_json, print_plain, settings
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.ledger import ledger_location
from margin_cluster.cli.options import AsJson, LedgerUrl, StateFolder
from margin_cluster.cli.schemas import ModelVersionsDocument, RecordedVersion
from margin_cluster.ledger import Ledger, ModelVersionRecord, address_from_url
from margin_cluster.recorded_models import record_model
from margin_cluster.sources import ModelRegistry
from margin_cluster.wiring import load_model


@reporting_errors
def register_model(
    model: Annotated[str, typer.Argument(help="Preset or TOML file.")],
    by: Annotated[
        str | None, typer.Option("--by", help="Who registers it; recorded in the ledger.")
    ] = None,
    ledger: LedgerUrl = None,
    state: StateFolder = None,
) -> None:
    """Record a version of a model; the parameters of a recorded version cannot change."""
    p = load_model(model)
    record = ModelRegistry(settings().store).use(p)
    who = ""
    if by is not None:
        with closing(_opened(ledger, state)) as opened:
            record_model(opened, p)
            opened.models.sign(p.name, p.version, "registered", by, now=datetime.now(UTC))
            found = opened.models.named(p.name, p.version)
            who = f", registered by {found.registered_by if found else by}"
    print_plain(
        f"{p.name} {p.version}: {record.model_id}, recorded since {record.first_used:%F %T}{who}"
    )


@reporting_errors
def approve_model(
    model: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="Registered version.")],
    by: Annotated[str, typer.Option("--by", help="Who approves it: not who registered it.")],
    ledger: LedgerUrl = None,
    state: StateFolder = None,
) -> None:
    """Approve a version of a model that another person has registered; the ledger records both."""
    name, _, version = model.rpartition("@")
    with closing(_opened(ledger, state)) as opened:
        opened.models.sign(name, version, "approved", by, now=datetime.now(UTC))
        found = opened.models.named(name, version)
        assert found is not None
    print_plain(
        f"{found.name} {found.version}: {found.model_id}, registered by {found.registered_by}, "
        f"approved by {found.approved_by}"
    )


@reporting_errors
def list_versions(
    ledger: LedgerUrl = None, state: StateFolder = None, as_json: AsJson = False
) -> None:
    """List the model versions that were used with this store or by its service, with approvals."""
    versions = _versions(ledger, state)
    if as_json:
        print_json(ModelVersionsDocument(versions=versions))
        return
    table = Table()
    for name in ("model", "version", "id", "first used", "registered by", "approved by"):
        table.add_column(name, overflow="fold")
    for v in versions:
        first = datetime.fromisoformat(v.first_used)
        table.add_row(v.name, v.version, v.id, f"{first:%F %T}", v.registered_by, v.approved_by)
    out.print(table)


def _opened(ledger: str | None, state: Path | None) -> Ledger:
    """Return the ledger for writing; a new one is created, as the service would create it."""
    url, root = ledger_location(ledger, state)
    root.mkdir(parents=True, exist_ok=True)
    return Ledger(url)


def _versions(ledger: str | None, state: Path | None) -> list[RecordedVersion]:
    """Return the versions of the store, then those that only the ledger holds."""
    signed = {(r.name, r.version): r for r in _recorded(ledger, state)}
    versions = [
        _version(
            r.parameters.name,
            r.parameters.version,
            r.model_id,
            r.first_used,
            signed.pop((r.parameters.name, r.parameters.version), None),
        )
        for r in ModelRegistry(settings().store).records()
    ]
    return versions + [
        _version(r.name, r.version, r.model_id, r.create_time, r) for r in signed.values()
    ]


def _recorded(ledger: str | None, state: Path | None) -> list[ModelVersionRecord]:
    """Return the versions in the ledger; none if there is no SQLite ledger yet."""
    url, _ = ledger_location(ledger, state)
    path = address_from_url(url).path
    if path is not None and not path.exists():
        return []
    with closing(Ledger(url, is_inspection=True)) as opened:
        return opened.models.all()


def _version(
    name: str, version: str, model_id: str, first_used: datetime, signed: ModelVersionRecord | None
) -> RecordedVersion:
    approved = signed.approved if signed else None
    return RecordedVersion(
        name=name,
        version=version,
        id=model_id,
        first_used=first_used.isoformat(),
        registered_by=signed.registered_by if signed else "",
        approved_by=signed.approved_by if signed else "",
        approve_time=approved.create_time.isoformat() if approved else None,
    )


__all__ = ["approve_model", "list_versions", "register_model"]
