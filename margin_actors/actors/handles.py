"""Types of Ray's remote methods, tasks and actors, as this package uses them.

The types of Ray describe neither the methods of an actor handle nor arguments that are passed by
reference. The result of `as_remote` is therefore cast to a protocol where an actor or a task is
defined.
"""

from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, Protocol, TypeVar, cast

import ray
from ray import ObjectRef

P = ParamSpec("P")
ResultT_co = TypeVar("ResultT_co", covariant=True)
HandleT_co = TypeVar("HandleT_co", covariant=True)
T = TypeVar("T")


class Remote(Protocol[P, ResultT_co]):
    """A method of an actor, or a task."""

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> ResultT_co:
        """Submit a call and return the references to its results."""
        ...


class ResultStream(Protocol[T]):
    """References to the results of a task that yields several."""

    def __aiter__(self) -> AsyncIterator[ObjectRef[T]]:
        """Return the references one by one, as they become available."""
        ...

    def completed(self) -> ObjectRef[None]:
        """Return a reference that is available when the task has ended."""
        ...


class ActorClass(Protocol[P, HandleT_co]):
    """A class whose instances are actors."""

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> HandleT_co:
        """Start an actor and return its handle."""
        ...

    def options(self, **options: object) -> "ActorClass[P, HandleT_co]":
        """Return the class with other options of Ray."""
        ...


def as_remote(target: object, **options: object) -> object:
    """Return a class or function as an actor class or a task, with options of Ray.

    The types of `ray.remote` lack some of its options.
    """
    remote = cast("Callable[..., Callable[[object], object]]", ray.remote)
    return remote(**options)(target)


def stop_actor(handle: object) -> None:
    """Stop an actor, which may be lost already; Ray does not restart it."""
    kill = cast("Callable[[object], None]", ray.kill)
    kill(handle)
