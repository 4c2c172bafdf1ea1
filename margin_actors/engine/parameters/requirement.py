"""Parameters of what is made from the scenarios: SPAN, add-ons, buffers, collateral."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from margin_actors.engine.parameters.part import Part


def _ascending(name: str, values: tuple[float, ...]) -> None:
    if any(b <= a for a, b in pairwise(values)):
        raise ValueError(f"{name} must ascend, got {list(values)}")


class CalendarSpread(Part):
    """The charge for deltas of opposite sign in two tiers (or in one, between its expiries)."""

    tiers: tuple[int, int]
    """Places of the two tiers, from 0."""
    rate: float = Field(ge=0)
    """Charge for a spread of one coin against one, a fraction of the index."""


class InterCommoditySpread(Part):
    """The credit for deltas of opposite sign in two underlyings."""

    underlyings: tuple[str, str]
    """The two legs."""
    credit: float = Field(ge=0, le=1)
    """Share of the price risk of both legs that is given back."""


class SpanParameters(Part):
    """SPAN: sixteen scenarios for each underlying, with spreads, credits and a minimum."""

    price_scan: dict[str, float] | None = None
    """Price scan range of each underlying, a fraction of its index; null: such that an outright's
    scan risk is its VaR."""
    vol_scan: dict[str, float] | None = None
    """Volatility scan range, a relative change of volatility; null: the confidence quantile of the
    scenarios' 30-day moves at the money."""
    extreme_multiple: float = Field(default=2.0, gt=0)
    """Extreme rows move the price by so many scan ranges."""
    extreme_share: float = Field(default=0.35, ge=0, le=1)
    """Share of the extreme rows' loss that counts."""
    tier_days: tuple[float, ...] = (30.0, 90.0)
    """Upper ends of the tiers of expiries, days; the last tier is open. Perpetuals and spot stand
    in the first."""
    calendar_spreads: tuple[CalendarSpread, ...] = (
        CalendarSpread(tiers=(0, 0), rate=0.002),
        CalendarSpread(tiers=(1, 1), rate=0.002),
        CalendarSpread(tiers=(2, 2), rate=0.003),
        CalendarSpread(tiers=(0, 1), rate=0.004),
        CalendarSpread(tiers=(1, 2), rate=0.004),
        CalendarSpread(tiers=(0, 2), rate=0.006),
    )
    """In the order in which spreads are formed."""
    inter_commodity: tuple[InterCommoditySpread, ...] = (
        InterCommoditySpread(underlyings=("BTC", "ETH"), credit=0.5),
    )
    """In the order in which spreads are formed."""
    short_option_minimum: float = Field(default=0.005, ge=0)
    """Least charge for a short option on one coin, a fraction of the index."""
    short_option_count: Literal["sum", "larger_side"] = "larger_side"
    """Short calls and short puts together, or the larger of the two."""

    @model_validator(mode="after")
    def _consistent(self) -> "SpanParameters":
        _ascending("span.tier_days", self.tier_days)
        last = len(self.tier_days)
        for spread in self.calendar_spreads:
            if not all(0 <= tier <= last for tier in spread.tiers):
                raise ValueError(f"calendar spread {list(spread.tiers)}: tiers are 0 to {last}")
        for name, ranges in (("price_scan", self.price_scan), ("vol_scan", self.vol_scan)):
            for underlying, value in (ranges or {}).items():
                if not 0.0 < value * (self.extreme_multiple if name == "price_scan" else 1) < 1:
                    raise ValueError(f"span.{name}.{underlying} = {value} leaves no price")
        return self


class GridExtreme(Part):
    """An extreme row of the venue grid."""

    spot: float = Field(gt=-1)
    """Relative change of the index."""
    share: float = Field(gt=0, le=1)
    """Share of the loss that counts."""


_EXTREMES = (
    (-0.66, 0.24),
    (-0.33, 0.48),
    (0.50, 0.32),
    (1.00, 0.16),
    (2.00, 0.08),
    (3.00, 0.0533),
    (4.00, 0.04),
    (5.00, 0.032),
)


