"""Linear programs over the whole board: the smallest requirement for a given plausible loss.

For a plausible move m, with the loss of one lot l_m, positions q within their limits, and the lower
model of the requirement, the program is

    minimise t + cost . |q|   subject to   t >= 0,  t >= cut . q for every cut,  l_m . q = loss.

It is solved by HiGHS. The portfolio found violates some cuts of the lower model; these are added,
and the program is solved again. Cuts are valid for all moves and are shared by them.

The requirement of the engine has components that the lower model lacks. In further rounds it is
linearised at the portfolio found last, by differences of the engine's own requirement for each leg;
such a cut guides the search and is not a bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linprog

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.challenge.board import Board
from margin_actors.engine.challenge.cuts import LowerModel
from margin_actors.engine.challenge.portfolios import Portfolio, evaluate, portfolio_of
from margin_actors.engine.challenge.settings import SearchSettings
from margin_actors.progress import ProgressCallback, no_progress

METHOD = "program"
_SCALES = (1.02, 3.0, 30.0)
"""Multiples of the smallest loss to which a solution is scaled before it is rounded to lots."""
_SLACK_MAX = 8
"""A cut is dropped when it did not bind in so many programs; if needed, it is found again."""
_BINDING = 1e-9
_BUMP = 0.02


@dataclass
class _Programs:
    """The cuts of all programs of a board."""

    board: Board
    lower: LowerModel
    cuts: list[FloatArray] = field(default_factory=list[FloatArray])
    """float64 (n_contracts,) each: US dollars per lot."""
    slack: list[int] = field(default_factory=list[int])
    """Number of programs since each cut has bound."""

    def add(self, cuts: list[FloatArray]) -> None:
        """Add cuts."""
        self.cuts += cuts
        self.slack += [0] * len(cuts)

    def note_slack(self, residual: FloatArray) -> None:
        """Drop cuts that no longer bind; `residual` has one element per cut, 0 if it binds."""
        self.slack = [
            0 if r <= _BINDING else n + 1 for r, n in zip(residual, self.slack, strict=True)
        ]
        kept = [k for k, n in enumerate(self.slack) if n < _SLACK_MAX]
        self.cuts = [self.cuts[k] for k in kept]
        self.slack = [self.slack[k] for k in kept]


@dataclass(frozen=True)
class _Solution:
    lots: FloatArray
    """float64 (n_contracts,): positions, lots, not rounded."""
    value_usd: float
    """Value of the program."""
    bound_usd: float
    """Value of t, the largest cut."""


@dataclass(frozen=True)
class ProgramResult:
    """Portfolios of all programs and the bound that they prove."""

    portfolios: tuple[Portfolio, ...]
    ratio_bound: float | None
    """Ratio below which no portfolio within the limits can be, by the lower model, with
    fractional lots and for any number of legs; None if the lower model is not a bound."""


def solve_programs(
    board: Board,
    lower: LowerModel,
    settings: SearchSettings,
    *,
    progress: ProgressCallback = no_progress,
) -> ProgramResult:
    """Return the portfolios that linear programs find for every plausible move.

    Parameters
    ----------
    board : Board
    lower : LowerModel
        Lower model of the requirement on this board.
    settings : SearchSettings
    progress : callable
        Progress callback; receives (stage, moves done, number of moves).
    """
    programs = _Programs(board, lower)
    found: dict[tuple[tuple[int, float], ...], Portfolio] = {}
    # A portfolio whose largest loss is in move m is feasible in the program of m.
    moves = [m for m in range(len(board.moves)) if np.any(board.loss_usd[m, board.held])]
    value = np.full(len(board.moves), np.inf)
    for number, m in enumerate(moves):
        progress("Solving linear programs", number, len(moves))
        value[m] = _solve_move(programs, m, settings.program_rounds, found)
    best = np.argsort(value, kind="stable")[: settings.refined_moves]
    refined = [int(m) for m in best if np.isfinite(value[m])]
    for number, m in enumerate(refined):
        progress("Refining linear programs", number, len(refined))
        value[m] = _solve_move(programs, m, settings.refined_rounds, found)
    for number, m in enumerate(refined):
        progress("Linearising the requirement", number, len(refined))
        _guide(programs, m, settings.guided_rounds, found)
    bound = None
    if lower.is_bound:
        smallest = float(value.min()) if value.size else np.inf
        bound = smallest / board.limits.loss_min_usd if np.isfinite(smallest) else None
    return ProgramResult(tuple(found.values()), bound)


def _solve_move(
    programs: _Programs,
    move: int,
    rounds: int,
    found: dict[tuple[tuple[int, float], ...], Portfolio],
) -> float:
    """Return the value of the program of one move after some rounds; infinite if infeasible.

    Portfolios are added to `found`.
    """
    value = np.inf
    for _ in range(max(rounds, 1)):
        solution = _solve(programs, move, ())
        if solution is None:
            return np.inf
        value = solution.value_usd
        for portfolio in _rounded(programs.board, move, solution.lots):
            found.setdefault(portfolio.key, portfolio)
        new = programs.lower.cuts(solution.lots, solution.bound_usd)
        if not new:
            break
        programs.add(new)
    return value


def _guide(
    programs: _Programs,
    move: int,
    rounds: int,
    found: dict[tuple[tuple[int, float], ...], Portfolio],
) -> None:
    """Solve the program of one move with the engine's requirement linearised; add to `found`."""
    board = programs.board
    guides: list[FloatArray] = []
    for _ in range(rounds):
        solution = _solve(programs, move, guides)
        if solution is None:
            return
        portfolios = _rounded(board, move, solution.lots)
        for portfolio in portfolios:
            found.setdefault(portfolio.key, portfolio)
        if not portfolios:
            return
        programs.add(programs.lower.cuts(solution.lots, solution.bound_usd))
        guides.append(_linearised(programs, portfolios[0]))


