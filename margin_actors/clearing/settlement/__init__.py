"""Settlement: variation, funding, premiums, fees, delivery prices and expiry, as linked events."""

from margin_actors.clearing.settlement.contracts import (
    Contract,
    contract_from_name,
    exercised_quantity,
    future_of,
)
from margin_actors.clearing.settlement.day import (
    Held,
    SettlementBatch,
    daily_group,
    expiry_group,
    next_settlement,
    settlement_batch,
)
from margin_actors.clearing.settlement.decisions import Decision
from margin_actors.clearing.settlement.delivery_price import (
    Averaging,
    DeliveryPrice,
    IndexTick,
    averaged_so_far,
    confirmed,
    corrected,
    delivery_price,
)
from margin_actors.clearing.settlement.events import (
    Entry,
    EventKind,
    SettlementEvent,
    Subject,
)
from margin_actors.clearing.settlement.expiry import (
    delivery_fees,
    exercise,
    future_delivery,
    option_delivery,
    option_value,
)
from margin_actors.clearing.settlement.funding import (
    FundingMinute,
    FundingSession,
    funding,
    funding_minute,
    funding_rate,
)
from margin_actors.clearing.settlement.groups import (
    SettlementGroup,
    correction,
    is_repetition,
    linked_group,
)
from margin_actors.clearing.settlement.index import IndexPrice, SourcePrice, index_price
from margin_actors.clearing.settlement.life import ContractLife, advance, listed
from margin_actors.clearing.settlement.parameters import SettlementParameters
from margin_actors.clearing.settlement.positions import (
    FEE_ACCOUNT,
    ROUNDING_ACCOUNT,
    Cutoff,
    PositionChange,
    changes_until,
    folded,
    lots_by_account,
    quantities_by_account,
)
from margin_actors.clearing.settlement.trades import Trade, premium_units, trade_group
from margin_actors.clearing.settlement.variation import (
    unsettled_variation,
    variation,
    variation_value,
)

__all__ = [
    "FEE_ACCOUNT",
    "ROUNDING_ACCOUNT",
    "Averaging",
    "Contract",
    "ContractLife",
    "Cutoff",
    "Decision",
    "DeliveryPrice",
    "Entry",
    "EventKind",
    "FundingMinute",
    "FundingSession",
    "Held",
    "IndexPrice",
    "IndexTick",
    "PositionChange",
    "SettlementBatch",
    "SettlementEvent",
    "SettlementGroup",
    "SettlementParameters",
    "SourcePrice",
    "Subject",
    "Trade",
    "advance",
    "averaged_so_far",
    "changes_until",
    "confirmed",
    "contract_from_name",
    "corrected",
    "correction",
    "daily_group",
    "delivery_fees",
    "delivery_price",
    "exercise",
    "exercised_quantity",
    "expiry_group",
    "folded",
    "funding",
    "funding_minute",
    "funding_rate",
    "future_delivery",
    "future_of",
    "index_price",
    "is_repetition",
    "linked_group",
    "listed",
    "lots_by_account",
    "next_settlement",
    "option_delivery",
    "option_value",
    "premium_units",
    "quantities_by_account",
    "settlement_batch",
    "trade_group",
    "unsettled_variation",
    "variation",
    "variation_value",
]
