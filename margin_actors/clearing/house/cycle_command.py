"""The command that records a cycle: requirements of many accounts as compact arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from margin_actors.clearing.amounts import UNITS_MAX
from margin_actors.clearing.house.forms import DECIMAL, INTEGER, MOMENT, TEXT, many, table
from margin_actors.clearing.house.journal_forms import RESERVATION
from margin_actors.clearing.house.recorded import Recorded, recorded
from margin_actors.clearing.journal.reservations import Reservation
from margin_actors.errors import InvalidRequest, Problem, raise_if_any

CYCLE_ACCOUNTS_MAX = 100_000
"""Largest number of accounts of a cycle."""


@recorded(
    "record_cycle",
    id=TEXT,
    actor=TEXT,
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
    unsettled_cents=many(INTEGER),
    option_values_cents=table(many(INTEGER)),
    reservations=table(many(RESERVATION)),
)
@dataclass(frozen=True)
class RecordCycle(Recorded):
    """Record the requirements of a cycle, and call what is missing at the time of the commit.

    The sender passes requirements and never deficits: resources are computed at the commit from
    the holdings of the state, so that money that was just paid is not called again. Amounts are
    integers in US cents, one per account in the order of `accounts`. Subjects of the reply: ids of
    the calls that changed.
    """

    id: str
    actor: str
    number: int
    """Number of the cycle, at least 1 and larger than that of the cycle before."""
    calculation_id: str
    snapshot_id: str
    generation_id: str
    model_id: str
    valued_at: datetime
    """Time of the market data, UTC."""
    read_number: int
    """Number of the entry of the log up to which positions were read. For accounts whose positions
    or cash changed after it, option value and unsettled variation are computed from `marks`."""
    prices: Mapping[str, Decimal]
    """US dollars per coin by asset, positive."""
    marks: Mapping[str, Decimal]
    """See `CycleRecorded.marks`."""
    accounts: tuple[str, ...]
    """Each account once."""
    requirement_cents: tuple[int, ...]
    """At least 0."""
    unsettled_cents: tuple[int, ...]
    """Unsettled variation, rounded down, a profit positive."""
    option_values_cents: Mapping[str, tuple[int, ...]] = field(
        default_factory=dict[str, tuple[int, ...]]
    )
    """Net option value by settlement asset before the de-peg scenarios, rounded down."""
    reservations: Mapping[str, tuple[Reservation, ...]] = field(
        default_factory=dict[str, tuple[Reservation, ...]]
    )
    """Open reservations at their new prices by account, in the order in which they are open. An
    account that is not given keeps its reservations at their former prices."""

    def __post_init__(self) -> None:
        """Check the lengths and signs of the arrays."""
        count = len(self.accounts)
        problems: list[Problem] = []
        if not 1 <= count <= CYCLE_ACCOUNTS_MAX or len(set(self.accounts)) != count:
            what = f"{count} accounts are not 1 to {CYCLE_ACCOUNTS_MAX} different accounts"
            problems.append(Problem("accounts", what))
        arrays = {
            "requirement_cents": self.requirement_cents,
            "unsettled_cents": self.unsettled_cents,
            **{f"option value in {k}": v for k, v in self.option_values_cents.items()},
        }
        for name, values in arrays.items():
            if len(values) != count:
                problems.append(Problem(name, f"has {len(values)} values for {count} accounts"))
            elif max(map(abs, values), default=0) > UNITS_MAX:
                problems.append(Problem(name, "has a value above 10^18 cents"))
        if min(self.requirement_cents, default=0) < 0:
            problems.append(Problem("requirement_cents", "has a negative requirement"))
        if self.number < 1:
            problems.append(Problem("number", f"is {self.number}, not at least 1"))
        raise_if_any(problems, InvalidRequest, "the cycle is not valid")
