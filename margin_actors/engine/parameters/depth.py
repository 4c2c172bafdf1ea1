"""Parameters of market depth, of exposures by member, and of the bounds of charges.

The defaults are neutral: the depth is that of the snapshot, exposures are those of the account, and
no charge has a bound.
"""

from pydantic import Field

from margin_actors.parameter_section import ParameterSection


class DepthParameters(ParameterSection):
    """The recorded days from which daily volumes and spreads of expiry buckets are calibrated."""

    days: int = Field(default=0, ge=0, le=365)
    """Calendar days whose median is the depth, up to the last recorded day before that of the
    valuation; 0: the depth is that of the snapshot."""
    change_max: float = Field(default=0.05, gt=0)
    """Largest relative change of the depth from one recorded day to the next."""


class MemberParameters(ParameterSection):
    """Exposures that determine the time to close and the growth of spreads."""

    enabled: bool = False
    """Measure size by the net positions of all accounts of a member if these are larger than those
    of the account."""


class HedgeParameters(ParameterSection):
    """Bound of the concentration charge by the cost of a hedge in a neighbouring expiry bucket."""

    enabled: bool = False
    """Bound the share of a bucket's VaR that is charged for its vega."""
    crossings: float = Field(default=2.0, ge=0)
    """Number of half spreads that the hedge pays: 2 to open and to close it."""


class CloseOutParameters(ParameterSection):
    """The cheapest way to close an option, which bounds its liquidity charge."""

    parity: bool = False
    """Half spread of an option: at most that of the put or call with the same strike and expiry
    plus that of the forward."""
    value_bound: bool = False
    """Closing a long option costs at most its value."""
    settling_share: float = Field(default=0.0, ge=0)
    """Options that expire within this share of the margin period of risk are settled in cash and
    pay no liquidity charge."""


class LossBoundParameters(ParameterSection):
    """Bound of the requirement by the largest possible loss."""

    enabled: bool = False
    """An account that owes nothing at any settlement price pays at most its value."""
