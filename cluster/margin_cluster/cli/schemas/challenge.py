"""Documents of `margin challenge`."""

from typing import Literal

from pydantic import Field

from margin_cluster.cli.schemas.base import Document, Record


class ChallengeSectionLoss(Record):
    """The largest loss of a portfolio in one section of the scenarios."""

    section: str
    row: str
    """Name of the row."""
    loss_usd: float
    """Loss in that row; negative if every row is a profit."""
    counted_usd: float
    """Loss times the loss share of the row."""


class ChallengedPortfolio(Record):
    """A portfolio with its requirement and its largest plausible loss."""

    method: str
    """Method that found it: `program`, `random`, `improved`, or the name of a family."""
    label: str
    """Description of the structure."""
    positions: dict[str, float]
    """Quantity by instrument; US dollars of notional for inverse futures and perpetuals, coins for
    all other instruments."""
    gross_usd: float
    """Sum of the absolute positions times the index."""
    requirement_usd: float
    loss_usd: float
    """Largest plausible loss."""
    ratio: float
    """Requirement divided by the largest plausible loss."""
    move: str
    """Plausible move of that loss."""
    components_usd: dict[str, float]
    """Requirement components."""
    losses_usd: dict[str, float]
    """The largest plausible losses by move."""
    sections: list[ChallengeSectionLoss]
    """Largest losses by section of the scenarios."""
    missed: str
    """Sentences on what missed the loss."""


class ChallengedFamily(Record):
    """The worst portfolio of a known family."""

    family: str
    portfolios: int
    """Number of portfolios of the family with a sufficient plausible loss."""
    worst: ChallengedPortfolio | None
    """null if the limits permit none."""


class ChallengeDocument(Document):
    """The smallest requirements per dollar of plausible loss that a search found."""

    form_id: Literal["margin.challenge/1"] = Field(
        default="margin.challenge/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    out: str
    """Folder of the results."""
    id: str
    """Content id of the inputs."""
    verdict: str
    """The result in one sentence."""
    ratio: float | None
    """Smallest requirement per plausible loss; null if no portfolio has a sufficient loss."""
    ratio_bound: float | None
    """Ratio below which no portfolio within the limits can be, proved by the linear programs; null
    for models whose requirement is not bounded below by expected shortfall."""
    model: str
    model_version: str
    model_id: str
    snapshot_time: str
    """ISO 8601."""
    snapshot_id: str
    scenarios_id: str
    moves_id: str
    moves: int
    """Number of plausible moves."""
    contracts: int
    """Number of contracts that can be held."""
    open_interest_share: float
    """Limit on each position, as a share of the open interest."""
    gross_usd: float | None
    """Limit on the gross notional; null without one."""
    legs_max: int | None
    """Limit on the number of contracts; null without one."""
    loss_min_usd: float
    """Smallest plausible loss of a portfolio."""
    seed: int
    evaluated: dict[str, int]
    """Number of portfolios by method."""
    best_of_method: dict[str, float | None]
    """Smallest ratio found by each method; null if it found none."""
    worst: list[ChallengedPortfolio]
    """The portfolios with the smallest ratios, in ascending order."""
    families: list[ChallengedFamily]
    ratio_of_move: dict[str, float | None]
    """Smallest requirement per loss in each plausible move, of all portfolios evaluated; null if
    none has a sufficient loss in it."""
    synthetic: bool
    """True if the market or the scenarios are synthetic."""


class ChallengeHistoryEntry(Record):
    """The recorded result of one challenge."""

    id: str
    recorded_at: str
    """ISO 8601, UTC."""
    model: str
    model_version: str
    model_id: str
    snapshot_time: str
    """ISO 8601, UTC."""
    snapshot_id: str
    open_interest_share: float
    gross_usd: float | None
    legs_max: int | None
    loss_min_usd: float
    ratio: float | None
    """Smallest requirement per plausible loss; null if no portfolio has a sufficient loss."""
    method: str
    """Method that found it."""
    move: str
    """Plausible move of its largest loss."""


class ChallengeHistoryDocument(Document):
    """Recorded results of challenges, by model name and time of recording."""

    form_id: Literal["margin.challenge-history/1"] = Field(
        default="margin.challenge-history/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    challenges: list[ChallengeHistoryEntry]
