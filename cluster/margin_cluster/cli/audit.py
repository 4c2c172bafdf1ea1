"""`margin audit`: what happened to one account, as a readable story with its proofs."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from margin_actors.clearing.story import AccountPosition, Story, StoryLine, Tone
from margin_cluster.audit import Audit, audit_account
from margin_cluster.cli.console import out, print_json, print_plain, settings
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.options import AsJson, Force, LedgerUrl, StateFolder
from margin_cluster.cli.outputs import output_file
from margin_cluster.cli.provenance import report_origin
from margin_cluster.cli.schemas import AuditDocument, AuditLine, AuditPosition, AuditReference
from margin_cluster.ledger import Ledger, address_from_url, sqlite_url
from margin_cluster.ledger.opening import require_file
from margin_cluster.operations.machine import clearing_log
from margin_cluster.report.audit import audit_html, verdict
from margin_cluster.report.identity import ReportIdentity
from margin_cluster.wiring import time_from_text

_STYLES = {Tone.PLAIN: "", Tone.GOOD: "green", Tone.WARNING: "yellow", Tone.BAD: "bold red"}
_LAST_MOMENT = timedelta(days=1) - timedelta(microseconds=1)
_HASH_SHOWN = 12


@reporting_errors
def audit(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Clearing account.")],
    ledger: LedgerUrl = None,
    state: StateFolder = None,
    first: Annotated[
        str | None, typer.Option("--from", help="First date or time, UTC; default the beginning.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="Last date or time, UTC; default the end.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the story as an HTML page.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show what happened to one account: requirements, calls, payments, decisions, with proofs."""
    url = _url(ledger, state)
    start, end = _start(first), _end(last)
    with closing(Ledger(url)) as opened, closing(clearing_log(opened.database)) as log:
        found = audit_account(log, account, start, end)
    if html is not None:
        with output_file(html, replace=force) as file:
            file.write_text(_page(found, url), encoding="utf-8")
    if as_json:
        print_json(_document(found))
        return
    _show(found)
    if html is not None:
        print_plain(f"\nThe story as a page: {html}")


def _url(ledger: str | None, state: Path | None) -> str:
    """Return the URL of a ledger that exists; a path of a SQLite file is accepted as well."""
    root = (state or settings().store / "service").resolve()
    url = ledger or sqlite_url(root / "ledger.sqlite")
    if "://" not in url:
        url = sqlite_url(Path(url).resolve())
    require_file(address_from_url(url))
    return url


def _start(text: str | None) -> datetime | None:
    return None if text is None else time_from_text(text, option="--from")


def _end(text: str | None) -> datetime | None:
    """Return the end of a period; a date without a time includes the whole day."""
    if text is None:
        return None
    time = time_from_text(text, option="--to")
    is_date = len(text) == len("2026-02-05")
    return time + _LAST_MOMENT if is_date else time


def _period(found: Audit) -> str:
    first = "the beginning of the log" if found.first is None else _minute(found.first)
    last = "its end" if found.last is None else _minute(found.last)
    return f"from {first} to {last}"


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _page(found: Audit, url: str) -> str:
    identity = ReportIdentity(
        valuation=_period(found),
        origin=report_origin(),
        models=tuple(("", name) for name in found.story.models),
        inputs=(
            ("ledger", address_from_url(url).shown),
            (f"entry {found.head_number:,}, the last one", found.head_hash),
        ),
    )
    return audit_html(found.story, period=_period(found), identity=identity)


def _show(found: Audit) -> None:
    story = found.story
    print_plain(f"Audit of {story.account}, member {story.member}, {_period(found)}", style="bold")
    for sentence in verdict(story):
        out.print(Text(sentence))
    _show_position("Before", story.opening)
    day = ""
    for line in story.lines:
        if f"{line.at:%Y-%m-%d}" != day:
            day = f"{line.at:%Y-%m-%d}"
            print_plain(f"\n{line.at:%A} {day}, times in UTC", style="bold")
        _show_line(line)
    print_plain("")
    _show_position("After", story.closing)
    print_plain(
        f"Log read up to entry {found.head_number:,}, hash {found.head_hash}. Check the chain with "
        "`margin ledger verify`."
    )


def _show_line(line: StoryLine) -> None:
    statement = line.statement
    title = Text.assemble(
        (f"{line.at:%H:%M:%S}  ", "dim"),
        (statement.title, f"bold {_STYLES[statement.tone]}".strip()),
    )
    out.print(title)
    out.print(Padding(Text(statement.text), (0, 0, 0, 10), expand=False))
    out.print(Padding(Text(" · ".join(_proof(line)), style="dim"), (0, 0, 0, 10), expand=False))


def _proof(line: StoryLine) -> Iterator[str]:
    yield f"entry {line.number:,} ({line.entry_hash[:_HASH_SHOWN]}) by {line.actor}"
    yield from line.statement.people
    for what, name in line.statement.references:
        yield f"{what} {name}"


def _show_position(label: str, position: AccountPosition) -> None:
    if position.at is None:
        print_plain(f"{label}: the log was empty.")
        return
    holdings = "; ".join(position.balances) or "no holdings"
    parts = [f"{label} (entry {position.number:,}): {holdings}"]
    for name, cents in (
        ("requirement", position.requirement_cents), ("resources", position.resources_cents),
    ):  # fmt: skip
        parts.append(f"{name} {'not known' if cents is None else f'USD {cents / 100:,.2f}'}")
    out.print(Text("; ".join([*parts, position.call]) + "."))


def _document(found: Audit) -> AuditDocument:
    story: Story = found.story
    return AuditDocument(
        account=story.account,
        member=story.member,
        call_account=story.call_account,
        first=found.first,
        last=found.last,
        opening=_position(story.opening),
        lines=[_line(line) for line in story.lines],
        closing=_position(story.closing),
        cycles=story.cycles,
        models=list(story.models),
        head_number=found.head_number,
        head_hash=found.head_hash,
    )


def _position(position: AccountPosition) -> AuditPosition:
    required, resources = position.requirement_cents, position.resources_cents
    return AuditPosition(
        at=position.at,
        number=position.number,
        requirement_usd=None if required is None else required / 100,
        resources_usd=None if resources is None else resources / 100,
        call=position.call,
        balances=list(position.balances),
    )


def _line(line: StoryLine) -> AuditLine:
    statement = line.statement
    return AuditLine(
        at=line.at,
        topic=statement.topic.value,
        tone=statement.tone.value,
        title=statement.title,
        text=statement.text,
        actor=line.actor,
        people=list(statement.people),
        number=line.number,
        event_id=line.event_id,
        entry_hash=line.entry_hash,
        references=[AuditReference(what=what, id=name) for what, name in statement.references],
    )
