"""Random structures of a few legs; each is a function of the seed and of its number."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from margin_actors.engine.challenge.board import Board
from margin_actors.engine.challenge.ladders import Ladder, Ladders
from margin_actors.engine.challenge.portfolios import Portfolio, scaled_portfolio
from margin_actors.numerics.counter_random import uniforms

METHOD = "random"
_NUMBERS = 32
"""Random numbers of one structure."""
_RATIOS = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_SIZES = (1.0, 2.0, 5.0, 20.0)
"""Multiples of the smallest loss."""
Legs = list[tuple[int, float]]
T = TypeVar("T")


class _Draws:
    """The board and the random numbers of one structure, in the order in which they are used."""

    def __init__(self, board: Board, ladders: Ladders, seed: int, number: int) -> None:
        self.board, self.ladders = board, ladders
        self._numbers = uniforms(seed, number, _NUMBERS).tolist()
        self._used = 0

    def uniform(self) -> float:
        self._used += 1
        return self._numbers[(self._used - 1) % _NUMBERS]

    def one_of(self, items: Sequence[T]) -> T:
        return items[int(self.uniform() * len(items))]

    def side(self) -> float:
        return 1.0 if self.uniform() < 0.5 else -1.0


def random_structures(board: Board, ladders: Ladders, *, seed: int, n: int) -> list[Portfolio]:
    """Return random structures with a plausible loss within the limits, at most n.

    Parameters
    ----------
    board : Board
    ladders : Ladders
        Those of the board.
    seed : int in [0, 2**62)
    n : int
        Number of structures that are drawn; those without a sufficient loss are left out.
    """
    makers = _makers(ladders)
    found: list[Portfolio] = []
    for number in range(n if makers else 0):
        draws = _Draws(board, ladders, seed, number)
        label, make = makers[int(draws.uniform() * len(makers))]
        size = draws.one_of(_SIZES) * board.limits.loss_min_usd
        legs = make(draws)
        portfolio = scaled_portfolio(board, METHOD, label, legs, loss_usd=size)
        if portfolio is not None:
            found.append(portfolio)
    return found


Maker = Callable[[_Draws], Legs]


def _makers(ladders: Ladders) -> list[tuple[str, Maker]]:
    """Return the kinds of structures that the board permits."""
    makers: list[tuple[str, Maker]] = []
    if ladders.ladders:
        makers += [
            ("short wing", _wing),
            ("ratio spread", _ratio),
            ("butterfly", _butterfly),
            ("calendar or diagonal", _calendar),
            ("two expiries or underlyings", _two_ladders),
            ("sparse options", _sparse),
        ]
    if ladders.ladders and ladders.outrights:
        makers += [("option with hedge", _hedged), ("deep in the money with hedge", _deep)]
    if any(len(members) > 1 for members in ladders.outrights.values()):
        makers.append(("two outrights", _outrights))
    if ladders.pairs():
        makers.append(("strangle", _strangle))
    return makers


def _any_strike(ladder: Ladder, draws: _Draws) -> int:
    return int(draws.one_of(ladder.contract.tolist()))


def _wing(draws: _Draws) -> Legs:
    ladder = draws.one_of(draws.ladders.ladders)
    return [(ladder.nearest(0.1 * draws.uniform() ** 3), -1.0)]


def _ratio(draws: _Draws) -> Legs:
    ladder, ratio = draws.one_of(draws.ladders.ladders), draws.one_of(_RATIOS)
    near, far = ladder.nearest(0.6 * draws.uniform()), ladder.nearest(0.2 * draws.uniform() ** 2)
    return [(near, 1.0), (far, -ratio)]


def _butterfly(draws: _Draws) -> Legs:
    ladder, side = draws.one_of(draws.ladders.ladders), draws.side()
    first, middle, last = sorted(int(draws.uniform() * ladder.contract.size) for _ in range(3))
    ratio = draws.one_of((1.0, 2.0, 3.0))
    legs = ((first, side), (middle, -ratio * side), (last, side))
    return [(int(ladder.contract[k]), q) for k, q in legs]


def _calendar(draws: _Draws) -> Legs:
    ladder = draws.one_of(draws.ladders.ladders)
    later = draws.ladders.same_side(ladder)
    if not later:
        return []
    other, side, delta = draws.one_of(later), draws.side(), 0.6 * draws.uniform()
    near = ladder.nearest(delta)
    strike = draws.board.instruments[near].strike or 0.0
    far = int(other.contract[int(np.abs(other.strike_usd - strike).argmin())])
    if draws.uniform() < 0.5:
        far = other.nearest(delta * draws.uniform())
    return [(near, side), (far, -side * draws.one_of(_RATIOS[:4]))]


def _two_ladders(draws: _Draws) -> Legs:
    legs: Legs = []
    for _ in range(2):
        ladder, side = draws.one_of(draws.ladders.ladders), draws.side()
        contract = ladder.nearest(0.5 * draws.uniform() ** 2)
        index = draws.board.notional_usd[contract] / draws.board.coins[contract]
        legs.append((contract, side * draws.one_of(_RATIOS) * 1e4 / index))
    return legs


def _sparse(draws: _Draws) -> Legs:
    legs: Legs = []
    for _ in range(2 + int(4 * draws.uniform())):
        contract = _any_strike(draws.one_of(draws.ladders.ladders), draws)
        index = draws.board.notional_usd[contract] / draws.board.coins[contract]
        legs.append((contract, draws.side() * draws.one_of(_RATIOS) * 1e4 / index))
    return legs


def _strangle(draws: _Draws) -> Legs:
    puts, calls = draws.one_of(draws.ladders.pairs())
    delta, ratio = 0.5 * draws.uniform() ** 2, draws.one_of(_RATIOS[:3])
    side = -1.0 if draws.uniform() < 0.8 else 1.0
    return [(puts.nearest(delta), side), (calls.nearest(delta), side * ratio)]


def _hedged(draws: _Draws) -> Legs:
    return _with_hedge(draws, 0.6 * draws.uniform())


def _deep(draws: _Draws) -> Legs:
    return _with_hedge(draws, 0.85 + 0.15 * draws.uniform())


def _with_hedge(draws: _Draws, delta: float) -> Legs:
    ladder, side = draws.one_of(draws.ladders.ladders), draws.side()
    contract = ladder.nearest(delta)
    outrights = draws.ladders.outrights.get(ladder.underlying)
    if not outrights:
        return []
    hedge = -side * float(draws.board.delta[contract]) * draws.one_of((0.8, 1.0, 1.2))
    return [(contract, side), (draws.one_of(outrights), hedge)]


def _outrights(draws: _Draws) -> Legs:
    lists = [members for members in draws.ladders.outrights.values() if len(members) > 1]
    members = draws.one_of(lists)
    first = int(draws.uniform() * len(members))
    second = (first + 1 + int(draws.uniform() * (len(members) - 1))) % len(members)
    side = draws.side()
    return [(members[first], side), (members[second], -side)]
