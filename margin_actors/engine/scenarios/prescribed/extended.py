"""Extended moves: large moves that the core need not contain, each with a share of the loss.

They have the tenors and path hours of the core, so that they are priced in the same risk cube. The
change of volatility is constant below the first tenor and beyond the last, as in every section. The
repair of shocked surfaces leaves prescribed moves unchanged (`Provenance.PRESCRIBED`). The windows
of past days, which a model may add, keep their provenance and are repaired like other windows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.parameters import EVERY, ExtendedMoveParameters, MoveGrid
from margin_actors.engine.scenarios.sets.perpetual_basis import (
    BasisProvenance,
    PerpetualBasisMoves,
)
from margin_actors.engine.scenarios.sets.scenario_set import (
    MONEYNESS,
    NEVER,
    Provenance,
    ScenarioSet,
    join_sections,
)
from margin_actors.errors import InvalidParameters, Problem, raise_if_any
from margin_actors.numerics.elementary import exponentials, logarithms

_DEFAULT_ROWS = ExtendedMoveParameters().rows
_FACTOR_MIN = 0.05
"""Least factor on volatility at any tenor."""


@dataclass(frozen=True)
class ExtendedMove:
    """One extended move, with its changes by underlying."""

    name: str
    spot: tuple[float, ...]
    """Relative change of the index of each underlying."""
    vol: float
    """Factor on the 30-day volatility of every underlying."""
    share: float
    """Share of the loss that counts."""
    skew: float = 0.0
    """As in `ExtendedRow`."""
    term: float = 0.0
    """As in `ExtendedRow`."""
    perpetual_basis: tuple[float, ...] = ()
    """Relative change of the perpetuals of each underlying against the index; empty: none."""
    forward_basis: tuple[float, ...] = ()
    """Likewise, of dated forwards."""


def extended_moves(
    parameters: ExtendedMoveParameters, underlyings: Sequence[str]
) -> tuple[ExtendedMove, ...]:
    """Return the extended moves of a model, in the order of its parameters.

    Raises
    ------
    InvalidParameters
        Naming every name that two moves share, and every move of an unknown underlying.
    """
    found = [
        *_on_grids(parameters.jointly, _jointly(underlyings)),
        *_on_grids(parameters.alone, _alone(underlyings)),
        *_on_grids(parameters.opposite, _opposite(underlyings)),
    ]
    problems: list[Problem] = []
    for row in parameters.rows:
        given = {name for changes in row.changes.values() for name in changes}
        # The default rows name more underlyings than a model may have.
        unknown = [] if row in _DEFAULT_ROWS else sorted(given - {EVERY, *underlyings})
        if unknown:
            where, known = f"tails.extended_moves.rows {row.name!r}", ", ".join(underlyings)
            what = f"moves the unknown underlying {', '.join(unknown)}"
            problems.append(Problem(where, what, f"the model's underlyings are {known}"))
        spot, perpetual, forward = (
            tuple(changes.get(u, changes.get(EVERY, 0.0)) for u in underlyings)
            for changes in row.changes.values()
        )
        shape = row.vol, row.share, row.skew, row.term
        found.append(ExtendedMove(row.name, spot, *shape, perpetual, forward))
    names = [move.name for move in found]
    repeated = sorted({name for name in names if names.count(name) > 1})
    problems += [Problem("tails.extended_moves", f"two moves are named {n!r}") for n in repeated]
    raise_if_any(problems, InvalidParameters, "the extended moves are not valid")
    return tuple(found)


@dataclass(frozen=True)
class _Pattern:
    """Which indices move, as multiples of the change of a grid."""

    text: str
    """Beginning of the name of a move; ``{up}`` and ``{down}`` are the change and its negative."""
    signs: tuple[float, ...]


def _jointly(underlyings: Sequence[str]) -> list[_Pattern]:
    return [_Pattern("all {up} %", (1.0,) * len(underlyings))]


def _alone(underlyings: Sequence[str]) -> list[_Pattern]:
    if len(underlyings) == 1:  # the same as all underlyings together
        return []
    return [
        _Pattern(f"{u} alone {{up}} %", tuple(1.0 if v == u else 0.0 for v in underlyings))
        for u in underlyings
    ]


def _opposite(underlyings: Sequence[str]) -> list[_Pattern]:
    return [
        _Pattern(
            f"{a} {{up}} %, {b} {{down}} %",
            tuple({a: 1.0, b: -1.0}.get(u, 0.0) for u in underlyings),
        )
        for a, b in permutations(underlyings, 2)
    ]


def _on_grids(grids: Sequence[MoveGrid], patterns: Sequence[_Pattern]) -> Iterator[ExtendedMove]:
    for grid in grids:
        for pattern in patterns:
            for change in grid.spot:
                text = pattern.text.format(up=f"{100 * change:+g}", down=f"{-100 * change:+g}")
                spot = tuple(sign * change for sign in pattern.signs)
                for vol in grid.vol:
                    name = text if vol == 1.0 else f"{text}, volatility × {vol:g}"
                    yield ExtendedMove(name, spot, vol, grid.share)


def extended_rows(
    parameters: ExtendedMoveParameters,
    underlyings: Sequence[str],
    *,
    tenors_days: FloatArray,
    path_hours: FloatArray,
    horizon_hours: float,
) -> ScenarioSet:
    """Return the extended moves of a model as scenarios.

    The index moves at the start of the window, so that an option that expires within the window
    settles after the move.

    With m the factor on the 30-day volatility, the change of ln(volatility) at a tenor of d days
    and the standardised moneyness z is

        ln(max(1 + (m - 1) * (30 / max(1, d))^vol_power, 0.05)) + skew * z + term * ln(30 / d).

    Parameters
    ----------
    parameters : ExtendedMoveParameters
    underlyings : sequence of str
    tenors_days : float64 (n_tenors,)
        Tenors of the core, days.
    path_hours : float64 (n_path,)
        Hours since the start of the window, up to its end.
    horizon_hours : float

    Raises
    ------
    InvalidParameters
        As `extended_moves`.
    """
    moves = extended_moves(parameters, underlyings)
    n, nu = len(moves), len(underlyings)
    spot, perpetual, forward = _logarithmic_changes(moves, nu)
    made = np.where(perpetual != 0.0, BasisProvenance.MADE, BasisProvenance.NONE)
    vol = _volatility_changes(moves, parameters.vol_power, tenors_days)
    return ScenarioSet(
        engine="extended",
        underlyings=tuple(underlyings),
        horizon_hours=horizon_hours,
        start_time=np.full(n, NEVER),
        end_time=np.full(n, NEVER),
        spot_return=spot,
        path_hours=path_hours,
        path_return=_at_once(spot, path_hours),
        basis_change=np.repeat(forward[:, :, None], tenors_days.size, axis=2),
        vol_change=np.repeat(vol[:, None], nu, axis=1),
        weight=np.full(n, 1.0 / max(n, 1)),
        provenance=np.full((n, nu), Provenance.PRESCRIBED, np.uint8),
        tenors_days=tenors_days,
        loss_share=np.array([move.share for move in moves]),
        row_names=tuple(move.name for move in moves),
        perpetual_basis=(
            PerpetualBasisMoves(perpetual, made.astype(np.uint8)) if perpetual.any() else None
        ),
    )


def with_past_days(
    written: ScenarioSet, events: ScenarioSet, names: tuple[str, ...], share: float
) -> ScenarioSet:
    """Return extended rows followed by past windows with the given names and share of the loss.

    The whole change of the index in a past window happens at its start, as in the other rows.
    """
    counted = replace(
        events,
        path_return=_at_once(events.spot_return, events.path_hours),
        loss_share=np.full(len(events), share),
    )
    joined = join_sections([("written", written), ("events", counted)])
    n = len(joined)
    return replace(
        joined,
        weight=np.full(n, 1.0 / max(n, 1)),
        row_names=(*written.row_names, *names),
        notes=(),
        sections=(),
    )


def _at_once(spot_return: FloatArray, path_hours: FloatArray) -> FloatArray:
    """Return paths with the whole change at every hour, (n_rows, n_underlyings, n_path)."""
    return np.repeat(spot_return[:, :, None], path_hours.size, axis=2)


def _logarithmic_changes(
    moves: Sequence[ExtendedMove], n_underlyings: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ln(1 + change) of the index, perpetuals and forwards, (n_moves, n_underlyings)."""
    still = (0.0,) * n_underlyings
    changes = (
        [move.spot for move in moves],
        [move.perpetual_basis or still for move in moves],
        [move.forward_basis or still for move in moves],
    )
    shape = len(moves), n_underlyings
    spot, perpetual, forward = (logarithms(1.0 + np.array(c).reshape(shape))[0] for c in changes)
    return spot, perpetual, forward


def _volatility_changes(
    moves: Sequence[ExtendedMove], vol_power: float, tenors_days: FloatArray
) -> FloatArray:
    """Return the changes of ln(volatility), (n_moves, n_tenors, n_moneyness)."""
    to_month = logarithms(30.0 / tenors_days)[0]
    growth = exponentials(vol_power * logarithms(30.0 / np.maximum(tenors_days, 1.0))[0])
    vol = np.empty((len(moves), tenors_days.size, len(MONEYNESS)))
    for row, move in enumerate(moves):
        level = logarithms(np.maximum(1.0 + (move.vol - 1.0) * growth, _FACTOR_MIN))[0]
        vol[row] = (level + move.term * to_month)[:, None] + move.skew * np.array(MONEYNESS)
    return vol
