"""The risk officer's page of a calculation of `margin run`."""

from collections.abc import Mapping

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.margin import (
    attribute_account,
    binding_components,
    dominant_add_ons,
)
from margin_cluster.previous_close import PreviousClose
from margin_cluster.report.identity import ReportIdentity, ReportOrigin
from margin_cluster.report.officer import (
    AccountDetails,
    OfficerPage,
    OfficerWarning,
    PreviousAmounts,
    Resources,
)
from margin_cluster.results import CalculationOutput
from margin_cluster.shortfalls import accounts_in_deficit, short_since

MEASURES = {
    "var": "VaR",
    "es": "expected shortfall",
    "blend": "VaR blended with the stress period",
    "span": "SPAN",
    "venue_grid": "the venue's grid",
    "hybrid": "SPAN from VaR",
}
_WORST, _WORST_OF_MANY, _MANY = 3, 1, 2000
"""Scenarios with the largest losses of each account; in books of more than `_MANY` accounts, the
largest loss alone, so that the report of 10,000 accounts stays below 2 MB."""
_RISKS = 5
"""Positions with the largest contributions of an account."""
_ATTRIBUTED_MAX = 300
"""Accounts with the largest contributions: accounts in deficit, then the largest requirements."""


def run_identity(output: CalculationOutput, origin: ReportOrigin) -> ReportIdentity:
    """Return the identity of a report on a calculation."""
    r = output.result
    surfaces = [(f"surface {u}", s.id) for u, s in output.surfaces.items()]
    return ReportIdentity(
        valuation=f"{output.snapshot.time:%Y-%m-%d %H:%M:%S} UTC",
        origin=origin,
        models=((f"{output.model.name} {output.model.version}", r.model_id),),
        inputs=(
            ("snapshot", r.snapshot_id),
            ("scenario set", r.scenarios_id),
            ("book", r.assessment.book_id),
            *surfaces,
            ("result digest", r.digest),
            *_previous_identity(output.previous),
        ),
        files=output.files,
        is_synthetic=output.is_synthetic,
    )


def _previous_identity(previous: PreviousClose | None) -> tuple[tuple[str, str], ...]:
    if previous is None:
        return ()
    label = f"previous close {previous.time:%Y-%m-%d %H:%M:%S} UTC"
    return ((label, f"{previous.source}, {previous.digest}"),)


def officer_page(output: CalculationOutput, origin: ReportOrigin) -> OfficerPage:
    """Return the risk officer's page of a calculation."""
    r, model = output.result, output.model
    used = r.margins.components_used
    return OfficerPage(
        identity=run_identity(output, origin),
        title="Initial margin",
        age=_age(output, origin),
        model=f"{model.name} {model.version}, {MEASURES[model.measure.core]} at "
        f"{100 * model.measure.confidence:g} % over {output.scenarios.horizon_hours:g} h, "
        f"{len(output.scenarios):,} scenarios",
        accounts=tuple(r.book.accounts),
        members=tuple(r.book.members),
        requirement_usd=r.margins.initial_margin_usd,
        components=used,
        components_usd=np.column_stack([r.margins.component_usd(name) for name in used]),
        binding=binding_components(r.margins),
        dominant=dominant_add_ons(r.margins),
        details=_details(output),
        resources=_resources(output),
        previous=None if output.previous is None else _previous(output, output.previous),
        warnings=tuple(_warnings(output)),
    )


def _age(output: CalculationOutput, origin: ReportOrigin) -> str:
    hours = (origin.created - output.snapshot.time).total_seconds() / 3600
    shown = f"{hours:,.1f} h" if abs(hours) < 48 else f"{hours / 24:,.0f} days"
    text = f"market data {shown} old when the report was written"
    ages = [q.end_age_hours for q in output.quality]
    if ages:
        text += f"; last price {max(ages):.1f} h before the valuation time"
    return text


def _resources(output: CalculationOutput) -> Resources | None:
    excess, collateral = output.excess_usd, output.collateral_usd
    if excess is None or collateral is None:
        return None
    since = [None] * excess.size
    times = {a: short_since(output, a) for a in accounts_in_deficit(output).tolist()}
    return Resources(
        collateral_usd=collateral,
        option_value_usd=output.option_value_usd,
        total_usd=excess + output.result.margins.initial_margin_usd,
        short_since=tuple(times.get(a) for a in range(len(since))),
    )


