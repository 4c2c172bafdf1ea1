"""Attribution of a change of requirement to positions, market, scenarios and parameters.

The account is margined with the old inputs, and again after each kind of input is replaced in turn,
until all are new. Each step starts from the result of the previous one, so the steps sum to the
total change; another order would give other steps with the same sum.

The market is replaced in three steps: the valuation time, then index and forward prices, then all
other data, of which the volatilities have the largest effect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.explain.moved_markets import at_prices_of, at_time_of
from margin_actors.engine.margin import COMPONENT_NAMES, book_content_id, calculate_margin
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import InvalidPortfolio, MarginError, Problem
from margin_actors.market.books import Book, account_book, other_accounts, select_account
from margin_actors.market.snapshots import MarketSnapshot

STEPS: tuple[str, ...] = (
    "positions",
    "time",
    "index",
    "volatility",
    "scenarios",
    "parameters",
)
"""Kinds of input, in the order in which they are replaced."""
_POSITIONS, _SPLIT, _WHOLE = ("positions",), ("time", "index", "volatility"), ("market",)
_APART, _TOGETHER = ("scenarios", "parameters"), ("scenarios and parameters",)
_ORDERS: tuple[tuple[str, ...], ...] = tuple(
    first + second + model
    for model in (_APART, _TOGETHER)
    for market in (_SPLIT, _WHOLE)
    for first, second in ((_POSITIONS, market), (market, _POSITIONS))
)
"""Orders of replacement; the first in which every step can be margined is used."""


@dataclass(frozen=True)
class State:
    """All inputs of a calculation."""

    snapshot: MarketSnapshot
    scenarios: ScenarioSet
    book: Book
    model: ModelParameters
    others: Book | None = None
    """Further accounts of the members of `book`, which are not margined; only if `book` holds a
    single account."""


@dataclass(frozen=True)
class Waterfall:
    """Requirements of one account, from the old inputs to the new, US dollars."""

    account: str
    steps: tuple[str, ...]
    """Kinds of input, in the order in which they were replaced."""
    requirement_usd: FloatArray
    """float64 (n_steps + 1,): the old requirement, then the requirement after each step."""
    components: tuple[str, ...]
    """Names of the requirement components of any of the calculations."""
    components_usd: FloatArray
    """float64 (n_steps + 1, n_components): the components of these requirements; 0 if the model of
    the step lacks one."""

    @property
    def change_usd(self) -> FloatArray:
        """float64 (n_steps,): change in each step, positive for an increase; sums to the total."""
        return np.diff(self.requirement_usd)


def changes_of_margin(before: State, after: State, account: str) -> Waterfall:
    """Return the contribution of each kind of input to the change of an account's requirement.

    Positions are replaced first; if the new positions cannot be priced in the old market (because
    an expiry has been listed since), the market is replaced before them. The market is replaced in
    one step if a market between the two cannot be margined, and scenarios and parameters in one
    step if the new scenarios do not fit the old parameters (a floor that was switched on needs its
    section of the scenario set).

    Parameters
    ----------
    before, after : State
    account : str
        Account id.

    Raises
    ------
    InvalidPortfolio
        If the account holds no position in either book.
    MarginError
        If the account cannot be margined in any order of replacement: the error of the first order.
    """
    old, new = _alone(before, account), _alone(after, account)
    if old.book.n_positions == 0 and new.book.n_positions == 0:
        raise InvalidPortfolio(
            f"account {account} has no positions in either calculation",
            [
                Problem(
                    "account",
                    account,
                    "choose an account that has positions in at least one of them",
                )
            ],
        )
    fault: MarginError | None = None
    margins = _Margins()
    for order in _ORDERS:
        try:
            return _walk(old, new, account, order, margins)
        except MarginError as error:
            fault = fault or error
    assert fault is not None
    raise fault


class _Margins:
    """Requirements by the ids of their inputs, because several orders have states in common."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], tuple[float, dict[str, float]]] = {}

    def of(self, state: State) -> tuple[float, dict[str, float]]:
        """Return (requirement, components) of the account; (0, {}) if it has no positions."""
        if state.book.n_positions == 0:
            return 0.0, {}
        book = book_content_id(state.book, state.others)
        key = (state.snapshot.id, state.scenarios.id, book, state.model.id)
        if key not in self._found:
            result = calculate_margin(
                state.snapshot, state.scenarios, state.book, state.model, others=state.others
            )
            margins = result.margins
            self._found[key] = float(margins.initial_margin_usd[0]), margins.amounts_of(0)
        return self._found[key]


def _walk(
    old: State, new: State, account: str, order: Sequence[str], margins: _Margins
) -> Waterfall:
    state = old
    found = [margins.of(state)]
    for step in order:
        state = _replaced(state, step, old, new)
        found.append(margins.of(state))
    names = tuple(dict.fromkeys([*COMPONENT_NAMES, *(name for _, own in found for name in own)]))
    return Waterfall(
        account,
        tuple(order),
        np.array([requirement for requirement, _ in found]),
        names,
        np.array([[own.get(name, 0.0) for name in names] for _, own in found]),
    )


def _replaced(state: State, step: str, old: State, new: State) -> State:
    if step == "positions":
        return replace(state, book=new.book, others=new.others)
    if step == "time":
        return replace(state, snapshot=at_time_of(old.snapshot, new.snapshot))
    if step == "index":
        return replace(state, snapshot=at_prices_of(old.snapshot, new.snapshot))
    if step in ("volatility", "market"):
        return replace(state, snapshot=new.snapshot)
    if step == "scenarios":
        return replace(state, scenarios=new.scenarios)
    if step == "parameters":
        return replace(state, model=new.model)
    return replace(state, scenarios=new.scenarios, model=new.model)


def _alone(state: State, account: str) -> State:
    """Return the state with a book of that account alone, empty if the account is not in it."""
    book = state.book
    if account in book.accounts:
        alone = select_account(book, book.accounts.index(account))
    else:
        alone = account_book(account, "", {})
    others = other_accounts(book, [account]) if len(book.accounts) > 1 else state.others
    return replace(state, book=alone, others=others)
