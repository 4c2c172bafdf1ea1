"""Parameters of SPAN, the venue grid, add-ons, procyclicality tools and collateral."""

from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from margin_actors.engine.parameters.depth import (
    CloseOutParameters,
    DepthParameters,
    HedgeParameters,
    LossBoundParameters,
    MemberParameters,
)
from margin_actors.parameter_section import ParameterSection


def _ascending(name: str, values: tuple[float, ...]) -> None:
    if any(b <= a for a, b in pairwise(values)):
        raise ValueError(f"{name} must ascend, got {list(values)}")


class CalendarSpread(ParameterSection):
    """Charge for deltas of opposite sign in two tiers, or in expiries of the same tier."""

    tiers: tuple[int, int]
    """Indices of the two tiers, from 0."""
    rate: float = Field(ge=0)
    """Charge per spread of one coin of delta against one, as a fraction of the index."""


class InterCommoditySpread(ParameterSection):
    """Credit for deltas of opposite sign in two underlyings."""

    underlyings: tuple[str, str]
    """The two legs."""
    credit: float = Field(ge=0, le=1)
    """Share of the price risk of the matched delta of each leg that is credited."""


class SpanParameters(ParameterSection):
    """SPAN: sixteen scenarios per underlying, with spread charges, credits and a minimum."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"vol_scan_share"})

    price_scan: dict[str, float] | None = None
    """Price scan range of each underlying, as a fraction of its index; null: the larger VaR of one
    coin long and one coin short."""
    vol_scan: dict[str, float] | None = None
    """Volatility scan range of each underlying, as a relative change of volatility; null: the
    confidence quantile of the absolute 30-day at-the-money moves of the scenarios, times
    `vol_scan_share`."""
    vol_scan_share: float = Field(default=1.0, gt=0, le=1)
    """Share of that quantile that is the volatility scan range. SPAN combines the full price and
    volatility moves, which rarely occur together; a share below 1 allows for this."""
    extreme_multiple: float = Field(default=2.0, gt=0)
    """Price move of the extreme rows, in price scan ranges."""
    extreme_share: float = Field(default=0.35, ge=0, le=1)
    """Share of the loss in the extreme rows that is counted."""
    tier_days: tuple[float, ...] = (30.0, 90.0)
    """Upper ends of the tiers of expiries, days; the last tier is open-ended. Perpetuals and spot
    are in the first tier."""
    calendar_spreads: tuple[CalendarSpread, ...] = (
        CalendarSpread(tiers=(0, 0), rate=0.002),
        CalendarSpread(tiers=(1, 1), rate=0.002),
        CalendarSpread(tiers=(2, 2), rate=0.003),
        CalendarSpread(tiers=(0, 1), rate=0.004),
        CalendarSpread(tiers=(1, 2), rate=0.004),
        CalendarSpread(tiers=(0, 2), rate=0.006),
    )
    """Calendar spreads, in the order in which they are formed."""
    inter_commodity: tuple[InterCommoditySpread, ...] = (
        InterCommoditySpread(underlyings=("BTC", "ETH"), credit=0.5),
    )
    """Inter-commodity spreads, in the order in which they are formed."""
    short_option_minimum: float = Field(default=0.005, ge=0)
    """Minimum charge per short option on one coin, as a fraction of the index."""
    short_option_count: Literal["sum", "larger_side"] = "larger_side"
    """Number of short options: calls plus puts, or the larger of the two."""

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
                    raise ValueError(
                        f"span.{name}.{underlying} = {value} must be positive and below 1, for "
                        "price_scan also after multiplication by span.extreme_multiple"
                    )
        return self


class GridExtreme(ParameterSection):
    """One extreme row of the venue grid."""

    spot: float = Field(gt=-1)
    """Relative change of the index."""
    share: float = Field(gt=0, le=1)
    """Share of the loss that is counted."""


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


class VenueGridParameters(ParameterSection):
    """A trading venue's spot and volatility grid (source: Paradex, portfolio margin)."""

    spot: tuple[float, ...] = (-0.16, -0.12, -0.08, -0.04, 0.04, 0.08, 0.12, 0.16)
    """Relative changes of the index, each combined with volatility up and down."""
    vol_up: float = Field(default=0.40, gt=0)
    """Relative increase of the 30-day volatility."""
    vol_down: float = Field(default=-0.22, gt=-1, lt=0)
    """Relative decrease of the 30-day volatility, negative."""
    only_up: tuple[float, ...] = (-0.16, 0.16)
    """Changes of the index that are combined with volatility up only."""
    power_short: float = Field(default=0.30, ge=0)
    """Below 30 days, volatility changes scale as (30 / days) to this power."""
    power_long: float = Field(default=0.13, ge=0)
    """The same power for 30 days and more."""
    extremes: tuple[GridExtreme, ...] = tuple(GridExtreme(spot=s, share=w) for s, w in _EXTREMES)
    """Extreme rows, each with volatility up."""


