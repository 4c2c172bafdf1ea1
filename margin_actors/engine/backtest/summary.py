"""A finished replay judged, portfolio by portfolio."""

from dataclasses import dataclass

from margin_actors.engine.backtest.replay import ReplayResult
from margin_actors.engine.backtest.statistics import ExceptionTest, judge


@dataclass(frozen=True)
class BacktestRow:
    """One portfolio under one engine at one confidence."""

    portfolio: str
    engine: str
    confidence: float
    exceptions_daily: int
    """Losses beyond VaR of all dates, whose windows overlap."""
    days_daily: int
    test: ExceptionTest
    """Over windows that do not overlap."""


@dataclass(frozen=True)
class Backtest:
    """A finished backtest."""

    replay: ReplayResult
    rows: tuple[BacktestRow, ...]
    stride: int
    """Dates from one window to the next that does not overlap it."""

    def row(self, portfolio: str, engine: str, confidence: float) -> BacktestRow:
        """Return one row."""
        return next(
            r
            for r in self.rows
            if (r.portfolio, r.engine, r.confidence) == (portfolio, engine, confidence)
        )


def summarise(replay: ReplayResult, stride: int) -> Backtest:
    """Return the tests of every portfolio, engine and confidence.

    `stride` dates lie between windows that do not overlap; the tests are of every such date from
    the first on.
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
