"""Which accounts of a book can be margined, and why the others cannot.

A position that has expired or cannot be priced must not prevent the other accounts from being
margined. A book is therefore assessed first: expired positions are removed, accounts with a faulty
position are listed with the reasons, and the remaining accounts are margined. A book without faults
is returned as the same object, so that results cached for it stay valid.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray
from margin_actors.engine.margin.failures import AccountFailure, AccountProblem
from margin_actors.engine.margin.prepared_market import model_faults
from margin_actors.engine.margin.priced_market import PricedMarket
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import (
    Holdings,
    broken_lot,
    instrument_faults,
    is_too_large,
    lot_of,
    whole_lots,
)
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import Problem
from margin_actors.market.books import Book, select_positions
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import has_expired, instrument_from_name
from margin_actors.market.portfolios import QUANTITY_MAX
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface

TOO_LARGE = AccountProblem(
    "",
    "the account's profits are too large to be summed exactly (reduce its positions, or raise "
    "revaluation.pnl_quantum_usd)",
)


@dataclass(frozen=True)
class BookAssessment:
    """A book divided into accounts that can and accounts that cannot be margined."""

    held: Book
    """The whole book: all accounts, including expired positions."""
    book: Book
    """Accounts that can be margined, with their unexpired positions. An account whose positions
    have all expired is kept without positions."""
    failures: tuple[AccountFailure, ...] = ()
    """Accounts that cannot be margined, ordered by account id."""
    expired: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Expired instruments that await settlement, by account id; covers all accounts."""
    expired_positions: int = 0
    """Number of expired positions of all accounts."""
    others: Book | None = None
    """Further accounts of the members, which are not margined; None if they do not matter."""

    @property
    def book_id(self) -> str:
        """Content id of the positions on which the margins depend: `held`, and `others` if any."""
        return book_content_id(self.held, self.others)

    def excluding(self, accounts: Iterable[str], problem: AccountProblem) -> "BookAssessment":
        """Return the assessment with `accounts` moved to the failures, each with `problem`."""
        wanted = set(accounts)
        chosen = np.array([a in wanted for a in self.book.accounts], np.bool_)
        place = {a: i for i, a in enumerate(self.held.accounts)}
        more = [
            _failure(self.held, place[self.book.accounts[a]], [problem])
            for a in np.flatnonzero(chosen)
        ]
        everything = np.ones(self.book.n_positions, np.bool_)
        return replace(
            self,
            book=select_positions(self.book, ~chosen, everything),
            failures=tuple(sorted((*self.failures, *more), key=lambda f: f.account_id)),
        )


@dataclass(frozen=True)
class _Names:
    """Expired instruments, faults and lots of a book's instruments."""

    expired: frozenset[str]
    faults: Mapping[str, Problem]
    lot: FloatArray | None
    """float64 (n_instruments,): quantity of one lot, 1 for faulty or expired instruments; None if
    the model does not round."""


def book_content_id(held: Book, others: Book | None) -> str:
    """Return the id of a book together with the further accounts on which its margins depend."""
    if others is None:
        return held.id
    return content_id("book", {"held": held.id, "others": others.id})


def assess_book(priced: PricedMarket, book: Book, others: Book | None = None) -> BookAssessment:
    """Return which accounts of a book can be margined in a priced market.

    `others` are further accounts of the book's members. They count if the model measures size by
    member, without the accounts among them that cannot be margined.

    Vectorised: fast even for a large book if its contracts are listed and its quantities are whole
    lots.

    Notes
    -----
    If the market holds no prices (`PricedMarket.slices` is None), an account that is too large to
    be summed exactly is only found while it is margined; see `BookAssessment.excluding`.
    """
    market = priced.market
    if others is not None and market.model.addons.members.enabled:
        return replace(assess_book(priced, book), others=assess_book(priced, others).book)
    contracts, place = market.contracts, market.contracts.place
    columns = np.array([place.get(name, -1) for name in book.instruments], np.int64)
    unlisted = [book.instruments[i] for i in np.flatnonzero(columns < 0)]
    names = _names(unlisted, market.snapshot, market.model, market.other_surfaces, priced.scenarios)
    if contracts.quantum_usd is not None:
        lot = np.append(contracts.lot, 1.0)[columns]
        for i in np.flatnonzero(columns < 0):
            lot[i] = _lot(book.instruments[i], names, market.model)
        names = replace(names, lot=lot)
    assessment = _assess(book, names)
    if contracts.quantum_usd is None or not priced.largest_moves:
        return assessment
    too_large = _too_large(assessment.book, contracts.lot, place, priced.largest_moves)
    return assessment.excluding(too_large, TOO_LARGE) if too_large else assessment


