"""Test results of a finished replay, one row per portfolio, engine and confidence level."""

from dataclasses import dataclass

from margin_actors.engine.backtest.replay import ReplayResult
from margin_actors.engine.backtest.statistics import ExceptionTest, judge


@dataclass(frozen=True)
class BacktestRow:
    """Test results of one portfolio under one engine at one confidence level."""

    portfolio: str
    engine: str
    confidence: float
    exceptions_daily: int
    """Number of losses greater than VaR over all dates; their windows overlap."""
    days_daily: int
    """Number of all dates."""
    test: ExceptionTest
    """Tests over the dates whose windows do not overlap."""


@dataclass(frozen=True)
class Backtest:
    """A finished backtest."""

    replay: ReplayResult
    rows: tuple[BacktestRow, ...]
    stride: int
    """Distance in dates between two consecutive windows that do not overlap."""

    def row(self, portfolio: str, engine: str, confidence: float) -> BacktestRow:
        """Return the row of a portfolio, engine and confidence; StopIteration if there is none."""
        return next(
            r
            for r in self.rows
            if (r.portfolio, r.engine, r.confidence) == (portfolio, engine, confidence)
        )


def summarise(replay: ReplayResult, stride: int) -> Backtest:
    """Return the tests of every portfolio, engine and confidence level.

    The tests use every `stride`-th date from the first on; `stride` is the distance in dates
    between two consecutive windows that do not overlap.
    """
    rows = [
        BacktestRow(
            portfolio,
            engine,
            confidence,
            int((-replay.profit_usd[:, p] > replay.var_usd[:, e, c, p]).sum()),
            replay.time.size,
            judge(replay.profit_usd[::stride, p], replay.var_usd[::stride, e, c, p], confidence),
        )
        for p, portfolio in enumerate(replay.portfolios)
        for e, engine in enumerate(replay.engines)
        for c, confidence in enumerate(replay.confidences)
    ]
    return Backtest(replay, tuple(rows), stride)
