"""The tables that `margin explain account` prints."""

from collections.abc import Mapping

import numpy as np
from rich.markup import escape
from rich.table import Table

from margin_actors.engine.margin import has_floors
from margin_cluster.cli.console import Amount, amounts_in, count_of, out, percent
from margin_cluster.cli.schemas import ExplainAccountDocument, ExplainedPosition, TracedInstrument
from margin_cluster.explanation import ExplainedAccount

_ROWS = 15
"""Rows of a table without ``--all``, so that each component fits on a screen."""
_TAIL = 8
_WIDE = 110
"""Minimum terminal width for all columns of the traced scenario."""
_NARROW_HIDDEN = ("forward", "vol", "unit", "unit after")
_CHARGE = "charge_usd"

Labelled = Mapping[str, Mapping[str, float]]
"""Figures of a component: by label, then by name."""


def show_account(
    found: ExplainedAccount, document: ExplainAccountDocument, *, every_row: bool
) -> None:
    """Print an explained account; without `every_row`, at most 15 rows of each table."""
    unit, shown_as = amounts_in(float(np.abs(found.result.margins.worst_usd[0])))
    out.print(
        f"[bold]{escape(document.account)}[/]: requirement "
        f"{shown_as(document.initial_margin_usd)}, VaR {shown_as(document.var_usd)}, "
        f"ES {shown_as(document.es_usd)} ({unit})",
        highlight=False,
    )
    most = None if every_row else _ROWS
    _show_components(document, shown_as)
    if has_floors(found.state.model):
        binding = document.binding.replace("_", " ")
        out.print(f"Determined before add-ons by: {binding}", highlight=False)
    _show_figures(document, shown_as, most)
    _show_positions(document.positions, shown_as, most)
    _show_tail(found, document, shown_as)
    _show_trace(document, shown_as, most)


