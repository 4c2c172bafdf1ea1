"""Parameters of settlement; the defaults are the rules of the venues that the contracts follow."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from margin_actors.clearing.settlement.exact import canonical
from margin_actors.market.identity import content_id
from margin_actors.parameter_section import ParameterSection


class FundingParameters(ParameterSection):
    """The funding rate of perpetuals."""

    damper: Decimal = Field(default=Decimal("0.00025"), ge=0)
    """Premium without effect, a fraction per funding period: within ± this value the rate is 0."""
    cap: Decimal = Field(default=Decimal("0.005"), ge=0)
    """Largest absolute rate, a fraction per funding period."""
    caps: Mapping[str, Annotated[Decimal, Field(ge=0)]] = Field(default_factory=dict[str, Decimal])
    """Caps of instruments that have one of their own, by name."""
    period_hours: int = Field(default=8, gt=0, le=24)
    """Hours to which a rate refers; payments accrue by the minute."""


class IndexParameters(ParameterSection):
    """The index as a weighted mean of prices of several sources."""

    deviation_max: Decimal = Field(default=Decimal("0.005"), ge=0)
    """Prices are clamped to the median ± this fraction of it."""
    price_decimals: int = Field(default=4, ge=0, le=12)
    """Decimals of the published index."""


class DeliveryParameters(ParameterSection):
    """The delivery price and how options are settled at it."""

    window_minutes: int = Field(default=30, gt=0, le=1440)
    """Minutes before expiry over which the index is averaged by time."""
    carry_seconds: int = Field(default=60, ge=0)
    """Seconds for which an index value stays valid without a newer one."""
    missing_share_max: Decimal = Field(default=Decimal("0.05"), ge=0, lt=1)
    """Largest share of the window without a valid index value; above it the price is provisional
    until two people decide."""
    price_decimals: int = Field(default=4, ge=0, le=12)
    """Decimals of the delivery price."""
    two_step_linear: bool = True
    """Linear options are exercised into the future of their expiry, which is then delivered."""
    two_step_inverse: bool = False
    """Inverse options are exercised into the future of their expiry, which is then delivered."""


class FeeRule(ParameterSection):
    """A fee: a fraction of the underlying value, at most a share of the value paid."""

    rate: Decimal = Field(default=Decimal(0), ge=0)
    """Fraction of the value of the underlying coins."""
    value_share_max: Decimal | None = Field(default=None, ge=0)
    """Largest fee as a fraction of the option's value or premium; None: no such bound."""


class FeeParameters(ParameterSection):
    """Fees of trades and deliveries; both sides of a contract pay them."""

    option_delivery: FeeRule = FeeRule(rate=Decimal("0.00015"), value_share_max=Decimal("0.125"))
    """Delivery of options."""
    future_delivery: FeeRule = FeeRule()
    """Delivery of dated futures that were not created by an exercise."""
    option_trade: FeeRule = FeeRule()
    """Trades of options."""
    future_trade: FeeRule = FeeRule()
    """Trades of futures and perpetuals."""


class SettlementParameters(ParameterSection):
    """All rules of settlement that have a number."""

    version: str = "1"
    """Name of this version of the rules."""
    hours_utc: tuple[Annotated[int, Field(ge=0, le=23)], ...] = Field(default=(8,), min_length=1)
    """Hours of the day at which variation and funding become cash."""
    funding: FundingParameters = FundingParameters()
    """Funding of perpetuals."""
    index: IndexParameters = IndexParameters()
    """The index."""
    delivery: DeliveryParameters = DeliveryParameters()
    """The delivery price."""
    fees: FeeParameters = FeeParameters()
    """Fees."""

    @property
    def id(self) -> str:
        """Hash of all parameters, recorded with each event that depends on one."""
        content = json.dumps(self.model_dump(), sort_keys=True, default=canonical)
        return content_id("rules", {"settlement": content})
