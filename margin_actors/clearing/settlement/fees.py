"""Fees: a fraction of the underlying value, bounded by a share of the value of an option."""

from collections.abc import Mapping
from fractions import Fraction

from margin_actors.clearing.settlement.contracts import Contract
from margin_actors.clearing.settlement.events import (
    Inputs,
    SettlementEvent,
    Subject,
    entry_list,
)
from margin_actors.clearing.settlement.exact import rounded_units
from margin_actors.clearing.settlement.parameters import FeeRule
from margin_actors.clearing.settlement.positions import FEE_ACCOUNT
from margin_actors.market.instruments import Kind


def fee_units(
    rule: FeeRule, contract: Contract, size: Fraction, price: Fraction, value: Fraction
) -> int:
    """Return the fee of one account in smallest units of the contract's asset, at least 0.

    Parameters
    ----------
    rule : FeeRule
    contract : Contract
    size : Fraction
        Signed size: coins, or US dollars of notional for inverse futures and perpetuals.
    price : Fraction
        Index or delivery price of the underlying, US dollars per coin.
    value : Fraction
        Value or premium of the position, in whole units of the asset; the sign has no effect.

    Returns
    -------
    int
        min(rate × underlying value, share × value), rounded half to even. The underlying value is
        in coins for inverse contracts and in US dollars for linear ones.
    """
    if not contract.is_inverse:
        underlying = abs(size * price)
    elif contract.kind is Kind.OPTION:
        underlying = abs(size)
    else:
        underlying = abs(size / price)
    fee = Fraction(rule.rate) * underlying
    if rule.value_share_max is not None:
        fee = min(fee, Fraction(rule.value_share_max) * abs(value))
    return rounded_units(fee, contract.asset)


def fee_events(
    subject: Subject, contract: Contract, fees: Mapping[str, int], inputs: Inputs
) -> tuple[SettlementEvent, ...]:
    """Return one event per account with a fee, which moves it to `FEE_ACCOUNT`.

    Parameters
    ----------
    subject : Subject
        Of kind ``fee``.
    contract : Contract
    fees : mapping of account to units
        Smallest units of the contract's asset, at least 0; accounts with 0 have no event.
    inputs : Inputs
    """
    return tuple(
        SettlementEvent(
            subject, account,
            (*entry_list(account, contract.asset, -units),
             *entry_list(FEE_ACCOUNT, contract.asset, units)),
            (), inputs,
        )
        for account, units in fees.items()
        if units
    )  # fmt: skip