def _show_components(document: ExplainAccountDocument, shown_as: Amount) -> None:
    table = Table(title="Requirement components", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in document.components_usd.items():
        table.add_row(name.replace("_", " "), shown_as(value))
    out.print(table)


def _show_figures(document: ExplainAccountDocument, shown_as: Amount, most: int | None) -> None:
    """Print one table of the figures of the account, then one row per bucket or strike."""
    by_component: dict[str, dict[str, dict[str, float]]] = {}
    for item in document.figures:
        labels = by_component.setdefault(item.component, {})
        labels.setdefault(item.label, {})[item.figure] = item.value
    whole = Table(title="Figures of the account", title_justify="left")
    for name in ("component", "figure", "value"):
        whole.add_column(name, justify="right" if name == "value" else "left")
    for component, labels in by_component.items():
        for figure, value in labels.pop("", {}).items():
            title, cell = _shown_figure(figure, value, shown_as)
            whole.add_row(component.replace("_", " "), title, cell)
    if whole.row_count:
        out.print(whole)
    for component, labels in by_component.items():
        for names, rows in _alike(labels).items():
            _show_labelled(component.replace("_", " "), names, rows, shown_as, most)


def _alike(labels: Labelled) -> dict[tuple[str, ...], Labelled]:
    """Return the labels in groups with the same figures: buckets, strikes, alternatives."""
    groups: dict[tuple[str, ...], dict[str, Mapping[str, float]]] = {}
    for label, figures in labels.items():
        groups.setdefault(tuple(figures), {})[label] = figures
    return dict(groups)


def _show_labelled(
    component: str, names: tuple[str, ...], rows: Labelled, shown_as: Amount, most: int | None
) -> None:
    """Print one row per label, the largest charge first."""
    ranked_by = _CHARGE if _CHARGE in names else names[-1]
    order = sorted(rows, key=lambda label: -abs(rows[label][ranked_by]))
    shown, rest = order[:most], order[len(order[:most]) :]
    table = Table(title=f"{component}: {count_of(len(rows), 'row')}", title_justify="left")
    table.add_column("refers to", no_wrap=True)
    for name in names:
        table.add_column(_shown_figure(name, 0.0, shown_as)[0], justify="right")
    for label in shown:
        cells = (_shown_figure(name, rows[label][name], shown_as)[1] for name in names)
        table.add_row(escape(label), *cells)
    out.print(table)
    if rest:
        left = sum(rows[label][ranked_by] for label in rest)
        title, cell = _shown_figure(ranked_by, left, shown_as)
        what = f", with {title} {cell} in total" if ranked_by == _CHARGE else ""
        _show_rest(len(rest), what)


def _shown_figure(name: str, value: float, shown_as: Amount) -> tuple[str, str]:
    """Return (title, cell) of a figure; amounts in US dollars are in the unit of the page."""
    if name.endswith("_usd"):
        return name.removesuffix("_usd").replace("_", " "), shown_as(value)
    title = name.replace("_", " ").replace("usd", "USD")
    if name.endswith("share") or name == "rate":
        return title, percent(value)
    return title, f"{value + 0.0:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _show_rest(count: int, what: str = "") -> None:
    out.print(f"  [dim]… and {count:,} more{what}; --all shows them[/]", highlight=False)


def _show_positions(positions: list[ExplainedPosition], shown_as: Amount, most: int | None) -> None:
    order = sorted(positions, key=lambda p: -abs(p.component_es_usd))
    table = Table(
        title="Contributions of positions (component VaR and ES add up)", title_justify="left"
    )
    titles = ("instrument", "quantity", "component VaR", "component ES", "incremental ES")
    for name in titles:
        left = name == "instrument"
        table.add_column(name, justify="left" if left else "right", no_wrap=left)
    for p in order[:most]:
        table.add_row(
            p.instrument,
            f"{p.quantity:,.10g}",
            shown_as(p.component_var_usd),
            shown_as(p.component_es_usd),
            shown_as(p.incremental_es_usd),
        )
    table.add_section()
    sums = (
        shown_as(sum(p.component_var_usd for p in positions)),
        shown_as(sum(p.component_es_usd for p in positions)),
    )
    table.add_row(f"all {len(positions):,}", "", *sums, "")
    out.print(table)
    if order[len(order[:most]) :]:
        _show_rest(len(order) - len(order[:most]))


def _show_tail(found: ExplainedAccount, document: ExplainAccountDocument, shown_as: Amount) -> None:
    scenarios = found.state.scenarios
    table = Table(title="Worst scenarios", title_justify="left")
    for name in ("index", "scenario", "profit", *(f"{u} move" for u in scenarios.underlyings)):
        table.add_column(name, justify="left" if name == "scenario" else "right")
    for item in document.tail[:_TAIL]:
        moves = (
            percent(float(np.expm1(x)), signed=True) for x in scenarios.spot_return[item.scenario]
        )
        table.add_row(str(item.scenario), escape(item.name), shown_as(item.profit_usd), *moves)
    out.print(table)


def _show_trace(document: ExplainAccountDocument, shown_as: Amount, most: int | None) -> None:
    traced = document.traced
    name = escape(traced.name)
    table = Table(
        title=f"Prices before and after scenario {traced.scenario}, {name}", title_justify="left"
    )
    order = sorted(traced.positions, key=lambda t: -abs(t.profit_usd))
    rows = [_trace_cells(t, shown_as) for t in order[:most]]
    wide = out.width >= _WIDE
    titles = [t for t in rows[0] if wide or t not in _NARROW_HIDDEN]
    for title in titles:
        left = title == "instrument"
        table.add_column(title, justify="left" if left else "right", no_wrap=left)
    for cells in rows:
        table.add_row(*(cells[title] for title in titles))
    table.add_section()
    blank = [""] * (len(titles) - 2)
    table.add_row(f"all {len(order):,}", *blank, shown_as(traced.profit_usd))
    out.print(table)
    if len(order) > len(rows):
        _show_rest(len(order) - len(rows))
    if not wide:
        hidden = ", ".join(_NARROW_HIDDEN)
        out.print(
            f"[dim]Not shown in {out.width} columns: {hidden}; use a wider terminal or --json[/]",
            highlight=False,
        )


def _trace_cells(t: TracedInstrument, shown_as: Amount) -> dict[str, str]:
    before, after = t.volatility_annual, t.volatility_after_annual
    return {
        "instrument": t.instrument,
        "forward": f"{t.forward_usd:,.1f}",
        "forward after": f"{t.forward_after_usd:,.1f}",
        "vol": "" if before is None else percent(before),
        "vol after": "" if after is None else percent(after),
        "unit": f"{t.unit_value_usd:,.2f}",
        "unit after": f"{t.unit_value_after_usd:,.2f}",
        "profit": shown_as(t.profit_usd),
    }
