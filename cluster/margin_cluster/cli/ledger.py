"""`margin ledger`: backing up, restoring and verifying the records of a service."""

from pathlib import Path
from typing import Annotated

import typer

from margin_actors.errors import InvalidParameters, Problem
from margin_cluster.backup import (
    Backup,
    ServiceVerification,
    accept_loss,
    create_backup,
    restore_backup,
    verify_service,
)
from margin_cluster.cli.console import err, print_json, print_plain, settings
from margin_cluster.cli.errors import EXIT_INVALID, reporting_errors
from margin_cluster.cli.options import AsJson, LedgerUrl, StateFolder
from margin_cluster.cli.schemas import LedgerBackupDocument, LedgerFinding, LedgerVerifyDocument
from margin_cluster.ledger import sqlite_url

ledger_app = typer.Typer(
    help="Back up, restore and verify what a service recorded.", no_args_is_help=True
)


def ledger_location(ledger: str | None, state: Path | None) -> tuple[str, Path]:
    """Return (URL of the ledger, state folder), with the defaults of `margin serve`."""
    root = (state or settings().store / "service").resolve()
    return ledger or sqlite_url(root / "ledger.sqlite"), root


@ledger_app.command("backup")
@reporting_errors
def backup_command(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the backup.")],
    ledger: LedgerUrl = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Copy the ledger and the objects to which it refers; the service may be running."""
    url, root = ledger_location(ledger, state)
    made = create_backup(url, root, folder)
    if as_json:
        print_json(_backup_document(folder, made))
    else:
        print_plain(f"Backup in {folder}: {_contents(made)}")
        print_plain(f"head {made.sequence}:{made.hash}")
    _report_missing(made)


@ledger_app.command("restore")
@reporting_errors
def restore_command(
    folder: Annotated[Path, typer.Argument(metavar="BACKUP", help="Folder of a backup.")],
    ledger: LedgerUrl = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Verify a backup and write it into an empty ledger and state folder."""
    url, root = ledger_location(ledger, state)
    restored = restore_backup(folder, url, root)
    if as_json:
        print_json(_backup_document(folder, restored))
    else:
        print_plain(f"Restored {folder} into {root}: {_contents(restored)}")
        print_plain(f"head {restored.sequence}:{restored.hash}")
    _report_missing(restored)


@ledger_app.command("verify")
@reporting_errors
def verify_command(
    ledger: LedgerUrl = None,
    state: StateFolder = None,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="SEQ:HASH", help="Entry that the ledger must hold, as printed before."
        ),
    ] = None,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept-loss", help="Accept that a SQLite ledger has lost its last entries."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify the ledger and the stored objects; exit with code 2 if there is a difference."""
    url, root = ledger_location(ledger, state)
    expected = None if expect is None else _entry(expect)
    if accept:
        kept, lost = accept_loss(url)
        err.print(f"Accepted: {lost:,} lost entries after entry {kept:,}.", highlight=False)
    found = verify_service(url, root, expected=expected)
    if as_json:
        print_json(_verification_document(found))
    else:
        _print_verification(found)
    if not found.is_intact:
        raise typer.Exit(EXIT_INVALID)


def _entry(text: str) -> tuple[int, str]:
    sequence, _, known = text.partition(":")
    is_number = sequence.isascii() and sequence.isdecimal() and len(sequence) <= 18
    if not is_number or len(known) != 64 or set(known) - set("0123456789abcdef"):
        what, remedy = f"{text!r} is not SEQ:HASH", "give what `margin ledger verify` printed"
        raise InvalidParameters("an option is not valid", [Problem("--expect", what, remedy)])
    return int(sequence), known


def _print_verification(found: ServiceVerification) -> None:
    head = found.ledger.head
    if found.is_intact:
        print_plain(
            f"Intact: {head.sequence:,} entries, positions of version {head.portfolio_version:,}, "
            f"{found.objects:,} stored objects"
        )
    else:
        first = found.ledger.first_bad_sequence
        where = f"; the first entry concerned is {first}" if first else ""
        count = found.ledger.findings_total + found.object_findings_total
        print_plain(f"DAMAGED: {count:,} differences from what was committed{where}")
        for finding in found.ledger.findings:
            name = f"entry {finding.sequence}" if finding.sequence else "ledger"
            print_plain(f"  {name}: {finding.what}")
        for text in found.object_findings:
            print_plain(f"  {text}")
        shown = len(found.ledger.findings) + len(found.object_findings)
        if count > shown:
            print_plain(f"  … and {count - shown:,} more")
    print_plain(f"head {head.sequence}:{head.hash}")


def _contents(backup: Backup) -> str:
    return (
        f"{backup.sequence:,} entries, {backup.objects:,} objects, "
        f"{backup.size_bytes / 2**20:,.1f} MiB"
    )


def _backup_document(folder: Path, backup: Backup) -> LedgerBackupDocument:
    return LedgerBackupDocument(
        folder=str(folder),
        sequence=backup.sequence,
        hash=backup.hash,
        objects=backup.objects,
        size_bytes=backup.size_bytes,
        missing=list(backup.missing),
    )


def _verification_document(found: ServiceVerification) -> LedgerVerifyDocument:
    head = found.ledger.head
    return LedgerVerifyDocument(
        is_intact=found.is_intact,
        sequence=head.sequence,
        hash=head.hash,
        portfolio_version=head.portfolio_version,
        findings=[LedgerFinding(sequence=f.sequence, what=f.what) for f in found.ledger.findings],
        findings_total=found.ledger.findings_total,
        first_bad_sequence=found.ledger.first_bad_sequence,
        objects=found.objects,
        object_findings=list(found.object_findings),
        object_findings_total=found.object_findings_total,
    )


def _report_missing(backup: Backup) -> None:
    if not backup.missing:
        return
    count = len(backup.missing)
    err.print(
        f"{count:,} objects that the ledger refers to are missing in the store and in the backup:",
        highlight=False,
        soft_wrap=True,
    )
    for name in backup.missing[:20]:
        err.print(f"  {name}", highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_INVALID)
