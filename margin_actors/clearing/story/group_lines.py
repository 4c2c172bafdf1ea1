"""Lines on groups of the journal: deposits, settlements, trades, reservations."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from margin_actors.clearing.amounts import Asset
from margin_actors.clearing.journal import Group, Phase, Transfer, TransferKind
from margin_actors.clearing.journal.accounts import AccountKind
from margin_actors.clearing.story.lines import Statement, Tone, Topic, amount, listed, number

_CASH: dict[TransferKind, str] = {
    TransferKind.VARIATION: "variation",
    TransferKind.FUNDING: "funding",
    TransferKind.PREMIUM: "premium",
    TransferKind.PAYOFF: "payoff of expired contracts",
    TransferKind.FEE: "fees",
}
_TITLES = {
    "trade": "Trade booked",
    "cancellation": "Trade cancelled",
    "daily": "Daily settlement",
    "expiry": "Expiry settled",
}


@dataclass(frozen=True)
class _Own:
    """The transfers and position entries of one account in a group."""

    group: Group
    account: str

    def credited(self, transfer: Transfer) -> int:
        """Return the amount of a transfer, positive if the account receives it; 0 if another's."""
        if _owner(transfer.credit) == self.account:
            return transfer.amount
        return -transfer.amount if _owner(transfer.debit) == self.account else 0

    def of(self, *kinds: TransferKind) -> list[Transfer]:
        """Return the transfers of some kinds that concern the account."""
        return [t for t in self.group.transfers if t.kind in kinds and self.credited(t)]


def group_lines(group: Group, account: str) -> list[Statement]:
    """Return the lines of one account on a group; none if the group does not concern it.

    Withdrawals have lines of their own, and changes of the limit of free margin have none.
    """
    own = _Own(group, account)
    return [
        line
        for line in (_deposit(own), _settlement(own), _sweep(own), _reservation(own))
        if line is not None
    ]


def _deposit(own: _Own) -> Statement | None:
    found = own.of(TransferKind.DEPOSIT)
    if not found:
        return None
    first = found[0]
    asset = first.asset
    credited = sum(own.credited(t) for t in found if t.phase in (Phase.DIRECT, Phase.POST))
    name = own.group.id.removeprefix("deposit:").rsplit(":", 1)[0]
    custodian = _owner(first.debit) if own.credited(first) > 0 else _owner(first.credit)
    references = (("payment", name),)
    if first.phase is Phase.PENDING:
        text = (
            f"{custodian} attests that {amount(first.amount, asset)} is under way "
            f"(reference {name}). It is not credited yet."
        )
        return Statement(Topic.PAYMENT, "Deposit announced", text, references=references)
    if first.phase is Phase.EXPIRY:
        text = f"An announced deposit of {amount(first.amount, asset)} did not arrive."
        return Statement(Topic.PAYMENT, "Announced deposit expired", text, Tone.WARNING)
    if credited <= 0:
        text = f"{amount(-credited, asset)} of deposits was reversed."
        return Statement(
            Topic.PAYMENT, "Deposit reversed", text, Tone.WARNING, references=references
        )
    text = (
        f"{amount(credited, asset)} was received by {custodian} (reference {name}) and credited "
        "as collateral."
    )
    return Statement(Topic.PAYMENT, "Deposit received", text, Tone.GOOD, references=references)


