"""Documents of replays of recorded calculations."""

from typing import Literal

from pydantic import Field

from margin_cluster.cli.schemas.base import Document, Record


class ReplayDifference(Record):
    """A value that differs from what was recorded."""

    where: str
    recorded: str
    found: str
    """As computed again; of a damaged object, what is wrong with it."""


class ReplayedCalculation(Record):
    """A recorded calculation and the result of its repetition."""

    calculation_id: str
    kind: str
    """`account` or `book`."""
    account: str
    """Empty for books and for portfolios of requests."""
    create_time: str
    """ISO 8601, UTC."""
    caller: str
    """Who requested it; empty if that was not recorded."""
    request_id: str
    model_name: str
    model_version: str
    registered_by: str
    """Who registered this version of the model; empty if it is not registered."""
    approved_by: str
    """Who approved it; empty if it is not approved."""
    approved_when_calculated: bool
    """True if the calculation was recorded as one of an approved model."""
    inputs: dict[str, str]
    """Content ids of the inputs by name, and the version of the positions."""
    initial_margin_usd: float
    """As recorded, sum over the accounts."""
    recorded_digest: str
    found_digest: str
    """As computed again; empty if it could not be computed."""
    is_equal: bool
    """True if the digest and all values are equal."""
    differences: list[ReplayDifference]
    """The first 100; the first of them is the one to be looked at first."""
    missing: str
    """The input that is missing, with its remedy; empty if there is none."""


class ReplayDocument(Document):
    """Recorded calculations, computed again from their recorded inputs."""

    form_id: Literal["margin.replay/1"] = Field(
        default="margin.replay/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    is_equal: bool
    """True if all calculations are equal to what was recorded."""
    equal: int
    """Number of calculations that are equal."""
    different: int
    """Number of calculations that differ."""
    missing: int
    """Number of calculations that could not be repeated because an input is missing."""
    calculations: list[ReplayedCalculation]
    """In the order in which they were recorded."""
