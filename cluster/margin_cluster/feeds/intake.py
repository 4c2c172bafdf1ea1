"""The way of a snapshot from a feed into use: quality gates, then publication or quarantine."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal, ParamSpec, Protocol, TypeAlias, TypeVar
from uuid import uuid4

from margin_actors.errors import (
    InvalidMarketData,
    InvalidScenario,
    MarginError,
    MissingMarketData,
    OutdatedSnapshot,
    Problem,
)
from margin_actors.market.chain_quality import ScreenedSnapshot
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.feeds.events import SnapshotArrived, UnreadableSnapshot
from margin_cluster.feeds.interface import Clock, SystemClock
from margin_cluster.feeds.quarantine import Quarantine
from margin_cluster.feeds.recorder import chain_with_times
from margin_cluster.feeds.rules import IntakeLimits, Judgement, judge_snapshot

P = ParamSpec("P")
R = TypeVar("R")
Outcome: TypeAlias = Literal["current", "outdated", "quarantined", "failed"]
"""`current`: in use; `outdated`: good, but older than the snapshot in use; `quarantined`: bad, kept
and not used; `failed`: good, but the service could not publish it at the moment."""
_BAD = (InvalidMarketData, MissingMarketData, InvalidScenario)


class Publish(Protocol):
    """Publication of a snapshot, as PublishSnapshot does it."""

    async def __call__(self, snapshot: MarketSnapshot, *, key: str, allow_older: bool) -> int:
        """Store a snapshot, put it in use, and return the number of its generation."""
        ...


class InThread(Protocol):
    """Runs a function in a thread."""

    def __call__(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Return the function's result."""
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a snapshot."""

    outcome: Outcome
    problems: tuple[Problem, ...] = ()
    generation: int | None = None
    """Number of the generation that contains a current snapshot."""


class Intake:
    """Judges the snapshots of one feed in the order of their arrival.

    Parameters
    ----------
    publish : Publish
    quarantine : Quarantine
    limits : IntakeLimits, optional
    required : tuple of str
        Underlyings that every snapshot must have; the others may be absent.
    is_historical : bool
        Whether snapshots are recorded ones: their first replaces a later snapshot in use.
    threads : InThread
        For the gates and for files.
    clock : Clock, optional
    """

    def __init__(
        self,
        publish: Publish,
        quarantine: Quarantine,
        *,
        threads: InThread,
        limits: IntakeLimits | None = None,
        required: tuple[str, ...] = (),
        is_historical: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._publish, self._quarantine, self._threads = publish, quarantine, threads
        self._limits, self._required = limits or IntakeLimits(), required
        self._is_historical, self._clock = is_historical, clock or SystemClock()
        # Gateways that read the same source publish the same content once; a replay that is started
        # again publishes again what an earlier one has published.
        self._run = f"{uuid4().hex[:12]}:" if is_historical else ""
        self._previous: MarketSnapshot | None = None

    async def admit(self, event: SnapshotArrived | UnreadableSnapshot) -> Admission:
        """Publish a good snapshot, or keep a bad one; OSError if it cannot be kept."""
        if isinstance(event, UnreadableSnapshot):
            await self._threads(
                partial(self._quarantine.keep, event.source, self._now(), event.table,
                        event.problems)
            )  # fmt: skip
            return Admission("quarantined", event.problems)
        snapshot = event.snapshot
        if event.is_current:
            self._previous = snapshot
            return Admission("current")
        judgement = await self._threads(
            partial(
                judge_snapshot,
                snapshot,
                self._previous,
                self._limits,
                now=self._now(),
                required=self._required,
            )
        )
        if judgement.problems:
            return await self._keep(event.source, snapshot, judgement)
        return await self._use(event.source, snapshot, judgement)

    async def _use(self, source: str, snapshot: MarketSnapshot, judgement: Judgement) -> Admission:
        key = f"feed:{source}:{self._run}{snapshot.id}"
        allow_older = self._is_historical and self._previous is None
        try:
            number = await self._publish(snapshot, key=key, allow_older=allow_older)
        except OutdatedSnapshot as error:
            return Admission("outdated", error.problems or _as_problem(error))
        except _BAD as error:
            problems = error.problems or _as_problem(error)
            return await self._keep(source, snapshot, replace(judgement, problems=problems))
        except MarginError as error:
            return Admission("failed", error.problems or _as_problem(error))
        self._previous = snapshot
        return Admission("current", generation=number)

    async def _keep(self, source: str, snapshot: MarketSnapshot, judgement: Judgement) -> Admission:
        screened = judgement.screened
        findings = screened.findings if isinstance(screened, ScreenedSnapshot) else ()
        table = chain_with_times(snapshot)
        await self._threads(
            partial(self._quarantine.keep, source, self._now(), table, judgement.problems, findings)
        )
        return Admission("quarantined", judgement.problems)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)


def _as_problem(error: MarginError) -> tuple[Problem, ...]:
    return (Problem("snapshot", error.summary),)
