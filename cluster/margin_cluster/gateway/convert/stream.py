"""What the streams of callers have in common."""

from typing import Any

from margin_actors.errors import InvalidRequest, Problem, raise_if_any


class Ending:
    """Whether a stream came to its own end.

    A stream that breaks on its way ends for the reader like a whole one, so its last message says
    that it is the last.
    """

    def __init__(self) -> None:
        self._has_ended = False
        self.messages = 0

    def note(self, request: Any) -> None:
        """Take note of one message.

        Raises
        ------
        InvalidRequest
            If the one before it was the last.
        """
        problems: list[Problem] = []
        if self._has_ended:
            where = f"message {self.messages}"
            problems.append(Problem(where, "comes after the last", "set is_last on the last only"))
        raise_if_any(problems, InvalidRequest, "the stream is out of order")
        self._has_ended = request.is_last
        self.messages += 1

    def require(self) -> None:
        """Refuse a stream without an end.

        Raises
        ------
        InvalidRequest
            If the last message never came.
        """
        if not self._has_ended:
            raise InvalidRequest(
                "the stream was cut off",
                [
                    Problem(
                        f"message {self.messages}",
                        "never came: none before it had is_last",
                        "send all of it again; nothing was changed",
                    )
                ],
            )
