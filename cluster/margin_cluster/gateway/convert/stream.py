"""Completeness check of streams of request messages."""

from typing import Protocol

from margin_actors.errors import InvalidRequest, Problem, raise_if_any


class StreamedRequest(Protocol):
    """A message of a stream of requests."""

    @property
    def is_last(self) -> bool:
        """True for the last message of the stream."""
        ...


class Ending:
    """Checks that a stream is complete.

    The receiver cannot distinguish the end of a broken stream from that of a complete one, so the
    sender marks the last message.
    """

    def __init__(self) -> None:
        self._has_ended = False
        self.messages = 0

    def note(self, request: StreamedRequest) -> None:
        """Count one message and check its order.

        Raises
        ------
        InvalidRequest
            If the previous message was marked as the last.
        """
        problems: list[Problem] = []
        if self._has_ended:
            where = f"message {self.messages}"
            problems.append(Problem(where, "comes after the last", "set is_last on the last only"))
        raise_if_any(problems, InvalidRequest, "the stream is out of order")
        self._has_ended = request.is_last
        self.messages += 1

    def require(self) -> None:
        """Refuse an incomplete stream.

        Raises
        ------
        InvalidRequest
            If no message was marked as the last.
        """
        if not self._has_ended:
            raise InvalidRequest(
                "the stream is incomplete",
                [
                    Problem(
                        f"message {self.messages}",
                        "is missing: the stream ended before a message with is_last",
                        "send the whole stream again; nothing was changed",
                    )
                ],
            )
