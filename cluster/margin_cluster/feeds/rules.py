"""Decisions on sources: which are silent, and what follows for margins and calls. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import numpy as np

from margin_actors.errors import InvalidParameters, Problem, raise_if_any
from margin_actors.market.chain_quality import ChainQualityLimits, ScreenedSnapshot, screen_snapshot
from margin_actors.market.instruments import expiry_label
from margin_actors.market.snapshots import MarketSnapshot, publishable_faults

MarketAction: TypeAlias = Literal["use", "keep_last", "stop_calls"]
"""`use`: data are current; `keep_last`: margin on the last snapshot, with a wider margin;
`stop_calls`: in addition, no new margin call is issued on data of this age."""


@dataclass(frozen=True, slots=True)
class SilenceRule:
    """What follows from the age of the most recent snapshot, and of each source.

    Raises
    ------
    InvalidParameters
        If the limits are not positive and ascending, or the widening is negative.
    """

    silent_seconds: float = 120.0
    """A source is silent if its last message is older."""
    keep_seconds: float = 900.0
    """A snapshot is current up to this age; beyond it the last one is kept and margins widen."""
    stop_seconds: float = 3_600.0
    """Beyond this age no new margin call is issued."""
    widen_per_hour: float = 0.1
    """Growth of the factor on margins per hour beyond `keep_seconds`."""
    widen_max: float = 1.5
    """Largest factor on margins."""

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        if not 0.0 < self.silent_seconds < float("inf"):
            problems.append(Problem("silent_seconds", f"is {self.silent_seconds}, not positive"))
        if not 0.0 < self.keep_seconds <= self.stop_seconds:
            what = f"is {self.keep_seconds}; it must be positive and at most stop_seconds"
            problems.append(Problem("keep_seconds", f"{what} ({self.stop_seconds})"))
        if not (self.widen_per_hour >= 0.0 and self.widen_max >= 1.0):
            problems.append(Problem("widen_max", f"is {self.widen_max}; it must be at least 1"))
        raise_if_any(problems, InvalidParameters, "the rule for silent sources is not valid")


@dataclass(frozen=True, slots=True)
class SilenceDecision:
    """What to do with the market in use."""

    action: MarketAction
    factor: float
    """Factor on margins, at least 1."""
    silent: tuple[str, ...]
    """Sources that are silent, sorted."""
    alarms: tuple[str, ...]
    """One sentence for each condition that needs a person."""


def decide_on_silence(
    snapshot_age_seconds: float | None,
    source_age_seconds: Mapping[str, float | None],
    rule: SilenceRule,
) -> SilenceDecision:
    """Return what follows from the age of the market and of its sources.

    Parameters
    ----------
    snapshot_age_seconds : float, optional
        Time since a good snapshot last arrived, seconds; None if none ever did.
    source_age_seconds : mapping of str to float or None
        Time since the last message of each source, seconds; None before the first.
    rule : SilenceRule

    Notes
    -----
    The factor is min(widen_max, 1 + widen_per_hour · (age - keep_seconds) / 3600) beyond
    `keep_seconds`.
    """
    silent = tuple(
        sorted(s for s, a in source_age_seconds.items() if a is None or a > rule.silent_seconds)
    )
    alarms = [_silence(name, source_age_seconds[name], rule) for name in silent]
    age = float("inf") if snapshot_age_seconds is None else snapshot_age_seconds
    if age <= rule.keep_seconds:
        return SilenceDecision("use", 1.0, silent, tuple(alarms))
    hours = (age - rule.keep_seconds) / 3600.0
    factor = min(rule.widen_max, 1.0 + rule.widen_per_hour * hours)
    said = "no good snapshot has arrived"
    if snapshot_age_seconds is not None:
        said = f"the last good snapshot arrived {age:,.0f} s ago"
    if age <= rule.stop_seconds:
        alarms.append(f"{said}: it is kept, and margins are to be multiplied by {factor:.3f}")
        return SilenceDecision("keep_last", factor, silent, tuple(alarms))
    alarms.append(f"{said}: new margin calls are to stop")
    return SilenceDecision("stop_calls", factor, silent, tuple(alarms))


def _silence(name: str, age: float | None, rule: SilenceRule) -> str:
    if age is None:
        return f"the feed {name} has delivered nothing yet"
    return f"the feed {name} has been silent for {age:,.0f} s (limit {rule.silent_seconds:,.0f} s)"


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """When a snapshot of a feed is bad as a whole; a limit of None is not applied."""

    gates: ChainQualityLimits = field(default_factory=lambda: ChainQualityLimits(enabled=True))
    """Quality gates that judge the quotes."""
    quarantined_share_max: float | None = 0.5
    """Largest share of an underlying's expiries that fail the gates."""
    options_share_min: float | None = 0.6
    """Smallest number of options of an underlying relative to the last good snapshot, without the
    expiries that have passed since."""
    index_move_max: float | None = 0.3
    """Largest absolute ln of the index relative to the last good snapshot."""
    ahead_seconds_max: float = 60.0
    """How far the time of a snapshot may be ahead of the clock."""


