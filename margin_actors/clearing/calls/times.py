"""Times of the margin calls: aware datetimes in UTC."""

from datetime import datetime, timedelta

from margin_actors.errors import InvalidRequest, Problem, raise_if_any

_ZERO = timedelta(0)


def require_utc(**times: datetime) -> None:
    """Raise unless every time is aware and in UTC.

    Parameters
    ----------
    **times : datetime
        The times by the name that the message shows.

    Raises
    ------
    InvalidRequest
        If a time has no time zone or another offset than 0; all such times are named.
    """
    problems = [
        Problem(name, f"{time.isoformat()} is not a time in UTC", "give an aware datetime in UTC")
        for name, time in times.items()
        if time.utcoffset() != _ZERO
    ]
    raise_if_any(problems, InvalidRequest, "the time is not valid")
