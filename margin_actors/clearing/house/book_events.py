"""Events of the whole book: cycles of requirements, and the life of contracts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from margin_actors.clearing.house.forms import (
    DECIMAL,
    INTEGER,
    MOMENT,
    TEXT,
    many,
    optional,
    table,
)
from margin_actors.clearing.house.recorded import Recorded, recorded
from margin_actors.clearing.house.settlement_forms import CONTRACT_LIFE, LIFE_EFFECT
from margin_actors.clearing.settlement import ContractLife
from margin_actors.clearing.settlement.life import LifeEffect


@recorded(
    "cycle",
    number=INTEGER,
    calculation_id=TEXT,
    snapshot_id=TEXT,
    generation_id=TEXT,
    model_id=TEXT,
    valued_at=MOMENT,
    read_number=INTEGER,
    prices=table(DECIMAL),
    marks=table(DECIMAL),
    accounts=many(TEXT),
    requirement_cents=many(INTEGER),
    collateral_cents=many(INTEGER),
    option_cents=many(INTEGER),
    unsettled_cents=many(INTEGER),
    option_values_cents=table(many(INTEGER)),
)
@dataclass(frozen=True)
class CycleRecorded(Recorded):
    """The requirements of a cycle, with the resources at the time of the commit.

    Amounts are integers in US cents, one per account in the order of `accounts`.
    """

    number: int
    """Number of the cycle, increasing."""
    calculation_id: str
    snapshot_id: str
    generation_id: str
    model_id: str
    valued_at: datetime
    """Time of the market data, UTC."""
    read_number: int
    """Number of the entry of the log up to which the requirements include positions."""
    prices: Mapping[str, Decimal]
    """US dollars per coin by asset, except assets that are worth one US dollar."""
    marks: Mapping[str, Decimal]
    """Marks by instrument: US dollars per coin for futures and perpetuals; for options the value
    per coin, in coins if they are inverse and in US dollars if they are linear."""
    accounts: tuple[str, ...]
    requirement_cents: tuple[int, ...]
    collateral_cents: tuple[int, ...]
    """Collateral after haircuts, less what is owed."""
    option_cents: tuple[int, ...]
    """Net option value that counts."""
    unsettled_cents: tuple[int, ...]
    """Unsettled variation, a profit positive."""
    option_values_cents: Mapping[str, tuple[int, ...]]
    """Net option value by settlement asset before the de-peg scenarios."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"cycle/{self.number}"

    def excess_cents(self, row: int) -> int:
        """Return resources less requirement of one row; negative for a deficit."""
        parts = self.collateral_cents[row] + self.option_cents[row] + self.unsettled_cents[row]
        return parts - self.requirement_cents[row]

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """The row of each account."""
        return {account: row for row, account in enumerate(self.accounts)}


@recorded(
    "contract",
    instrument=TEXT,
    multiplier=DECIMAL,
    life=optional(CONTRACT_LIFE),
    effects=many(LIFE_EFFECT),
    cause=TEXT,
)
@dataclass(frozen=True)
class ContractChanged(Recorded):
    """A contract was listed, or the stage of its life changed."""

    instrument: str
    multiplier: Decimal
    life: ContractLife | None
    """None for a perpetual."""
    effects: tuple[LifeEffect, ...]
    """In the order in which they are to be carried out."""
    cause: str
    """Id of the command or timer."""

    @property
    def id(self) -> str:
        """Id of the event."""
        return f"contract/{self.instrument}/{self.cause}"