class HybridParameters(ParameterSection):
    """The larger of SPAN and a share of VaR."""

    var_floor: float = Field(default=0.80, ge=0)
    """The core is at least this share of VaR."""


_VOLUMES = {"BTC": 40_000.0, "ETH": 600_000.0}


class ConcentrationParameters(ParameterSection):
    """Charge for positions that take longer to close out than the margin period of risk."""

    enabled: bool = False
    """Apply the concentration charge."""
    participation: float = Field(default=0.20, gt=0, le=1)
    """Largest share of the daily volume that a close-out can trade."""
    outright_volume_coins: dict[str, float] = Field(default=_VOLUMES)
    """Daily volume of futures, perpetuals and spot in which delta can be closed out, coins."""
    volume_floor_coins: float = Field(default=1.0, gt=0)
    """Minimum daily volume of a bucket, coins; for vega, times the bucket's median option vega."""
    open_interest_steps: tuple[tuple[float, float], ...] = ((0.10, 0.05), (0.25, 0.10), (0.5, 0.20))
    """Pairs of (share of the open interest of a strike, rate on the VaR of the strike); a rate
    applies from its share on."""

    @model_validator(mode="after")
    def _steps(self) -> "ConcentrationParameters":
        _ascending(
            "concentration.open_interest_steps", tuple(s for s, _ in self.open_interest_steps)
        )
        return self


class LiquidityParameters(ParameterSection):
    """Charge for half the bid-ask spread of the positions that must be closed out."""

    enabled: bool = False
    """Apply the liquidity charge."""
    outright_half_spread: float = Field(default=0.0002, ge=0)
    """Half spread of futures, perpetuals and spot, as a fraction of the price."""
    vol_half_spread_default: float = Field(default=0.02, gt=0)
    """Half spread in volatility for buckets without any two-sided quote; 0.02 is 2 points."""
    offset_share: float = Field(default=0.50, ge=0, le=1)
    """Share of the cost of offsetting long and short vegas in a bucket that is not charged."""
    size_share: float = Field(default=0.05, gt=0)
    """Option positions up to this share of the open interest of the contract pay the quoted
    spread."""
    size_power: float = Field(default=0.5, ge=0)
    """For larger positions, the spread grows with size to this power."""
    size_factor_max: float = Field(default=5.0, ge=1)
    """Largest factor on the spread; it also applies where the open interest is zero or unknown."""


class SmileAlternative(ParameterSection):
    """An alternative smile and dynamics for pricing the same portfolio."""

    smile: Literal["svi", "sabr"] = "svi"
    """Smile model."""
    dynamics: Literal["sticky_moneyness", "sticky_strike", "sticky_delta", "frozen"] = (
        "sticky_moneyness"
    )
    """How the smile moves when the forward moves."""


class ModelRiskParameters(ParameterSection):
    """Charge for the increase of VaR under alternative smiles and dynamics."""

    enabled: bool = False
    """Apply the model risk charge."""
    alternatives: tuple[SmileAlternative, ...] = (
        SmileAlternative(smile="svi", dynamics="sticky_strike"),
        SmileAlternative(smile="svi", dynamics="sticky_delta"),
        SmileAlternative(smile="sabr", dynamics="sticky_moneyness"),
    )
    """Alternatives priced in addition to the model's own smile and dynamics."""
    share_min: float = Field(default=0.02, ge=0)
    """The charge is at least this share of VaR."""


class ExpiryRiskParameters(ParameterSection):
    """Charge for options that expire within the margin period of risk."""

    enabled: bool = False
    """Apply the expiry risk charge: the increase of VaR when such options are settled at the path's
    price at their expiry."""


class AddOnParameters(ParameterSection):
    """Add-ons to the core."""

    later_fields: ClassVar[frozenset[str]] = frozenset(
        {"measure", "depth", "members", "hedge", "close_out", "loss_bound"}
    )

    bucket_days: tuple[float, ...] = (7.0, 30.0, 90.0, 180.0)
    """Upper ends of the expiry buckets, days; the last bucket is open-ended. Perpetuals and spot
    have a separate bucket."""
    measure: Literal["var", "core"] = "var"
    """Measure on which concentration, model risk and expiry risk are based: VaR; or `core`, which
    is expected shortfall if the core is expected shortfall, and else VaR."""
    concentration: ConcentrationParameters = ConcentrationParameters()
    """Concentration."""
    liquidity: LiquidityParameters = LiquidityParameters()
    """Liquidity."""
    model_risk: ModelRiskParameters = ModelRiskParameters()
    """Model risk."""
    expiry_risk: ExpiryRiskParameters = ExpiryRiskParameters()
    """Expiry risk."""
    depth: DepthParameters = DepthParameters()
    """Market depth from recorded days."""
    members: MemberParameters = MemberParameters()
    """Size measured by member."""
    hedge: HedgeParameters = HedgeParameters()
    """Bound of the concentration charge by the cost of a hedge."""
    close_out: CloseOutParameters = CloseOutParameters()
    """The cheapest way to close an option."""
    loss_bound: LossBoundParameters = LossBoundParameters()
    """Bound of the requirement by the largest possible loss."""

    @model_validator(mode="after")
    def _buckets(self) -> "AddOnParameters":
        _ascending("addons.bucket_days", self.bucket_days)
        return self


