"""Tool (a) against procyclicality: a buffer that is released while margin rises fast.

The buffer's state belongs to the market and not to an account: what an outright of each underlying
would be asked for, day by day. Everybody's buffer is released on the same public rule, a result can
be replayed from its scenario set, and trading does not change the state.

A day t with reference margin m_t and buffer b_t (a share of m_t):

- m_t above (1 + fast_rise) times the least of the last `fast_days`: the buffer gives way, so that
  m (1 + b) stays what it was the day before as long as there is a buffer,
  b_t = min(b_{t-1}, max(0, m_{t-1} (1 + b_{t-1}) / m_t - 1));
- else it is rebuilt by `share / rebuild_days`, up to `share`.

It begins full.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from margin_actors.engine.parameters import BufferParameters


@dataclass(frozen=True, slots=True)
class BufferState:
    """What must be kept from one day to the next."""

    share: float
    """Buffer, a share of the reference margin."""
    recent: tuple[float, ...]
    """Reference margins of the last days, the latest last; at most `fast_days`."""


def full_buffer(parameters: BufferParameters) -> BufferState:
    """Return the state before the first day."""
    return BufferState(parameters.share, ())


def advance(state: BufferState, margin: float, parameters: BufferParameters) -> BufferState:
    """Return the state after a day with the given reference margin (positive)."""
    if not margin > 0.0:
        raise ValueError(f"a reference margin is positive, got {margin}")
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
    """Return the state after many days."""
    for margin in margins:
        state = advance(state, margin, parameters)
    return state
