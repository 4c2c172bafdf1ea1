"""`margin explain changes`: what changed a requirement between two calculations."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from margin_actors.errors import InvalidRequest, Problem
from margin_cluster.archive import StoreArchive, is_object_id
from margin_cluster.cli.console import opened_workspace, out, print_json, settings
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.ledger import ledger_location
from margin_cluster.cli.options import AsJson, LedgerUrl, StateFolder
from margin_cluster.cli.schemas import ChangedInput, ChangeStep, ExplainChangesDocument
from margin_cluster.explanation import explain_changes
from margin_cluster.recorded_changes import (
    RequirementChange,
    RequirementStep,
    explain_recorded_change,
)
from margin_cluster.sources import ModelRegistry


@reporting_errors
def changes_command(
    before: Annotated[
        str,
        typer.Argument(help="Folder of `margin run`, or id of a calculation of the service."),
    ],
    after: Annotated[str, typer.Argument(help="The later calculation, in the same form.")],
    account: Annotated[
        str, typer.Option(help="Account; not required for ids of calculations of one account.")
    ] = "",
    ledger: LedgerUrl = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show how positions, market, scenarios and parameters changed an account's requirement."""
    if _is_id(before) and _is_id(after):
        url, root = ledger_location(ledger, state)
        archive = StoreArchive(root, url, is_inspection=True)
        with closing(archive.ledger):
            found = explain_recorded_change(
                archive,
                before,
                after,
                account_id=account,
                registry=ModelRegistry(settings().store),
            ).change
    else:
        _require_folders(before, after, account)
        with opened_workspace(None, quiet=True) as (workspace, _):
            found = explain_changes(workspace, Path(before), Path(after), account)
    if as_json:
        print_json(_document(before, after, found))
    else:
        _show(found)


def _is_id(text: str) -> bool:
    return is_object_id(text) and not Path(text).exists()


def _require_folders(before: str, after: str, account: str) -> None:
    if _is_id(before) or _is_id(after):
        problem = Problem(
            "BEFORE and AFTER",
            "one is the id of a recorded calculation and the other is not",
            "give two ids or two folders",
        )
        raise InvalidRequest("the calculations cannot be compared", [problem])
    if not account:
        problem = Problem("--account", "is missing", "name an account of both calculations")
        raise InvalidRequest("an option is missing", [problem])


def _document(before: str, after: str, found: RequirementChange) -> ExplainChangesDocument:
    return ExplainChangesDocument(
        account=found.account,
        before=before,
        after=after,
        before_usd=found.before_cents / 100,
        before_components_usd={n: c / 100 for n, c in found.before_components.items()},
        steps=[_step(step) for step in found.steps],
        after_usd=found.after_cents / 100,
        after_components_usd={n: c / 100 for n, c in found.after_components.items()},
    )


def _step(step: RequirementStep) -> ChangeStep:
    return ChangeStep(
        replaced=step.replaced,
        change_usd=step.change_cents / 100,
        components_usd={n: c / 100 for n, c in step.components.items()},
        inputs=[
            ChangedInput(name=i.name, before_id=i.before_id, after_id=i.after_id)
            for i in step.inputs
        ],
    )


def _show(found: RequirementChange) -> None:
    subject = f"of {found.account}" if found.account else "of a portfolio"
    table = Table(title=f"Requirement {escape(subject)}, USD", title_justify="left")
    for name in ("", "change", "requirement"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("before", "", _dollars(found.before_cents))
    total = found.before_cents
    for step in found.steps:
        total += step.change_cents
        table.add_row(step.replaced, _dollars(step.change_cents), _dollars(total))
        if len(step.components) > 1 or "core" not in step.components:
            for name, cents in step.components.items():
                table.add_row(f"  {name}", f"[dim]{_dollars(cents)}[/]", "")
    table.add_section()
    table.add_row(
        "after", _dollars(found.after_cents - found.before_cents), _dollars(found.after_cents)
    )
    out.print(table)
    changed = {i.name: i for step in found.steps for i in step.inputs}
    for item in changed.values():
        out.print(f"{item.name}: {item.before_id} -> {item.after_id}", highlight=False)
    if not changed:
        out.print("All inputs are equal.")


def _dollars(cents: int) -> str:
    return f"{cents / 100:,.2f}"


__all__ = ["changes_command"]
