"""Net positions of the members to which accounts belong.

In a default all accounts of a member are closed together, so that the size of what must be closed
is that of the member. Offsets between accounts do not reduce the size below that of an account on
its own, since positions of clients do not net.

Positions are netted in whole lots, which are summed exactly in any order. The result therefore does
not depend on how accounts are divided into ranges, or on which of them are margined together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray, IntArray
from margin_actors.engine.addons.exposures import ContractRisk
from margin_actors.engine.addons.groups import MemberSizes, bucket_exposures
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import Contracts, Holdings, whole_lots
from margin_actors.market.books import Book, accounts_of_positions, book_of_grouped_rows


@dataclass(frozen=True)
class NetPositions:
    """Net positions of n_members members, in the order of members and then of names."""

    holdings: Holdings
    """Positions of the members, in lots; positions of zero lots remain."""
    quantity: FloatArray
    """float64 (n_positions,): units; long is positive."""
    member: IntArray
    """int64 (n_accounts,): member of each account of the book, an index from 0."""
    row: IntArray
    """int64 (n_book_positions,): net position of each position of the book."""


def member_codes(members: Sequence[str]) -> IntArray:
    """Return an index per account, int64, equal for accounts of one member.

    An account without a member (an empty text) is a member of its own.
    """
    number: dict[str, int] = {}
    codes = [number.setdefault(name or f"\0{a}", len(number)) for a, name in enumerate(members)]
    return np.array(codes, np.int64)


def net_positions(contracts: Contracts, book: Book, others: Book | None = None) -> NetPositions:
    """Return the net positions of the members of a book.

    Parameters
    ----------
    contracts : Contracts
        With at least the instruments of both books, in whole lots.
    book : Book
    others : Book, optional
        Further accounts, whose positions count towards those of members of `book`.
    """
    books = [book] if others is None else [book, others]
    member = member_codes([m for item in books for m in item.members])
    names = sorted({name for item in books for name in item.instruments})
    rank = {name: i for i, name in enumerate(names)}
    firsts = np.cumsum([0, *(len(item.accounts) for item in books)]).tolist()
    keys: list[IntArray] = []
    for first, item in zip(firsts, books, strict=False):
        own = np.array([rank[name] for name in item.instruments], np.int64)
        code = member[first + accounts_of_positions(item)]
        keys.append(code * len(names) + own[item.instrument_index])
    place = np.array([contracts.place[name] for name in names], np.int32)
    key, row = np.unique(np.concatenate(keys), return_inverse=True)
    quantity = np.concatenate([item.quantity for item in books])
    index: IndexArray = place[key % max(len(names), 1)]
    lots = whole_lots(quantity, contracts.lot[index][row])[0]
    net = np.bincount(row, weights=lots, minlength=key.size).astype(np.float64)
    amount = _quantity_of(net, contracts.lot[index])
    n_members = int(member.max(initial=-1)) + 1
    start = np.searchsorted(key, np.arange(n_members + 1) * len(names)).astype(np.int64)
    quantum = 1.0 if contracts.quantum_usd is None else contracts.quantum_usd
    holdings = Holdings(start, index, net, quantum, is_exact=True)
    return NetPositions(holdings, amount, member[: len(book.accounts)], row[: book.n_positions])


def _quantity_of(lots: FloatArray, lot: FloatArray) -> FloatArray:
    """Return the quantity of whole lots, float64 (n_positions,), for example 0.3 for 30 of 0.01.

    It depends on the number of lots alone, and is the decimal number nearest to it if the lot is
    the reciprocal of a whole number.
    """
    per_unit = np.round(1.0 / lot)
    is_reciprocal = np.abs(per_unit * lot - 1.0) < 1e-9
    return np.where(is_reciprocal, lots / np.where(is_reciprocal, per_unit, 1.0), lots * lot)


def netted_book(contracts: Contracts, book: Book, members: Sequence[str]) -> Book:
    """Return a book in which each of `members` has one account with the sum of all positions.

    Positions of zero are left out. Netting it with further accounts gives the same positions as
    netting all accounts of `book` with them, to the bit.
    """
    alone = book_of_grouped_rows(
        book.accounts,
        ["all"] * len(book.accounts),
        book.instruments,
        accounts_of_positions(book),
        book.instrument_index,
        book.quantity,
    )
    found = net_positions(contracts, alone)
    names = [contracts.names[i] for i in found.holdings.index.tolist()]
    kept = np.flatnonzero(found.quantity != 0.0)
    n = len(members)
    return book_of_grouped_rows(
        [f"{name} others" for name in members],
        members,
        [names[i] for i in kept.tolist()],
        np.repeat(np.arange(n), kept.size),
        np.tile(np.arange(kept.size, dtype=np.int32), n),
        np.tile(found.quantity[kept], n),
    )


def strike_coins(
    strike: IndexArray, owner: IntArray, quantity: FloatArray, n_strikes: int
) -> FloatArray:
    """Return, per position, the gross quantity of its owner at its strike; 0 for other contracts.

    Parameters
    ----------
    strike : int array of shape (n_positions,)
        Index of the strike; -1 for positions other than options.
    owner : int64 array of shape (n_positions,)
        Index of the account or member of each position.
    quantity : float64 array of shape (n_positions,), coins
    n_strikes : int
    """
    out = np.zeros(quantity.size)
    options = np.flatnonzero(strike >= 0)
    key = owner[options] * max(n_strikes, 1) + strike[options]
    _, place = np.unique(key, return_inverse=True)
    coins = np.bincount(place, weights=np.abs(quantity[options]))
    out[options] = coins[place]
    return out


def member_sizes(
    net: NetPositions,
    risk: ContractRisk,
    parameters: ModelParameters,
) -> MemberSizes:
    """Return the sizes of the members' net positions, for the accounts and positions of the book.

    `risk` is that of the contracts in which `net` is given.
    """
    found = bucket_exposures(net.holdings, net.quantity, risk, parameters)
    owner = np.repeat(np.arange(net.holdings.n_accounts), np.diff(net.holdings.start))
    strike = risk.strike[net.holdings.index]
    coins = strike_coins(strike, owner, net.quantity, len(risk.strike_names))
    return MemberSizes(
        found.delta[net.member],
        found.vega[net.member],
        np.abs(net.quantity)[net.row],
        coins[net.row],
    )
