"""Known families of portfolios, which a challenge reports one by one.

Their ratios can be compared between models even if the worst portfolio of a search changes.
"""

from collections.abc import Iterator

from margin_actors.engine.challenge.board import Board
from margin_actors.engine.challenge.ladders import Ladder, Ladders
from margin_actors.engine.challenge.portfolios import Portfolio, scaled_portfolio
from margin_actors.engine.challenge.structures import Legs
from margin_actors.market.instruments import Kind

WING_DELTAS: tuple[float, ...] = (0.002, 0.02, 0.1)
"""Upper ends of the absolute deltas of the families of short wings."""
STRANGLE_DELTAS: tuple[float, ...] = (0.02, 0.05, 0.10, 0.25)
"""Absolute deltas of the families of strangles."""
_RATIOS = (2.0, 5.0, 10.0)
_NEAR, _FAR = (0.5, 0.25), (0.1, 0.05, 0.02, 0.005)
_SIZES = (1.02, 10.0)
"""Multiples of the smallest loss."""


def family_portfolios(board: Board, ladders: Ladders) -> dict[str, list[Portfolio]]:
    """Return the portfolios of each family that have a sufficient plausible loss, by family."""
    found: dict[str, list[Portfolio]] = {}
    for family, label, legs in _structures(board, ladders):
        members = found.setdefault(family, [])
        for size in _SIZES:
            loss_usd = size * board.limits.loss_min_usd
            portfolio = scaled_portfolio(board, family, label, legs, loss_usd=loss_usd)
            if portfolio is not None:
                members.append(portfolio)
    return found


def _structures(board: Board, ladders: Ladders) -> Iterator[tuple[str, str, Legs]]:
    """Yield (family, label, legs in coins)."""
    yield from _wings(board, ladders)
    for puts, calls in ladders.pairs():
        for delta in STRANGLE_DELTAS:
            name = puts.name.removesuffix(" puts")
            legs = [(puts.nearest(delta), -1.0), (calls.nearest(delta), -1.0)]
            yield f"short strangle, |delta| {delta:g}", name, legs
    for ladder in ladders.ladders:
        yield from _ratios(ladder)
        yield from _calendars(board, ladders, ladder)
    yield from _outrights(board, ladders)


def _wings(board: Board, ladders: Ladders) -> Iterator[tuple[str, str, Legs]]:
    low = 0.0
    for high in WING_DELTAS:
        family = f"short wing, |delta| {low:g} to {high:g}"
        for ladder in ladders.ladders:
            chosen = ladder.contract[(ladder.delta >= low) & (ladder.delta < high)].tolist()
            for contract in chosen:
                yield family, board.names[contract], [(contract, -1.0)]
            if len(chosen) > 1:  # all strikes together, each in proportion to its limit
                legs = [(c, -float(board.lots_max[c] * board.coins[c])) for c in chosen]
                yield family, f"{ladder.name}, all strikes", legs
        low = high


def _ratios(ladder: Ladder) -> Iterator[tuple[str, str, Legs]]:
    for near in _NEAR:
        for far in _FAR:
            long, short = ladder.nearest(near), ladder.nearest(far)
            if long == short:
                continue
            for ratio in _RATIOS:
                label = f"{ladder.name}, 1 x {ratio:g}, |delta| {near:g} and {far:g}"
                yield "ratio spread", label, [(long, 1.0), (short, -ratio)]


def _calendars(board: Board, ladders: Ladders, ladder: Ladder) -> Iterator[tuple[str, str, Legs]]:
    for other in ladders.same_side(ladder):
        strikes = {float(k): int(c) for k, c in zip(other.strike_usd, other.contract, strict=True)}
        for delta in (0.5, 0.1):
            near = ladder.nearest(delta)
            far = strikes.get(board.instruments[near].strike or 0.0)
            if far is None:
                continue
            for side in (1.0, -1.0):
                label = f"{board.names[near]} against {board.names[far]}"
                yield "calendar spread", label, [(near, side), (far, -side)]


def _outrights(board: Board, ladders: Ladders) -> Iterator[tuple[str, str, Legs]]:
    for members in ladders.outrights.values():
        for first in members:
            for second in members:
                kinds = {board.instruments[c].kind for c in (first, second)}
                if first == second or Kind.PERPETUAL not in kinds or len(kinds) == 1:
                    continue
                other = "spot" if Kind.SPOT in kinds else "future"
                label = f"long {board.names[first]}, short {board.names[second]}"
                yield f"{other} against perpetual", label, [(first, 1.0), (second, -1.0)]
