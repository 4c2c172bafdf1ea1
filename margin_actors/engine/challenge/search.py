"""The challenge of a model: the portfolios with the smallest requirement per plausible loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.challenge.board import Board, prepare_board
from margin_actors.engine.challenge.cuts import LowerModel, lower_model
from margin_actors.engine.challenge.explanation import ExplainedPortfolio, explain
from margin_actors.engine.challenge.families import family_portfolios
from margin_actors.engine.challenge.improvement import improve
from margin_actors.engine.challenge.ladders import ladders_of
from margin_actors.engine.challenge.moves import PlausibleMoves
from margin_actors.engine.challenge.portfolios import (
    BATCH,
    Portfolio,
    evaluate,
    plausible_losses,
    ratios_of_moves,
)
from margin_actors.engine.challenge.program import solve_programs
from margin_actors.engine.challenge.settings import PortfolioLimits, SearchSettings
from margin_actors.engine.challenge.structures import random_structures
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.identity import content_id
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.progress import ProgressCallback, no_progress

METHODS: tuple[str, ...] = ("program", "random", "improved")
"""Methods of the search, besides the families."""


@dataclass(frozen=True)
class FamilyResult:
    """The worst portfolio of one family."""

    family: str
    portfolios: int
    """Number of portfolios of the family with a sufficient plausible loss."""
    worst: ExplainedPortfolio | None
    """None if the limits permit no portfolio of the family."""


@dataclass(frozen=True)
class ChallengeResult:
    """What a challenge found."""

    id: str
    """Content id of the inputs: market, scenarios, model, moves, limits and settings."""
    snapshot: MarketSnapshot
    scenarios_id: str
    model: ModelParameters
    moves: PlausibleMoves
    limits: PortfolioLimits
    settings: SearchSettings
    contracts: int
    """Number of contracts that can be held."""
    evaluated: Mapping[str, int]
    """Number of portfolios evaluated by method; those of the improvement are its results."""
    best_of_method: Mapping[str, float]
    """Smallest ratio found by each method, and by all families together; infinite if none."""
    worst: tuple[ExplainedPortfolio, ...]
    """The portfolios with the smallest ratios, in ascending order, at most one per
    plausible move."""
    families: tuple[FamilyResult, ...]
    ratio_of_move: FloatArray
    """float64 (n_moves,): smallest ratio of a requirement to the loss in each move, of all
    portfolios evaluated; infinite if none has a sufficient loss in it."""
    ratio_bound: float | None
    """See `ProgramResult.ratio_bound`."""

    @property
    def ratio(self) -> float:
        """The smallest ratio of a requirement to a plausible loss; infinite if there is none."""
        return self.worst[0].ratio if self.worst else np.inf

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        if not self.worst:
            return "No portfolio within the limits has a plausible loss of the smallest size."
        return f"The smallest requirement found is {self.ratio:.2g} of the plausible loss."


def challenge(
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    model: ModelParameters,
    moves: PlausibleMoves,
    *,
    limits: PortfolioLimits | None = None,
    settings: SearchSettings | None = None,
    threads: int = 1,
    progress: ProgressCallback = no_progress,
) -> ChallengeResult:
    """Return the portfolios with the smallest requirement per dollar of plausible loss.

    Parameters
    ----------
    snapshot, scenarios, model
        The inputs that determine requirements.
    moves : PlausibleMoves
        The moves whose losses requirements are compared with.
    limits : PortfolioLimits, optional
        Limits that every portfolio satisfies.
    settings : SearchSettings, optional
        Extent of the search.
    threads : int
        Number of threads for prices; the result does not depend on it.
    progress : callable
        Progress callback.

    Raises
    ------
    MissingMarketData, InvalidScenario
        As `prepare_board`.
    """
    limits, settings = limits or PortfolioLimits(), settings or SearchSettings()
    board = prepare_board(
        snapshot, scenarios, model, moves, limits, threads=threads, progress=progress
    )
    pools = _search(board, settings, progress)
    everything = sorted((pair for pairs in pools.ranked.values() for pair in pairs), key=_order)
    progress("Explaining the worst portfolios", 0, 0)
    return ChallengeResult(
        id=_id(snapshot, scenarios, model, moves, limits, settings),
        snapshot=snapshot,
        scenarios_id=scenarios.id,
        model=model,
        moves=moves,
        limits=limits,
        settings=settings,
        contracts=int(board.held.size),
        evaluated=pools.sizes,
        best_of_method={n: p[0][0] if p else np.inf for n, p in pools.ranked.items()},
        worst=_explained(board, everything, settings.reported),
        families=tuple(_family(board, name, found) for name, found in pools.families.items()),
        ratio_of_move=pools.ratio_of_move,
        ratio_bound=pools.ratio_bound,
    )


Ranked = tuple[float, Portfolio]


@dataclass(frozen=True)
class _Pools:
    """The portfolios of a search."""

    families: Mapping[str, list[Portfolio]]
    """By family."""
    ranked: Mapping[str, list[Ranked]]
    """By method, in ascending order of the ratio."""
    sizes: Mapping[str, int]
    """Number of portfolios by method."""
    ratio_of_move: FloatArray
    """float64 (n_moves,): as `ChallengeResult.ratio_of_move`."""
    ratio_bound: float | None


def _search(board: Board, settings: SearchSettings, progress: ProgressCallback) -> _Pools:
    """Return the portfolios of every method."""
    lower, ladders = lower_model(board), ladders_of(board)
    progress("Evaluating known families", 0, 0)
    families = family_portfolios(board, ladders)
    programs = solve_programs(board, lower, settings, progress=progress)
    progress("Evaluating random structures", 0, 0)
    pools = {
        "families": [p for members in families.values() for p in members],
        "program": list(programs.portfolios),
        "random": random_structures(board, ladders, seed=settings.seed, n=settings.structures),
    }
    ranked = {name: _ranked(board, members) for name, members in pools.items()}
    best = sorted((pair for pairs in ranked.values() for pair in pairs), key=_order)
    improved = _improved(board, lower, best, settings, progress)
    ranked["improved"] = sorted(improved, key=_order)
    pools["improved"] = [portfolio for _, portfolio in improved]
    of_move = ratios_of_moves(board, [p for members in pools.values() for p in members])
    sizes = {name: len(members) for name, members in pools.items()}
    return _Pools(families, ranked, sizes, of_move, programs.ratio_bound)


def _order(pair: Ranked) -> tuple[float, tuple[tuple[int, float], ...]]:
    return pair[0], pair[1].key


def _ranked(board: Board, portfolios: Sequence[Portfolio]) -> list[Ranked]:
    """Return (ratio, portfolio) of those with a finite ratio, in ascending order."""
    if not portfolios:
        return []
    ratios = evaluate(board, portfolios).ratio.tolist()
    pairs = zip(ratios, portfolios, strict=True)
    return sorted((pair for pair in pairs if np.isfinite(pair[0])), key=_order)


def _worst_by_move(board: Board, pairs: Sequence[Ranked], n: int) -> list[Ranked]:
    """Return the first pair of each of the first n moves in which the pairs lose most."""
    found: dict[int, Ranked] = {}
    for first in range(0, len(pairs), BATCH):
        part = pairs[first : first + BATCH]
        moves = plausible_losses(board, [portfolio for _, portfolio in part]).argmax(axis=0)
        for move, pair in zip(moves.tolist(), part, strict=True):
            found.setdefault(move, pair)
        if len(found) >= n:
            break
    return list(found.values())[:n]


def _improved(
    board: Board,
    lower: LowerModel,
    pairs: Sequence[Ranked],
    settings: SearchSettings,
    progress: ProgressCallback,
) -> list[Ranked]:
    """Return the portfolios that local improvement reaches from the best ones found."""
    starts = _worst_by_move(board, pairs, settings.improved)
    found: list[Ranked] = []
    for number, (before, start) in enumerate(starts):
        progress("Improving the worst portfolios", number, len(starts))
        reached, ratio = improve(board, lower, start, rounds=settings.improvement_rounds)
        if ratio < before:
            found.append((ratio, reached))
    return found


def _explained(board: Board, pairs: Sequence[Ranked], n: int) -> tuple[ExplainedPortfolio, ...]:
    return tuple(explain(board, portfolio) for _, portfolio in _worst_by_move(board, pairs, n))


def _family(board: Board, name: str, members: Sequence[Portfolio]) -> FamilyResult:
    ranked = _ranked(board, members)
    worst = explain(board, ranked[0][1]) if ranked else None
    return FamilyResult(name, len(members), worst)


def _id(
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    model: ModelParameters,
    moves: PlausibleMoves,
    limits: PortfolioLimits,
    settings: SearchSettings,
) -> str:
    """Return the content id of the inputs of a challenge."""
    return content_id(
        "challenge",
        {
            "inputs": [snapshot.id, scenarios.id, model.id, moves.id],
            "limits": limits.content(),
            "settings": settings.content(),
        },
    )
