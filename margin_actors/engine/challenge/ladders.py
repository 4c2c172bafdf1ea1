"""Options of a board by underlying, expiry and side, for the construction of structures."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.challenge.board import Board
from margin_actors.market.instruments import Instrument, Kind, expiry_label


@dataclass(frozen=True)
class Ladder:
    """The options of one underlying, expiry and side that can be held, in the order of strikes."""

    underlying: str
    expiry: datetime
    is_call: bool
    is_inverse: bool
    contract: IntArray
    """int64 (n_strikes,): indices of the contracts."""
    strike_usd: FloatArray
    """float64 (n_strikes,): ascending strikes, US dollars."""
    delta: FloatArray
    """float64 (n_strikes,): absolute deltas, a ratio."""

    @property
    def name(self) -> str:
        """Display name, for example ``BTC 26JUN26 calls``."""
        kind = "" if self.is_inverse else " linear"
        side = "calls" if self.is_call else "puts"
        return f"{self.underlying} {expiry_label(self.expiry)}{kind} {side}"

    def nearest(self, delta: float) -> int:
        """Return the index of the contract whose absolute delta is nearest to `delta`."""
        return int(self.contract[int(np.abs(self.delta - delta).argmin())])


@dataclass(frozen=True)
class Ladders:
    """All ladders and outrights of a board."""

    ladders: tuple[Ladder, ...]
    """Ordered by underlying, expiry and side, puts first."""
    outrights: dict[str, tuple[int, ...]]
    """Indices of futures, perpetuals and spot that can be held, by underlying."""

    def pairs(self) -> list[tuple[Ladder, Ladder]]:
        """Return (puts, calls) of each underlying and expiry that has both."""
        return [
            (a, b)
            for a, b in zip(self.ladders, self.ladders[1:], strict=False)
            if (a.underlying, a.expiry, a.is_inverse) == (b.underlying, b.expiry, b.is_inverse)
        ]

    def same_side(self, ladder: Ladder) -> list[Ladder]:
        """Return the later ladders of the same underlying and side, in the order of expiries."""
        return [
            other
            for other in self.ladders
            if other.underlying == ladder.underlying
            and other.is_call == ladder.is_call
            and other.is_inverse == ladder.is_inverse
            and other.expiry > ladder.expiry
        ]


def ladders_of(board: Board) -> Ladders:
    """Return the contracts of a board that can be held, as ladders and outrights."""
    groups: dict[tuple[str, datetime, bool, bool], list[int]] = {}
    outrights: dict[str, list[int]] = {}
    for c in board.held.tolist():
        item = board.instruments[c]
        if item.kind is Kind.OPTION:
            groups.setdefault(_key(item), []).append(c)
        else:
            outrights.setdefault(item.underlying, []).append(c)
    found: list[Ladder] = []
    for (underlying, expiry, is_inverse, is_call), members in sorted(groups.items()):
        strikes = np.array([board.instruments[c].strike or 0.0 for c in members])
        order = np.argsort(strikes, kind="stable")
        contract = np.array(members, np.int64)[order]
        found.append(
            Ladder(
                underlying,
                expiry,
                is_call,
                is_inverse,
                contract,
                strikes[order],
                np.abs(board.delta[contract]),
            )
        )
    return Ladders(tuple(found), {u: tuple(members) for u, members in outrights.items()})


def _key(item: Instrument) -> tuple[str, datetime, bool, bool]:
    assert item.expiry is not None
    return item.underlying, item.expiry, item.is_inverse, bool(item.is_call)
