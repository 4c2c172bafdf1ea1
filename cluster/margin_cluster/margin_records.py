"""Records of margins and failures: from the engine's results, and from the tables of books."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from margin_actors.engine.margin import AccountFailure, Margins
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book
from margin_cluster.ledger import (
    AccountFailureRecord,
    AccountMarginRecord,
    ComponentInputRecord,
    ComponentRecord,
)
from margin_cluster.ledger.margin_records import margin_from_values

PROBLEMS_KEPT_MAX = 20
"""Most problems of a failed account that a record lists."""
_COMPONENT = "part_"
"""Beginning of the names of the component columns in the tables of books."""
_MEASURES = (
    "positions",
    "worst_scenario",
    "value_usd",
    "var_usd",
    "var_low_usd",
    "var_high_usd",
    "es_usd",
    "es_standard_error_usd",
    "worst_usd",
    "core_usd",
    "initial_margin_usd",
    "rounding_bound_usd",
)
_OPTIONAL = (
    "undiversified_usd",
    "span_usd",
    "venue_grid_usd",
    "long_usd",
    "stress_period_usd",
    "stress_usd",
)


def account_margin_record(
    margins: Margins,
    account: int,
    model: ModelParameters,
    scenarios: ScenarioSet,
    *,
    account_id: str,
    member_id: str,
    expired_instruments: Sequence[str] = (),
) -> AccountMarginRecord:
    """Return the record of one account's margin.

    Optional amounts that the model does not calculate (NaN) are None.

    Parameters
    ----------
    margins : Margins
    account : int
        Row of the account in `margins`.
    model, scenarios
        Those with which the margins were calculated.
    account_id, member_id : str
    expired_instruments : sequence of str
        Instruments of the account that had expired at the snapshot's time.
    """
    stress = _known(margins.stress_usd[account])
    return AccountMarginRecord(
        account_id=account_id,
        member_id=member_id,
        positions=int(margins.positions[account]),
        worst_scenario=int(margins.worst_scenario[account]),
        value_usd=float(margins.value_usd[account]),
        var_usd=float(margins.var_usd[account]),
        var_low_usd=float(margins.var_low_usd[account]),
        var_high_usd=float(margins.var_high_usd[account]),
        es_usd=float(margins.es_usd[account]),
        es_standard_error_usd=float(margins.es_standard_error_usd[account]),
        worst_usd=float(margins.worst_usd[account]),
        core_usd=float(margins.core_usd[account]),
        initial_margin_usd=float(margins.initial_margin_usd[account]),
        rounding_bound_usd=float(margins.rounding_bound_usd[account]),
        undiversified_usd=_known(margins.undiversified_usd[account]),
        span_usd=_known(margins.span_usd[account]),
        venue_grid_usd=_known(margins.venue_grid_usd[account]),
        long_usd=_known(margins.long_usd[account]),
        stress_period_usd=_known(margins.stress_period_usd[account]),
        stress_usd=stress,
        stress_name=None
        if stress is None
        else scenarios.row_name(int(margins.stress_scenario[account])),
        components=_components(margins, account, model),
        expired_instruments=tuple(expired_instruments),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _components(
    margins: Margins, account: int, model: ModelParameters
) -> tuple[ComponentRecord, ...]:
    """Return the core, then the other components that are not 0 or have inputs."""
    inputs: dict[str, list[ComponentInputRecord]] = {}
    for _, component, label, figure, value in margins.inputs.of(account).rows():
        inputs.setdefault(component, []).append(ComponentInputRecord(figure, value, label))
    if "core" not in inputs:
        inputs["core"] = [
            ComponentInputRecord("var_usd", float(margins.var_usd[account])),
            ComponentInputRecord("es_usd", float(margins.es_usd[account])),
        ]
    inputs["core"].insert(0, ComponentInputRecord("confidence", model.measure.confidence))
    return tuple(
        ComponentRecord(name, amount, tuple(inputs.get(name, ())))
        for name, amount in margins.amounts_of(account).items()
        if amount != 0.0 or name in inputs
    )


def account_failure_record(failure: AccountFailure) -> AccountFailureRecord:
    """Return the record of an account that could not be margined."""
    shown = failure.problems[:PROBLEMS_KEPT_MAX]
    return AccountFailureRecord(
        failure.account_id,
        failure.member_id,
        failure.positions,
        tuple((p.instrument_name, p.description) for p in shown),
        len(failure.problems),
    )


def margins_to_table(margins: Margins, book: Book, scenarios: ScenarioSet) -> pa.Table:
    """Return the margins of a book as the archive stores them, one row per account of `book`.

    Amounts are US dollars. A component is in column ``part_`` plus its name. Optional amounts that
    are NaN for every account have no column.
    """
    columns: dict[str, pa.Array | np.ndarray] = {
        "account_id": pa.array(book.accounts, pa.string()),
        "member_id": pa.array(book.members, pa.string()),
    } | {name: getattr(margins, name) for name in _MEASURES}
    for name in _OPTIONAL:
        values = getattr(margins, name)
        if not np.isnan(values).all():
            columns[name] = values
    if "stress_usd" in columns:
        names = [scenarios.row_name(int(s)) for s in margins.stress_scenario]
        columns["stress_name"] = pa.array(names)
    for name in margins.components:
        columns[f"{_COMPONENT}{name}"] = np.ascontiguousarray(margins.component_usd(name))
    return pa.table(columns)


def margin_record_from_row(row: Mapping[str, object]) -> AccountMarginRecord:
    """Return one account's margin from a row of `margins_to_table`.

    The inputs of the components are empty, because the table does not contain them.
    """
    amounts = {
        name.removeprefix(_COMPONENT): value
        for name, value in row.items()
        if name.startswith(_COMPONENT) and isinstance(value, float)
    }
    components = [
        ComponentRecord(name, amount)
        for name, amount in amounts.items()
        if amount != 0.0 or name == "core"
    ]
    return margin_from_values(row, components=components)
