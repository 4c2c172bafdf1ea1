"""Sizes of pages."""

from margin_actors.errors import InvalidRequest, Problem

PAGE_DEFAULT, PAGE_MAX = 50, 1_000


def page_size(asked: int) -> int:
    """Return how many to return.

    Raises
    ------
    InvalidRequest
        If it is negative or too many.
    """
    if not 0 <= asked <= PAGE_MAX:
        raise InvalidRequest(
            "the request is not valid",
            [Problem("page_size", f"{asked}", f"0 for {PAGE_DEFAULT}, or 1 to {PAGE_MAX:,}")],
        )
    return asked or PAGE_DEFAULT
