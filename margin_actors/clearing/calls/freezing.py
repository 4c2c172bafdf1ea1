"""What a frozen account can do: settlement completes, nothing is paid out.

A default can be declared while a settlement group is being booked. The group completes: losses are
owed and booked, gains are booked and retained, and only then the account is closed out.
"""

from enum import StrEnum


class Activity(StrEnum):
    """What changes the balances or positions of an account."""

    DEPOSIT = "deposit"
    SETTLEMENT_LOSS = "settlement_loss"
    """Variation, funding, premium, delivery or fee that the account owes."""
    SETTLEMENT_GAIN = "settlement_gain"
    """Variation, funding, premium or delivery in favour of the account."""
    PAYOUT = "payout"
    """Payment of a settled gain to the member."""
    WITHDRAWAL = "withdrawal"
    RESERVATION = "reservation"
    """Margin set aside for a quoted block trade."""
    TRADE = "trade"
    """A new trade of the account."""


class Treatment(StrEnum):
    """What happens to an activity."""

    BOOK = "book"
    RETAIN = "retain"
    """Book it, and keep the amount as a resource against the default."""
    REFUSE = "refuse"


_FROZEN = {
    Activity.DEPOSIT: Treatment.RETAIN,
    Activity.SETTLEMENT_LOSS: Treatment.BOOK,
    Activity.SETTLEMENT_GAIN: Treatment.RETAIN,
    Activity.PAYOUT: Treatment.REFUSE,
    Activity.WITHDRAWAL: Treatment.REFUSE,
    Activity.RESERVATION: Treatment.REFUSE,
    Activity.TRADE: Treatment.REFUSE,
}


def frozen_treatment(activity: Activity) -> Treatment:
    """Return how an activity of a frozen account is treated."""
    return _FROZEN[activity]
