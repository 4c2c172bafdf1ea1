"""Causes of a change of a requirement in cents, and between two recorded calculations.

Amounts are whole US cents, so that the contributions of the steps, and of the components within
each step, sum exactly to the change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from margin_actors.arrays import FloatArray
from margin_actors.clearing.amounts import requirement_units
from margin_actors.engine.explain import State, Waterfall, changes_of_margin
from margin_actors.engine.margin import book_content_id
from margin_actors.errors import InvalidRequest, Problem, UnknownAccount, raise_if_any
from margin_actors.market.books import account_book
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import CalculationRecord
from margin_cluster.recalculation import RecordedInputs
from margin_cluster.sources import ModelRegistry

_INPUTS: Mapping[str, tuple[str, ...]] = {
    "positions": ("portfolio_version", "book"),
    "time": ("snapshot",),
    "index": ("snapshot",),
    "volatility": ("snapshot",),
    "market": ("snapshot",),
    "scenarios": ("scenarios",),
    "parameters": ("model",),
    "scenarios and parameters": ("scenarios", "model"),
}
"""By step, the names of the inputs that it replaces."""


@dataclass(frozen=True)
class InputChange:
    """An input that differs between two calculations."""

    name: str
    """``portfolio_version``, ``book``, ``snapshot``, ``scenarios`` or ``model``."""
    before_id: str
    after_id: str


@dataclass(frozen=True)
class RequirementStep:
    """The effect of replacing one kind of input."""

    replaced: str
    """A step of `Waterfall.steps`."""
    change_cents: int
    """Change of the requirement; an increase is positive."""
    components: Mapping[str, int]
    """Changes of the components that are not 0, cents; they sum to `change_cents`."""
    inputs: tuple[InputChange, ...]
    """The inputs of this kind that differ."""


@dataclass(frozen=True)
class RequirementChange:
    """The change of an account's requirement, in the order in which its inputs were replaced."""

    account: str
    """Empty for portfolios of requests."""
    before_cents: int
    """The old requirement, rounded up to cents."""
    before_components: Mapping[str, int]
    """Its components that are not 0, cents; they sum to `before_cents`."""
    steps: tuple[RequirementStep, ...]
    after_cents: int
    """The new requirement: the old one plus the changes of all steps."""
    after_components: Mapping[str, int]
    """Its components that are not 0, cents; they sum to `after_cents`."""


def requirement_change(
    waterfall: Waterfall, before_ids: Mapping[str, str], after_ids: Mapping[str, str]
) -> RequirementChange:
    """Return a waterfall in whole cents, with the inputs that each step replaced.

    Parameters
    ----------
    waterfall : Waterfall
    before_ids, after_ids : mapping of str to str
        Ids of the inputs of both calculations by name; see `input_ids`.
    """
    levels = [
        _level(total, waterfall.components, amounts)
        for total, amounts in zip(
            waterfall.requirement_usd.tolist(), waterfall.components_usd, strict=True
        )
    ]
    steps: list[RequirementStep] = []
    for name, old, new in zip(waterfall.steps, levels, levels[1:], strict=False):
        changes = {c: new[c] - old[c] for c in waterfall.components}
        inputs = tuple(
            InputChange(i, before_ids[i], after_ids[i])
            for i in _INPUTS[name]
            if i in before_ids and before_ids[i] != after_ids[i]
        )
        steps.append(RequirementStep(name, sum(changes.values()), _not_zero(changes), inputs))
    return RequirementChange(
        waterfall.account,
        sum(levels[0].values()),
        _not_zero(levels[0]),
        tuple(steps),
        sum(levels[-1].values()),
        _not_zero(levels[-1]),
    )


def _level(total_usd: float, names: Sequence[str], amounts_usd: FloatArray) -> dict[str, int]:
    """Return the components of a requirement in cents, which sum to the requirement rounded up.

    The difference that rounding leaves, a few cents at most, is added to the largest component.
    """
    cents = {n: round(100.0 * a) for n, a in zip(names, amounts_usd.tolist(), strict=True)}
    largest = max(cents, key=lambda name: cents[name])
    cents[largest] += requirement_units(total_usd) - sum(cents.values())
    return cents


