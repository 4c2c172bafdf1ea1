"""The positions of all accounts as the ledger has them, followed change by change.

An upload is a book of arrays; trades after it touch few accounts, which are kept beside it as
mappings. The whole book is put together only when someone asks for all of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
import pyarrow as pa

from margin_actors.errors import InvalidPortfolio, Problem, UnknownAccount, raise_if_any
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import holding_fault
from margin_actors.market.portfolios import Book, book_from_table
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import Trade

_DECIMALS = 9
"""Quantities are kept to a billionth, so that adding and taking away 0.1 leaves nothing."""
_RECENT_MAX = 4_096
"""Accounts kept as mappings since they were last asked for."""


def account_book(account: str, member: str, positions: Mapping[str, float]) -> Book:
    """Return the book of one account."""
    held = {name: q for name, q in sorted(positions.items()) if q != 0.0}
    return Book(
        accounts=(account,),
        members=(member,),
        instruments=tuple(held),
        start=np.array([0, len(held)], np.int64),
        instrument_index=np.arange(len(held), dtype=np.int32),
        quantity=np.fromiter(held.values(), np.float64, len(held)),
    )


def books_side_by_side(accounts: Iterable[tuple[str, Mapping[str, float]]]) -> Book:
    """Return a book of small portfolios under their names; each keeps its place, empty or not."""
    items = list(accounts)
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


def add_quantities(
    held: Mapping[str, float], trades: Iterable[tuple[str, float]]
) -> dict[str, float]:
    """Return positions after trades; those that come to nothing are gone."""
    out = dict(held)
    for name, quantity in trades:
        total = round(out.get(name, 0.0) + quantity, _DECIMALS)
        if total == 0.0:
            out.pop(name, None)
        else:
            out[name] = total
    return out


@dataclass(frozen=True)
class Holding:
    """What one account holds."""

    account_id: str
    member_id: str
    positions: Mapping[str, float]
    """Quantity by instrument."""

    @cached_property
    def book(self) -> Book:
        """A book of this account alone."""
        return account_book(self.account_id, self.member_id, self.positions)


class Positions:
    """All positions, followed from the ledger. Methods may be called from any thread.

    Only `follow` and `book` take long, where something has changed; the others never wait for them.
    """

    def __init__(self, archive: StoreArchive) -> None:
        self._archive = archive
        self._following = Lock()
        self._lock = Lock()
        self._version = 0
        self._base: Book | None = None
        self._place: dict[str, int] = {}
        self._changed: dict[str, Holding] = {}
        self._recent: dict[str, Holding] = {}
        self._whole: Book | None = None

    @property
    def version(self) -> int:
        """The version followed so far; 0 before the first."""
        return self._version

    def is_current(self) -> bool:
        """Return whether the ledger has nothing newer; one small read."""
        return self._archive.ledger.portfolio_version() == self._version

    def follow(self) -> int:
        """Take in what has changed and return the version."""
        if self.is_current():
            return self._version
        with self._following:
            for change in self._archive.ledger.changes_since(self._version):
                if change.kind == "upload":
                    base = self._archive.load_book(change.content)
                    place = {a: i for i, a in enumerate(base.accounts)}
                    with self._lock:
                        self._base, self._place, self._changed = base, place, {}
                        self._note(change.version)
                else:
                    with self._lock:
                        self._add(change.trades)
                        self._note(change.version)
        return self._version

    def _note(self, version: int) -> None:
        self._version, self._whole = version, None
        self._recent.clear()

    def _add(self, trades: tuple[Trade, ...]) -> None:
        for trade in trades:
            account = trade.account_id
            before = self._of(account) or Holding(account, trade.member_id, {})
            after = add_quantities(before.positions, [(trade.instrument_name, trade.quantity)])
            self._changed[account] = Holding(account, before.member_id, after)

    def _of(self, account: str) -> Holding | None:
        if account in self._changed:
            return self._changed[account]
        at = self._place.get(account)
        if at is None or self._base is None:
            return None
        base = self._base
        held = slice(int(base.start[at]), int(base.start[at + 1]))
        names = [base.instruments[i] for i in base.instrument_index[held].tolist()]
        quantities = dict(zip(names, base.quantity[held].tolist(), strict=True))
        return Holding(account, base.members[at], quantities)

    def held(self, account: str) -> tuple[Holding, int]:
        """Return what an account holds in the version followed so far, and that version.

        Raises
        ------
        UnknownAccount
            If it has never held anything.
        """
        with self._lock:
            version, found = self._version, self._recent.get(account)
            if found is None:
                found = self._of(account)
                if found is not None:
                    if len(self._recent) >= _RECENT_MAX:
                        self._recent.clear()
                    self._recent[account] = found
        if found is None:
            raise UnknownAccount(
                "there is no such account",
                [Problem("account_id", account[:128], "upload its positions or apply a trade")],
            )
        return found, version

    def book(self) -> Book | None:
        """Return the positions of all accounts, or None if there are none."""
        self.follow()
        with self._lock:
            version, base, changed = self._version, self._base, dict(self._changed)
            whole = self._whole if self._whole is not None or changed else base
        if whole is None and (base is not None or changed):
            whole = _put_together(base, changed)
            with self._lock:
                if self._version == version:
                    self._whole = whole
        return whole

    def check_trades(self, trades: tuple[Trade, ...]) -> tuple[Trade, ...]:
        """Return the trades with their members filled in.

        Raises
        ------
        InvalidPortfolio
            Naming every trade in no contract, of nothing, or of an account whose member is unknown
            or another one.
        """
        self.follow()
        problems: list[Problem] = []
        members: dict[str, str] = {}
        out: list[Trade] = []
        for number, trade in enumerate(trades):
            where = f"trades[{number}]"
            with self._lock:
                found = self._of(trade.account_id)
            member = found.member_id if found else members.get(trade.account_id, trade.member_id)
            members[trade.account_id] = member
            if not member:
                problems.append(
                    Problem(
                        f"{where}.member_id",
                        f"account {trade.account_id} is new",
                        "name its member",
                    )
                )
            elif trade.member_id and trade.member_id != member:
                problems.append(
                    Problem(
                        f"{where}.member_id",
                        f"{trade.member_id}, but account {trade.account_id} is {member}'s",
                    )
                )
            fault = holding_fault(trade.instrument_name, None)
            if fault is not None:
                problems.append(Problem(f"{where}.instrument_name", *fault))
            out.append(Trade(trade.account_id, member, trade.instrument_name, trade.quantity))
        raise_if_any(problems, InvalidPortfolio, "the trades cannot be applied")
        return tuple(out)


def trades_id(trades: Iterable[Trade]) -> str:
    """Return the content id of trades."""
    return content_id(
        "trades",
        {"rows": [[t.account_id, t.member_id, t.instrument_name, t.quantity] for t in trades]},
    )


def select_accounts(book: Book, chosen: np.ndarray) -> Book:
    """Return the book of some accounts (bool per account), with only the instruments they hold."""
    counts = np.diff(book.start)
    rows = np.repeat(chosen, counts)
    used, index = np.unique(book.instrument_index[rows], return_inverse=True)
    start = np.zeros(int(chosen.sum()) + 1, np.int64)
    np.cumsum(counts[chosen], out=start[1:])
    at = np.flatnonzero(chosen)
    return Book(
        accounts=tuple(book.accounts[a] for a in at),
        members=tuple(book.members[a] for a in at),
        instruments=tuple(book.instruments[i] for i in used),
        start=start,
        instrument_index=index.astype(np.int32),
        quantity=book.quantity[rows],
    )


def _put_together(base: Book | None, changed: Mapping[str, Holding]) -> Book | None:
    tables: list[pa.Table] = []
    if base is not None:
        kept = np.array([a not in changed for a in base.accounts], np.bool_)
        tables.append(_table_of(base, kept))
    rows = [
        (holding.member_id, account, name, quantity)
        for account, holding in changed.items()
        for name, quantity in holding.positions.items()
    ]
    columns = ("member_id", "account_id", "instrument_name")
    tables.append(
        pa.table(
            {c: pa.array([r[i] for r in rows], pa.string()) for i, c in enumerate(columns)}
            | {"quantity": pa.array([r[3] for r in rows], pa.float64())}
        )
    )
    table = pa.concat_tables(tables)
    return book_from_table(table, where="book") if table.num_rows else None


def _table_of(book: Book, kept: np.ndarray) -> pa.Table:
    account = np.repeat(np.arange(len(book.accounts)), np.diff(book.start))
    rows = kept[account]
    return pa.table(
        {
            "member_id": pa.array(book.members, pa.string()).take(pa.array(account[rows])),
            "account_id": pa.array(book.accounts, pa.string()).take(pa.array(account[rows])),
            "instrument_name": pa.array(book.instruments, pa.string()).take(
                pa.array(book.instrument_index[rows])
            ),
            "quantity": book.quantity[rows],
        }
    )
