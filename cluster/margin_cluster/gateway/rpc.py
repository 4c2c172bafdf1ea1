"""Types of gRPC's asyncio server, where the published annotations are of the blocking server."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias

import grpc


class Context(Protocol):
    """The methods of a call's servicer context that the gateway uses."""

    def peer(self) -> str:
        """Return the address of the caller."""
        ...

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return the properties of the caller's certificate; empty without TLS."""
        ...

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller's deadline; None if it has set none."""
        ...

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Return the metadata that the caller sent."""
        ...

    async def read(self) -> object:
        """Return the next message, or gRPC's marker of the end."""
        ...

    async def write(self, message: object) -> None:
        """Send a message of the response."""
        ...

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str,
        trailing_metadata: Sequence[tuple[str, str | bytes]],
    ) -> NoReturn:
        """End the call with a status."""
        ...


Behaviour: TypeAlias = Callable[[object, Context], Awaitable[object] | AsyncIterator[object]]
"""A method of a servicer: takes the request, or the iterator of requests, and the context; returns
the response, or an iterator of responses."""
if TYPE_CHECKING:
    RpcHandler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:
    RpcHandler = grpc.RpcMethodHandler  # generic in its annotations only


def behaviour_of(handler: RpcHandler) -> Behaviour:
    """Return the method of the servicer that a handler calls."""
    kinds: tuple[Behaviour | None, ...] = (
        handler.unary_unary,
        handler.unary_stream,
        handler.stream_unary,
        handler.stream_stream,
    )  # pyright: ignore[reportAssignmentType]
    return next(behaviour for behaviour in kinds if behaviour is not None)