class VenueGridParameters(Part):
    """A trading venue's spot and volatility grid (source: Paradex, portfolio margin)."""

    spot: tuple[float, ...] = (-0.16, -0.12, -0.08, -0.04, 0.04, 0.08, 0.12, 0.16)
    """Relative changes of the index, each with volatility up and down."""
    vol_up: float = Field(default=0.40, gt=0)
    """Relative rise of a 30-day volatility."""
    vol_down: float = Field(default=-0.22, gt=-1, lt=0)
    """Relative fall of a 30-day volatility."""
    only_up: tuple[float, ...] = (-0.16, 0.16)
    """Changes of the index that come with rising volatility alone."""
    power_short: float = Field(default=0.30, ge=0)
    """Changes grow as (30 / days) to this power under 30 days."""
    power_long: float = Field(default=0.13, ge=0)
    """The same from 30 days on."""
    extremes: tuple[GridExtreme, ...] = tuple(GridExtreme(spot=s, share=w) for s, w in _EXTREMES)
    """With volatility up."""


class HybridParameters(Part):
    """SPAN with scan ranges from VaR, and a floor at a share of VaR."""

    var_floor: float = Field(default=0.80, ge=0)
    """The core is at least this share of VaR."""


_VOLUMES = {"BTC": 40_000.0, "ETH": 600_000.0}


class ConcentrationParameters(Part):
    """Charge for what takes longer to close than the margin period of risk."""

    enabled: bool = False
    """Charge for concentration."""
    participation: float = Field(default=0.20, gt=0, le=1)
    """Share of daily volume that one closing out may be."""
    outright_volume_coins: dict[str, float] = Field(default=_VOLUMES)
    """Coins a day of futures, perpetuals and spot in which delta can be closed."""
    volume_floor_coins: float = Field(default=1.0, gt=0)
    """A bucket's volume is at least this, coins of options a day."""
    open_interest_steps: tuple[tuple[float, float], ...] = ((0.10, 0.05), (0.25, 0.10), (0.5, 0.20))
    """From each share of a strike's open interest on: the rate on the strike's VaR."""

    @model_validator(mode="after")
    def _steps(self) -> "ConcentrationParameters":
        _ascending(
            "concentration.open_interest_steps", tuple(s for s, _ in self.open_interest_steps)
        )
        return self


class LiquidityParameters(Part):
    """Charge for half the bid-ask spread of what must be closed."""

    enabled: bool = False
    """Charge for liquidity."""
    outright_half_spread: float = Field(default=0.0002, ge=0)
    """Half spread of futures, perpetuals and spot, a fraction of the price."""
    vol_half_spread_default: float = Field(default=0.02, gt=0)
    """Half spread in volatility where a whole bucket has no two-sided quote; 0.02 = 2 points."""
    offset_share: float = Field(default=0.50, ge=0, le=1)
    """Share of the cost of opposite vegas in a bucket that need not be paid."""
    size_share: float = Field(default=0.05, gt=0)
    """Positions up to this share of the contract's open interest pay the quoted spread."""
    size_power: float = Field(default=0.5, ge=0)
    """Beyond it the spread grows with size to this power."""
    size_factor_max: float = Field(default=5.0, ge=1)
    """Largest factor on the spread."""


class SmileAlternative(Part):
    """Another way to price the same portfolio."""

    smile: Literal["svi", "sabr"] = "svi"
    """Smile model."""
    dynamics: Literal["sticky_moneyness", "sticky_strike", "sticky_delta", "frozen"] = (
        "sticky_moneyness"
    )
    """What of the smile stays when the forward moves."""


class ModelRiskParameters(Part):
    """Charge for what other smiles and dynamics would say."""

    enabled: bool = False
    """Charge for model risk."""
    alternatives: tuple[SmileAlternative, ...] = (
        SmileAlternative(smile="svi", dynamics="sticky_strike"),
        SmileAlternative(smile="svi", dynamics="sticky_delta"),
        SmileAlternative(smile="sabr", dynamics="sticky_moneyness"),
    )
    """Priced beside the model's own."""
    share_min: float = Field(default=0.02, ge=0)
    """The charge is at least this share of VaR."""


class ExpiryRiskParameters(Part):
    """Charge for options that expire within the margin period of risk."""

    enabled: bool = False
    """Charge for expiry risk: what VaR rises by when such options are settled on the
    path of the index at their expiry."""