class BufferParameters(ParameterSection):
    """Tool (a): a buffer that is released while margins rise fast and rebuilt afterwards."""

    enabled: bool = False
    """Use the buffer."""
    share: float = Field(default=0.25, gt=0)
    """Full buffer, as a share of the core with its diversification components."""
    fast_rise: float = Field(default=0.10, gt=0)
    """Relative rise of the margin of an outright above its minimum over `fast_days`; the buffer is
    released when the rise is larger."""
    fast_days: int = Field(default=5, ge=1)
    """Number of days over which the rise is measured."""
    rebuild_days: int = Field(default=60, ge=1)
    """Number of days in which an empty buffer is rebuilt."""


class StressedWeightParameters(ParameterSection):
    """Tool (b): weight on stressed observations."""

    enabled: bool = False
    """Use the weight on stressed observations."""
    weight: float = Field(default=0.25, ge=0, le=1)
    """Weight of the stress period."""
    form: Literal["blend", "observations"] = "blend"
    """Weighted mean of the two measures (`blend`), or one measure of the rows of both periods in
    which the weight is spread over the rows of the stress period (`observations`)."""


class LongFloorParameters(ParameterSection):
    """Tool (c): a floor from a long lookback."""

    enabled: bool = False
    """Use the floor."""
    years: float = Field(default=10.0, gt=0)
    """Lookback, years; the whole history if it is shorter."""


class StressPeriodParameters(ParameterSection):
    """The stress period and the floor based on it."""

    floor: bool = False
    """Use the floor: the requirement before add-ons is at least the measure over the stress
    period."""
    days: int = Field(default=250, ge=20)
    """Number of windows in the stress period."""
    confidence: float | None = Field(default=None, gt=0, lt=1)
    """Confidence over the stress period; null: calibrated each year so that, on average, outrights
    have the same VaR as over the long lookback."""


class ProcyclicalityParameters(ParameterSection):
    """Tools against procyclical margins (EMIR RTS 153/2013, article 28)."""

    buffer: BufferParameters = BufferParameters()
    """Tool (a): buffer."""
    stressed_weight: StressedWeightParameters = StressedWeightParameters()
    """Tool (b): weight on stressed observations."""
    long_floor: LongFloorParameters = LongFloorParameters()
    """Tool (c): long-lookback floor; its lookback also calibrates the stress period."""
    stress_period: StressPeriodParameters = StressPeriodParameters()
    """Stress period and its floor."""


class DiversificationParameters(ParameterSection):
    """Limits on cross-underlying diversification."""

    enabled: bool = False
    """Also measure each underlying separately; required by the two limits below."""
    reduction_max: float = Field(default=1.0, ge=0, le=1)
    """Largest share of the difference between the sum over underlyings and the joint measure that
    reduces the margin; European rules: 0.8."""
    correlation_stress: float = Field(default=0.0, ge=0, le=1)
    """Charge, as a share of the reduction that remains after the cap; 0: no charge."""

    @model_validator(mode="after")
    def _measured(self) -> "DiversificationParameters":
        if not self.enabled and (self.reduction_max < 1.0 or self.correlation_stress > 0.0):
            raise ValueError("diversification.enabled must be true for its limits to be applied")
        return self


_HAIRCUTS = {"USD": 0.0, "USDC": 0.01, "USDT": 0.02, "BTC": 0.15, "ETH": 0.20, "*": 0.50}


class CollateralParameters(ParameterSection):
    """Valuation of collateral."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"depeg"})

    haircuts: dict[str, float] = Field(default=_HAIRCUTS)
    """Share of the value of an asset that is not counted; `*` applies to all other assets."""
    joint_simulation: bool = False
    """Instead of applying a haircut, revalue deposits in coins of the scenario underlyings with the
    account in each scenario, in whole lots."""
    depeg: dict[str, float] = Field(default_factory=dict)
    """Share of its value that a stablecoin loses in its de-peg scenario, by asset. At least this
    share of a deposit is not counted, and neither is this share of a positive value of options that
    are settled in the asset; the equity in each scenario is reported."""

    @model_validator(mode="after")
    def _shares(self) -> "CollateralParameters":
        for field, shares in (("haircuts", self.haircuts), ("depeg", self.depeg)):
            for asset, share in shares.items():
                if not 0.0 <= share <= 1.0:
                    raise ValueError(
                        f"collateral.{field}.{asset} = {share} must be between 0 and 1"
                    )
        return self
