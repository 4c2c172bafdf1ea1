"""Local improvement of portfolios, with the requirement of the engine as objective.

From a portfolio, every leg is made larger and smaller and is removed, and further legs are added;
all neighbours are accounts of one book. The best of them is the next portfolio, until none is
better.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.challenge.board import Board
from margin_actors.engine.challenge.cuts import LowerModel
from margin_actors.engine.challenge.portfolios import (
    Portfolio,
    evaluate,
    plausible_losses,
    portfolio_of,
)

METHOD = "improved"
_FACTORS = (0.0, 0.5, 0.8, 1.25, 2.0)
_LEGS_MOVED = 60
_ADDED = 16
_ADDED_SIZES = (0.03, 0.15, 0.6)
"""Absolute loss of an added leg, as a share of the portfolio's loss."""
_GAIN_MIN = 0.002


def improve(
    board: Board, lower: LowerModel, start: Portfolio, *, rounds: int
) -> tuple[Portfolio, float]:
    """Return the best portfolio reached from `start` and its ratio.

    The portfolio is `start` itself if no neighbour is better.

    Parameters
    ----------
    board : Board
    lower : LowerModel
        Ranks the legs that may be added.
    start : Portfolio
    rounds : int
        Largest number of steps.
    """
    current, ratio = start, float(evaluate(board, [start]).ratio[0])
    for _ in range(rounds):
        neighbours = _neighbours(board, lower, current, ratio)
        if not neighbours:
            break
        found = evaluate(board, neighbours)
        best = int(np.argmin(found.ratio))
        if not found.ratio[best] < ratio * (1.0 - _GAIN_MIN):
            break
        current, ratio = neighbours[best], float(found.ratio[best])
    return current, ratio


def _neighbours(
    board: Board, lower: LowerModel, portfolio: Portfolio, ratio: float
) -> list[Portfolio]:
    """Return the portfolios that differ from a portfolio in one leg, without repetition."""
    lots = np.zeros(len(board))
    lots[portfolio.contract] = portfolio.lots
    losses = plausible_losses(board, [portfolio])[:, 0]
    move = int(losses.argmax())
    changed: list[FloatArray] = []
    size = np.abs(board.loss_usd[move, portfolio.contract] * portfolio.lots)
    largest = portfolio.contract[np.argsort(-size, kind="stable")[:_LEGS_MOVED]]
    for contract in largest.tolist():
        for factor in _FACTORS:
            other = lots.copy()
            other[contract] *= factor
            changed.append(other)
    for contract, side in _additions(board, lower, lots, move, ratio):
        unit = abs(float(board.loss_usd[move, contract])) or 1.0
        for share in _ADDED_SIZES:
            other = lots.copy()
            other[contract] += side * max(1.0, share * float(losses[move]) / unit)
            changed.append(other)
    changed += [0.5 * lots, 2.0 * lots]
    return _distinct(board, portfolio, changed)


def _distinct(board: Board, portfolio: Portfolio, changed: Sequence[FloatArray]) -> list[Portfolio]:
    """Return the portfolios of changed positions that differ from a portfolio, each once."""
    found: dict[tuple[tuple[int, float], ...], Portfolio] = {}
    for lots in changed:
        other = portfolio_of(board, METHOD, portfolio.label, lots)
        if other is not None and other.key != portfolio.key:
            found.setdefault(other.key, other)
    return [replace(other, label=_label(portfolio)) for other in found.values()]


def _label(portfolio: Portfolio) -> str:
    if portfolio.method == METHOD:
        return portfolio.label
    return f"from {portfolio.method}: {portfolio.label}"


def _additions(
    board: Board, lower: LowerModel, lots: FloatArray, move: int, ratio: float
) -> list[tuple[int, float]]:
    """Return (contract, side) of legs that lower the ratio most by the lower model.

    The gain of a leg is its part of the plausible loss times the ratio, less its part of the lower
    model and its cost, relative to the sum of their absolute values.
    """
    cuts = lower.cuts(lots, -np.inf)
    slope = max(cuts, key=lambda cut: float(cut @ lots)) if cuts else np.zeros(len(board))
    loss = board.loss_usd[move]
    found: list[tuple[float, int, float]] = []
    for row, side in enumerate((1.0, -1.0)):
        gain = side * (ratio * loss - slope) - lower.cost_usd[row]
        scale = np.abs(ratio * loss) + np.abs(slope) + lower.cost_usd[row] + 1e-12
        score = np.where(board.lots_max > 0.0, gain / scale, -np.inf)
        best = np.argsort(-score, kind="stable")[: _ADDED // 2]
        found += [(float(score[c]), int(c), side) for c in best if score[c] > 0.0]
        useful = np.where(board.lots_max > 0.0, gain * board.lots_max, -np.inf)
        best = np.argsort(-useful, kind="stable")[: _ADDED // 2]
        found += [(float(score[c]), int(c), side) for c in best if useful[c] > 0.0]
    return list(dict.fromkeys((c, side) for _, c, side in found))