def _previous(output: CalculationOutput, previous: PreviousClose) -> PreviousAmounts:
    book = output.result.book
    before = _aligned(previous.requirement_usd, book.accounts)
    excess = previous.excess_usd
    deficit = None if excess is None else np.maximum(-_aligned(excess, book.accounts), 0.0)
    members: dict[str, float] = {}
    short: dict[str, float] = {}
    for account, amount in previous.requirement_usd.items():
        member = previous.members[account]
        members[member] = members.get(member, 0.0) + amount
        if excess is not None:
            short[member] = short.get(member, 0.0) + max(-excess[account], 0.0)
    return PreviousAmounts(
        time=previous.time,
        title=f"{previous.model}, {previous.source}",
        requirement_usd=before,
        deficit_usd=deficit,
        components_usd=previous.components_usd,
        members_usd=members,
        members_deficit_usd=None if excess is None else short,
        accounts_gone=len(set(previous.requirement_usd) - set(book.accounts)),
    )


def _aligned(values: Mapping[str, float], accounts: tuple[str, ...]) -> FloatArray:
    """Return the values of `accounts`, float64 (n_accounts,); NaN for those without."""
    return np.array([values.get(a, np.nan) for a in accounts], np.float64)


def _details(output: CalculationOutput) -> AccountDetails:
    r = output.result
    m = r.margins
    shown = _WORST if len(r.book.accounts) <= _MANY else _WORST_OF_MANY
    worst = min(shown, m.tail_scenario.shape[1])
    rows: IntArray = m.tail_scenario[:, :worst].astype(np.int64)
    used, index = np.unique(rows, return_inverse=True)
    figures = {"VaR": m.var_usd, "expected shortfall": m.es_usd, "worst loss": m.worst_usd}
    if np.isfinite(m.stress_usd).any():
        figures["stress loss"] = m.stress_usd
    return AccountDetails(
        figures={**figures, "positions": m.positions.astype(np.float64)},
        scenario_names=tuple(output.scenarios.row_name(int(s)) for s in used),
        worst_scenario=index.reshape(rows.shape).astype(np.int64),
        worst_loss_usd=-m.tail_usd[:, :worst],
        instruments=tuple(r.book.instruments),
        risks=_risks(output),
    )


def _risks(output: CalculationOutput) -> dict[int, tuple[tuple[int, float, float], ...]]:
    """Return the positions with the largest contributions to the expected shortfall, by account."""
    r = output.result
    by_size = np.argsort(-r.margins.initial_margin_usd, kind="stable")
    chosen = dict.fromkeys([*accounts_in_deficit(output).tolist(), *by_size.tolist()])
    found: dict[int, tuple[tuple[int, float, float], ...]] = {}
    for account in list(chosen)[:_ATTRIBUTED_MAX]:
        if r.margins.positions[account] == 0:
            continue
        parts = attribute_account(r, account).component_es
        first = int(r.book.start[account])
        top = np.argsort(-parts, kind="stable")[:_RISKS]
        found[account] = tuple(
            (
                int(r.book.instrument_index[first + p]),
                float(r.book.quantity[first + p]),
                float(parts[p]),
            )
            for p in top.tolist()
        )
    return found


def _warnings(output: CalculationOutput) -> list[OfficerWarning]:
    r = output.result
    found: list[OfficerWarning] = []
    if output.is_synthetic:
        text = "The market data are synthetic: generated, not observed in a market."
        found.append(OfficerWarning("data", text))
    if r.failures:
        text = f"{_count(len(r.failures), 'account')} could not be margined and are not included."
        names = tuple(f"{f.account_id}: {f.problems[0].description}" for f in r.failures)
        found.append(OfficerWarning("incomplete", text, names))
    for q in output.quality:
        if q.breaches:
            text = f"The prices of {q.underlying} exceed limits of data quality."
            found.append(OfficerWarning("data", text, tuple(q.breaches)))
    whole = [f for f in r.findings if f.effect != "quote_excluded"]
    if whole:
        text = f"{_count(len(whole), 'expiry', 'expiries')} or groups of options are quarantined."
        found.append(OfficerWarning("quarantine", text, tuple(f.sentence() for f in whole)))
    if output.unknown_accounts:
        text = f"Collateral of {_count(len(output.unknown_accounts), 'account')} that the book "
        text += "does not have is not counted."
        found.append(OfficerWarning("data", text, output.unknown_accounts))
    if output.equity is not None and (output.equity.simulated_usd != 0.0).any():
        count = int((output.equity.simulated_usd != 0.0).sum())
        text = f"Coins of {_count(count, 'account')} count as simulated positions, not as deposits."
        found.append(OfficerWarning("data", text))
    dominant = [
        f"{a}: {name.replace('_', ' ')}"
        for a, name in zip(r.book.accounts, dominant_add_ons(r.margins), strict=True)
        if name
    ]
    if dominant:
        text = f"One add-on is above half of the requirement of {_count(len(dominant), 'account')}."
        found.append(OfficerWarning("add_on", text, tuple(dominant)))
    previous = output.previous
    if previous is not None and previous.model_id != r.model_id:
        text = f"The previous close was calculated with another model: {previous.model}."
        found.append(OfficerWarning("comparison", text))
    return found


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
