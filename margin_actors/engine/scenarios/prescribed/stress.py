"""Stress rows: named historical days and hypothetical moves."""

from dataclasses import replace

import numpy as np

from margin_actors.arrays import DAY_MS
from margin_actors.engine.parameters import (
    HypotheticalMove,
    ScenarioParameters,
    StressEvent,
    StressParameters,
)
from margin_actors.engine.scenarios.history.windows import PriceTable, Windows
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
    problems = [
        Problem(
            f"scenarios.stress.hypothetical {move.name!r}",
            f"moves the unknown underlying {u}",
            f"the model's underlyings are {', '.join(underlyings)}",
        )
        for move in moves
        for u in sorted({*move.spot, *move.vol} - set(underlyings))
    ]
    # The default moves may name underlyings that the model does not have.
    if moves != StressParameters().hypothetical:
        raise_if_any(problems, InvalidParameters, "the stress rows are not valid")
    n, nu = len(moves), len(underlyings)
    spot = np.array([[1.0 + m.spot.get(u, 0.0) for u in underlyings] for m in moves])
    vol = np.array([[1.0 + m.vol.get(u, 0.0) for u in underlyings] for m in moves])
    spot, vol = logarithms(spot.reshape(n, nu))[0], logarithms(vol.reshape(n, nu))[0]
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
        basis_change=np.zeros(shape[:3]),
        vol_change=np.broadcast_to(vol[:, :, None, None], shape).copy(),
        weight=np.full(n, 1.0 / max(n, 1)),
        provenance=np.where(vol != 0.0, Provenance.MADE, Provenance.NONE).astype(np.uint8),
        row_names=tuple(m.name for m in moves),
    )


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
