"""HTML report of a calculation."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version

import numpy as np
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from margin_actors.engine.margin import (
    AccountFailure,
    attribute_account,
    binding_components,
    worst_extended_moves,
)
from margin_actors.market.cleansing import QualityReport
from margin_cluster.report import figures
from margin_cluster.report.formats import usd
from margin_cluster.results import (
    CalculationOutput,
    accounts_by_binding,
    collateral_totals,
    totals,
)

_ROWS_MAX = 1000
_EXTENDED = "extended_moves"
_DISTRIBUTIONS_MAX = 12
_REPAIRS_MAX = 200
_DEFICITS_FIRST = 15
"""Deficits shown before the reader asks for all; a printed page has all of them."""
_STRESS_ROWS = 25
_SIDE = 6
"""Positions shown from each end of the ranking by contribution."""


_MEASURES = {
    "var": "VaR",
    "es": "expected shortfall",
    "blend": "VaR blended with the stress period",
    "span": "SPAN",
    "venue_grid": "the venue's grid",
    "hybrid": "SPAN from VaR",
}


def environment() -> Environment:
    """Return the Jinja environment with the templates of this package."""
    return Environment(
        loader=PackageLoader("margin_cluster.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
    )


def report_html(output: CalculationOutput) -> str:
    """Return the report of a calculation as one self-contained HTML document."""
    r = output.result
    top = np.argsort(-r.margins.initial_margin_usd, kind="stable")
    drawn = [
        (r.book.accounts[a], figures.distribution(output, int(a))) for a in top[:_DISTRIBUTIONS_MAX]
    ]
    kept = [(name, figure) for name, figure in drawn if figure is not None]
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            time=f"{output.snapshot.time:%Y-%m-%d %H:%M:%S}",
            synthetic=output.is_synthetic,
            model=output.model,
            measure=_MEASURES[output.model.measure.core],
            components_figure=_optional(figures.components_of_accounts(output)),
            binding=_binding(output),
            component_inputs=_component_inputs(output, int(top[0])),
            stress=_stress(output),
            confidence=f"{100 * output.model.measure.confidence:g} %",
            horizon=f"{output.scenarios.horizon_hours:g}",
            n_scenarios=f"{len(output.scenarios):,}",
            cards=_cards(output),
            plotly_js=Markup(get_plotlyjs()),  # noqa: S704 - our own dependency's script
            accounts_figure=_script(figures.requirements_and_resources(output)),
            risk_figure=_script(figures.risk_of_accounts(output)),
            failures=failure_rows(output.result.failures),
            failures_title=failures_title(output.result.failures, len(r.book.accounts)),
            deficits=_deficits(output),
            deficits_first=_DEFICITS_FIRST,
            tail_figure=_script(figures.tail_by_date(output)),
            distributions=[_script(figure) for _, figure in kept],
            distribution_names=[name for name, _ in kept],
            surfaces=[_surface(output, u) for u in output.surfaces],
            rows=[_row(output, int(a)) for a in top[:_ROWS_MAX]],
            contributors=_contributors(output, int(top[0])),
            accounts_note=f"The {_ROWS_MAX:,} largest of {top.size:,}."
            if top.size > _ROWS_MAX
            else "",
            has_collateral=output.collateral_usd is not None,
            quality=[_quality(q) for q in output.quality],
            chain_findings=_chain_findings(output),
            notes=output.notes,
            inputs=_inputs(output),
            files=[asdict(f) for f in output.files],
            version=version("margin-cluster"),
        )
    )


def _script(figure: go.Figure) -> Markup:
    return Markup(figures.as_json(figure))  # noqa: S704 - JSON with its closing tags escaped


def _optional(figure: go.Figure | None) -> Markup | None:
    return None if figure is None else _script(figure)


def _component_inputs(output: CalculationOutput, account: int) -> dict[str, object] | None:
    """Return the inputs of each requirement component of one account; None if there are none."""
    r = output.result
    own = list(r.margins.inputs.of(account).rows())
    if not own:
        return None
    rows = [
        [component.replace("_", " "), label, figure.replace("_", " "), f"{value:,.4g}"]
        for _, component, label, figure, value in own
    ]
    components = [
        [name.replace("_", " "), usd(amount)]
        for name, amount in r.margins.amounts_of(account).items()
        if amount != 0.0 or name == "core"
    ]
    return {
        "account": r.book.accounts[account],
        "rows": rows,
        "components": components,
        "total": usd(r.margins.initial_margin_usd[account]),
    }


def _binding(output: CalculationOutput) -> list[list[str]]:
    """Return rows (component, accounts that it binds, their requirement, most frequent row)."""
    margins = output.result.margins
    extended = worst_extended_moves(margins)
    binding = np.array(binding_components(margins))
    rows: list[list[str]] = []
    for name, count in accounts_by_binding(output).items():
        chosen = np.flatnonzero(binding == name)
        most = ""
        if extended is not None and name == _EXTENDED:
            names = Counter(extended[1][a] for a in chosen.tolist())
            most = "{} ({:,})".format(*names.most_common(1)[0])
        total = float(margins.initial_margin_usd[chosen].sum())
        rows.append([name.replace("_", " "), f"{count:,}", usd(total), most])
    return rows


def _stress(output: CalculationOutput) -> list[list[str]]:
    """Return rows of the accounts with the largest excess of stress loss over margin."""
    r = output.result
    over = r.margins.stress_usd - r.margins.initial_margin_usd
    order = np.argsort(-np.nan_to_num(over, nan=-np.inf), kind="stable")[:_STRESS_ROWS]
    chosen: list[int] = order.tolist()
    return [
        [
            r.book.accounts[a],
            output.scenarios.row_name(int(r.margins.stress_scenario[a])),
            usd(float(r.margins.stress_usd[a])),
            usd(float(r.margins.initial_margin_usd[a])),
            usd(float(over[a])),
        ]
        for a in chosen
        if np.isfinite(over[a])
    ]


def _millions(value: float) -> str:
    shown = f"${value / 1e9:,.2f}\u00a0B" if abs(value) >= 1e9 else f"${value / 1e6:,.1f}\u00a0M"
    return shown.replace("$-", "−$")


def _cards(output: CalculationOutput) -> list[tuple[str, str]]:
    t = totals(output)
    cards = [
        ("initial margin of all accounts", _millions(t["initial_margin_usd"])),
        ("sum of VaR", _millions(t["var_usd"])),
        ("sum of expected shortfall", _millions(t["es_usd"])),
        ("accounts", f"{t['accounts']:,}"),
        (f"positions in {t['instruments']:,} instruments", f"{t['positions']:,}"),
    ]
    collateral = collateral_totals(output)
    if collateral is not None:
        short = collateral["accounts_in_deficit"]
        noun = "account" if short == 1 else "accounts"
        cards.append(
            (f"sum of the deficits of {short:,} {noun}", _millions(collateral["deficit_usd"]))
        )
    if t["accounts_with_dominant_add_on"]:
        flagged = f"{t['accounts_with_dominant_add_on']:,}"
        cards.append(("accounts with an add-on above half of their requirement", flagged))
    if t["accounts_failed"]:
        cards.append(("accounts that could not be margined", f"{t['accounts_failed']:,}"))
    return cards


def failures_title(failures: Sequence[AccountFailure], margined: int) -> str:
    """Return a title with the number of accounts that could not be margined.

    `margined` is the number of accounts that were.
    """
    every = len(failures) + margined
    noun = "account" if every == 1 else "accounts"
    return f"Incomplete: {len(failures):,} of {every:,} {noun} could not be margined"


def failure_rows(failures: Sequence[AccountFailure]) -> list[list[str]]:
    """Return rows (account, member, positions, instrument, reason), at most 1,000."""
    rows = [
        [f.account_id, f.member_id, f"{f.positions:,}", p.instrument_name, p.description]
        for f in failures
        for p in f.problems
    ]
    return rows[:_ROWS_MAX]


def _deficits(output: CalculationOutput) -> list[list[str]]:
    """Return rows (account, member, *resources) of all accounts in deficit, the largest first."""
    r, excess = output.result, output.excess_usd
    if excess is None:
        return []
    order = np.argsort(excess, kind="stable")
    return [
        [r.book.accounts[a], r.book.members[a], *_resources(output, int(a))]
        for a in order
        if excess[a] < 0.0
    ]


def _resources(output: CalculationOutput, a: int) -> list[str]:
    """Return (excess, requirement, collateral, option value) of account `a`, in US dollars.

    Without collateral: (requirement, option value).
    """
    value, requirement = output.option_value_usd[a], output.result.margins.initial_margin_usd[a]
    excess = output.excess_usd
    if excess is None or output.collateral_usd is None:
        return [usd(requirement), usd(value)]
    return [usd(excess[a]), usd(requirement), usd(output.collateral_usd[a]), usd(value)]


def _row(output: CalculationOutput, a: int) -> list[str]:
    r = output.result
    return [
        r.book.accounts[a],
        r.book.members[a],
        *_resources(output, a),
        f"{r.margins.positions[a]:,}",
        usd(r.margins.var_usd[a]),
        usd(r.margins.es_usd[a]),
        usd(r.margins.worst_usd[a]),
        output.scenarios.row_name(int(r.margins.worst_scenario[a])),
    ]


def _contributors(output: CalculationOutput, account: int) -> dict[str, object] | None:
    """Return the positions with the largest and smallest contributions to the account's ES.

    None if all positions of the account have expired.
    """
    r = output.result
    if r.margins.positions[account] == 0:
        return None
    parts = attribute_account(r, account)
    first = int(r.book.start[account])
    order = np.argsort(-parts.component_es, kind="stable")
    chosen = order if order.size <= 2 * _SIDE else np.append(order[:_SIDE], order[-_SIDE:])
    rows = [
        [
            r.book.instruments[r.book.instrument_index[first + p]],
            f"{r.book.quantity[first + p]:,.10g}".replace("-", "−"),
            usd(parts.component_es[p]),
            usd(parts.component_var[p]),
            usd(parts.incremental_es[p]),
        ]
        for p in chosen
    ]
    total = [usd(parts.component_es.sum()), usd(parts.component_var.sum())]
    shown = f"All {order.size:,} positions."
    if order.size > 2 * _SIDE:
        shown = f"The {_SIDE} largest and the {_SIDE} smallest of {order.size:,} positions."
    return {"account": r.book.accounts[account], "rows": rows, "total": total, "shown": shown}


def _surface(output: CalculationOutput, underlying: str) -> dict[str, str | Markup]:
    surface = output.surfaces[underlying]
    free = sum(d.is_arbitrage_free for d in surface.diagnostics)
    n = len(surface.diagnostics)
    return {
        "name": underlying,
        "inside": f"{sum(d.inside for d in surface.diagnostics):,}",
        "quotes": f"{sum(d.quotes for d in surface.diagnostics):,}",
        "arbitrage": f"No butterfly or calendar arbitrage in {free} of {n} expiries; "
        f"{surface.model.upper()}, z in standard deviations at the money.",
        "smile_figure": _script(figures.smiles(output, underlying)),
        "surface_figure": _script(figures.surface_plot(surface)),
        "map_figure": _script(figures.surface_map(surface)),
        "levels": figures.levels_in_words(surface),
    }


def _quality(report: QualityReport) -> dict[str, object]:
    """Return the values of the template's section on one underlying's price history."""

    def price(value: float) -> str:
        return "" if np.isnan(value) else f"{value:,.2f}"

    return {
        "underlying": report.underlying,
        "grid_points": f"{report.grid_points:,}",
        "missing": report.missing,
        "dropped": report.dropped,
        "filled": report.filled,
        "end_age_hours": report.end_age_hours,
        "breaches": report.breaches,
        "sources": [
            {
                "source": s.source,
                "rows": f"{s.rows:,}",
                "first": s.first,
                "last": s.last,
                "missing": s.missing,
                "faults": ", ".join(
                    f"{n:,} {name.replace('_', ' ')}" for name, n in s.faults.items() if n
                )
                or "none",
                "not_used": f"{s.not_used:,}",
            }
            for s in report.sources
        ],
        "repairs": [
            {
                "time": r.time,
                "source": r.source,
                "rule": r.rule,
                "found": price(r.found),
                "reference": price(r.reference),
            }
            for r in report.repairs[-_REPAIRS_MAX:]
        ],
        "more": len(report.repairs) > _REPAIRS_MAX,
        "total": len(report.repairs),
    }


def _chain_findings(output: CalculationOutput) -> list[list[str]]:
    """Return rows (where, gate, finding, effect), those on whole expiries first."""
    ordered = sorted(output.result.findings, key=lambda f: f.effect == "quote_excluded")
    return [
        [f.where, f.gate.replace("_", " "), f.what, f.effect.replace("_", " ")] for f in ordered
    ][:_ROWS_MAX]


def _inputs(output: CalculationOutput) -> list[tuple[str, str]]:
    r = output.result
    surfaces = [(f"surface {u}", s.id) for u, s in output.surfaces.items()]
    return [
        ("snapshot", r.snapshot_id),
        ("scenario set", r.scenarios_id),
        ("model", r.model_id),
        ("book", r.assessment.book_id),
        *surfaces,
        ("result digest", r.digest),
    ]
