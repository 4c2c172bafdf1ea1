"""Parameters of interest rates."""

from typing import Literal

from pydantic import Field

from margin_actors.parameter_section import ParameterSection


class RateParameters(ParameterSection):
    """Interest rates that discount linear contracts and build forwards that are not listed."""

    use: Literal["flat", "curve"] = "flat"
    """`flat`: the rate `discount_annual` of the snapshot. `curve`: the snapshot's rate curve; the
    flat rate if it has none, which the notes of a result state."""
    treasury_sources: tuple[str, ...] = ("us_treasury_constant_maturity_1d",)
    """Names of files with Treasury yields by constant maturity; the first file found is used."""
    overnight_sources: tuple[str, ...] = ("us_sofr_1d",)
    """Names of files with the overnight rate; the first file found is used."""
    age_days_max: int = Field(default=10, ge=0)
    """Values older than this at the time of the snapshot are not used, days."""
    missing_forwards: Literal["reject", "rates"] = "reject"
    """Futures of an expiry without a forward in the snapshot: reject, or price them at the index
    grown at the interest rate."""