def _linearised(programs: _Programs, portfolio: Portfolio) -> FloatArray:
    """Return the change of the requirement per lot at a portfolio, (n_contracts,), US dollars.

    For contracts that are not held, it is the largest cut of the lower model at the portfolio.
    """
    board = programs.board
    lots = np.zeros(len(board))
    lots[portfolio.contract] = portfolio.lots
    cuts = programs.lower.cuts(lots, -np.inf)
    values = [float(cut @ lots) for cut in cuts]
    slope = cuts[int(np.argmax(values))].copy() if cuts else np.zeros(len(board))
    cost = programs.lower.cost_usd
    bumped: list[Portfolio] = [portfolio]
    steps: list[float] = []
    for leg in range(portfolio.contract.size):
        step = float(np.sign(portfolio.lots[leg])) * max(
            1.0, round(_BUMP * abs(float(portfolio.lots[leg])))
        )
        moved = portfolio.lots.copy()
        moved[leg] += step
        bumped.append(Portfolio(METHOD, "", portfolio.contract, moved))
        steps.append(step)
    required = evaluate(board, bumped).requirement_usd
    change = (required[1:] - required[0]) / np.array(steps)
    # Costs are part of the difference, and the program adds them again.
    side = np.where(portfolio.lots > 0.0, 0, 1)
    change -= np.sign(portfolio.lots) * cost[side, portfolio.contract]
    slope[portfolio.contract] = change
    return slope


def _rounded(board: Board, move: int, lots: FloatArray) -> list[Portfolio]:
    """Return a solution scaled to several sizes and rounded to lots within the limits."""
    label = board.moves.names[move]
    scaled = (portfolio_of(board, METHOD, label, scale * lots) for scale in _SCALES)
    return [portfolio for portfolio in scaled if portfolio is not None]


def _solve(programs: _Programs, move: int, guides: Sequence[FloatArray]) -> _Solution | None:
    """Return the solution of the program of one move, or None if the loss cannot be reached."""
    board, lower = programs.board, programs.lower
    held = board.held
    loss = board.loss_usd[move, held]
    target = board.limits.loss_min_usd
    if float(np.abs(loss) @ board.lots_max[held]) < target:
        return None
    # Variables are the notional of long and of short positions, in multiples of the loss.
    per_unit = target / board.notional_usd[held]
    rows = [*programs.cuts, *guides]
    n = held.size
    cost = lower.cost_usd[:, held] * per_unit / target
    objective = np.concatenate([cost[0], cost[1], [1.0]])
    upper = board.lots_max[held] / per_unit
    matrix, right = _inequalities(board, held, rows, per_unit, target)
    found = linprog(
        objective,
        A_ub=matrix,
        b_ub=right,
        A_eq=np.concatenate([loss * per_unit, -loss * per_unit, [0.0]])[None, :] / target,
        b_eq=np.ones(1),
        bounds=np.column_stack([np.zeros(2 * n + 1), np.concatenate([upper, upper, [np.inf]])]),
        method="highs",
    )
    if found.status != 0:
        return None
    programs.note_slack(found.ineqlin.residual[: len(programs.cuts)])
    lots = np.zeros(len(board))
    lots[held] = (found.x[:n] - found.x[n : 2 * n]) * per_unit
    return _Solution(lots, float(found.fun) * target, float(found.x[-1]) * target)


def _inequalities(
    board: Board, held: IntArray, rows: list[FloatArray], per_unit: FloatArray, target: float
) -> tuple[FloatArray | None, FloatArray | None]:
    """Return the matrix and right side of the cuts and of the limit on gross notional."""
    lines = [
        np.concatenate([a, -a, [-1.0]]) for row in rows for a in (row[held] * per_unit / target,)
    ]
    right = [0.0] * len(lines)
    if board.limits.gross_usd is not None:
        ones = np.ones(2 * held.size)
        lines.append(np.append(ones, 0.0))
        right.append(board.limits.gross_usd / target)
    if not lines:
        return None, None
    return np.array(lines), np.array(right)
