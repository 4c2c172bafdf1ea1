"""Books of positions, and every operation that makes one book of another.

No other module constructs a `Book`: its arrays have an order that all code relies on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.market.identity import content_id


@dataclass(frozen=True)
class Book:
    """Positions of many accounts, grouped by account.

    The positions of an account are in the order of `instruments`, which is the order of summation.
    """

    accounts: tuple[str, ...]
    """Account ids, n_accounts; sorted by code point in books built by `book_from_table`."""
    members: tuple[str, ...]
    """Clearing member of each account, n_accounts."""
    instruments: tuple[str, ...]
    """Names of all instruments held, sorted, n_instruments."""
    start: IntArray
    """int64 (n_accounts + 1,): account a holds positions start[a] to start[a + 1] - 1."""
    instrument_index: IndexArray
    """int32 (n_positions,): index into `instruments`."""
    quantity: FloatArray
    """float64 (n_positions,), positive if long: US dollars of notional for inverse futures and
    perpetuals, coins for all other instruments."""

    @cached_property
    def id(self) -> str:
        """Content id."""
        return content_id(
            "book",
            {
                "accounts": self.accounts,
                "members": self.members,
                "instruments": self.instruments,
                "positions": [self.start, self.instrument_index, self.quantity],
            },
        )

    @property
    def n_positions(self) -> int:
        """Total number of positions."""
        return int(self.quantity.size)


def book_of_grouped_rows(
    accounts: Sequence[str],
    members: Sequence[str],
    instruments: Sequence[str],
    account: IntArray | IndexArray,
    instrument: IntArray | IndexArray,
    quantity: FloatArray,
) -> Book:
    """Return a book whose positions are given as rows that are grouped by account.

    Parameters
    ----------
    accounts, members : sequences of n_accounts texts
    instruments : sequence of n_instruments texts, sorted
    account : int array of shape (n_positions,)
        Index in `accounts`, ascending.
    instrument : int array of shape (n_positions,)
        Index in `instruments`; ascending within an account.
    quantity : float64 array of shape (n_positions,)
        As `Book.quantity`.
    """
    return Book(
        accounts=tuple(accounts),
        members=tuple(members),
        instruments=tuple(instruments),
        start=np.searchsorted(account, np.arange(len(accounts) + 1)).astype(np.int64),
        instrument_index=instrument.astype(np.int32),
        quantity=np.ascontiguousarray(quantity, np.float64),
    )


def book_of_portfolios(portfolios: Iterable[tuple[str, str, Mapping[str, float]]]) -> Book:
    """Return a book with one account per portfolio, in the order given.

    Each portfolio is (account id, member, quantity by instrument). Zero quantities are dropped;
    accounts without positions are kept.
    """
    items = list(portfolios)
    names = sorted({name for _, _, held in items for name, q in held.items() if q != 0.0})
    code = {name: i for i, name in enumerate(names)}
    rows = [
        (a, code[name], held[name])
        for a, (_, _, held) in enumerate(items)
        for name in sorted(held)
        if held[name] != 0.0
    ]
    return book_of_grouped_rows(
        [account for account, _, _ in items],
        [member for _, member, _ in items],
        names,
        np.array([a for a, _, _ in rows], np.int64),
        np.array([i for _, i, _ in rows], np.int32),
        np.array([q for _, _, q in rows], np.float64),
    )


def account_book(account: str, member: str, positions: Mapping[str, float]) -> Book:
    """Return the book of one account; `positions` is quantity by instrument, zeros are dropped."""
    return book_of_portfolios([(account, member, positions)])


def accounts_of_positions(book: Book) -> IntArray:
    """Return the index of the account of each position, int64 (n_positions,)."""
    return np.repeat(np.arange(len(book.accounts)), np.diff(book.start))


def select_positions(book: Book, accounts: BoolArray, positions: BoolArray) -> Book:
    """Return the selected accounts with their selected positions.

    A selected account is kept even if none of its positions is selected; instruments that are no
    longer held are dropped.

    Parameters
    ----------
    book : Book
    accounts : bool array of shape (n_accounts,)
    positions : bool array of shape (n_positions,)
    """
    account = accounts_of_positions(book)
    kept = positions & accounts[account]
    at = np.flatnonzero(accounts)
    new_index = np.cumsum(accounts) - 1
    held = book.instrument_index[kept]
    used = np.flatnonzero(np.bincount(held, minlength=len(book.instruments)))
    code = np.zeros(len(book.instruments), np.int32)
    code[used] = np.arange(used.size, dtype=np.int32)
    return book_of_grouped_rows(
        [book.accounts[a] for a in at],
        [book.members[a] for a in at],
        [book.instruments[i] for i in used],
        new_index[account[kept]],
        code[held],
        book.quantity[kept],
    )


def other_accounts(whole: Book, accounts: Iterable[str]) -> Book | None:
    """Return the further accounts of the members of some accounts, or None if there are none.

    Parameters
    ----------
    whole : Book
    accounts : iterable of str
        Account ids; those that `whole` lacks are ignored.
    """
    chosen = set(accounts)
    pairs = list(zip(whole.accounts, whole.members, strict=True))
    members = {member for account, member in pairs if account in chosen}
    further = np.array([m in members and a not in chosen for a, m in pairs], np.bool_)
    if not further.any():
        return None
    return select_positions(whole, further, np.ones(whole.n_positions, np.bool_))


def select_account(book: Book, account: int) -> Book:
    """Return the book of the account with that index alone."""
    chosen = np.zeros(len(book.accounts), np.bool_)
    chosen[account] = True
    return select_positions(book, chosen, np.ones(book.n_positions, np.bool_))


def select_instruments(book: Book, instruments: BoolArray) -> Book:
    """Return the book without the positions in instruments that are not selected.

    All accounts and all selected instruments remain, including those that nothing is held in.
    `instruments` is a bool array of shape (n_instruments,).
    """
    kept = instruments[book.instrument_index]
    code = np.cumsum(instruments) - 1
    return book_of_grouped_rows(
        book.accounts,
        book.members,
        [n for n, k in zip(book.instruments, instruments, strict=True) if k],
        accounts_of_positions(book)[kept],
        code[book.instrument_index[kept]],
        book.quantity[kept],
    )


def add_positions(book: Book, added: Mapping[int, Mapping[str, float]]) -> Book:
    """Return the book with quantities added to the positions of some accounts.

    `added` is, by index of the account, the quantity by instrument. Positions that become zero, and
    instruments of the book that nothing is held in, remain.
    """
    names = sorted({*book.instruments, *(n for held in added.values() for n in held)})
    code = {name: i for i, name in enumerate(names)}
    moved = np.array([code[name] for name in book.instruments], np.int32)
    account, instrument, quantity = list[int](), list[int](), list[float]()
    for a in range(len(book.accounts)):
        own = slice(int(book.start[a]), int(book.start[a + 1]))
        codes = moved[book.instrument_index[own]].tolist()
        held = dict(zip(codes, book.quantity[own].tolist(), strict=True))
        for name, amount in added.get(a, {}).items():
            held[code[name]] = held.get(code[name], 0.0) + amount
        account += [a] * len(held)
        instrument += sorted(held)
        quantity += [held[i] for i in sorted(held)]
    return book_of_grouped_rows(
        book.accounts,
        book.members,
        names,
        np.array(account, np.int64),
        np.array(instrument, np.int32),
        np.array(quantity, np.float64),
    )


def split_accounts(
    book: Book, groups: Sequence[int], names: Sequence[str]
) -> tuple[Book, IntArray]:
    """Return a book with one account per account and group of instruments, and the owners.

    Parameters
    ----------
    book : Book
    groups : sequence of n_instruments ints
        Group of each instrument, from 0.
    names : sequence of texts
        Name of each group; a new account is named ``account|group``.

    Returns
    -------
    split : Book
        Ordered by owner, then by group.
    owner : int64 array of shape (n_new_accounts,)
        Index in `book.accounts` of the account to which each new account belongs.
    """
    group = np.asarray(groups, np.int64)[book.instrument_index]
    account = accounts_of_positions(book)
    order = np.lexsort((book.instrument_index, group, account))
    cell = account[order] * (len(names) + 1) + group[order]
    is_first = np.append(True, np.diff(cell) != 0)[: cell.size]
    owner, its_group = account[order][is_first], group[order][is_first]
    split = book_of_grouped_rows(
        [f"{book.accounts[a]}|{names[g]}" for a, g in zip(owner, its_group, strict=True)],
        [book.members[a] for a in owner],
        book.instruments,
        np.cumsum(is_first) - 1,
        book.instrument_index[order],
        book.quantity[order],
    )
    return split, owner.astype(np.int64)


def concat_books(books: Sequence[Book]) -> Book:
    """Return the accounts of several books with the same instruments, one book after the other."""
    firsts = np.cumsum([0, *(len(book.accounts) for book in books)])
    pairs = list(zip(books, firsts, strict=False))
    return book_of_grouped_rows(
        [a for book in books for a in book.accounts],
        [m for book in books for m in book.members],
        books[0].instruments,
        np.concatenate([accounts_of_positions(book) + first for book, first in pairs]),
        np.concatenate([book.instrument_index for book in books]),
        np.concatenate([book.quantity for book in books]),
    )


def join_books(named: Sequence[tuple[str, Book]]) -> Book:
    """Return the accounts of several books, one book after the other.

    `named` gives each book with a name; accounts and members become ``name/account`` and
    ``name/member``, so that those of different books stay distinct.
    """
    names = sorted({n for _, book in named for n in book.instruments})
    code = {name: i for i, name in enumerate(names)}
    moved = [np.array([code[n] for n in book.instruments], np.int64) for _, book in named]
    firsts = np.cumsum([0, *(len(book.accounts) for _, book in named)])
    return book_of_grouped_rows(
        [f"{name}/{a}" for name, book in named for a in book.accounts],
        [f"{name}/{m}" for name, book in named for m in book.members],
        names,
        np.concatenate(
            [accounts_of_positions(b) + f for (_, b), f in zip(named, firsts, strict=False)]
        ),
        np.concatenate(
            [m[book.instrument_index] for m, (_, book) in zip(moved, named, strict=True)]
        ),
        np.concatenate([book.quantity for _, book in named]),
    )


def assemble_book(
    base: Book | None, changed: Mapping[str, tuple[str, Mapping[str, float]]]
) -> Book | None:
    """Return the book of all accounts in canonical order, or None if it has no positions.

    Parameters
    ----------
    base : Book, optional
    changed : mapping
        Account id to (member, non-zero quantity by instrument), for accounts that replace or extend
        those of `base`. It must not be empty if there is no `base`.

    Notes
    -----
    As in `book_from_table`, accounts are ordered by id and accounts without positions are left out,
    so that equal positions give equal books.
    """
    members: dict[str, str] = {}
    names: list[np.ndarray] = []
    accounts: list[np.ndarray] = []
    quantities: list[np.ndarray] = []
    instruments = {n for _, held in changed.values() for n in held}
    if base is not None:
        instruments |= set(base.instruments)
    listed = sorted(instruments)
    rank = {name: i for i, name in enumerate(listed)}
    ids = sorted({*changed, *(base.accounts if base is not None else ())})
    position = {account: i for i, account in enumerate(ids)}
    if base is not None:
        kept = np.array([a not in changed for a in base.accounts], np.bool_)
        counts = np.diff(base.start)
        rows = np.repeat(kept, counts)
        code = np.array([position[a] for a in base.accounts], np.int64)
        translate = np.array([rank[n] for n in base.instruments], np.int64)
        accounts.append(np.repeat(code, counts)[rows])
        names.append(translate[base.instrument_index[rows]])
        quantities.append(base.quantity[rows])
        members |= dict(zip(base.accounts, base.members, strict=True))
    for account, (member, held) in changed.items():
        members[account] = member
        accounts.append(np.full(len(held), position[account], np.int64))
        names.append(np.array([rank[n] for n in held], np.int64))
        quantities.append(np.array(list(held.values()), np.float64))
    account, name = np.concatenate(accounts), np.concatenate(names)
    if account.size == 0:
        return None
    order = np.lexsort((name, account))
    book = book_of_grouped_rows(
        ids,
        [members[account_id] for account_id in ids],
        listed,
        account[order],
        name[order],
        np.concatenate(quantities)[order],
    )
    return select_positions(book, np.diff(book.start) > 0, np.ones(order.size, np.bool_))
