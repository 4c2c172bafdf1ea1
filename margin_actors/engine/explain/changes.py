"""What changed a requirement: positions, market, scenarios, parameters, one after the other.

The account is margined with the old inputs, then with each kind of input replaced in turn until all
are new. The steps add up to the whole change because each begins where the one before ended; in
another order the split would differ, the sum would not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin import PARTS, MarginResult, calculate_margin
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import InvalidPortfolio, MarginError, Problem
from margin_actors.market.portfolios import Book
from margin_actors.market.snapshots import MarketSnapshot

STEPS: tuple[str, ...] = ("positions", "market", "scenarios", "parameters")
"""In the order in which they are replaced."""
_TOGETHER = "scenarios and parameters"
_ORDERS: tuple[tuple[str, ...], ...] = (
    STEPS,
    ("market", "positions", "scenarios", "parameters"),
    ("positions", "market", _TOGETHER),
    ("market", "positions", _TOGETHER),
)


@dataclass(frozen=True)
class State:
    """Everything that decides a calculation."""

    snapshot: MarketSnapshot
    scenarios: ScenarioSet
    book: Book
    parameters: ModelParameters


@dataclass(frozen=True)
class Waterfall:
    """Requirements of one account from the old inputs to the new, US dollars."""

    account: str
    steps: tuple[str, ...]
    """What was replaced, in order."""
    requirement_usd: FloatArray
    """float64 (n_steps + 1,): the old requirement, then after each step."""
    parts_usd: FloatArray
    """float64 (n_steps + 1, n_parts): see PARTS."""

    @property
    def change_usd(self) -> FloatArray:
        """float64 (n_steps,): what each step added; sums to the whole change."""
        return np.diff(self.requirement_usd)


def changes_of_margin(before: State, after: State, account: str) -> Waterfall:
    """Return what made the requirement of an account change.

    Positions are replaced first; where the new ones cannot be priced in the old market (an expiry
    that was listed since), the market is. Scenarios and parameters are replaced together where
    neither serves the other's old one (a floor that was switched on needs its section).

    Raises
    ------
    InvalidPortfolio
        If an account is in neither book, or the positions of one side can be priced in neither
        order.
    """
    old, new = _alone(before, account), _alone(after, account)
    if old.book.n_positions == 0 and new.book.n_positions == 0:
        raise InvalidPortfolio(
            f"account {account} holds nothing in either calculation",
            [Problem("account", account, "name one that both or one of them margined")],
        )
    fault: MarginError | None = None
    for order in _ORDERS:
        try:
            return _walk(old, new, account, order)
        except MarginError as error:
            fault = fault or error
    assert fault is not None
    raise fault


def _walk(old: State, new: State, account: str, order: Sequence[str]) -> Waterfall:
    replaced = {
        "positions": {"book": new.book},
        "market": {"snapshot": new.snapshot},
        "scenarios": {"scenarios": new.scenarios},
        "parameters": {"parameters": new.parameters},
        _TOGETHER: {"scenarios": new.scenarios, "parameters": new.parameters},
    }
    state = old
    found = [_margin(state)]
    for step in order:
        following = replace(state, **replaced[step])
        found.append(found[-1] if _same(state, following) else _margin(following))
        state = following
    return Waterfall(
        account,
        tuple(order),
        np.array([f[0] for f in found]),
        np.array([f[1] for f in found]),
    )


def _same(a: State, b: State) -> bool:
    return (
        a.snapshot.id == b.snapshot.id
        and a.scenarios.id == b.scenarios.id
        and a.book.id == b.book.id
        and a.parameters.id == b.parameters.id
    )


def _margin(state: State) -> tuple[float, FloatArray]:
    """Return (requirement, parts) of the only account; nothing for one that holds nothing."""
    if state.book.n_positions == 0:
        return 0.0, np.zeros(len(PARTS))
    result: MarginResult = calculate_margin(
        state.snapshot, state.scenarios, state.book, state.parameters
    )
    return float(result.initial_margin_usd[0]), result.parts_usd[0]


def _alone(state: State, account: str) -> State:
    """Return the state with that account's positions alone; empty where the book lacks it."""
    book = state.book
    place = book.accounts.index(account) if account in book.accounts else -1
    held = slice(0, 0)
    if place >= 0:
        held = slice(int(book.start[place]), int(book.start[place + 1]))
    index, quantity = book.instrument_index[held], book.quantity[held]
    used = np.unique(index)
    alone = Book(
        (account,),
        (book.members[place] if place >= 0 else "",),
        tuple(book.instruments[i] for i in used),
        np.array([0, index.size], np.int64),
        np.searchsorted(used, index).astype(np.int32),
        quantity.copy(),
    )
    return replace(state, book=alone)