def assess_unpriced_book(
    book: Book,
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    model: ModelParameters,
    smiles: Mapping[str, Mapping[str, VolatilitySurface]],
    others: Book | None = None,
    *,
    expired_days_max: float | None = None,
) -> BookAssessment:
    """Return which accounts of a book can be margined, before anything is priced.

    Like `assess_book`, but without the check for accounts too large to be summed exactly. `smiles`
    is the result of `fit_smiles`. With `expired_days_max`, accounts with a position that expired
    more days before the snapshot are among the failures.
    """
    if others is not None and model.addons.members.enabled:
        further = assess_unpriced_book(others, snapshot, scenarios, model, smiles).book
        own = assess_unpriced_book(
            book, snapshot, scenarios, model, smiles, expired_days_max=expired_days_max
        )
        return replace(own, others=further)
    names = _names(book.instruments, snapshot, model, smiles, scenarios)
    if expired_days_max is not None:
        overdue = overdue_instruments(names.expired, snapshot.time, expired_days_max)
        names = replace(
            names, expired=names.expired - overdue.keys(), faults={**names.faults, **overdue}
        )
    if model.revaluation.pnl_quantum_usd is not None:
        lots = [_lot(name, names, model) for name in book.instruments]
        names = replace(names, lot=np.array(lots, np.float64))
    return _assess(book, names)


def unmoved_instruments(
    names: Sequence[str], faults: Mapping[str, Problem], scenarios: ScenarioSet
) -> dict[str, Problem]:
    """Return, by name, instruments not in `faults` whose underlying is not in the scenario set."""
    found: dict[str, Problem] = {}
    for name in names:
        if name in faults:
            continue
        underlying = instrument_from_name(name).underlying
        if underlying not in scenarios.underlyings:
            found[name] = Problem(
                name,
                f"the scenarios do not move {underlying}",
                f"add {underlying} to scenarios.underlyings and build the set again",
            )
    return found


def overdue_instruments(names: Iterable[str], now: datetime, days_max: float) -> dict[str, Problem]:
    """Return the expired instruments whose expiry is more than `days_max` days before `now`."""
    found: dict[str, Problem] = {}
    for name in sorted(names):
        expiry = instrument_from_name(name).expiry
        days = 0.0 if expiry is None else (now - expiry).total_seconds() / 86_400.0
        if expiry is not None and days > days_max:
            found[name] = Problem(
                name,
                f"{name} expired at {expiry:%Y-%m-%d %H:%M} UTC, {days:,.0f} days before the "
                f"valuation time; more than {days_max:g} days suggest a mistyped expiry",
                "correct the name, or remove the position; the limit is quality.expired_days_max",
            )
    return found


def _names(
    names: Sequence[str],
    snapshot: MarketSnapshot,
    model: ModelParameters,
    smiles: Mapping[str, Mapping[str, VolatilitySurface]],
    scenarios: ScenarioSet,
) -> _Names:
    expired = frozenset(name for name in names if has_expired(name, snapshot.time))
    live = [name for name in names if name not in expired]
    faults = model_faults(live, snapshot, model, smiles)
    return _Names(expired, faults | unmoved_instruments(live, faults, scenarios), None)


def _lot(name: str, names: _Names, model: ModelParameters) -> float:
    if name in names.faults or name in names.expired:
        return 1.0
    return lot_of(name, model.revaluation)


def _assess(book: Book, names: _Names) -> BookAssessment:
    index, quantity = book.instrument_index, book.quantity
    faulty: BoolArray | None = None
    if not np.abs(quantity).max(initial=0.0) <= QUANTITY_MAX:  # also true for NaN
        faulty = ~(np.abs(quantity) <= QUANTITY_MAX)
    if names.lot is not None:
        with np.errstate(invalid="ignore", over="ignore"):  # such quantities are already faulty
            broken = whole_lots(quantity, names.lot[index])[1]
        if broken.size:
            faulty = np.zeros(quantity.size, np.bool_) if faulty is None else faulty
            faulty[broken] = True
    if not names.faults and not names.expired:
        if faulty is None:
            return BookAssessment(book, book)
        expired = np.zeros(quantity.size, np.bool_)
    else:
        is_expired = np.array([name in names.expired for name in book.instruments], np.bool_)
        at_fault = np.array([name in names.faults for name in book.instruments], np.bool_)
        expired = is_expired[index]
        faulty = at_fault[index] if faulty is None else faulty | at_fault[index]
        faulty &= ~expired
    at = np.flatnonzero(faulty)
    account = np.searchsorted(book.start, at, side="right") - 1
    excluded = np.zeros(len(book.accounts), np.bool_)
    excluded[account] = True
    return BookAssessment(
        held=book,
        book=select_positions(book, ~excluded, ~expired),
        failures=_failures(book, names, at, account),
        expired=_names_by_account(book, np.flatnonzero(expired)),
        expired_positions=int(np.count_nonzero(expired)),
    )


