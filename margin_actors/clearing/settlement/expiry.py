"""Expiry of options and futures: delivery in cash at the delivery price, directly or in two steps.

In two steps, an option in the money is exercised into the future of its expiry at the strike; the
future is netted with others and delivered in cash at the same price. An inverse call on q coins
becomes q·K US dollars of the future at base price K, which pays q·K (1/K − 1/D) = q (D − K) / D:
the value of the option. Both ways pay the same before rounding.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

from margin_actors.clearing.settlement.contracts import (
    Contract,
    exercised_quantity,
    future_of,
)
from margin_actors.clearing.settlement.delivery_price import DeliveryPrice, final_price
from margin_actors.clearing.settlement.events import Inputs, SettlementEvent, Subject
from margin_actors.clearing.settlement.fees import fee_events, fee_units
from margin_actors.clearing.settlement.parameters import FeeRule
from margin_actors.clearing.settlement.positions import (
    Cutoff,
    Lots,
    PositionChange,
    lots_by_account,
    net_quantity,
    quantities_by_account,
    require_balanced,
    require_balanced_lots,
)
from margin_actors.clearing.settlement.rounding import Posting, rounded_events
from margin_actors.clearing.settlement.variation import lots_value
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.market.instruments import Kind


def option_value(option: Contract, price: Fraction) -> Fraction:
    """Return the value at expiry per unit of size, exactly, at least 0.

    Parameters
    ----------
    option : Contract
    price : Fraction, US dollars per coin
        Delivery price D; positive for inverse options.

    Returns
    -------
    Fraction
        max(0, ±(D − K)) US dollars per coin, divided by D in coins for inverse options.
    """
    assert option.strike is not None
    difference = price - Fraction(option.strike)
    value = max(Fraction(0), difference if option.is_call else -difference)
    return value / price if option.is_inverse else value


def option_delivery(
    option: Contract, changes: Iterable[PositionChange], delivery: DeliveryPrice, cutoff: Cutoff
) -> tuple[SettlementEvent, ...]:
    """Return the events that pay options their value and remove them from the book.

    Parameters
    ----------
    option : Contract
    changes : iterable of PositionChange
        All changes of the option up to `cutoff`, in any order.
    delivery : DeliveryPrice
        Final.
    cutoff : Cutoff
        Its time is the expiry, even if the price was decided later.

    Returns
    -------
    tuple of SettlementEvent
        Of kind ``delivery``, or ``lapse`` if the option is not in the money; units sum to zero.

    Raises
    ------
    NotReady
        If the price is provisional.
    InvalidPortfolio, InvalidMarketData, InvalidRequest
        If changes, price or cutoff cannot be used, or the book is not balanced.
    """
    D = _require_expiry(option, Kind.OPTION, delivery, cutoff)
    value = option_value(option, D)
    book = quantities_by_account(option, changes)
    require_balanced(option, book)
    if not value:
        return _lapsed(option, book, delivery, cutoff)
    postings = [
        Posting(
            account, option.size(quantity) * value, (_closed(option, account, quantity, cutoff),)
        )
        for account, quantity in book.items()
    ]
    subject = Subject("delivery", option.name, cutoff.time, cutoff.version)
    return rounded_events(subject, option.asset, postings, _inputs(delivery, cutoff))


def exercise(
    option: Contract,
    changes: Iterable[PositionChange],
    delivery: DeliveryPrice,
    cutoff: Cutoff,
    future: Contract | None = None,
) -> tuple[SettlementEvent, ...]:
    """Return the events that turn options in the money into futures at the strike.

    Parameters
    ----------
    option : Contract
    changes : iterable of PositionChange
        As in `option_delivery`.
    delivery : DeliveryPrice
        Final; it decides which options are in the money. Nothing is paid here.
    cutoff : Cutoff
    future : Contract, optional
        The future that is received; by default that of the option's expiry, see `future_of`. A
        future with a later expiry remains in the book with the strike as its base price.

    Returns
    -------
    tuple of SettlementEvent
        Of kind ``exercise``, or ``lapse`` for options that are not in the money, without cash.

    Raises
    ------
    InvalidRequest
        As `option_delivery`, and if the future does not fit the option.
    """
    D = _require_expiry(option, Kind.OPTION, delivery, cutoff)
    target = future if future is not None else future_of(option)
    _require_fitting(option, target)
    book = quantities_by_account(option, changes)
    require_balanced(option, book)
    if not option_value(option, D):
        return _lapsed(option, book, delivery, cutoff)
    assert option.strike is not None
    subject = Subject("exercise", option.name, cutoff.time, cutoff.version)
    events: list[SettlementEvent] = []
    for account, quantity in book.items():
        received = exercised_quantity(option, quantity)
        moved = (
            _closed(option, account, quantity, cutoff),
            PositionChange(account, target.name, received, option.strike, cutoff.time),
        )
        events.append(SettlementEvent(subject, account, (), moved, _inputs(delivery, cutoff)))
    return tuple(events)


def future_delivery(
    future: Contract, changes: Iterable[PositionChange], delivery: DeliveryPrice, cutoff: Cutoff
) -> tuple[SettlementEvent, ...]:
    """Return the events that settle futures from their base prices and remove them from the book.

    The lots of exercised options, whose base prices are strikes, are netted with those of held
    futures: each account receives one amount.

    Parameters
    ----------
    future : Contract
        A dated future.
    changes : iterable of PositionChange
        All changes of the future up to `cutoff` and those of the exercise, in any order.
    delivery : DeliveryPrice
        Final.
    cutoff : Cutoff

    Raises
    ------
    NotReady, InvalidPortfolio, InvalidMarketData, InvalidRequest
        As `option_delivery`.
    """
    _require_expiry(future, Kind.FUTURE, delivery, cutoff)
    assert delivery.price is not None
    book = lots_by_account(future, changes)
    require_balanced_lots(future, book)
    postings = [
        Posting(
            account,
            lots_value(future, lots, delivery.price),
            _closed_lots(future, account, lots, cutoff),
        )
        for account, lots in book.items()
    ]
    subject = Subject("delivery", future.name, cutoff.time, cutoff.version)
    return rounded_events(subject, future.asset, postings, _inputs(delivery, cutoff))


def delivery_fees(
    contract: Contract,
    changes: Iterable[PositionChange],
    delivery: DeliveryPrice,
    cutoff: Cutoff,
    rule: FeeRule,
) -> tuple[SettlementEvent, ...]:
    """Return the events that charge the delivery fee on the net position of each account.

    Options that are not in the money pay none. The fee of an option does not depend on whether it
    is delivered directly or in two steps.

    Parameters
    ----------
    contract : Contract
        An option or a dated future.
    changes : iterable of PositionChange
        All changes of the contract up to `cutoff`, without those of an exercise.
    delivery : DeliveryPrice
        Final.
    cutoff : Cutoff
    rule : FeeRule
    """
    D = _require_expiry(contract, contract.kind, delivery, cutoff)
    fees: dict[str, int] = {}
    if contract.kind is Kind.OPTION:
        value = option_value(contract, D)
        for account, quantity in quantities_by_account(contract, changes).items():
            size = contract.size(quantity)
            fees[account] = fee_units(rule, contract, size, D, size * value) if value else 0
    else:
        assert delivery.price is not None
        for account, lots in lots_by_account(contract, changes).items():
            size, value = (
                contract.size(net_quantity(lots)),
                lots_value(contract, lots, delivery.price),
            )
            fees[account] = fee_units(rule, contract, size, D, value)
    subject = Subject("fee", contract.name, cutoff.time, cutoff.version)
    return fee_events(subject, contract, fees, _inputs(delivery, cutoff))


def _inputs(delivery: DeliveryPrice, cutoff: Cutoff) -> Inputs:
    return (*delivery.inputs, ("entry_number", str(cutoff.entry_number)))


def _closed(option: Contract, account: str, quantity: Decimal, cutoff: Cutoff) -> PositionChange:
    return PositionChange(account, option.name, -quantity, None, cutoff.time)


def _closed_lots(
    future: Contract, account: str, lots: Lots, cutoff: Cutoff
) -> tuple[PositionChange, ...]:
    return tuple(
        PositionChange(account, future.name, -quantity, base, cutoff.time)
        for base, quantity in lots.items()
    )


def _lapsed(
    option: Contract, book: Mapping[str, Decimal], delivery: DeliveryPrice, cutoff: Cutoff
) -> tuple[SettlementEvent, ...]:
    subject = Subject("lapse", option.name, cutoff.time, cutoff.version)
    inputs = _inputs(delivery, cutoff)
    return tuple(
        SettlementEvent(subject, account, (), (_closed(option, account, quantity, cutoff),), inputs)
        for account, quantity in book.items()
    )


def _require_expiry(
    contract: Contract, kind: Kind, delivery: DeliveryPrice, cutoff: Cutoff
) -> Fraction:
    problems: list[Problem] = []
    if contract.kind is not kind or contract.expiry is None:
        problems.append(Problem(contract.name, "does not expire in this way"))
    elif cutoff.time != contract.expiry:
        what = f"is for {cutoff.time.isoformat()}, not for the expiry of {contract.name}"
        problems.append(Problem("cutoff", what))
    raise_if_any(problems, InvalidRequest, f"{contract.name} cannot be delivered")
    return final_price(contract, delivery)


def _require_fitting(option: Contract, future: Contract) -> None:
    problems: list[Problem] = []
    if future.kind is not Kind.FUTURE or option.expiry is None or future.expiry is None:
        problems.append(Problem(future.name, "is not a dated future"))
    elif future.expiry < option.expiry:
        problems.append(Problem(future.name, f"expires before {option.name}"))
    same = (option.underlying, option.is_inverse, option.asset)
    if (future.underlying, future.is_inverse, future.asset) != same:
        problems.append(Problem(future.name, f"has another underlying or asset than {option.name}"))
    if future.multiplier != (Decimal(1) if option.is_inverse else option.multiplier):
        problems.append(Problem(future.name, f"has the multiplier {future.multiplier}"))
    raise_if_any(problems, InvalidRequest, f"{option.name} cannot be exercised into {future.name}")
