"""Findings on option chains in the documents and on the terminal."""

from collections.abc import Sequence

from rich.table import Table

from margin_actors.market.chain_quality import ChainFinding
from margin_cluster.cli.console import count_of, out
from margin_cluster.cli.schemas import FoundInChain

_SHOWN = 20


def found_in_chain(findings: Sequence[ChainFinding]) -> list[FoundInChain]:
    """Return the records of findings."""
    return [FoundInChain(**finding.to_mapping()) for finding in findings]


def show_findings(findings: Sequence[FoundInChain]) -> None:
    """Print a table of findings, those on whole expiries first; nothing without findings."""
    if not findings:
        return
    ordered = sorted(findings, key=lambda f: f.effect == "quote_excluded")
    n = len({(f.underlying, f.expiry) for f in findings if f.effect != "quote_excluded"})
    quotes = sum(f.effect == "quote_excluded" for f in findings)
    table = Table(
        title=f"Option chain: {n} {'expiry' if n == 1 else 'expiries'} quarantined, "
        f"{count_of(quotes, 'quote')} excluded",
        title_justify="left",
    )
    table.add_column("where", no_wrap=True)
    table.add_column("gate")
    table.add_column("finding", overflow="fold")
    for f in ordered[:_SHOWN]:
        where = f.instrument_name or f"{f.underlying} {f.expiry}"
        style = None if f.effect == "quote_excluded" else "bold red"
        table.add_row(where, f.gate.replace("_", " "), f.what, style=style)
    out.print(table)
    if len(ordered) > _SHOWN:
        out.print(f"  … and {len(ordered) - _SHOWN} more (use --json)")
