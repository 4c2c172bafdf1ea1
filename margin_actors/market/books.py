"""Construction of books from portfolios and from changes to a book."""

from collections.abc import Iterable, Mapping

import numpy as np

from margin_actors.market.portfolios import Book


def account_book(account: str, member: str, positions: Mapping[str, float]) -> Book:
    """Return the book of one account; `positions` is quantity by instrument, zeros are dropped."""
    held = {name: q for name, q in sorted(positions.items()) if q != 0.0}
    return Book(
        accounts=(account,),
        members=(member,),
        instruments=tuple(held),
        start=np.array([0, len(held)], np.int64),
        instrument_index=np.arange(len(held), dtype=np.int32),
        quantity=np.fromiter(held.values(), np.float64, len(held)),
    )


def book_of_portfolios(portfolios: Iterable[tuple[str, Mapping[str, float]]]) -> Book:
    """Return a book with one account per portfolio, in the order given.

    Each portfolio is (account id, quantity by instrument). Zero quantities are dropped; accounts
    without positions are kept.
    """
    items = list(portfolios)
    names = sorted({name for _, held in items for name, q in held.items() if q != 0.0})
    place = {name: i for i, name in enumerate(names)}
    start, index, quantity = [0], list[int](), list[float]()
    for _, held in items:
        for name in sorted(held):
            if held[name] != 0.0:
                index.append(place[name])
                quantity.append(held[name])
        start.append(len(index))
    return Book(
        accounts=tuple(name for name, _ in items),
        members=("",) * len(items),
        instruments=tuple(names),
        start=np.array(start, np.int64),
        instrument_index=np.array(index, np.int32),
        quantity=np.array(quantity, np.float64),
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
    used_accounts, account_counts = np.unique(account, return_counts=True)
    used_names, index = np.unique(name[order], return_inverse=True)
    return Book(
        accounts=tuple(ids[i] for i in used_accounts),
        members=tuple(members[ids[i]] for i in used_accounts),
        instruments=tuple(listed[i] for i in used_names),
        start=np.concatenate([[0], np.cumsum(account_counts)]).astype(np.int64),
        instrument_index=index.astype(np.int32),
        quantity=np.ascontiguousarray(np.concatenate(quantities)[order]),
    )
