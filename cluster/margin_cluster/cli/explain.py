"""`margin explain`: the origin of a margin, and its change between two calculations."""

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import typer
from rich.table import Table

from margin_cluster.cli.console import (
    JsonOption,
    amounts_in,
    out,
    print_json,
    reporting_errors,
    workplace,
)
from margin_cluster.explanation import ExplainedAccount, explain_account, explain_changes

explain_app = typer.Typer(
    help="Explain a requirement, or its change between two calculations.", no_args_is_help=True
)

Run: TypeAlias = Annotated[Path, typer.Argument(help="Folder that `margin run` wrote.")]
Account: TypeAlias = Annotated[str, typer.Option(help="Account to explain.")]
_TAIL = 8
_POSITIONS = 30
_WIDE = 110


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
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Show an account's requirement components, contributions, tail and one traced scenario."""
    with workplace(None, quiet=True) as (place, _):
        found = explain_account(place, run, account, scenario)
    if as_json:
        print_json(_as_mapping(found))
        return
    _show(found, account)


def _parts(found: ExplainedAccount) -> list[tuple[str, float]]:
    amounts = found.result.margins.amounts_of(0)
    return [(name, amount) for name, amount in amounts.items() if amount or name == "core"]


def _as_mapping(found: ExplainedAccount) -> dict[str, Any]:
    r, a = found.result, found.attribution
    names = [r.book.instruments[i] for i in r.book.instrument_index]
    return {
        "account": r.book.accounts[0],
        "initial_margin_usd": float(r.margins.initial_margin_usd[0]),
        "parts_usd": dict(_parts(found)),
        "inputs": [
            {"part": p, "of": label, "figure": figure, "value": value}
            for _, p, label, figure, value in r.margins.inputs.rows()
        ],
        "positions": [
            {
                "instrument": name,
                "quantity": float(r.book.quantity[i]),
                "component_var_usd": float(a.component_var[i]),
                "component_es_usd": float(a.component_es[i]),
                "incremental_var_usd": float(a.incremental_var[i]),
                "incremental_es_usd": float(a.incremental_es[i]),
            }
            for i, name in enumerate(names)
        ],
        "tail": [
            {"scenario": int(s), "name": found.state.scenarios.row_name(int(s)), "profit_usd": p}
            for s, p in zip(r.margins.tail_scenario[0], r.margins.tail_usd[0].tolist(), strict=True)
        ],
        "traced": {
            "scenario": found.row,
            "name": found.state.scenarios.row_name(found.row),
            "positions": [{name: getattr(t, name) for name in t.__slots__} for t in found.trace],
            "profit_usd": sum(t.profit_usd for t in found.trace),
        },
    }


def _show(found: ExplainedAccount, account: str) -> None:
    r, scenarios = found.result, found.state.scenarios
    unit, shown_as = amounts_in(float(np.abs(r.margins.worst_usd[0])))
    out.print(
        f"[bold]{account}[/]: requirement {shown_as(float(r.margins.initial_margin_usd[0]))}, VaR "
        f"{shown_as(float(r.margins.var_usd[0]))}, ES {shown_as(float(r.margins.es_usd[0]))} "
        f"({unit})",
        highlight=False,
    )
    parts = Table(title="Requirement components", title_justify="left", show_header=False)
    parts.add_column()
    parts.add_column(justify="right")
    for name, value in _parts(found):
        parts.add_row(name.replace("_", " "), shown_as(value))
    out.print(parts)
    given = list(r.margins.inputs.rows())
    if given:
        table = Table(title="Figures of the components", title_justify="left")
        for name in ("component", "refers to", "figure", "value"):
            table.add_column(name, justify="right" if name == "value" else "left")
        for _, part, label, figure, value in given:
            table.add_row(part.replace("_", " "), label, figure, f"{value:,.6g}")
        out.print(table)
    _show_positions(found, shown_as)
    tail = Table(title="Worst scenarios", title_justify="left")
    for name in ("row", "scenario", "profit", *(f"{u} move" for u in scenarios.underlyings)):
        tail.add_column(name, justify="left" if name == "scenario" else "right")
    for s, profit in list(zip(r.margins.tail_scenario[0], r.margins.tail_usd[0], strict=True))[
        :_TAIL
    ]:
        moves = (f"{100 * (np.exp(x) - 1):+.1f} %" for x in scenarios.spot_return[s])
        tail.add_row(str(s), scenarios.row_name(int(s)), shown_as(float(profit)), *moves)
    out.print(tail)
    _show_trace(found, shown_as)


