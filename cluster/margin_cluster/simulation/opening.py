"""The opening of a simulated day: rules, accounts, positions and collateral as entries of the log.

Positions are booked as trades at the opening marks, options without a premium, so that a day begins
without unsettled variation. Every command has an id of its own; an opening that was interrupted is
repeated and completed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from margin_actors.clearing.amounts import ASSETS, requirement_units, units_of
from margin_actors.clearing.calls import CallParameters
from margin_actors.clearing.house import Command
from margin_actors.clearing.house.account_events import ClearingAccount
from margin_actors.clearing.house.commands import (
    BookTrades,
    Deposit,
    OpenAccount,
    RecordParameters,
    TradeBooking,
)
from margin_actors.clearing.house.parameters import HouseParameters, collateral_parameters
from margin_actors.clearing.journal.deficits import AccountType
from margin_actors.clearing.journal.resources import collateral_rules
from margin_actors.clearing.settlement import Trade
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidPortfolio, Problem, raise_if_any
from margin_actors.market.books import Book, accounts_of_positions
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.portfolios import Collateral
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.simulation.members import CUSTODIAN

ACTOR = "opening"
_TRADES_TOGETHER = 250
_NAMED = 5


@dataclass(frozen=True)
class InitialCollateral:
    """Collateral of accounts if no file of collateral is given."""

    multiple: Decimal = Decimal("1.15")
    """Resources at the start as a multiple of the first requirement: collateral after haircuts and
    the value of the options."""
    usdc_share: Decimal = Decimal("0.7")
    """Share of it in USDC; the rest is in BTC."""

    def sentence(self) -> str:
        """Return the rule in words."""
        return (
            f"Each account begins with resources of {_percent(self.multiple)} of its first "
            "requirement: the value of its options and, after haircuts, collateral, of which "
            f"{_percent(self.usdc_share)} is USDC and the rest BTC."
        )


def _percent(share: Decimal) -> str:
    return f"{(100 * share).normalize():f} %"


def house_parameters(model: ModelParameters, calls: CallParameters) -> HouseParameters:
    """Return the rules of the house: the collateral rules of the model, and those of calls."""
    return HouseParameters(calls=calls, collateral=collateral_parameters(collateral_rules(model)))


def tradable_positions(book: Book, snapshot: MarketSnapshot) -> tuple[list[str], list[str]]:
    """Return (instruments that the market prices, those that it does not), each sorted.

    An option or future is priced if the market has its expiry, a perpetual if it has its index.
    """
    priced: list[str] = []
    omitted: list[str] = []
    for name in book.instruments:
        item = instrument_from_name(name)
        known = (
            item.underlying in snapshot.index_usd
            if item.expiry is None
            else (item.underlying, item.expiry) in snapshot.expiry_row
        )
        (priced if known and item.kind is not Kind.SPOT else omitted).append(name)
    return priced, omitted


def opening_commands(
    book: Book, names: Iterable[str], snapshot: MarketSnapshot, rules: HouseParameters
) -> Iterator[Command]:
    """Yield the commands that open the house with the positions in `names`, in their order.

    Raises
    ------
    InvalidPortfolio
        If the positions in an instrument do not sum to zero over all accounts.
    """
    yield RecordParameters("open:parameters", ACTOR, rules)
    for account, member in zip(book.accounts, book.members, strict=True):
        kind = AccountType.HOUSE if account.endswith("-H") else AccountType.CLIENT
        opened = ClearingAccount(account, member, kind)
        yield OpenAccount(f"open:account:{account}", ACTOR, opened)
    trades = list(_trades(book, names, snapshot))
    for number in range(0, len(trades), _TRADES_TOGETHER):
        some = tuple(trades[number : number + _TRADES_TOGETHER])
        yield BookTrades(f"open:trades:{number}", ACTOR, some)


def _trades(book: Book, names: Iterable[str], snapshot: MarketSnapshot) -> Iterator[TradeBooking]:
    held = _held(book)
    wanted = sorted(names)
    _require_balanced({name: held.get(name, []) for name in wanted})
    for name in wanted:
        item = instrument_from_name(name)
        index = Decimal(repr(snapshot.index_usd[item.underlying]))
        price = Decimal(0) if item.kind is Kind.OPTION else _mark(snapshot, name)
        pairs = _matched(held.get(name, []))
        for number, (buyer, seller, quantity) in enumerate(pairs, 1):
            trade = Trade(
                f"open:{name}:{number}", buyer, seller, quantity, price, index, snapshot.time
            )
            yield TradeBooking(name, trade)


def _mark(snapshot: MarketSnapshot, name: str) -> Decimal:
    item = instrument_from_name(name)
    if item.expiry is None:
        value = snapshot.perpetual_usd.get(item.underlying, snapshot.index_usd[item.underlying])
    else:
        value = snapshot.expiries[snapshot.expiry_row[item.underlying, item.expiry]].forward_usd
    return Decimal(f"{value:.4f}")


def _held(book: Book) -> dict[str, list[tuple[str, Decimal]]]:
    """Return the positions of each instrument as (account, quantity)."""
    found: dict[str, list[tuple[str, Decimal]]] = {}
    rows = zip(
        accounts_of_positions(book).tolist(),
        book.instrument_index.tolist(),
        book.quantity.tolist(),
        strict=True,
    )
    for account, instrument, quantity in rows:
        if quantity:
            pair = (book.accounts[account], Decimal(repr(quantity)))
            found.setdefault(book.instruments[instrument], []).append(pair)
    return found


def _require_balanced(held: Mapping[str, Sequence[tuple[str, Decimal]]]) -> None:
    sums = {name: sum((q for _, q in pairs), Decimal(0)) for name, pairs in held.items()}
    problems = [
        Problem(name, f"the positions of all accounts sum to {total}, not to 0")
        for name, total in sums.items()
        if total
    ]
    summary = f"the book of a clearing house is balanced; {len(problems)} instruments are not"
    raise_if_any(problems[:_NAMED], InvalidPortfolio, summary)


def _matched(pairs: Sequence[tuple[str, Decimal]]) -> Iterator[tuple[str, str, Decimal]]:
    """Yield (buyer, seller, quantity) so that each account ends with its position."""
    longs = [pair for pair in pairs if pair[1] > 0]
    shorts = [(account, -quantity) for account, quantity in pairs if quantity < 0]
    while longs and shorts:
        (buyer, wanted), (seller, offered) = longs.pop(), shorts.pop()
        quantity = min(wanted, offered)
        yield buyer, seller, quantity
        if wanted > quantity:
            longs.append((buyer, wanted - quantity))
        if offered > quantity:
            shorts.append((seller, offered - quantity))


def collateral_from_requirements(
    requirement_usd: Mapping[str, float],
    option_usd: Mapping[str, float],
    rule: InitialCollateral,
    rules: HouseParameters,
    snapshot: MarketSnapshot,
) -> Iterator[Command]:
    """Yield the deposits of all accounts by the rule of initial collateral.

    Parameters
    ----------
    requirement_usd : mapping of account to float
        US dollars, at least 0.
    option_usd : mapping of account to float
        Net option value, US dollars.
    rule : InitialCollateral
    rules : HouseParameters
        Haircuts.
    snapshot : MarketSnapshot
        Prices of the coins.
    """
    price = {"USDC": Decimal(1), "BTC": Decimal(repr(snapshot.index_usd["BTC"]))}
    shares = {"USDC": rule.usdc_share, "BTC": 1 - rule.usdc_share}
    for account, usd in requirement_usd.items():
        options = Decimal(f"{option_usd.get(account, 0.0):.2f}")
        value = Decimal(requirement_units(usd)) / 100 * rule.multiple - options
        for asset, part in shares.items():
            counted = _counted(asset, rules)
            if value > 0 and counted > 0 and part > 0:
                yield from _deposit(
                    account, asset, value * part / counted / price[asset], snapshot.time
                )


def collateral_from_file(
    collateral: Collateral, accounts: Iterable[str], time: datetime
) -> Iterator[Command]:
    """Yield the deposits of a file of collateral; those of other accounts are left out."""
    known = set(accounts)
    sums: dict[tuple[str, str], Decimal] = {}
    rows = zip(collateral.account_ids, collateral.assets, collateral.amounts.tolist(), strict=True)
    for account, asset, amount in rows:
        if account in known:
            key = account, asset
            sums[key] = sums.get(key, Decimal(0)) + Decimal(repr(amount))
    for (account, asset), amount in sorted(sums.items()):
        yield from _deposit(account, asset, amount, time)


def _deposit(account: str, asset: str, amount: Decimal, time: datetime) -> Iterator[Command]:
    known = ASSETS.get(asset)
    if known is None:
        problem = Problem(account, f"collateral in {asset} is not known", "use USDC, BTC or ETH")
        raise InvalidPortfolio("the collateral cannot be deposited", [problem])
    units = units_of(amount, known)
    if units > 0:
        name = f"open:deposit:{account}:{asset}"
        yield Deposit(name, CUSTODIAN, account, name, known, units, CUSTODIAN, time)


def _counted(asset: str, rules: HouseParameters) -> Decimal:
    """Return the share of an asset's value that counts; 1 for a coin that the model simulates."""
    section = rules.rules
    return Decimal(1) if asset in section.simulated else 1 - section.share_not_counted(asset)
