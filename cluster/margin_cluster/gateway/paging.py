"""Page sizes and page tokens of requests for listings, and one page of a listing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from margin_actors.errors import InvalidRequest, Problem, raise_if_any

T = TypeVar("T")
PAGE_DEFAULT, PAGE_MAX = 50, 1_000
_TOKEN = re.compile(r"[0-9]{1,18}")
"""A sequence number of the ledger; with at most 18 digits it fits into 64 bits."""


class ListRequest(Protocol):
    """The fields that all requests for listings have."""

    @property
    def page_size(self) -> int:
        """Largest number of rows to return; 0 for the default."""
        ...

    @property
    def page_token(self) -> str:
        """Token of the page; empty for the first page."""
        ...


@dataclass(frozen=True)
class Listing(Generic[T]):
    """One page of a listing."""

    records: Sequence[T]
    """Latest first."""
    next_token: str
    """Token of the next page; empty after the last page."""
    in_use_id: str
    """Id of the listed object that is in use; empty if there is none."""


def page_from_proto(request: ListRequest, problems: list[Problem]) -> tuple[int, str]:
    """Return (rows to return, page token) of a listing; append invalid fields to `problems`.

    The token is empty for the first page, otherwise a decimal number of at most 18 digits.
    """
    size, token = size_from_proto(request.page_size, problems), request.page_token
    if token and not _TOKEN.fullmatch(token):
        remedy = "send back next_page_token unchanged"
        problems.append(Problem("page_token", repr(token[:64]), remedy))
        token = ""
    return size, token


def page_of(request: ListRequest) -> tuple[int, str]:
    """Return (rows to return, page token) of a listing.

    Raises
    ------
    InvalidRequest
        If the size or the token is not valid.
    """
    problems: list[Problem] = []
    page = page_from_proto(request, problems)
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return page


def size_from_proto(asked: int, problems: list[Problem]) -> int:
    """Return the rows to return for a requested page size; append its fault to `problems`."""
    if 0 <= asked <= PAGE_MAX:
        return asked or PAGE_DEFAULT
    remedy = f"0 for {PAGE_DEFAULT}, or 1 to {PAGE_MAX:,}"
    problems.append(Problem("page_size", f"{asked}", remedy))
    return PAGE_DEFAULT
