"""What an exception out of Ray means: an error of ours, a loss to be made good, or a bug."""

from typing import Any, cast

from ray import exceptions as raised

from margin_actors.errors import MarginError

_LOSSES: tuple[type[BaseException], ...] = (
    raised.RayActorError,
    raised.WorkerCrashedError,
    raised.NodeDiedError,
    raised.ObjectLostError,
    raised.OutOfMemoryError,
    raised.LocalRayletDiedError,
    raised.RaySystemError,
    raised.ActorUnschedulableError,
    raised.TaskUnschedulableError,
)
"""The work was not at fault: do it again elsewhere."""


def cause_of(error: BaseException) -> BaseException:
    """Return what was raised where the work ran."""
    seen = error
    while isinstance(seen, raised.RayTaskError):
        cause = cast("Any", seen).cause
        if not isinstance(cause, BaseException) or cause is seen:
            break
        seen = cause
    return seen


def is_loss(error: BaseException) -> bool:
    """Return whether a process, a node or an object was lost; the same work may be done again."""
    return isinstance(error, _LOSSES) or isinstance(cause_of(error), _LOSSES)


def is_lost_object(error: BaseException) -> bool:
    """Return whether what is missing is an object that others must make again."""
    return isinstance(error, raised.ObjectLostError) or isinstance(
        cause_of(error), raised.ObjectLostError
    )


def is_ours(error: BaseException) -> bool:
    """Return whether the work refused its input with an error of ours."""
    return isinstance(cause_of(error), MarginError)
