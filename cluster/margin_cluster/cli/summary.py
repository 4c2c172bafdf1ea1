"""The summary of a finished calculation that `margin run` prints."""

from collections.abc import Callable, Sequence

import numpy as np
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from margin_actors.engine.margin import AccountFailure, AccountProblem
from margin_cluster.cli.console import amounts_in, count_of, out, synthetic_banner
from margin_cluster.results import CalculationOutput, collateral_totals, totals

_ACCOUNTS_SHOWN, _FAILURES_SHOWN = 12, 10
_WIDE, _WIDER = 100, 130
"""Minimum terminal widths: for positions, VaR and ES, and for the worst scenario."""
_LEFT = ("account", "window")

Amount = Callable[[float], str]


def show_calculation(output: CalculationOutput) -> None:
    """Print the largest requirements, the deficits and the notes of a calculation."""
    if output.is_synthetic:
        out.print(synthetic_banner())
    r = output.result
    summary = totals(output)
    out.print(
        f"[bold]{output.model.name}[/] at {output.snapshot.time:%Y-%m-%d %H:%M:%S} UTC: "
        f"{count_of(summary['accounts'], 'account')}, "
        f"{count_of(summary['positions'], 'position')} in "
        f"{count_of(summary['instruments'], 'instrument')}, "
        f"{count_of(summary['scenarios'], 'scenario')} "
        f"({output.scenarios.effective_size:.0f} windows that do not overlap)",
        highlight=False,
    )
    unit, shown_as = amounts_in(float(np.abs(r.margins.worst_usd).max()))
    _show_largest(output, unit, shown_as)
    _show_deficits(output, unit, shown_as)
    components = summary["components_usd"]
    if len(components) > 1:
        shown = ", ".join(f"{p.replace('_', ' ')} {shown_as(components[p])}" for p in components)
        out.print(f"Requirement components: {shown} ({unit})", highlight=False)
    binding = summary["accounts_by_binding"]
    if binding:
        shown = ", ".join(f"{n.replace('_', ' ')} {count:,}" for n, count in binding.items())
        out.print(f"Accounts by what determines them before add-ons: {shown}", highlight=False)
    dominated = summary["accounts_with_dominant_add_on"]
    if dominated:
        verb = "has" if dominated == 1 else "have"
        out.print(
            f"[yellow]{count_of(dominated, 'account')} {verb} an add-on above half of their "
            "requirement[/]; see dominant_add_on in margin.csv",
            highlight=False,
        )
    for note in output.notes:
        out.print(f"[dim]{escape(note)}[/]", highlight=False)
    repairs = sum(len(q.repairs) for q in output.quality)
    faults = sum(n for q in output.quality for s in q.sources for n in s.faults.values())
    missing = sum(s.missing for q in output.quality for s in q.sources)
    out.print(
        f"[dim]Data quality: {count_of(faults, 'fault')} in price files, "
        f"{count_of(missing, 'missing price')}, {count_of(repairs, 'repair')}, all listed in the "
        f"report.{_unused(output)} Digest {r.digest}[/]"
    )


def _unused(output: CalculationOutput) -> str:
    """Return a sentence on candles after the valuation time, which are not faults; "" without."""
    later = sum(s.not_used for q in output.quality for s in q.sources)
    verb = "is" if later == 1 else "are"
    return (
        f" {count_of(later, 'candle')} after the valuation time {verb} not used." if later else ""
    )


def show_failures(failures: Sequence[AccountFailure], margined: int, *, all_in: str) -> None:
    """Print a red panel that lists the accounts that could not be margined, if there are any.

    `margined` is the number of other accounts; `all_in` names the place of the complete list.
    """
    if not failures:
        return
    lines = [
        f"{f.account_id} ({count_of(f.positions, 'position')}): "
        f"{_reason(f.problems[0])}" + (f" and {more} more" if (more := len(f.problems) - 1) else "")
        for f in failures[:_FAILURES_SHOWN]
    ]
    if len(failures) > _FAILURES_SHOWN:
        lines.append(f"… and {count_of(len(failures) - _FAILURES_SHOWN, 'account')} more")
    every = count_of(len(failures) + margined, "account")
    title = f"INCOMPLETE: {len(failures):,} of {every} could not be margined"
    lines.append(f"All accounts and reasons are in {all_in}.")
    out.print(Panel(Text("\n".join(lines)), title=title, title_align="left", style="bold red"))


