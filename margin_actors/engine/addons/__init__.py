"""Add-on charges: their risk inputs, the position groups they measure, and the charges."""

from margin_actors.engine.addons.charges import (
    Charge,
    concentration_charges,
    liquidity_charges,
)
from margin_actors.engine.addons.exposures import (
    OUTRIGHTS,
    ContractRisk,
    MarketDepth,
    bucket_names,
    contract_risk,
    market_depth,
)
from margin_actors.engine.addons.groups import (
    AccountGroups,
    BucketExposures,
    GroupKind,
    account_groups,
    bucket_exposures,
    days_to_close,
)

__all__ = [
    "OUTRIGHTS",
    "AccountGroups",
    "BucketExposures",
    "Charge",
    "ContractRisk",
    "GroupKind",
    "MarketDepth",
    "account_groups",
    "bucket_exposures",
    "bucket_names",
    "concentration_charges",
    "contract_risk",
    "days_to_close",
    "liquidity_charges",
    "market_depth",
]
