"""Refusal of markets with implausible values, and remedies that name a hand-written file."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeGuard

from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import (
    DataQualityFailure,
    InvalidPortfolio,
    MissingMarketData,
    Problem,
    raise_if_any,
)
from margin_actors.market.cleansing import (
    PriceGrid,
    implausible_prices,
    implausible_volatilities,
)
from margin_actors.market.snapshots import MarketSnapshot


def is_written_by_hand(snapshot: str | None) -> TypeGuard[str]:
    """Return whether a market, as on the command line, is named by the path of a TOML file."""
    return snapshot is not None and snapshot.endswith(".toml")


def require_plausible(
    market: MarketSnapshot,
    prices: Mapping[str, PriceGrid],
    model: ModelParameters,
    *,
    source: str | None,
) -> None:
    """Check a market against the plausibility limits of a model.

    Parameters
    ----------
    market : MarketSnapshot
    prices : mapping of str to PriceGrid
        Price histories up to the market's time; an index without one is not compared.
    model : ModelParameters
    source : str, optional
        The market as on the command line: a time, the path of a TOML file, or None. Volatilities
        are checked in hand-written markets only: one quote of a recorded chain must not stop a run.

    Raises
    ------
    DataQualityFailure
        With every value that is beyond a limit.
    """
    limits = model.quality.plausibility
    problems = implausible_prices(market, prices, limits)
    if is_written_by_hand(source):
        problems += implausible_volatilities(market, limits)
        problems = [replace(p, location=f"{source}, {p.where}") for p in problems]
    raise_if_any(problems, DataQualityFailure, "the market fails the model's plausibility limits")


def written_market_hint(snapshot: str | None) -> str:
    """Return what to add to a hand-written market for positions that it does not cover, or ""."""
    if not is_written_by_hand(snapshot):
        return ""
    return (
        f"The market is {snapshot}: add an [[option]] for each option held, a [[future]] for each "
        "future, and the index of each underlying."
    )


@contextmanager
def naming_written_market(snapshot: str | None) -> Generator[None]:
    """Add the file of a hand-written market to errors about positions that it does not cover."""
    try:
        yield
    except (InvalidPortfolio, MissingMarketData) as error:
        if is_written_by_hand(snapshot):
            remedy = "add an [[option]] for each option held, and a [[future]] for each future"
            what = "describes the market that was used"
            error.problems = (*error.problems, Problem(snapshot, what, remedy))
        raise
