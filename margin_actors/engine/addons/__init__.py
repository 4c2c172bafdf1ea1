"""Add-on charges: their risk inputs, the position groups they measure, and the charges."""

from margin_actors.engine.addons.charges import (
    Charge,
    GroupMeasures,
    concentration_charges,
    liquidity_charges,
)
from margin_actors.engine.addons.exposures import (
    ContractRisk,
    MarketDepth,
    calibrated_depth,
    contract_risk,
    market_depth,
)
from margin_actors.engine.addons.groups import (
    AccountGroups,
    BucketExposures,
    GroupKind,
    MemberSizes,
    account_groups,
    bucket_exposures,
    days_to_close,
)
from margin_actors.engine.addons.hedging import HedgeRates, hedge_rates
from margin_actors.engine.addons.loss_bound import largest_losses
from margin_actors.engine.addons.members import (
    member_sizes,
    net_positions,
    netted_book,
    strike_coins,
)
from margin_actors.market.activity import OUTRIGHTS, bucket_names

__all__ = [
    "OUTRIGHTS",
    "AccountGroups",
    "BucketExposures",
    "Charge",
    "ContractRisk",
    "GroupKind",
    "GroupMeasures",
    "HedgeRates",
    "MarketDepth",
    "MemberSizes",
    "account_groups",
    "bucket_exposures",
    "bucket_names",
    "calibrated_depth",
    "concentration_charges",
    "contract_risk",
    "days_to_close",
    "hedge_rates",
    "largest_losses",
    "liquidity_charges",
    "market_depth",
    "member_sizes",
    "net_positions",
    "netted_book",
    "strike_coins",
]
