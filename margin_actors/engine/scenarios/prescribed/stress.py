"""Stress rows: named historical days and hypothetical moves."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from margin_actors.arrays import DAY_MS, FloatArray
from margin_actors.engine.parameters import (
    HypotheticalMove,
    ScenarioParameters,
    StressEvent,
    StressParameters,
)
from margin_actors.engine.scenarios.history.windows import PriceTable, Windows
from margin_actors.engine.scenarios.sets.perpetual_basis import (
    BasisProvenance,
    PerpetualBasisMoves,
)
from margin_actors.engine.scenarios.sets.scenario_set import (
    MONEYNESS,
    NEVER,
    TENORS_DAYS,
    Provenance,
    ScenarioSet,
    join_sections,
)
from margin_actors.errors import InvalidParameters, Problem, raise_if_any
from margin_actors.numerics.elementary import logarithms

_DAY = np.timedelta64(DAY_MS, "ms")


def event_windows(
    table: PriceTable, windows: Windows, events: tuple[StressEvent, ...]
) -> tuple[Windows, tuple[str, ...], tuple[str, ...]]:
    """Return the windows that contain a whole event day.

    Returns
    -------
    Windows
        Ordered by event, then by time.
    tuple of str, one per window
        Names of the rows.
    tuple of str
        Events that no window contains.
    """
    chosen: list[int] = []
    names: list[str] = []
    missing: list[str] = []
    start, end = table.time[windows.start], table.time[windows.end]
    for event in events:
        begin = np.datetime64(event.day, "ms")
        held = np.flatnonzero((start <= begin) & (end >= begin + _DAY))
        if held.size == 0:
            missing.append(f"{event.name} ({event.day})")
        for row in held:
            chosen.append(int(row))
            closes = end[row].astype("datetime64[m]")
            names.append(f"{event.name} ({event.day}), window closing {closes}")
    return windows.chosen(np.array(chosen, np.int64)), tuple(names), tuple(missing)


def hypothetical_rows(
    moves: tuple[HypotheticalMove, ...],
    parameters: ScenarioParameters,
    path_hours: np.ndarray,
) -> ScenarioSet:
    """Return one row per hypothetical move, with a linear path inside the window.

    Parameters
    ----------
    moves : tuple of HypotheticalMove
    parameters : ScenarioParameters
    path_hours : float64 (n_path,)
        Hours since the start of the window, up to its end.

    Raises
    ------
    InvalidParameters
        Naming every move of an underlying that the model does not have. The default moves are
        exempt; their moves of other underlyings are ignored.
    """
    underlyings = parameters.underlyings
    _require_known(moves, underlyings)
    n, nu = len(moves), len(underlyings)
    spot = _log_moves([m.spot for m in moves], underlyings)
    vol = _log_moves([m.vol for m in moves], underlyings)
    perpetual = _log_moves([m.perpetual_basis for m in moves], underlyings)
    forward = _log_moves([m.forward_basis for m in moves], underlyings)
    moves_surface = (vol != 0.0) | (forward != 0.0)
    made = np.where(perpetual != 0.0, BasisProvenance.MADE, BasisProvenance.NONE)
    shape = (n, nu, len(TENORS_DAYS), len(MONEYNESS))
    share = path_hours / path_hours[-1]
    return ScenarioSet(
        engine="stress",
        underlyings=underlyings,
        horizon_hours=parameters.horizon_hours + parameters.extension_hours,
        start_time=np.full(n, NEVER),
        end_time=np.full(n, NEVER),
        spot_return=spot,
        path_hours=path_hours,
        path_return=spot[:, :, None] * share,
        basis_change=np.broadcast_to(forward[:, :, None], shape[:3]).copy(),
        vol_change=np.broadcast_to(vol[:, :, None, None], shape).copy(),
        weight=np.full(n, 1.0 / max(n, 1)),
        provenance=np.where(moves_surface, Provenance.MADE, Provenance.NONE).astype(np.uint8),
        row_names=tuple(m.name for m in moves),
        perpetual_basis=(
            PerpetualBasisMoves(perpetual, made.astype(np.uint8)) if perpetual.any() else None
        ),
    )


def _require_known(moves: Sequence[HypotheticalMove], underlyings: Sequence[str]) -> None:
    """Raise InvalidParameters if a move names other underlyings; see `hypothetical_rows`."""
    # The default moves may name underlyings that the model does not have.
    defaults = StressParameters().hypothetical
    problems = [
        Problem(
            f"scenarios.stress.hypothetical {move.name!r}",
            f"moves the unknown underlying {u}",
            f"the model's underlyings are {', '.join(underlyings)}",
        )
        for move in moves
        if move not in defaults
        for u in sorted(
            {*move.spot, *move.vol, *move.perpetual_basis, *move.forward_basis} - set(underlyings)
        )
    ]
    raise_if_any(problems, InvalidParameters, "the stress rows are not valid")


def _log_moves(moves: Sequence[dict[str, float]], underlyings: Sequence[str]) -> FloatArray:
    """Return relative changes by underlying as log changes, (n_moves, n_underlyings)."""
    shape = (len(moves), len(underlyings))
    given = np.array([[1.0 + m.get(u, 0.0) for u in underlyings] for m in moves])
    return logarithms(given.reshape(shape))[0]


def stress_rows(events: ScenarioSet, names: tuple[str, ...], written: ScenarioSet) -> ScenarioSet:
    """Return historical and hypothetical rows as one equally weighted set with the given names."""
    joined = join_sections([("events", events), ("written", written)])
    n = len(joined)
    return replace(
        joined,
        engine="stress",
        weight=np.full(n, 1.0 / n),
        row_names=(*names, *written.row_names),
        notes=(),
        sections=(),
    )