class AddOnParameters(Part):
    """Charges on top of the core."""

    bucket_days: tuple[float, ...] = (7.0, 30.0, 90.0, 180.0)
    """Upper ends of the expiry buckets, days; the last bucket is open. Perpetuals and spot have a
    bucket of their own."""
    concentration: ConcentrationParameters = ConcentrationParameters()
    """What takes long to close."""
    liquidity: LiquidityParameters = LiquidityParameters()
    """What closing costs."""
    model_risk: ModelRiskParameters = ModelRiskParameters()
    """What other models say."""
    expiry_risk: ExpiryRiskParameters = ExpiryRiskParameters()
    """What expires on the way."""

    @model_validator(mode="after")
    def _buckets(self) -> "AddOnParameters":
        _ascending("addons.bucket_days", self.bucket_days)
        return self


class BufferParameters(Part):
    """Tool (a): a buffer that is released while margin rises fast, and rebuilt afterwards."""

    enabled: bool = False
    """Use the buffer."""
    share: float = Field(default=0.25, gt=0)
    """Full buffer, a share of the core."""
    fast_rise: float = Field(default=0.10, gt=0)
    """Rise of an outright's margin over `fast_days` from which the buffer is released."""
    fast_days: int = Field(default=5, ge=1)
    """Days over which the rise is measured."""
    rebuild_days: int = Field(default=60, ge=1)
    """Days in which an empty buffer is rebuilt."""


class StressedWeightParameters(Part):
    """Tool (b): weight on stressed observations."""

    enabled: bool = False
    """Give stressed observations a weight."""
    weight: float = Field(default=0.25, ge=0, le=1)
    """Weight of the stress period."""
    form: Literal["blend", "observations"] = "blend"
    """A mean of the two measures, or one measure of all rows with the weight spread over the
    stress rows."""


class LongFloorParameters(Part):
    """Tool (c): a floor from a long lookback."""

    enabled: bool = False
    """Use the floor."""
    years: float = Field(default=10.0, gt=0)
    """Lookback; as long as the history where that is shorter."""


class StressPeriodParameters(Part):
    """The stress days, and the floor that they give."""

    floor: bool = False
    """The core is at least the measure over the stress days."""
    days: int = Field(default=250, ge=20)
    """Windows chosen."""
    confidence: float | None = Field(default=None, gt=0, lt=1)
    """Confidence over the stress days; null: calibrated each year so that outrights get their
    long-run VaR."""


class ProcyclicalityParameters(Part):
    """Tools against margin that rises when it hurts (EMIR RTS 153/2013, article 28)."""

    buffer: BufferParameters = BufferParameters()
    """Tool (a)."""
    stressed_weight: StressedWeightParameters = StressedWeightParameters()
    """Tool (b)."""
    long_floor: LongFloorParameters = LongFloorParameters()
    """Tool (c); its lookback also calibrates the stress period."""
    stress_period: StressPeriodParameters = StressPeriodParameters()
    """The stress days and their floor."""


class DiversificationParameters(Part):
    """How much one underlying may help another."""

    enabled: bool = False
    """Measure each underlying on its own as well; needed for the two below."""
    reduction_max: float = Field(default=1.0, ge=0, le=1)
    """Largest share of the difference between the sum over underlyings and the joint figure that
    is taken off; European rules: 0.8."""
    correlation_stress: float = Field(default=0.0, ge=0, le=1)
    """Charge, as a share of the reduction that is left; 0: none."""

    @model_validator(mode="after")
    def _measured(self) -> "DiversificationParameters":
        if not self.enabled and (self.reduction_max < 1.0 or self.correlation_stress > 0.0):
            raise ValueError("diversification.enabled must be true for its limits to be applied")
        return self


_HAIRCUTS = {"USD": 0.0, "USDC": 0.01, "USDT": 0.02, "BTC": 0.15, "ETH": 0.20, "*": 0.50}


class CollateralParameters(Part):
    """What deposits count for."""

    haircuts: dict[str, float] = Field(default=_HAIRCUTS)
    """Share of an asset's value that does not count; `*` for those not named."""
    joint_simulation: bool = False
    """Add the profit of coin deposits to the account's in each scenario in place of a haircut."""

    @model_validator(mode="after")
    def _shares(self) -> "CollateralParameters":
        for asset, share in self.haircuts.items():
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"collateral.haircuts.{asset} = {share} is no share")
        return self
