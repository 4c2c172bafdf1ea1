"""`margin explain`: the origin of a margin, and its change between two calculations."""

from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import typer

from margin_actors.engine.margin import binding_components
from margin_cluster.cli.console import opened_workspace, print_json
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.explain_tables import show_account
from margin_cluster.cli.options import AsJson
from margin_cluster.cli.schemas import (
    ExplainAccountDocument,
    ExplainedPosition,
    Figure,
    TailScenario,
    TracedInstrument,
    TracedScenario,
)
from margin_cluster.explanation import ExplainedAccount, explain_account

explain_app = typer.Typer(
    help="Explain a requirement, or its change between two calculations.", no_args_is_help=True
)

Run: TypeAlias = Annotated[Path, typer.Argument(help="Folder that `margin run` wrote.")]
Account: TypeAlias = Annotated[str, typer.Option(help="Account to explain.")]


@explain_app.command("account")
@reporting_errors
def account_command(
    run: Run,
    account: Account,
    scenario: Annotated[
        int | None,
        typer.Option(
            help="Index of the scenario to trace; default the tail scenario closest to VaR."
        ),
    ] = None,
    every_row: Annotated[
        bool, typer.Option("--all", help="Show every bucket, strike and position.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show an account's requirement components, contributions, tail and one traced scenario."""
    with opened_workspace(None, quiet=True) as (workspace, _):
        found = explain_account(workspace, run, account, scenario)
    document = _account_document(found)
    if as_json:
        print_json(document)
    else:
        show_account(found, document, every_row=every_row)


def _account_document(found: ExplainedAccount) -> ExplainAccountDocument:
    r = found.result
    m = r.margins
    return ExplainAccountDocument(
        account=r.book.accounts[0],
        initial_margin_usd=float(m.initial_margin_usd[0]),
        var_usd=float(m.var_usd[0]),
        es_usd=float(m.es_usd[0]),
        components_usd={n: v for n, v in m.amounts_of(0).items() if v or n == "core"},
        binding=binding_components(m)[0],
        figures=[
            Figure(component=component, label=label, figure=figure, value=value)
            for _, component, label, figure, value in m.inputs.rows()
        ],
        positions=_positions(found),
        tail=[
            TailScenario(
                scenario=int(s), name=found.state.scenarios.row_name(int(s)), profit_usd=float(p)
            )
            for s, p in zip(m.tail_scenario[0], m.tail_usd[0], strict=True)
        ],
        traced=TracedScenario(
            scenario=found.row,
            name=found.state.scenarios.row_name(found.row),
            positions=_traced(found),
            profit_usd=sum(t.profit_usd for t in found.trace),
        ),
    )


def _positions(found: ExplainedAccount) -> list[ExplainedPosition]:
    book, a = found.result.book, found.attribution
    return [
        ExplainedPosition(
            instrument=book.instruments[i],
            quantity=float(book.quantity[p]),
            component_var_usd=float(a.component_var[p]),
            component_es_usd=float(a.component_es[p]),
            incremental_var_usd=float(a.incremental_var[p]),
            incremental_es_usd=float(a.incremental_es[p]),
        )
        for p, i in enumerate(book.instrument_index.tolist())
    ]


def _traced(found: ExplainedAccount) -> list[TracedInstrument]:
    return [
        TracedInstrument(
            instrument=t.instrument,
            quantity=t.quantity,
            tenor_years=t.tenor_years,
            strike_usd=_known(t.strike_usd),
            forward_usd=t.forward_usd,
            forward_after_usd=t.forward_after_usd,
            volatility_annual=_known(t.vol),
            volatility_after_annual=_known(t.vol_after),
            scale=_known(t.scale),
            scale_after=_known(t.scale_after),
            unit_value_usd=t.unit_value_usd,
            unit_value_after_usd=t.unit_value_after_usd,
            profit_usd=t.profit_usd,
        )
        for t in found.trace
    ]


def _known(value: float) -> float | None:
    """Return a value, or None for NaN."""
    return None if np.isnan(value) else float(value)
