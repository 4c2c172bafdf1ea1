"""The terms of a contract that settlement uses, with the strike and the multiplier as decimals."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from margin_actors.clearing.amounts import ASSETS, Asset
from margin_actors.clearing.settlement.exact import EXACT, number_problems
from margin_actors.errors import InvalidMarketData, InvalidPortfolio, Problem, raise_if_any
from margin_actors.market.instruments import (
    Kind,
    expiry_label,
    instrument_from_name,
    settlement_asset,
)


@dataclass(frozen=True)
class Contract:
    """A contract that is settled: an option, future or perpetual, linear or inverse.

    The *size* of a position is quantity × multiplier: US dollars of notional for inverse futures
    and perpetuals, and coins for every other contract.
    """

    name: str
    kind: Kind
    underlying: str
    is_inverse: bool
    """True if profit is paid in the coin."""
    asset: Asset
    """Asset in which profit is paid."""
    expiry: datetime | None = None
    """Aware, UTC; None for perpetuals."""
    strike: Decimal | None = None
    """US dollars per coin, exact; None for everything except options."""
    is_call: bool | None = None
    """None for everything except options."""
    multiplier: Decimal = Decimal(1)
    """Size of one unit of quantity, for example 5 coins."""

    def size(self, quantity: Decimal) -> Fraction:
        """Return the size of a position, exactly, signed."""
        return Fraction(quantity) * Fraction(self.multiplier)


def contract_from_name(name: str, multiplier: Decimal = Decimal(1)) -> Contract:
    """Return the contract that `name` denotes, see `margin_actors.market.instruments`.

    Parameters
    ----------
    name : str
    multiplier : Decimal, positive
        Size of one unit of quantity.

    Raises
    ------
    InvalidPortfolio
        If the name denotes no contract or spot, its asset is unknown, or the multiplier is not
        positive.

    Examples
    --------
    >>> contract_from_name("BTC_USDC-26JUN26-44000-C").strike
    Decimal('44000')
    """
    problems = number_problems(multiplier, "multiplier")
    if not problems and multiplier <= 0:
        problems.append(Problem("multiplier", f"is {multiplier}, not positive"))
    try:
        item = instrument_from_name(name)
        asset = settlement_asset(name)
    except ValueError as error:
        problems.append(Problem("instrument", str(error), "correct the name"))
        raise InvalidPortfolio("the contract cannot be settled", problems) from None
    if item.kind is Kind.SPOT:
        problems.append(Problem("instrument", f"{name} is an asset, which is not settled"))
    elif asset not in ASSETS:
        known = ", ".join(ASSETS)
        problems.append(Problem("instrument", f"{name} pays in {asset}", f"known are {known}"))
    raise_if_any(problems, InvalidPortfolio, "the contract cannot be settled")
    strike = None
    if item.kind is Kind.OPTION:
        strike = Decimal(name.split("-")[2].replace("d", "."))
    return Contract(
        name, item.kind, item.underlying, item.is_inverse, ASSETS[asset], item.expiry,
        strike, item.is_call, multiplier,
    )  # fmt: skip


def future_of(option: Contract) -> Contract:
    """Return the dated future into which an option is exercised: same underlying, expiry and asset.

    The future of a linear option has the multiplier of the option; one unit of an inverse future is
    one US dollar of notional.
    """
    assert option.kind is Kind.OPTION
    assert option.expiry is not None
    prefix = option.name.partition("-")[0]
    multiplier = Decimal(1) if option.is_inverse else option.multiplier
    return contract_from_name(f"{prefix}-{expiry_label(option.expiry)}", multiplier)


def exercised_quantity(option: Contract, quantity: Decimal) -> Decimal:
    """Return the quantity of the future at the strike that replaces an exercised option.

    It is positive for long calls and short puts: `quantity` units of a linear future, and
    quantity × multiplier × strike US dollars of an inverse one.
    """
    assert option.strike is not None
    signed = quantity if option.is_call else -quantity
    if not option.is_inverse:
        return signed
    return EXACT.multiply(EXACT.multiply(signed, option.multiplier), option.strike)


def require_price(contract: Contract, price: Decimal, location: str) -> Fraction:
    """Return a price of the underlying as an exact number.

    Prices of linear contracts may be negative or zero. An inverse contract has no value at a price
    that is not positive.

    Raises
    ------
    InvalidMarketData
        If the price is not a usable number, or not positive for an inverse contract.
    """
    problems = number_problems(price, location)
    if not problems and contract.is_inverse and price <= 0:
        what = f"is {price}, but the inverse contract {contract.name} requires a positive price"
        problems.append(Problem(location, what))
    raise_if_any(problems, InvalidMarketData, f"{contract.name} cannot be settled")
    return Fraction(price)
