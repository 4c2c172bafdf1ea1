"""The cancellation of trades: one group that reverses positions, premiums and fees.

History stays. A trade that was settled in the meantime is reversed at its own base price; the lots
that remain are open until the next settlement, which pays the difference back.
"""

from datetime import datetime

from margin_actors.clearing.house.acts import CancelTrades
from margin_actors.clearing.house.state import TRADED, HouseState
from margin_actors.clearing.journal import Group, Phase, PositionEntry, Transfer, TransferKind
from margin_actors.errors import InvalidRequest, Problem, raise_if_any

_NAMED = 5
"""Largest number of trades that a message names."""
_CASH = frozenset({TransferKind.VARIATION, TransferKind.PREMIUM, TransferKind.FEE})


def cancellation(state: HouseState, act: CancelTrades, time: datetime, *, name: str) -> Group:
    """Return the group that cancels trades.

    Parameters
    ----------
    state : HouseState
    act : CancelTrades
    time : datetime
        Time of the cancellation, UTC.
    name : str
        Id of the command.

    Raises
    ------
    InvalidRequest
        If a trade is not known or is cancelled already, or its contract has expired.
    """
    unknown = [
        trade
        for trade in act.trades
        if (known := state.trades.get(trade)) is None or known.is_cancelled
    ]
    problems = [Problem(f"trade {t!r}", "is not booked, or cancelled") for t in unknown[:_NAMED]]
    raise_if_any(problems, InvalidRequest, f"{len(unknown)} trades cannot be cancelled")
    _require_alive(state, act)
    transfers: list[Transfer] = []
    entries: list[PositionEntry] = []
    for trade in act.trades:
        group = state.trades[trade].group
        transfers += [
            _reversed(transfer, time)
            for transfer in group.transfers
            if transfer.phase is Phase.DIRECT and transfer.kind in _CASH
        ]
        entries += [
            PositionEntry(
                f"cancellation:{entry.event}",
                entry.account,
                entry.instrument,
                entry.quantity.copy_negate(),
                entry.base_price,
            )
            for entry in group.positions
        ]
    return Group(f"cancellation:{name}", tuple(transfers), tuple(entries))


def _require_alive(state: HouseState, act: CancelTrades) -> None:
    traded = {
        entry.instrument for trade in act.trades for entry in state.trades[trade].group.positions
    }
    problems = [
        Problem(name, f"is {life.state}; correct its delivery price or settlement instead")
        for name in sorted(traded)
        if (life := state.contracts[name].life) is not None and life.state not in TRADED
    ]
    raise_if_any(problems, InvalidRequest, "trades in expired contracts cannot be cancelled")


def _reversed(transfer: Transfer, time: datetime) -> Transfer:
    return Transfer(
        f"cancellation:{transfer.id}",
        transfer.credit,
        transfer.debit,
        transfer.asset,
        transfer.amount,
        transfer.kind,
        time,
    )
