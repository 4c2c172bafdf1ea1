"""HTML report of a calculation."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from margin_actors.engine.margin import (
    AccountFailure,
    attribute_account,
    binding_components,
    worst_extended_moves,
)
from margin_actors.market.cleansing import QualityReport
from margin_cluster.report import figures
from margin_cluster.report.formats import usd
from margin_cluster.report.from_run import officer_page
from margin_cluster.report.identity import (
    SOFTWARE,
    ReportIdentity,
    ReportOrigin,
    identity_rows,
)
from margin_cluster.report.officer import OfficerPage
from margin_cluster.report.officer_page import officer_values
from margin_cluster.report.scripts import (
    PLOTLY,
    TABULATOR,
    TABULATOR_STYLES,
    packed_json,
    packed_script,
    vendored,
)
from margin_cluster.results import CalculationOutput, accounts_by_binding

_ROWS_MAX = 500
"""Rows of the tables of accounts that are not margined and of findings on the option chain."""
_EXTENDED = "extended_moves"
_DISTRIBUTIONS_MAX = 12
_REPAIRS_MAX = 200
_STRESS_ROWS = 25
_SIDE = 6
"""Positions shown from each end of the ranking by contribution."""


def environment() -> Environment:
    """Return the Jinja environment with the templates of this package."""
    return Environment(
        loader=PackageLoader("margin_cluster.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
    )


def base_values(identity: ReportIdentity, drawn: Mapping[str, go.Figure]) -> dict[str, object]:
    """Return the values of the template ``base.html.j2``; `drawn` are the figures by element id."""
    packed = {name: json.loads(figures.as_json(figure)) for name, figure in drawn.items()}
    return {
        "version": version("margin-cluster"),
        "identity": identity,
        "identity_rows": identity_rows(identity),
        "identity_software": SOFTWARE,
        "figures": packed_json(packed) if packed else "",
        "plotly_packed": packed_script(PLOTLY) if packed else "",
    }


def officer_html(page: OfficerPage) -> str:
    """Return the risk officer's page as one self-contained HTML document."""
    return environment().get_template("officer_page.html.j2").render(**_officer_values(page, {}))


def _officer_values(page: OfficerPage, drawn: Mapping[str, go.Figure]) -> dict[str, object]:
    return {
        **base_values(page.identity, drawn),
        **officer_values(page),
        "tabulator_packed": packed_script(TABULATOR),
        "tabulator_styles": Markup(vendored(TABULATOR_STYLES)),  # noqa: S704 - no data in it
    }


def report_html(output: CalculationOutput, origin: ReportOrigin) -> str:
    """Return the report of a calculation as one self-contained HTML document.

    The risk officer's page comes first, then charts, stress, the option surfaces and data quality.
    """
    r = output.result
    top = np.argsort(-r.margins.initial_margin_usd, kind="stable")
    profits = [
        (r.book.accounts[a], figures.distribution(output, int(a))) for a in top[:_DISTRIBUTIONS_MAX]
    ]
    kept = [(name, figure) for name, figure in profits if figure is not None]
    drawn = {
        "accounts": figures.requirements_and_resources(output),
        "risk": figures.risk_of_accounts(output),
        "tail": figures.tail_by_date(output),
        **{f"distribution-{i}": figure for i, (_, figure) in enumerate(kept)},
    }
    components = figures.components_of_accounts(output)
    if components is not None:
        drawn["components"] = components
    for u, surface in output.surfaces.items():
        drawn[f"smile-{u}"] = figures.smiles(output, u)
        drawn[f"map-{u}"] = figures.surface_map(surface)
    values = _officer_values(officer_page(output, origin), drawn)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            **values,
            components_figure=components is not None,
            binding=_binding(output),
            component_inputs=_component_inputs(output, int(top[0])),
            stress=_stress(output),
            failures=failure_rows(output.result.failures),
            failures_title=failures_title(output.result.failures, len(r.book.accounts)),
            distribution_names=[name for name, _ in kept],
            surfaces=[_surface(output, u) for u in output.surfaces],
            contributors=_contributors(output, int(top[0])),
            has_collateral=output.collateral_usd is not None,
            quality=[_quality(q) for q in output.quality],
            chain_findings=_chain_findings(output),
            notes=output.notes,
        )
    )


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


def failures_title(failures: Sequence[AccountFailure], margined: int) -> str:
    """Return a title with the number of accounts that could not be margined.

    `margined` is the number of accounts that were.
    """
    every = len(failures) + margined
    noun = "account" if every == 1 else "accounts"
    return f"Incomplete: {len(failures):,} of {every:,} {noun} could not be margined"


def failure_rows(failures: Sequence[AccountFailure]) -> list[list[str]]:
    """Return rows (account, member, positions, instrument, reason), at most 500."""
    rows = [
        [f.account_id, f.member_id, f"{f.positions:,}", p.instrument_name, p.description]
        for f in failures
        for p in f.problems
    ]
    return rows[:_ROWS_MAX]


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


def _surface(output: CalculationOutput, underlying: str) -> dict[str, str]:
    surface = output.surfaces[underlying]
    free = sum(d.is_arbitrage_free for d in surface.diagnostics)
    n = len(surface.diagnostics)
    return {
        "name": underlying,
        "inside": f"{sum(d.inside for d in surface.diagnostics):,}",
        "quotes": f"{sum(d.quotes for d in surface.diagnostics):,}",
        "arbitrage": f"No butterfly or calendar arbitrage in {free} of {n} expiries; "
        f"{surface.model.upper()}, z in standard deviations at the money.",
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