def _settlement(own: _Own) -> Statement | None:
    """Return the line on variation, funding, premiums, payoffs, fees and changes of positions."""
    paid = _sums(own)
    changed = _quantities(own)
    if not paid and not changed:
        return None
    purpose = own.group.id.split(":", 1)[0]
    is_trade = purpose in ("trade", "cancellation")
    parts: list[str] = []
    if changed and is_trade:
        parts += [_traded(own, name, quantity) for name, quantity in changed]
    elif changed:
        closed = listed(f"{number(-quantity)} {name}" for name, quantity in changed)
        parts.append(f"The settlement closed the positions of {closed}.")
    for (what, asset), units in paid:
        verb = "received" if units > 0 else "paid"
        parts.append(f"The account {verb} {amount(abs(units), asset)} {what}.")
    settled = [] if is_trade else _scope(own.group.id)
    if settled:
        parts.insert(0, f"{settled[0]} was settled for {settled[1]}.")
    title = _TITLES.get(purpose, "Settlement")
    topic = Topic.TRADE if is_trade else Topic.SETTLEMENT
    return Statement(topic, title, " ".join(parts), references=(("group", own.group.id),))


def _traded(own: _Own, instrument: str, quantity: Decimal) -> str:
    prices = {
        entry.base_price
        for entry in own.group.positions
        if (entry.account, entry.instrument) == (own.account, instrument)
    }
    price = prices.pop() if len(prices) == 1 else None
    at = "" if price is None else f" at {number(price)}"
    verb = "bought" if quantity > 0 else "sold"
    return f"The account {verb} {number(abs(quantity))} {instrument}{at}."


def _sums(own: _Own) -> list[tuple[tuple[str, Asset], int]]:
    sums: dict[tuple[str, Asset], int] = {}
    for transfer in own.of(*_CASH):
        key = _CASH[transfer.kind], transfer.asset
        sums[key] = sums.get(key, 0) + own.credited(transfer)
    return [(key, units) for key, units in sums.items() if units]


def _quantities(own: _Own) -> list[tuple[str, Decimal]]:
    sums: dict[str, Decimal] = {}
    for entry in own.group.positions:
        if entry.account == own.account:
            sums[entry.instrument] = sums.get(entry.instrument, Decimal(0)) + entry.quantity
    return [(name, quantity) for name, quantity in sums.items() if quantity]


def _scope(group_id: str) -> list[str]:
    """Return [scope, time] of the id of a settlement group; empty for another group."""
    parts = group_id.split(":")
    if len(parts) != 4 or parts[0] not in _TITLES:
        return []
    return [parts[1].replace("%2F", "/"), parts[2].replace("%3A", ":")]


def _sweep(own: _Own) -> Statement | None:
    found = own.of(TransferKind.SWEEP)
    if not found:
        return None
    parts = [_swept(transfer) for transfer in found]
    return Statement(Topic.SETTLEMENT, "Settled cash moved", " ".join(parts))


def _swept(transfer: Transfer) -> str:
    shown = amount(transfer.amount, transfer.asset)
    if transfer.credit.startswith(f"{AccountKind.COLLATERAL.value}:"):
        return f"{shown} of settled cash became collateral."
    return f"{shown} of collateral was used for what the account owed after the settlement."


def _reservation(own: _Own) -> Statement | None:
    found = own.of(TransferKind.RESERVATION)
    pending = [t for t in found if t.phase is Phase.PENDING]
    ended = [t for t in found if t.phase in (Phase.VOID, Phase.EXPIRY)]
    posted = [t for t in found if t.phase is Phase.POST]
    if pending and len(found) == len(pending):
        text = (
            f"{_total(pending)} of margin was set aside for quoted block trades; it is released "
            "when the quotes end."
        )
        return Statement(Topic.RESERVATION, "Margin reserved", text)
    if posted:
        text = f"A quoted block trade was executed; its reserved margin of {_total(posted)} stays."
        return Statement(Topic.RESERVATION, "Reservation used", text)
    if ended and not pending:
        text = f"Reservations of {_total(ended)} ended, and the margin is free again."
        return Statement(Topic.RESERVATION, "Reservation ended", text)
    return None


def _total(transfers: Sequence[Transfer]) -> str:
    return amount(sum(t.amount for t in transfers), transfers[0].asset)


def _owner(account_id: str) -> str:
    """Return the owner of an account of the journal; see `account_id`."""
    return account_id.split(":", 2)[2]
