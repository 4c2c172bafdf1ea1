"""Margins and failures of accounts in the ledger, and their stored form: JSON texts.

The ledger's hash chain covers these texts, so their form never changes: names, order and separators
are those of the first version. They do not depend on the contract, whose fields may be renamed. A
field that an older version did not store has its default.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ComponentInputRecord:
    """A figure from which a requirement component was computed."""

    name: str
    """Name of the figure; ends in the unit if there is one."""
    value: float
    of: str = ""
    """What the figure refers to; empty for the account as a whole."""


@dataclass(frozen=True, slots=True)
class ComponentRecord:
    """One component of a requirement."""

    name: str
    amount_usd: float
    """At least 0."""
    inputs: tuple[ComponentInputRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMarginRecord:
    """The margin of one account; amounts in US dollars with the signs of `Margins`."""

    account_id: str
    """Empty for a portfolio of a request."""
    member_id: str
    positions: int
    worst_scenario: int
    """Row of the worst scenario of the core."""
    value_usd: float
    var_usd: float
    var_low_usd: float
    var_high_usd: float
    es_usd: float
    es_standard_error_usd: float
    worst_usd: float
    core_usd: float
    initial_margin_usd: float
    rounding_bound_usd: float
    undiversified_usd: float | None = None
    """This and the following amounts are None if the model does not calculate them."""
    span_usd: float | None = None
    venue_grid_usd: float | None = None
    long_usd: float | None = None
    stress_period_usd: float | None = None
    stress_usd: float | None = None
    stress_name: str | None = None
    """Name of the stress row; None without `stress_usd`."""
    components: tuple[ComponentRecord, ...] = ()
    """The core, then every other component that is not 0 or has inputs, in summation order."""
    expired_instruments: tuple[str, ...] = ()
    """Instruments that had expired at the snapshot's time."""


@dataclass(frozen=True, slots=True)
class AccountFailureRecord:
    """An account that could not be margined."""

    account_id: str
    member_id: str
    positions: int
    problems: tuple[tuple[str, str], ...]
    """The first reasons, as (instrument name, description)."""
    problems_total: int
    """Number of all reasons."""


def margin_to_text(record: AccountMarginRecord | None) -> str:
    """Return the stored form of a margin; an empty object for None."""
    if record is None:
        return "{}"
    stored: dict[str, object] = {
        "account_id": record.account_id,
        "member_id": record.member_id,
        "positions": record.positions,
        "worst_scenario": record.worst_scenario,
        "value_usd": record.value_usd,
        "var_usd": record.var_usd,
        "var_low_usd": record.var_low_usd,
        "var_high_usd": record.var_high_usd,
        "es_usd": record.es_usd,
        "es_standard_error_usd": record.es_standard_error_usd,
        "worst_usd": record.worst_usd,
        "core_usd": record.core_usd,
        "initial_margin_usd": record.initial_margin_usd,
        "rounding_bound_usd": record.rounding_bound_usd,
    }
    optional: dict[str, float | str | None] = {
        "undiversified_usd": record.undiversified_usd,
        "span_usd": record.span_usd,
        "venue_grid_usd": record.venue_grid_usd,
        "long_usd": record.long_usd,
        "stress_period_usd": record.stress_period_usd,
        "stress_usd": record.stress_usd,
        "stress_name": record.stress_name,
    }
    stored |= {name: value for name, value in optional.items() if value is not None}
    stored["parts"] = [
        {
            "name": component.name,
            "amount_usd": component.amount_usd,
            "inputs": [[item.name, item.value, item.of] for item in component.inputs],
        }
        for component in record.components
    ]
    if record.expired_instruments:
        stored["expired_instruments"] = record.expired_instruments
    return json.dumps(stored)


def margin_from_text(text: str) -> AccountMarginRecord | None:
    """Return the margin of a stored text; None for an empty object."""
    stored: Mapping[str, object] = json.loads(text)
    if not stored:
        return None
    return margin_from_values(
        stored,
        components=tuple(_component(item) for item in _mappings(stored.get("parts"))),
        expired_instruments=tuple(map(str, _items(stored.get("expired_instruments")))),
    )


def margin_from_values(
    values: Mapping[str, object],
    *,
    components: Sequence[ComponentRecord],
    expired_instruments: Sequence[str] = (),
) -> AccountMarginRecord:
    """Return a margin from its stored values by name; other names are ignored.

    The components and expired instruments are given separately, because their stored forms differ.
    """
    name = values.get("stress_name")
    return AccountMarginRecord(
        account_id=_text(values, "account_id"),
        member_id=_text(values, "member_id"),
        positions=_whole(values, "positions"),
        worst_scenario=_whole(values, "worst_scenario"),
        value_usd=_amount(values, "value_usd"),
        var_usd=_amount(values, "var_usd"),
        var_low_usd=_amount(values, "var_low_usd"),
        var_high_usd=_amount(values, "var_high_usd"),
        es_usd=_amount(values, "es_usd"),
        es_standard_error_usd=_amount(values, "es_standard_error_usd"),
        worst_usd=_amount(values, "worst_usd"),
        core_usd=_amount(values, "core_usd"),
        initial_margin_usd=_amount(values, "initial_margin_usd"),
        rounding_bound_usd=_amount(values, "rounding_bound_usd"),
        undiversified_usd=_optional(values, "undiversified_usd"),
        span_usd=_optional(values, "span_usd"),
        venue_grid_usd=_optional(values, "venue_grid_usd"),
        long_usd=_optional(values, "long_usd"),
        stress_period_usd=_optional(values, "stress_period_usd"),
        stress_usd=_optional(values, "stress_usd"),
        stress_name=name if isinstance(name, str) else None,
        components=tuple(components),
        expired_instruments=tuple(expired_instruments),
    )


def _component(stored: Mapping[str, object]) -> ComponentRecord:
    inputs = [list(_items(item)) for item in _items(stored.get("inputs"))]
    return ComponentRecord(
        _text(stored, "name"),
        _amount(stored, "amount_usd"),
        tuple(ComponentInputRecord(str(n), _number(v), str(of)) for n, v, of in inputs),
    )


def failures_to_text(records: Sequence[AccountFailureRecord]) -> str:
    """Return the stored form of failures."""
    return json.dumps(
        [
            {
                "account_id": record.account_id,
                "member_id": record.member_id,
                "positions": record.positions,
                "problems": record.problems,
                "problems_total": record.problems_total,
            }
            for record in records
        ]
    )


def failures_from_text(text: str) -> tuple[AccountFailureRecord, ...]:
    """Return the failures of a stored text."""
    return tuple(
        AccountFailureRecord(
            _text(stored, "account_id"),
            _text(stored, "member_id"),
            _whole(stored, "positions"),
            tuple(
                (str(name), str(description))
                for name, description in map(_items, _items(stored.get("problems")))
            ),
            _whole(stored, "problems_total"),
        )
        for stored in _mappings(json.loads(text))
    )


def _items(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()


def _mappings(value: object) -> Iterable[Mapping[str, object]]:
    return (item for item in _items(value) if isinstance(item, Mapping))


def _text(values: Mapping[str, object], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _whole(values: Mapping[str, object], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _amount(values: Mapping[str, object], name: str) -> float:
    return _number(values.get(name))


def _optional(values: Mapping[str, object], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else None
