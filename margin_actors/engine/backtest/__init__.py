"""Model validation: backtests of margins against realised losses, and procyclicality measures."""

from margin_actors.engine.backtest.books import BookDate, margin_and_outcome
from margin_actors.engine.backtest.first_date import FIRST_DATE, dates_with_history
from margin_actors.engine.backtest.portfolios import PORTFOLIOS, benchmark_book
from margin_actors.engine.backtest.procyclicality import (
    TOOLS,
    Procyclicality,
    ResponsivenessRow,
    join_series,
    replay_tools,
    responsiveness,
    tool_margins,
)
from margin_actors.engine.backtest.replay import (
    ReplayInputs,
    ReplayResult,
    join_replays,
    replay_dates,
    replay_inputs,
)
from margin_actors.engine.backtest.statistics import (
    ExceptionTest,
    christoffersen,
    judge,
    kupiec,
    traffic_light,
)
from margin_actors.engine.backtest.summary import Backtest, BacktestRow, summarise

__all__ = [
    "FIRST_DATE",
    "PORTFOLIOS",
    "TOOLS",
    "Backtest",
    "BacktestRow",
    "BookDate",
    "ExceptionTest",
    "Procyclicality",
    "ReplayInputs",
    "ReplayResult",
    "ResponsivenessRow",
    "benchmark_book",
    "christoffersen",
    "dates_with_history",
    "join_replays",
    "join_series",
    "judge",
    "kupiec",
    "margin_and_outcome",
    "replay_dates",
    "replay_inputs",
    "replay_tools",
    "responsiveness",
    "summarise",
    "tool_margins",
    "traffic_light",
]
