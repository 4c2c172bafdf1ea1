"""Limits of the quality gates of option chains; a section of a model."""

from pydantic import Field

from margin_actors.parameter_section import ParameterSection


class ChainQualityLimits(ParameterSection):
    """Quality gates of the option chain on which a model prices.

    A gate whose limit is null is disabled. A quote that fails a gate is excluded, and its option is
    priced on the smile of its expiry. An expiry that fails is quarantined: its options, and its
    future if the forward failed, are not priced, and accounts that hold them are not margined.
    """

    enabled: bool = False
    """Apply the gates."""
    forward_parity_max: float | None = Field(default=0.005, gt=0)
    """Largest relative distance of a forward from put-call parity of the expiry's own marks, and
    from the range that put-call parity of its bids and asks allows; medians over the pairs nearest
    to the money."""
    forward_term_max: float | None = Field(default=0.01, gt=0)
    """Largest distance of ln(forward / index) from the value interpolated between the underlying's
    other expiries."""
    forward_index_max: float | None = Field(default=0.02, gt=0)
    """Largest absolute ln(forward / index) at expiry; it grows by `forward_carry_max` per year."""
    forward_carry_max: float = Field(default=0.25, ge=0)
    """Growth of the limit `forward_index_max` per year to expiry."""
    smile_score_max: float | None = Field(default=10.0, gt=0)
    """Largest robust score of a mark volatility: its distance from the volatility interpolated
    between the neighbouring strikes, divided by 1.4826 MAD of these distances in the expiry (at
    least `smile_scale_min`) plus the disagreement of the neighbours."""
    smile_scale_min: float = Field(default=0.01, gt=0)
    """Lower bound on the scale of that score, annual volatility."""
    volatility_min: float | None = Field(default=0.05, ge=0)
    """Smallest plausible mark volatility."""
    volatility_max: float | None = Field(default=5.0, gt=0)
    """Largest plausible mark volatility."""
    mark_price_max: float | None = Field(default=0.002, gt=0)
    """Largest distance of a mark price from the Black-76 price at its own mark volatility, as a
    fraction of the forward or the strike, whichever is larger."""
    age_seconds_max: float | None = Field(default=300.0, gt=0)
    """Largest difference between the time of a quote and that of the snapshot, seconds; it applies
    to chains that report the times of their quotes."""
    crossed: bool = True
    """Exclude bids and asks of which the bid is not below the ask."""
    outside_share_max: float | None = Field(default=0.3, gt=0, le=1)
    """Largest share of the options of an expiry, of those with a bid and an ask near the money,
    whose mark is outside its bid and ask by more than their spread."""
    excluded_share_max: float | None = Field(default=0.25, gt=0, le=1)
    """Largest share of the quotes of an expiry that may be excluded; beyond it the expiry is
    quarantined."""
    quotes_min: int = Field(default=5, ge=0)
    """Smallest number of marks of an expiry after exclusions; an expiry with fewer is
    quarantined."""
    calendar_drop_max: float | None = Field(default=0.05, gt=0, le=1)
    """Largest relative drop of total variance from one expiry to the next at equal
    log-moneyness."""
