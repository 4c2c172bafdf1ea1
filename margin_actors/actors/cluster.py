"""Connection of a client process to the actors: follow the generation in use, publish, activate."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import TypeVar
from uuid import uuid4

import ray
from ray import ObjectRef

from margin_actors.actors.coordinator import CoordinatorHandle, coordinator_actor
from margin_actors.actors.generation import (
    Archive,
    CoordinatorStatus,
    GenerationHandle,
    ResidentGeneration,
)
from margin_actors.actors.inputs import Published
from margin_actors.actors.layout import Layout
from margin_actors.actors.plan import RETRY
from margin_actors.actors.retries import repeat_losses
from margin_actors.actors.shard import ReducerHandle
from margin_actors.actors.slots import RENEW_SECONDS
from margin_actors.engine.margin import PricedMarket
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import (
    ClusterUnavailable,
    DeadlinePassed,
    InvalidParameters,
    MarginError,
    NotReady,
    Overloaded,
    Problem,
)
from margin_actors.market.snapshots import MarketSnapshot

T = TypeVar("T")
NAMESPACE = "margin"
NAME = "coordinator"
_POLL_SECONDS = 20.0
_READ_SECONDS = 60.0
_START_SECONDS = 120.0
_GIVE_BACK_SECONDS = 0.5


def seconds_left(until: float) -> float:
    """Return the seconds until `until`, a time of the monotonic clock in seconds.

    Raises
    ------
    DeadlinePassed
        If that time has passed.
    """
    left = until - time.monotonic()
    if left <= 0.0:
        raise DeadlinePassed("the deadline passed before the answer was ready")
    return left


class Cluster:
    """A connection to the coordinator of the Ray cluster to which this process is attached.

    An instance belongs to one event loop. It holds the generation in use, read without a copy if
    its objects are on this node. An older generation is kept while a request refers to it. In all
    methods, `until` is a deadline: a time of the monotonic clock, in seconds.
    """

    def __init__(self, coordinator: CoordinatorHandle, model: ModelParameters) -> None:
        self._coordinator = coordinator
        self.model = model
        self._current: ResidentGeneration | None = None
        self._changed = asyncio.Condition()
        self._watcher: asyncio.Task[None] | None = None
        self._reducers: list[ReducerHandle] = []
        self.cpus = 1.0

    @classmethod
    async def connect(
        cls,
        archive: Archive,
        model: ModelParameters,
        layout: Layout,
        *,
        namespace: str = NAMESPACE,
    ) -> "Cluster":
        """Connect to the coordinator of the cluster; start one if there is none.

        Raises
        ------
        InvalidParameters
            If the cluster runs another model.
        ClusterUnavailable, DeadlinePassed
            If the coordinator does not respond.
        """
        coordinator = coordinator_actor.options(
            name=NAME, namespace=namespace, lifetime="detached", get_if_exists=True
        ).remote(archive, model, layout)
        self = cls(coordinator, model)
        model_id = await self._ask(
            coordinator.model_id.remote, until=time.monotonic() + _START_SECONDS
        )
        if model_id != model.id:
            raise InvalidParameters(
                "the cluster runs a different model",
                [
                    Problem(
                        "--model",
                        model.id,
                        f"the cluster runs {model_id}; stop it, or use that model",
                    )
                ],
            )
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def close(self) -> None:
        """Stop following the generation in use; the actors continue to run."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        self._current = None

    @property
    def current(self) -> ResidentGeneration | None:
        """The generation in use, or None."""
        return self._current

    async def generation(
        self, *, until: float, snapshot_id: str = "", number_min: int = 0
    ) -> ResidentGeneration:
        """Return the generation in use, waiting until it has the requested snapshot and number.

        Raises
        ------
        NotReady
            If no snapshot or scenario set is in use, or another snapshot than the requested one is.
        DeadlinePassed
            If the generation is not ready before the deadline.
        MarginError
            The error because of which the generation could not be created.
        """
        while True:
            now = self._current
            if (
                now is not None
                and now.handle.number >= number_min
                and (not snapshot_id or now.handle.snapshot_id == snapshot_id)
            ):
                return now
            await self._require_underway(snapshot_id, until)
            async with self._changed:
                if self._current is now:
                    with contextlib.suppress(TimeoutError):
                        wait = min(1.0, seconds_left(until))
                        await asyncio.wait_for(self._changed.wait(), wait)

    async def _require_underway(self, snapshot_id: str, until: float) -> None:
        inputs = (await self.status(until=until)).inputs
        if not inputs.is_complete:
            missing = "scenario set" if inputs.snapshot_id else "market snapshot"
            raise NotReady(
                f"no {missing} is in use",
                [Problem(missing, "none", "publish a snapshot and activate a scenario set")],
            )
        if snapshot_id and inputs.snapshot_id != snapshot_id:
            raise NotReady(
                "the requested snapshot is not in use",
                [
                    Problem(
                        "snapshot_id", snapshot_id, f"the snapshot in use is {inputs.snapshot_id}"
                    )
                ],
            )
        fault = await self._ask(
            partial(self._coordinator.fault_of.remote, inputs.snapshot_id), until=until
        )
        if fault is not None:
            raise fault

    async def publish(
        self,
        snapshot: MarketSnapshot,
        *,
        until: float,
        key: str = "",
        request_id: str = "",
        caller: str = "",
        allow_older: bool = False,
    ) -> Published:
        """Store a snapshot and put it in use; see `Coordinator.publish`.

        Without an idempotency key, the call is independent of earlier calls. It takes effect once,
        even if its answer is lost inside the cluster and it runs again.
        """
        own = key or _own_key()
        call = partial(
            self._coordinator.publish.remote, snapshot, own, request_id, caller, allow_older
        )
        published = await self._ask(call, until=until)
        return published if key else replace(published, was_repeated=False)

    async def activate(
        self,
        scenarios_id: str,
        *,
        until: float,
        key: str = "",
        request_id: str = "",
        caller: str = "",
    ) -> Published:
        """Put a stored scenario set in use; see `publish` and `Coordinator.activate`."""
        own = key or _own_key()
        call = partial(self._coordinator.activate.remote, scenarios_id, own, request_id, caller)
        published = await self._ask(call, until=until)
        return published if key else replace(published, was_repeated=False)

    async def control_store_answers(self, *, seconds: float) -> bool:
        """Return True if Ray's control store (GCS) accepts a connection within `seconds`.

        Ray terminates this process if the store has not responded for a minute. The check does not
        use Ray's state API, because its calls from a thread, concurrent with other Ray calls, broke
        connections of this process.
        """
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        try:
            opening = asyncio.open_connection(host.strip("[]"), int(port))
            _, writer = await asyncio.wait_for(opening, seconds)
        except (OSError, TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def status(self, *, until: float) -> CoordinatorStatus:
        """Return the human-readable state of the cluster."""
        return await self._ask(self._coordinator.status.remote, until=until)

    @contextlib.asynccontextmanager
    async def run_slot(self, run_id: str, *, until: float) -> AsyncGenerator[None]:
        """Hold a slot for a book run and renew its lease until the end of the block.

        Raises
        ------
        Overloaded
            If all slots are taken.
        """
        try:
            wait = await self._ask(partial(self._coordinator.take_slot.remote, run_id), until=until)
            if wait > 0.0:
                busy = Overloaded("the maximum number of book runs is in progress")
                busy.retry_seconds = wait
                raise busy
            renewing = asyncio.create_task(self._renew_slot(run_id, until))
            try:
                yield
            finally:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)
        finally:  # also if the caller was cancelled before the coordinator's answer arrived
            given_back = self._coordinator.give_slot_back.remote(run_id)
            # Wait briefly, so that the slot is free for the caller's next book run.
            with contextlib.suppress(Exception):
                await finished(given_back, until=time.monotonic() + _GIVE_BACK_SECONDS)

    async def _renew_slot(self, run_id: str, until: float) -> None:
        """Renew the lease of a run until the deadline or until cancelled."""
        while time.monotonic() < until:
            await asyncio.sleep(RENEW_SECONDS)
            answer = self._coordinator.renew_slot.remote(run_id)
            with contextlib.suppress(Exception):  # lost or restarting: the next renewal follows
                await finished(answer, until=time.monotonic() + RENEW_SECONDS)

    def abandon(self, run_id: str) -> None:
        """Make the reducers skip the queued calls of a run whose caller has disconnected."""
        for reducer in self._reducers:
            with contextlib.suppress(Exception):  # a lost reducer has lost its queue as well
                reducer.abandon.remote(run_id)

    async def reducers(self, *, until: float, refresh: bool = False) -> list[ReducerHandle]:
        """Return the reducers; `refresh` requests them from the coordinator again after a loss."""
        if refresh or not self._reducers:
            self._reducers = await self._ask(self._coordinator.reducers.remote, until=until)
            self.cpus = await self._ask(self._coordinator.cpus.remote, until=until)
        return self._reducers

    async def restore(self, generation: ResidentGeneration, *, until: float) -> ResidentGeneration:
        """Report lost cube slices; return the same generation after they are priced again.

        Raises
        ------
        ClusterUnavailable
            If another generation has come into use.
        DeadlinePassed
            If the generation is not restored before the deadline.
        """
        seen = (generation.handle.number, generation.handle.revision)
        await self._ask(partial(self._coordinator.report_loss.remote, seen), until=until)
        while True:
            now = self._current
            if now is not None and (now.handle.number, now.handle.revision) != seen:
                if now.handle.number == seen[0]:
                    return now
                raise ClusterUnavailable("prices were lost, and another generation is now in use")
            async with self._changed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), min(1.0, seconds_left(until)))

    async def _ask(self, call: Callable[[], ObjectRef[T]], *, until: float) -> T:
        """Call a method of the coordinator; repeat the call after a loss, until the deadline."""

        def attempt(_number: int) -> Coroutine[None, None, T]:
            return finished(call(), until=until)

        exhausted = "the coordinator of the cluster does not respond"
        return await repeat_losses(attempt, until=until, exhausted=exhausted)

    async def _watch(self) -> None:
        """Follow the generation in use until cancelled."""
        attempt = 0
        while True:
            now = self._current
            seen = (now.handle.number, now.handle.revision) if now else (0, 0)
            try:
                handle = await self._coordinator.generation.remote(seen, _POLL_SECONDS)
                if handle is None:
                    continue
                loaded = await asyncio.to_thread(_read, handle)
            except asyncio.CancelledError:
                raise
            except Exception:  # try again; until then, requests fail with UNAVAILABLE
                await asyncio.sleep(RETRY.delay_seconds(attempt))
                attempt += 1
                continue
            attempt = 0
            async with self._changed:
                self._current = loaded
                self._changed.notify_all()
            del loaded, handle, now  # only requests may keep a generation that is no longer in use


def _read(handle: GenerationHandle) -> ResidentGeneration:
    """Map a generation into this process; its arrays remain in the object store."""
    market, scenarios = ray.get([handle.market, handle.scenarios], timeout=_READ_SECONDS)
    slices = None
    if handle.slices is not None:
        slices = tuple(ray.get(list(handle.slices), timeout=_READ_SECONDS))
    return ResidentGeneration(handle, PricedMarket(market, scenarios, slices))


def _own_key() -> str:
    """Return an idempotency key for a call without one; Ray may repeat a call after a loss."""
    return f"call-{uuid4().hex}"


async def finished(ref: ObjectRef[T], *, until: float) -> T:
    """Wait for the result of a Ray call and return it.

    Raises
    ------
    DeadlinePassed
        If the result is not available before the deadline.
    """
    # Check the deadline first: the exception of a future created before would not be retrieved.
    left = seconds_left(until)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(ref.future()), left)
    except TimeoutError:
        raise DeadlinePassed("the deadline passed before the cluster responded") from None


__all__ = ["Cluster", "MarginError", "finished", "seconds_left"]
