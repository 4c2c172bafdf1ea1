"""Classification of exceptions raised by Ray: an error of this project, a loss, or a bug."""

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
"""Exceptions that the work did not cause; it can be repeated on another process or node."""


def cause_of(error: BaseException) -> BaseException:
    """Return the original exception, as raised by the task or actor."""
    seen = error
    while isinstance(seen, raised.RayTaskError):
        cause: object = getattr(seen, "cause", None)
        if not isinstance(cause, BaseException) or cause is seen:
            break
        seen = cause
    return seen


def is_loss(error: BaseException) -> bool:
    """Return True if a process, a node or an object was lost, so that the work can be repeated."""
    return isinstance(error, _LOSSES) or isinstance(cause_of(error), _LOSSES)


def is_lost_object(error: BaseException) -> bool:
    """Return True if an object was lost and must be computed again."""
    return isinstance(error, raised.ObjectLostError) or isinstance(
        cause_of(error), raised.ObjectLostError
    )


def is_ours(error: BaseException) -> bool:
    """Return True if the work raised an error of this project, a `MarginError`."""
    return isinstance(cause_of(error), MarginError)
