"""Procyclicality tool (a): a buffer that is released while margins rise fast.

The state of the buffer belongs to the market, not to an account: it depends only on the daily
reference margins of outrights. All accounts therefore have the same release rule, results can be
replayed from their scenario set, and trading does not change the state.

For a day t with reference margin m_t and buffer b_t (a share of m_t):

- if m_t is above (1 + fast_rise) times the minimum of the last `fast_days` days, the buffer is
  released: m (1 + b) stays constant until the buffer is used up,
  b_t = min(b_{t-1}, max(0, m_{t-1} (1 + b_{t-1}) / m_t - 1));
- otherwise it is rebuilt by `share / rebuild_days`, up to `share`.

The buffer is full before the first day.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from margin_actors.engine.parameters import BufferParameters


@dataclass(frozen=True, slots=True)
class BufferState:
    """State of the buffer after a day."""

    share: float
    """Buffer, as a share of the reference margin."""
    recent: tuple[float, ...]
    """Reference margins of the last days, at most `fast_days`, in order of time."""


def full_buffer(parameters: BufferParameters) -> BufferState:
    """Return the state before the first day: a full buffer."""
    return BufferState(parameters.share, ())


def advance(state: BufferState, margin: float, parameters: BufferParameters) -> BufferState:
    """Return the state after a day.

    Parameters
    ----------
    state : BufferState
        State of the day before.
    margin : float
        Reference margin of the day, as a fraction of the index.
    parameters : BufferParameters

    Raises
    ------
    ValueError
        If the margin is not positive.
    """
    if not margin > 0.0:
        raise ValueError(f"the reference margin must be positive, got {margin}")
    kept = (*state.recent, margin)[-parameters.fast_days :]
    if not state.recent:
        return BufferState(state.share, kept)
    if margin > (1.0 + parameters.fast_rise) * min(state.recent):
        absorbed = state.recent[-1] * (1.0 + state.share) / margin - 1.0
        return BufferState(min(state.share, max(0.0, absorbed)), kept)
    grown = state.share + parameters.share / parameters.rebuild_days
    return BufferState(min(parameters.share, grown), kept)


def replay(
    state: BufferState, margins: Iterable[float], parameters: BufferParameters
) -> BufferState:
    """Return the state after one day per margin; see `advance`."""
    for margin in margins:
        state = advance(state, margin, parameters)
    return state
