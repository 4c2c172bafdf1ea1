"""Thresholds of the cleansing and limits on the quality of its result; sections of a model."""

from typing import ClassVar, Literal

from pydantic import Field

from margin_actors.parameter_section import ParameterSection


class CleansingRules(ParameterSection):
    """The cleansing of a price history."""

    aggregate: Literal["median", "volume_weighted_median", "first"] = "median"
    """How the sources are combined into one price; `first` takes the first source that has a
    price."""
    outlier_score_max: float = Field(default=12.0, gt=0)
    """Robust score (distance from the rolling median in units of 1.4826 MAD) above which a price is
    dropped if the other sources or, without others, its own next price contradict it as well."""
    outlier_window: int = Field(default=61, ge=5)
    """Number of preceding prices in the rolling median."""
    disagreement_max: float = Field(default=0.10, gt=0)
    """Largest relative distance from the median of the other sources; prices beyond it are
    dropped."""
    stale_points_max: int = Field(default=6, ge=1)
    """Longest accepted run of identical closes; the repeats in a longer run are dropped as
    stale."""
    gap_rule: Literal["none", "previous", "linear"] = "none"
    """How gaps are filled: not at all, with the previous price, or linearly."""
    gap_points_max: int = Field(default=0, ge=0)
    """Longest gap that is filled, grid points."""
    cleanse: bool = True
    """False: use closes without cleansing; values that are not positive numbers are still
    dropped."""


class PlausibilityLimits(ParameterSection):
    """Limits on the market that is margined; a breach stops the run.

    They are wide enough for every market that was observed, and find slips of a hand-written one: a
    price with a digit too many, a volatility in percent. A limit that is null is disabled.
    """

    index_move_max: float | None = Field(default=0.7, gt=0)
    """Largest absolute ln(index / last price of the history): 0.7 is about a factor of 2."""
    forward_basis_max: float | None = Field(default=0.1, gt=0)
    """Largest absolute ln(forward / index) at expiry; it grows by `forward_carry_max` per year."""
    forward_carry_max: float = Field(default=0.5, ge=0)
    """Growth of the limit `forward_basis_max` per year to expiry."""
    volatility_min: float | None = Field(default=0.03, ge=0)
    """Smallest annual volatility of an option of a hand-written market, a fraction."""
    volatility_max: float | None = Field(default=5.0, gt=0)
    """Largest annual volatility of an option of a hand-written market, a fraction."""


class QualityLimits(ParameterSection):
    """Limits on the quality of the price history and of the market; a breach stops the run."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"plausibility", "expired_days_max"})

    missing_fraction_max: float = Field(default=0.02, ge=0, le=1)
    """Largest fraction of the grid points of the lookback without a price."""
    repaired_fraction_max: float = Field(default=0.02, ge=0, le=1)
    """Largest number of dropped prices and filled grid points over the lookback, as a fraction of
    its grid points times the number of sources."""
    end_age_hours_max: float = Field(default=30.0, gt=0)
    """Largest age of the last price at the valuation time, hours."""
    expired_days_max: float | None = Field(default=14.0, ge=0)
    """Largest time since the expiry of a position in a file, days. Positions that expired earlier
    are likely to have a mistyped expiry, and their accounts are not margined; positions that
    expired later await settlement and are excluded. Null: no limit. It does not apply to the stored
    positions of a service, which are settled there."""
    plausibility: PlausibilityLimits = PlausibilityLimits()
    """Plausibility of the market that is margined."""
