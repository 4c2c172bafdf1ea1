"""What a cycle requires of a margin engine: margins of a whole book in one snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin import AccountFailure
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book
from margin_actors.market.snapshots import MarketSnapshot


@dataclass(frozen=True, slots=True)
class QuotedPositions:
    """One party of a quoted block trade, whose margin is reserved."""

    quote: str
    """Id of the quote."""
    positions: Mapping[str, float]
    """Quantity by instrument in the unit of `Book.quantity`; a purchase is positive."""


@dataclass(frozen=True)
class MarginRequest:
    """What is margined in one cycle."""

    snapshot: MarketSnapshot
    book: Book
    """Positions of all accounts, and the coins that the model simulates with them."""
    quotes: Mapping[str, tuple[QuotedPositions, ...]] = field(
        default_factory=dict[str, tuple[QuotedPositions, ...]]
    )
    """Open reservations by account, in the order in which they are open."""
    marked: tuple[str, ...] = ()
    """Further instruments of which a mark is required, for example listed contracts that no account
    held when the book was read."""


@dataclass(frozen=True)
class MarginRun:
    """The margins of a book."""

    calculation_id: str
    """Content id of the result and its inputs."""
    snapshot_id: str
    generation_id: str
    """Identifies snapshot and scenarios together."""
    scenarios_id: str
    model_id: str
    accounts: tuple[str, ...]
    """Accounts that were margined, in the order of the book."""
    requirement_usd: FloatArray
    """float64 (n_accounts,): initial margin, US dollars, at least 0."""
    failures: tuple[AccountFailure, ...]
    """Accounts that could not be margined."""
    marks: Mapping[str, Decimal]
    """Marks by instrument, see `CycleRecorded.marks`."""
    cumulative_usd: Mapping[str, tuple[float, ...]] = field(
        default_factory=dict[str, tuple[float, ...]]
    )
    """By account with quotes: the margin with the first quote, with the first two, and so on, US
    dollars. It ends before the first quote that cannot be margined."""
    stages: Mapping[str, float] = field(default_factory=dict[str, float])
    """Duration of each stage, seconds."""


class Margining(Protocol):
    """A margin engine for cycles. One run at a time; a scenario set is replaced between runs."""

    @property
    def model(self) -> ModelParameters:
        """The model."""
        ...

    @property
    def scenarios_id(self) -> str:
        """Id of the scenario set in use; empty if there is none."""
        ...

    async def activate(self, scenarios: ScenarioSet) -> None:
        """Put a complete scenario set in use, from the next run on.

        Raises
        ------
        InvalidScenario
            If the set lacks a section that the model needs.
        """
        ...

    async def calculate(self, request: MarginRequest) -> MarginRun:
        """Return the margins of all accounts that can be margined.

        Raises
        ------
        NotReady
            If no scenario set is in use.
        MissingMarketData, InvalidScenario, ClusterUnavailable, DeadlinePassed
            If nothing can be margined in this snapshot, or the cluster does not answer in time.
        """
        ...


__all__ = ["MarginRequest", "MarginRun", "Margining", "QuotedPositions"]