def _reason(problem: AccountProblem) -> str:
    name = problem.instrument_name
    return f"{name}: {problem.description}" if name else problem.description


def _show_largest(output: CalculationOutput, unit: str, shown_as: Amount) -> None:
    columns = _columns(output, shown_as)
    hidden = [name for name, (width, _) in columns.items() if out.width < width]
    shown = {name: cell for name, (width, cell) in columns.items() if out.width >= width}
    measure = f"{100 * output.model.measure.confidence:g} %"
    table = Table(title=f"Largest requirements, {unit} ({measure})", title_justify="left")
    for name in shown:
        table.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=True)
    r = output.result
    for a in np.argsort(-r.margins.initial_margin_usd, kind="stable")[:_ACCOUNTS_SHOWN]:
        table.add_row(*(cell(int(a)) for cell in shown.values()))
    table.add_section()
    sums = _sums(output, shown_as)
    table.add_row(*(sums.get(name, "") for name in shown))
    out.print(table)
    if hidden:
        names = ", ".join(hidden)
        out.print(f"[dim]Not shown in {out.width} columns: {names}; see margin.csv[/]")


def _columns(
    output: CalculationOutput, shown_as: Amount
) -> dict[str, tuple[int, Callable[[int], str]]]:
    """Return the columns by title: (minimum terminal width, function from account to cell)."""
    r, excess, counts = output.result, output.excess_usd, output.collateral_usd
    measured = _WIDE if excess is not None else 0

    def amount(values: np.ndarray) -> Callable[[int], str]:
        return lambda a: shown_as(float(values[a]))

    columns: dict[str, tuple[int, Callable[[int], str]]] = {
        "account": (0, lambda a: escape(r.book.accounts[a])),
        "positions": (measured, lambda a: f"{r.margins.positions[a]:,}"),
        "VaR": (measured, amount(r.margins.var_usd)),
        "ES": (measured, amount(r.margins.es_usd)),
        "worst": (_WIDER, amount(r.margins.worst_usd)),
        "window": (_WIDER, lambda a: output.scenarios.row_name(int(r.margins.worst_scenario[a]))),
        "option value": (0, amount(output.option_value_usd)),
    }
    if excess is not None and counts is not None:
        columns["collateral"] = (0, amount(counts))
    columns["requirement"] = (
        0,
        lambda a: f"[bold]{shown_as(float(r.margins.initial_margin_usd[a]))}[/]",
    )
    if excess is not None:
        columns["excess"] = (0, lambda a: _signed(float(excess[a]), shown_as))
    return columns


def _sums(output: CalculationOutput, shown_as: Amount) -> dict[str, str]:
    """Return the totals by column title.

    Excesses are not summed, since one account's excess does not offset another's deficit.
    """
    summary = totals(output)
    sums = {
        "account": "all",
        "positions": f"{summary['positions']:,}",
        "VaR": shown_as(summary["var_usd"]),
        "ES": shown_as(summary["es_usd"]),
        "option value": shown_as(summary["option_value_usd"]),
        "requirement": f"[bold]{shown_as(summary['initial_margin_usd'])}[/]",
    }
    collateral = collateral_totals(output)
    if collateral is not None:
        sums["collateral"] = shown_as(collateral["collateral_usd"])
    return sums


def _show_deficits(output: CalculationOutput, unit: str, shown_as: Amount) -> None:
    collateral = collateral_totals(output)
    if collateral is None:
        return
    out.print(
        "[dim]Excess = option value + collateral after haircut - requirement; negative is a "
        "deficit.[/]",
        highlight=False,
    )
    short = collateral["accounts_in_deficit"]
    if short == 0:
        out.print("No account is in deficit.", highlight=False)
        return
    accounts = count_of(len(output.result.book.accounts), "account")
    deficit = shown_as(collateral["deficit_usd"])
    out.print(
        f"[bold red]In deficit: {short:,} of {accounts}, {deficit} {unit} in total[/]; the excess "
        "of other accounts does not offset it.",
        highlight=False,
    )


def _signed(value: float, shown_as: Amount) -> str:
    return f"[red]{shown_as(value)}[/]" if value < 0 else shown_as(value)
