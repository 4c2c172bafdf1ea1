"""Page sizes and page tokens of requests for listings."""

import re
from typing import Any

from margin_actors.errors import InvalidRequest, Problem, raise_if_any

PAGE_DEFAULT, PAGE_MAX = 50, 1_000
_TOKEN = re.compile(r"[0-9]{1,18}")
"""A sequence number of the ledger; with at most 18 digits it fits into 64 bits."""


def page_from_proto(request: Any, problems: list[Problem]) -> tuple[int, str]:
    """Return (rows to return, page token) of a listing; append invalid fields to `problems`.

    The token is empty for the first page, otherwise a decimal number of at most 18 digits.
    """
    size, token = _size(request.page_size, problems), request.page_token
    if token and not _TOKEN.fullmatch(token):
        remedy = "send back next_page_token unchanged"
        problems.append(Problem("page_token", repr(token[:64]), remedy))
        token = ""
    return size, token


def page_of(request: Any) -> tuple[int, str]:
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


def _size(asked: int, problems: list[Problem]) -> int:
    if 0 <= asked <= PAGE_MAX:
        return asked or PAGE_DEFAULT
    remedy = f"0 for {PAGE_DEFAULT}, or 1 to {PAGE_MAX:,}"
    problems.append(Problem("page_size", f"{asked}", remedy))
    return PAGE_DEFAULT