@dataclass(frozen=True)
class Judgement:
    """The result of the quality gates for one snapshot."""

    screened: MarketSnapshot
    problems: tuple[Problem, ...]
    """Why the snapshot is bad as a whole; empty for a good one."""


def judge_snapshot(
    snapshot: MarketSnapshot,
    previous: MarketSnapshot | None,
    limits: IntakeLimits,
    *,
    now: datetime,
    required: tuple[str, ...] = (),
) -> Judgement:
    """Return whether a snapshot may become current, with what the gates exclude from it.

    Parameters
    ----------
    snapshot : MarketSnapshot
    previous : MarketSnapshot, optional
        The last good snapshot; comparisons with it are left out if there is none.
    limits : IntakeLimits
    now : aware datetime
        Current time.
    required : tuple of str
        Underlyings that must have an index and options.
    """
    problems = publishable_faults(snapshot, None, now)
    ahead = snapshot.time - now
    if not problems and ahead > timedelta(seconds=limits.ahead_seconds_max):
        what = f"{snapshot.time.isoformat()} is {ahead.total_seconds():,.0f} s after the clock"
        problems.append(Problem("time", what, "compare the clocks of the source and this machine"))
    counts = _options_by_underlying(snapshot, snapshot.time)
    for u in required:
        if u not in snapshot.index_usd or not counts.get(u):
            problems.append(Problem(u, "the snapshot has no index or no options of it"))
    if problems:
        return Judgement(snapshot, tuple(problems))
    screened = screen_snapshot(snapshot, limits.gates)
    problems += _quarantine_problems(snapshot, screened, limits)
    if previous is not None:
        problems += _change_problems(snapshot, previous, limits, counts)
    return Judgement(screened, tuple(problems))


def _quarantine_problems(
    snapshot: MarketSnapshot, screened: MarketSnapshot, limits: IntakeLimits
) -> list[Problem]:
    if limits.quarantined_share_max is None or not isinstance(screened, ScreenedSnapshot):
        return []
    listed = {
        (snapshot.expiries[e].underlying, snapshot.expiries[e].expiry)
        for e in np.unique(snapshot.options.expiry_index).tolist()
    }
    out: list[Problem] = []
    for u in sorted(snapshot.index_usd):
        own = [key for key in listed if key[0] == u]
        bad = sorted(key for key in own if key in screened.quarantined)
        if own and len(bad) / len(own) > limits.quarantined_share_max:
            first = screened.quarantined[bad[0]]
            share = 100 * limits.quarantined_share_max
            what = (
                f"{len(bad)} of {len(own)} expiries fail the quality gates (limit {share:.0f} %), "
                f"first {expiry_label(bad[0][1])}: {first.what}"
            )
            out.append(Problem(u, what))
    return out


def _change_problems(
    snapshot: MarketSnapshot,
    previous: MarketSnapshot,
    limits: IntakeLimits,
    counts: Mapping[str, int],
) -> list[Problem]:
    out: list[Problem] = []
    before = _options_by_underlying(previous, snapshot.time)
    for u in sorted(previous.index_usd):
        if limits.options_share_min is not None and before.get(u):
            share = counts.get(u, 0) / before[u]
            if share < limits.options_share_min:
                what = f"{counts.get(u, 0):,} options of {before[u]:,} in the last good snapshot"
                out.append(Problem(u, f"{what} (limit {100 * limits.options_share_min:.0f} %)"))
        if limits.index_move_max is not None and u in snapshot.index_usd:
            move = float(np.log(snapshot.index_usd[u] / previous.index_usd[u]))
            if abs(move) > limits.index_move_max:
                what = (
                    f"the index moves from {previous.index_usd[u]:,.2f} to "
                    f"{snapshot.index_usd[u]:,.2f} (limit {100 * limits.index_move_max:.0f} %)"
                )
                out.append(Problem(u, what, "confirm it, and publish the snapshot by a call"))
    return out


def _options_by_underlying(snapshot: MarketSnapshot, after: datetime) -> dict[str, int]:
    """Return the number of options by underlying whose expiry is after a time."""
    per_expiry = np.bincount(snapshot.options.expiry_index, minlength=len(snapshot.expiries))
    out: dict[str, int] = {}
    for item, count in zip(snapshot.expiries, per_expiry.tolist(), strict=True):
        if item.expiry > after:
            out[item.underlying] = out.get(item.underlying, 0) + count
    return out