def _failures(
    book: Book, names: _Names, at: IntArray, account: IntArray
) -> tuple[AccountFailure, ...]:
    problems: dict[int, list[AccountProblem]] = defaultdict(list)
    of_name = {
        name: AccountProblem(name, _described(fault.what, fault.remedy))
        for name, fault in names.faults.items()
    }
    for position, owner in zip(at.tolist(), account.tolist(), strict=True):
        name = book.instruments[int(book.instrument_index[position])]
        problem = of_name.get(name) or _quantity_problem(book, names, position, name)
        problems[owner].append(problem)
    found = [_failure(book, owner, items) for owner, items in problems.items()]
    return tuple(sorted(found, key=lambda failure: failure.account_id))


def _failure(book: Book, account: int, problems: Sequence[AccountProblem]) -> AccountFailure:
    return AccountFailure(
        account_id=book.accounts[account],
        member_id=book.members[account],
        positions=int(book.start[account + 1] - book.start[account]),
        problems=tuple(sorted(problems, key=lambda problem: problem.instrument_name)),
    )


def _quantity_problem(book: Book, names: _Names, position: int, name: str) -> AccountProblem:
    quantity = float(book.quantity[position])
    if not np.isfinite(quantity):
        return AccountProblem(name, _described(f"quantity is {quantity}", "give a finite number"))
    if abs(quantity) > QUANTITY_MAX:
        remedy = f"at most {QUANTITY_MAX:g} in absolute value"
        return AccountProblem(name, _described(f"quantity is {quantity:g}", remedy))
    assert names.lot is not None
    lot = float(names.lot[book.instrument_index[position]])
    return AccountProblem(name, _described(*broken_lot(name, quantity, lot)))


def _described(what: str, remedy: str) -> str:
    return f"{what} ({remedy})" if remedy else what


def _names_by_account(book: Book, positions: IntArray) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    account = np.searchsorted(book.start, positions, side="right") - 1
    for position, owner in zip(positions.tolist(), account.tolist(), strict=True):
        name = book.instruments[int(book.instrument_index[position])]
        found[book.accounts[owner]].append(name)
    return {owner: tuple(held) for owner, held in found.items()}


def _too_large(
    book: Book,
    listed_lot: FloatArray,
    place: Mapping[str, int],
    moves: Sequence[FloatArray],
) -> list[str]:
    """Return the accounts whose profits on listed contracts are too large to be summed exactly."""
    if book.n_positions == 0:
        return []
    # One bound for all accounts first: it suffices for any book of realistic size.
    lots_max = float(np.abs(book.quantity).max()) / float(listed_lot.min())
    most = float(np.diff(book.start).max()) * max(float(m.max(initial=0.0)) for m in moves)
    if not is_too_large(np.array([lots_max * most]))[0]:
        return []
    columns = np.array([place.get(name, -1) for name in book.instruments], np.int64)
    known = np.append(listed_lot, 1.0)[columns]
    lots = np.round(book.quantity / known[book.instrument_index])
    holdings = Holdings(book.start, book.instrument_index, lots, 1.0, is_exact=True)
    found = np.zeros(len(book.accounts), np.bool_)
    for move in moves:  # contracts that are not listed count as 0
        found |= is_too_large(holdings.gross(np.append(move, 0.0)[columns]))
    return [book.accounts[a] for a in np.flatnonzero(found)]


__all__ = [
    "TOO_LARGE",
    "AccountFailure",
    "AccountProblem",
    "BookAssessment",
    "assess_book",
    "assess_unpriced_book",
    "book_content_id",
    "instrument_faults",
    "overdue_instruments",
    "unmoved_instruments",
]
