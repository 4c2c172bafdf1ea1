"""Positions as the fold of position entries.

A position is kept as lots by base price, because variation is measured from the base price: the
trade price until the next settlement, the settlement price afterwards. Settlement replaces the lots
of a position by one lot at the new base price, through entries that sum to zero.
"""

from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact

from margin_actors.clearing.journal.canonical import decimal_fault, decimal_text, id_fault
from margin_actors.clearing.journal.maps import PersistentMap
from margin_actors.errors import InvalidRequest, Problem, raise_if_any

EXACT = Context(prec=60, traps=[Inexact])
"""Sums of quantities are never rounded."""


@dataclass(frozen=True)
class PositionEntry:
    """A change of one lot of a position."""

    event: str
    """What causes the change: a trade, a settlement, an expiry, a correction."""
    account: str
    """Clearing account."""
    instrument: str
    quantity: Decimal
    """Change in units of the instrument, not 0; a purchase is positive."""
    base_price: Decimal | None = None
    """Price from which variation is measured, which may be negative; None for contracts without
    variation (options and spot)."""

    def __post_init__(self) -> None:
        named = (("event", self.event), ("account", self.account), ("instrument", self.instrument))
        found = [f"{name} {fault}" for name, text in named if (fault := id_fault(text))]
        if not self.quantity:
            found.append("the quantity is 0")
        for name, value in (("quantity", self.quantity), ("base price", self.base_price)):
            if value is not None and (fault := decimal_fault(value)):
                found.append(f"{name} {fault}")
        if found:
            problems = [Problem(f"position entry of {self.event!r}", what) for what in found]
            raise_if_any(problems, InvalidRequest, "the position entry is not valid")

    @property
    def id(self) -> str:
        """Identifies the entry: one event changes each lot at most once."""
        return "\n".join((self.event, self.instrument, _price(self.base_price), self.account))

    def content(self) -> list[str]:
        """Return the form that a content hash covers."""
        quantity, base = decimal_text(self.quantity), _price(self.base_price)
        return [self.event, self.account, self.instrument, quantity, base]


def _price(value: Decimal | None) -> str:
    return "" if value is None else decimal_text(value)


@dataclass(frozen=True)
class Lot:
    """The part of a position with one base price."""

    base_price: Decimal | None
    quantity: Decimal
    """Units of the instrument, not 0; a long position is positive."""


@dataclass(frozen=True)
class Position:
    """The position of one clearing account in one instrument."""

    account: str
    instrument: str
    quantity: Decimal = Decimal(0)
    """Sum of the lots; a long position is positive."""
    lots_by_price: PersistentMap[Lot] = field(default_factory=PersistentMap[Lot])
    """Lots by the text of their base price, empty for the lot without one. They may sum to 0: a
    position closed on the day of its trade has variation until the next settlement."""

    @property
    def lots(self) -> tuple[Lot, ...]:
        """The lots in ascending order of the base price, the lot without one first."""
        return tuple(sorted(self.lots_by_price.values(), key=_price_order))

    def after(self, entry: PositionEntry) -> "Position":
        """Return the position after an entry of the same account and instrument.

        Raises
        ------
        InvalidRequest
            If the position or a lot exceeds 10^18 units.
        """
        assert (self.account, self.instrument) == (entry.account, entry.instrument)
        key = _price(entry.base_price)
        old = self.lots_by_price.get(key)
        lot = entry.quantity if old is None else EXACT.add(old.quantity, entry.quantity)
        whole = EXACT.add(self.quantity, entry.quantity)
        if fault := decimal_fault(lot) or decimal_fault(whole):
            where = f"{entry.instrument} of {entry.account}"
            raise_if_any([Problem(where, fault)], InvalidRequest, "the position is too large")
        lots = self.lots_by_price
        lots = lots.with_items({key: Lot(entry.base_price, lot)}) if lot else lots.without([key])
        return Position(self.account, self.instrument, whole, lots)


def _price_order(lot: Lot) -> tuple[bool, Decimal]:
    return lot.base_price is not None, lot.base_price or Decimal(0)


def position_key(account: str, instrument: str) -> str:
    """Return the key of a position in the state of the journal."""
    return f"{instrument}\n{account}"


def rebased(position: Position, event: str, base_price: Decimal) -> tuple[PositionEntry, ...]:
    """Return the entries by which settlement replaces all lots by one at a new base price.

    Lots without a base price, and a lot that already has the new one, remain. The quantity of the
    position does not change.
    """
    old = [lot for lot in position.lots if lot.base_price not in (None, base_price)]
    total = Decimal(0)
    for lot in old:
        total = EXACT.add(total, lot.quantity)
    moves = [(lot.base_price, lot.quantity.copy_negate()) for lot in old]
    if total:
        moves.append((base_price, total))
    return tuple(
        PositionEntry(event, position.account, position.instrument, quantity, base)
        for base, quantity in moves
    )