def _not_zero(cents: Mapping[str, int]) -> dict[str, int]:
    return {name: amount for name, amount in cents.items() if amount}


def input_ids(state: State) -> dict[str, str]:
    """Return the content ids of the inputs of a calculation, by the names of `InputChange`."""
    return {
        "book": book_content_id(state.book, state.others),
        "snapshot": state.snapshot.id,
        "scenarios": state.scenarios.id,
        "model": state.model.id,
    }


@dataclass(frozen=True)
class RecordedChange:
    """What changed the requirement of an account between two recorded calculations."""

    before: CalculationRecord
    after: CalculationRecord
    change: RequirementChange


def explain_recorded_change(
    archive: StoreArchive,
    before_id: str,
    after_id: str,
    *,
    account_id: str = "",
    registry: ModelRegistry | None = None,
) -> RecordedChange:
    """Return the causes of a change between two recorded calculations of an account.

    Parameters
    ----------
    archive : StoreArchive
    before_id, after_id : str
        Ids of the calculations.
    account_id : str
        Required if both are of books; otherwise that of the calculation of one account.
    registry : ModelRegistry, optional
        As for `recorded_model`.

    Raises
    ------
    UnknownCalculation
        If a calculation is not recorded.
    UnknownAccount
        If a calculation of a book does not contain the account.
    InvalidRequest
        If the calculations are of different accounts, or the account is not named.
    MissingInput, InvalidMarketData
        If an input is no longer stored or is damaged.
    InvalidPortfolio
        If the account has no positions in either calculation.
    """
    before, after = (archive.ledger.calculation(name) for name in (before_id, after_id))
    account = _account_of((before, after), account_id)
    inputs = RecordedInputs(archive, registry)
    old, new = _state(inputs, before, account), _state(inputs, after, account)
    old_ids, new_ids = input_ids(old), input_ids(new)
    if old_ids["book"] != new_ids["book"]:  # otherwise only other accounts have traded
        old_ids["portfolio_version"] = str(before.portfolio_version)
        new_ids["portfolio_version"] = str(after.portfolio_version)
    found = changes_of_margin(old, new, account)
    return RecordedChange(before, after, requirement_change(found, old_ids, new_ids))


def _account_of(records: Sequence[CalculationRecord], account_id: str) -> str:
    """Return the account that two calculations have in common; empty for portfolios of requests."""
    single = [r for r in records if r.kind == "account"]
    accounts = dict.fromkeys(r.account_id for r in single)
    if account_id:
        accounts[account_id] = None
    problems: list[Problem] = []
    if len(accounts) > 1:
        what = " and ".join(a or "a portfolio of a request" for a in accounts)
        problems.append(Problem("account_id", what, "name two calculations of one account"))
    elif not any(accounts) and len(single) < len(records):
        problems.append(Problem("account_id", "is missing", "name an account of the book"))
    raise_if_any(problems, InvalidRequest, "the calculations are not of one account")
    return next(iter(accounts))


def _state(inputs: RecordedInputs, record: CalculationRecord, account: str) -> State:
    book, others = account_book(account, "", {}), None
    if record.kind == "account" or inputs.is_known(record, account):
        if record.kind == "book" and not inputs.contains(record, account):
            raise UnknownAccount(
                f"the calculation {record.calculation_id} does not contain the account",
                [Problem("account_id", account[:128], "name an account of the calculation")],
            )
        held = inputs.account(record, account)
        book, others = held.book, held.others
    return State(
        inputs.snapshot(record), inputs.scenarios(record), book, inputs.model(record), others
    )


__all__ = [
    "InputChange",
    "RecordedChange",
    "RequirementChange",
    "RequirementStep",
    "explain_recorded_change",
    "input_ids",
    "requirement_change",
]
