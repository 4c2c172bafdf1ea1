"""Portfolios of a challenge: positions in whole lots, their limits, and their plausible losses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.challenge.board import Board
from margin_actors.market.books import Book, book_of_grouped_rows

BATCH = 1_000
"""Number of portfolios whose requirements are calculated together."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Portfolio:
    """A portfolio with the method that found it."""

    method: str
    """``program``, ``random``, ``improved`` or the name of a family."""
    label: str
    """Description of the structure."""
    contract: IntArray
    """int64 (n_legs,): indices of the contracts, ascending and distinct."""
    lots: FloatArray
    """float64 (n_legs,): whole lots, not 0; a long position is positive."""

    @cached_property
    def key(self) -> tuple[tuple[int, float], ...]:
        """Positions as pairs (contract, lots)."""
        return tuple(zip(self.contract.tolist(), self.lots.tolist(), strict=True))

    def quantities(self, board: Board) -> dict[str, float]:
        """Return the quantity by instrument, in the unit of `Book.quantity`."""
        names = board.names
        held = _quantities(board, self.contract, self.lots)
        return {names[c]: q for c, q in zip(self.contract.tolist(), held.tolist(), strict=True)}


@dataclass(frozen=True)
class Evaluation:
    """Requirements and plausible losses of portfolios."""

    requirement_usd: FloatArray
    """float64 (n_portfolios,): initial margin, US dollars."""
    loss_usd: FloatArray
    """float64 (n_portfolios,): largest plausible loss, US dollars."""
    move: IntArray
    """int64 (n_portfolios,): index of the move of that loss."""
    ratio: FloatArray
    """float64 (n_portfolios,): requirement / loss, a ratio; infinite if the loss is below the
    smallest loss of the limits."""


def portfolio_of(board: Board, method: str, label: str, lots: FloatArray) -> Portfolio | None:
    """Return the portfolio with the given positions rounded to whole lots within the limits.

    None if nothing is held. Positions beyond the limits are reduced: each to the limit of its
    contract, all in proportion to the largest gross notional, and the smallest to the largest
    number of legs.

    Parameters
    ----------
    board : Board
    method, label : str
        As in `Portfolio`.
    lots : float64 (n_contracts,)
        Positions, lots.
    """
    limits = board.limits
    whole = np.round(np.clip(lots, -board.lots_max, board.lots_max))
    if limits.legs_max is not None and np.count_nonzero(whole) > limits.legs_max:
        size = np.abs(whole) * np.abs(board.loss_usd).max(axis=0)
        kept = np.argsort(-size, kind="stable")[: limits.legs_max]
        only = np.zeros_like(whole)
        only[kept] = whole[kept]
        whole = only
    if limits.gross_usd is not None:
        gross = float(np.abs(whole) @ board.notional_usd)
        if gross > limits.gross_usd:
            whole = np.trunc(whole * (limits.gross_usd / gross))
    chosen = np.flatnonzero(whole)
    if chosen.size == 0:
        return None
    return Portfolio(method, label, chosen, whole[chosen])


def scaled_portfolio(
    board: Board,
    method: str,
    label: str,
    legs: Sequence[tuple[int, float]],
    *,
    loss_usd: float,
) -> Portfolio | None:
    """Return legs scaled to a plausible loss, or as near to it as the limits permit.

    The ratios between the legs are kept, up to rounding. None if the legs have no plausible loss,
    if one of them cannot be held, or if the limits keep the loss below the smallest loss.

    Parameters
    ----------
    board : Board
    method, label : str
        As in `Portfolio`.
    legs : sequence of (contract, coins)
        Index of each contract and its position in coins of the underlying.
    loss_usd : float
        Largest plausible loss, US dollars.
    """
    lots = np.zeros(len(board))
    for contract, coins in legs:
        lots[contract] += coins / board.coins[contract]
    chosen = np.flatnonzero(lots)
    worst = float((board.loss_usd[:, chosen] @ lots[chosen]).max()) if chosen.size else 0.0
    if worst <= 0.0:
        return None
    scale = min(loss_usd / worst, float(np.min(board.lots_max[chosen] / np.abs(lots[chosen]))))
    if board.limits.gross_usd is not None:
        gross = float(np.abs(lots) @ board.notional_usd)
        scale = min(scale, board.limits.gross_usd / gross)
    if scale * worst < board.limits.loss_min_usd * (1.0 - _ROUNDING):
        return None
    if board.limits.legs_max is not None and chosen.size > board.limits.legs_max:
        return None
    return portfolio_of(board, method, label, scale * lots)


