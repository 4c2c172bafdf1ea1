"""`margin status`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from margin_cluster.cli.chain_findings import show_findings
from margin_cluster.cli.console import count_of, out, print_json
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.options import AsJson
from margin_cluster.cli.schemas import StatusDocument
from margin_cluster.gateway.probe import ClientTls, service_status

_TLS = "TLS"
"""Group of options in the help."""


@reporting_errors
def status_command(
    address: Annotated[str, typer.Option(help="Address of the service.")] = "127.0.0.1:50051",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 5.0,
    tls_ca: Annotated[
        Path | None,
        typer.Option(help="PEM authority of the service's certificate.", rich_help_panel=_TLS),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM certificate chain to show.", rich_help_panel=_TLS)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM key of the certificate.", rich_help_panel=_TLS)
    ] = None,
    tls_server_name: Annotated[
        str | None,
        typer.Option(help="Name in the certificate, if not the address.", rich_help_panel=_TLS),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of a running service."""
    tls = ClientTls(tls_ca, tls_certificate, tls_key, tls_server_name)
    found = service_status(address, timeout_seconds=timeout, tls=tls)
    document = StatusDocument.model_validate(found)
    if as_json:
        print_json(document)
        return
    facts = Table(show_header=False, box=None)
    for name, value in _facts(document).items():
        facts.add_row(f"[dim]{name}[/]", escape(value))
    out.print(facts)
    if document.feeds:
        out.print(_feed_table(document))
    if document.open_calls:
        out.print(_call_table(document))
    out.print(_shard_table(document))
    show_findings(document.chain_findings)


def _facts(s: StatusDocument) -> dict[str, str]:
    """Return the state of the service as text, by name."""
    rows = {
        "version": s.version,
        "up": f"{s.uptime_seconds:,.0f} s",
        "nodes": str(s.nodes),
        "accounts": f"{s.accounts:,} with {count_of(s.positions, 'position')} "
        f"(version {s.portfolio_version})",
        "ready": "yes" if s.is_ready else "no",
        "books": f"{s.run_slots_taken} running, {s.run_slots} at most",
        "ledger": f"entry {s.ledger_sequence:,}, hash {s.ledger_hash[:16]}",
        "requests": f"{s.requests_active} active, {s.requests_rejected:,} rejected",
    }
    if s.clearing_position is not None and s.clearing_position.number:
        calls = count_of(s.open_calls_total, "open call")
        rows["clearing"] = f"event {s.clearing_position.number:,}, {calls}"
    if s.problems:
        rows["problems"] = "; ".join(s.problems)
    g = s.generation
    if g is not None:
        age = timedelta(seconds=round(s.snapshot_age_seconds or 0.0))
        rows["model"] = g.model_name
        rows["market"] = f"{g.snapshot_time} ({age} ago), {g.snapshot_id}"
        rows["scenarios"] = f"{g.scenarios:,}, {g.scenarios_id}"
        rows["generation"] = f"{g.number}, {g.instruments:,} contracts"
    else:
        rows["generation"] = "none yet"
    if s.generation_pending:
        rows["being built"] = str(s.generation_pending)
    if s.last_fault:
        rows["fault"] = s.last_fault
    return rows


def _feed_table(status: StatusDocument) -> Table:
    table = Table(title="Feeds", title_justify="left")
    for name in ("source", "state", "last message", "last good snapshot", "good", "bad"):
        table.add_column(name, justify="left" if name in ("source", "state") else "right")
    for s in status.feeds:
        state = "ended" if s.is_stopped else "connected" if s.is_connected else "not connected"
        table.add_row(
            s.source,
            state,
            _age(s.age_seconds),
            _age(s.snapshot_age_seconds),
            f"{s.snapshots_accepted:,}",
            f"{s.snapshots_rejected:,}",
        )
    problems = [f"{s.source}: {s.last_problem}" for s in status.feeds if s.last_problem]
    table.caption = escape("\n".join(problems)) or None
    return table


def _call_table(status: StatusDocument) -> Table:
    """Return the open calls, the next due time first."""
    table = Table(title="Open margin calls", title_justify="left")
    for name in ("account", "class", "status", "out, US dollars", "next due"):
        table.add_column(name, justify="right" if name.startswith("out") else "left")
    unpaid = {
        call.call_id: [t.due_time for t in call.tranches if t.paid_cents < t.amount_cents]
        for call in status.open_calls
    }
    for call in sorted(status.open_calls, key=lambda call: min(unpaid[call.call_id], default="")):
        state = call.status.removeprefix("CALL_STATUS_").lower().replace("_", " ")
        table.add_row(
            escape(call.account_id),
            call.call_class.removeprefix("CALL_CLASS_").lower().replace("_", " "),
            f"{state}, held" if call.is_held else state,
            f"{call.out_cents / 100:,.2f}",
            min(unpaid[call.call_id], default=""),
        )
    left = status.open_calls_total - len(status.open_calls)
    table.caption = f"and {left:,} more" if left else None
    return table


def _age(seconds: float | None) -> str:
    return "never" if seconds is None else f"{timedelta(seconds=round(seconds))} ago"


def _shard_table(status: StatusDocument) -> Table:
    table = Table(title="Scenario shards", title_justify="left")
    for name in ("shard", "scenarios", "slices priced", "node"):
        table.add_column(name, justify="left" if name == "node" else "right")
    for s in status.shards:
        table.add_row(
            str(s.shard),
            f"{s.first_scenario:,} to {s.first_scenario + s.scenarios - 1:,}",
            f"{s.slabs_priced:,}",
            s.node_id[:12] or "being replaced",
        )
    return table