def _show_positions(found: ExplainedAccount, shown_as: Any) -> None:
    r, a = found.result, found.attribution
    order = np.argsort(-np.abs(a.component_es), kind="stable")[:_POSITIONS]
    table = Table(
        title="Contributions of positions (component VaR and ES add up)", title_justify="left"
    )
    for name in ("instrument", "quantity", "component VaR", "component ES", "incremental ES"):
        table.add_column(name, justify="left" if name == "instrument" else "right", no_wrap=True)
    for p in order.tolist():
        table.add_row(
            r.book.instruments[r.book.instrument_index[p]],
            f"{r.book.quantity[p]:,.10g}",
            shown_as(float(a.component_var[p])),
            shown_as(float(a.component_es[p])),
            shown_as(float(a.incremental_es[p])),
        )
    table.add_section()
    sums = (float(a.component_var.sum()), float(a.component_es.sum()))
    table.add_row(f"all {r.book.n_positions}", "", *(shown_as(x) for x in sums), "")
    out.print(table)


def _show_trace(found: ExplainedAccount, shown_as: Any) -> None:
    name = found.state.scenarios.row_name(found.row)
    table = Table(title=f"Prices in row {found.row}, {name}", title_justify="left")
    titles = ["instrument", "forward", "after", "vol", "after", "unit", "after", "profit"]
    wide = out.width >= _WIDE
    kept = range(len(titles)) if wide else (0, 2, 4, 7)
    for k in kept:
        title = titles[k] if wide or k not in (2, 4) else f"{titles[k - 1]} after"
        table.add_column(title, justify="left" if k == 0 else "right", no_wrap=True)
    order = sorted(found.trace, key=lambda t: -abs(t.profit_usd))[:_POSITIONS]
    for t in order:
        cells = (
            t.instrument,
            f"{t.forward_usd:,.1f}",
            f"{t.forward_after_usd:,.1f}",
            "" if np.isnan(t.vol) else f"{100 * t.vol:.1f} %",
            "" if np.isnan(t.vol_after) else f"{100 * t.vol_after:.1f} %",
            f"{t.unit_value_usd:,.2f}",
            f"{t.unit_value_after_usd:,.2f}",
            shown_as(t.profit_usd),
        )
        table.add_row(*(cells[k] for k in kept))
    table.add_section()
    total = shown_as(sum(t.profit_usd for t in found.trace))
    table.add_row(f"all {len(found.trace)}", *[""] * (len(kept) - 2), total)
    out.print(table)


@explain_app.command("changes")
@reporting_errors
def changes_command(
    before: Annotated[Path, typer.Argument(help="Folder of the earlier calculation.")],
    after: Annotated[Path, typer.Argument(help="Folder of the later calculation.")],
    account: Account,
    as_json: Annotated[bool, JsonOption] = False,
) -> None:
    """Show how positions, market, scenarios and parameters changed an account's requirement."""
    with workplace(None, quiet=True) as (place, _):
        found = explain_changes(place, before, after, account)
    if as_json:
        print_json(
            {
                "account": account,
                "before_usd": float(found.requirement_usd[0]),
                "steps": [
                    {"replaced": step, "change_usd": float(change)}
                    for step, change in zip(found.steps, found.change_usd, strict=True)
                ],
                "after_usd": float(found.requirement_usd[-1]),
            }
        )
        return
    _, shown_as = amounts_in(float(np.abs(found.requirement_usd).max()))
    table = Table(title=f"Requirement of {account}", title_justify="left")
    for name in ("", "change", "requirement"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("before", "", shown_as(float(found.requirement_usd[0])))
    for step, change, value in zip(
        found.steps, found.change_usd, found.requirement_usd[1:], strict=True
    ):
        table.add_row(step, shown_as(float(change)), shown_as(float(value)))
    table.add_section()
    whole = float(found.requirement_usd[-1] - found.requirement_usd[0])
    table.add_row("after", shown_as(whole), shown_as(float(found.requirement_usd[-1])))
    out.print(table)