def plausible_losses(board: Board, portfolios: Sequence[Portfolio]) -> FloatArray:
    """Return the loss of each portfolio in each move, float64 (n_moves, n_portfolios), USD."""
    contract = np.concatenate([p.contract for p in portfolios])
    lots = np.concatenate([p.lots for p in portfolios])
    ends = np.cumsum([0, *(p.lots.size for p in portfolios)])
    held = csr_array((lots, contract, ends), shape=(len(portfolios), len(board)))
    return np.ascontiguousarray((held @ board.loss_by_contract_usd).T)


def book_of(board: Board, portfolios: Sequence[Portfolio]) -> Book:
    """Return a book with one account, of a member of its own, per portfolio."""
    account = np.repeat(np.arange(len(portfolios)), [p.lots.size for p in portfolios])
    contract = np.concatenate([p.contract for p in portfolios])
    lots = np.concatenate([p.lots for p in portfolios])
    # Positions of an account are in the order of the names, which need not be that of contracts.
    order = np.lexsort((board.place_by_name[contract], account))
    held, place = np.unique(board.place_by_name[contract[order]], return_inverse=True)
    return book_of_grouped_rows(
        [f"P{number:06d}" for number in range(len(portfolios))],
        [f"M{number:06d}" for number in range(len(portfolios))],
        [board.sorted_names[i] for i in held.tolist()],
        account,
        place,
        _quantities(board, contract[order], lots[order]),
    )


def _quantities(board: Board, contract: IntArray, lots: FloatArray) -> FloatArray:
    """Return quantities of positions, in the unit of `Book.quantity`."""
    return np.round(lots * board.lot[contract], 8)


def evaluate(board: Board, portfolios: Sequence[Portfolio]) -> Evaluation:
    """Return the requirements of portfolios under the model and their plausible losses."""
    n = len(portfolios)
    required, loss, move = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for rows, part, losses in _batches(board, portfolios):
        required[rows] = part
        move[rows] = losses.argmax(axis=0)
        loss[rows] = losses.max(axis=0)
    counts = loss >= board.limits.loss_min_usd
    ratio = np.divide(required, loss, out=np.full(n, np.inf), where=counts)
    return Evaluation(required, loss, move, ratio)


def ratios_of_moves(board: Board, portfolios: Sequence[Portfolio]) -> FloatArray:
    """Return the smallest ratio of a requirement to the loss in each move, float64 (n_moves,).

    Portfolios whose loss in a move is below the smallest loss do not count in it; the ratio is
    infinite without any other.
    """
    smallest = np.full(len(board.moves), np.inf)
    for _, required, losses in _batches(board, portfolios):
        counts = losses >= board.limits.loss_min_usd
        ratio = np.divide(required, losses, out=np.full(losses.shape, np.inf), where=counts)
        smallest = np.minimum(smallest, ratio.min(axis=1))
    return smallest


def _batches(
    board: Board, portfolios: Sequence[Portfolio]
) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
    """Yield (indices, requirements, losses in each move) of consecutive portfolios."""
    for first in range(0, len(portfolios), BATCH):
        part = portfolios[first : first + BATCH]
        required = board.priced.margins(book_of(board, part)).initial_margin_usd
        yield slice(first, first + len(part)), required, plausible_losses(board, part)
