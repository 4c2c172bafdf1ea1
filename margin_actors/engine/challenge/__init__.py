"""Challenge of a model: a search for portfolios whose requirement is small for what they can lose.

Data flow one way: settings and plausible moves; the board of contracts; portfolios with their
requirements; linear programs, structures, families and improvement; the search and its result.
"""

from margin_actors.engine.challenge.board import Board, prepare_board
from margin_actors.engine.challenge.explanation import ExplainedPortfolio, SectionLoss, explain
from margin_actors.engine.challenge.moves import PlausibleMoves, plausible_moves
from margin_actors.engine.challenge.portfolios import Evaluation, Portfolio, evaluate
from margin_actors.engine.challenge.search import (
    METHODS,
    ChallengeResult,
    FamilyResult,
    challenge,
)
from margin_actors.engine.challenge.settings import (
    MoveSettings,
    PortfolioLimits,
    SearchSettings,
)

__all__ = [
    "METHODS",
    "Board",
    "ChallengeResult",
    "Evaluation",
    "ExplainedPortfolio",
    "FamilyResult",
    "MoveSettings",
    "PlausibleMoves",
    "Portfolio",
    "PortfolioLimits",
    "SearchSettings",
    "SectionLoss",
    "challenge",
    "evaluate",
    "explain",
    "plausible_moves",
    "prepare_board",
]
