"""In-memory copy of the positions of all accounts, updated from the changes in the ledger.

An upload is held as a book of arrays. Accounts that traded since are few; their positions are held
separately as mappings. The two are assembled into one book only when the whole book is requested.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np

from margin_actors.errors import (
    InvalidPortfolio,
    MarginError,
    MissingMarketData,
    Problem,
    UnknownAccount,
    raise_if_any,
)
from margin_actors.market.books import Book, account_book, assemble_book, book_of_portfolios
from margin_actors.market.instruments import holding_fault
from margin_actors.market.portfolios import QUANTITY_MAX
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import Trade

_DECIMALS = 9
"""Decimal places to which quantities are rounded, so that 0.1 + 0.2 - 0.3 is exactly 0."""
_RECENT_MAX = 4_096
"""Size of the cache of requested accounts; the cache is cleared when it is full."""


def add_quantities(
    held: Mapping[str, float], trades: Iterable[tuple[str, float]]
) -> dict[str, float]:
    """Return the positions (quantity by instrument) after trades, without positions of 0.

    `trades` are (instrument name, change of quantity), bought positive. Quantities are rounded to
    9 decimal places.
    """
    out = dict(held)
    for name, quantity in trades:
        total = round(out.get(name, 0.0) + quantity, _DECIMALS)
        if total == 0.0:
            out.pop(name, None)
        else:
            out[name] = total
    return out


def is_reduction(before: float, after: float) -> bool:
    """Return whether a position becomes smaller in absolute value and does not change its sign."""
    return abs(after) < abs(before) and after * before >= 0.0


@dataclass(frozen=True)
class Holding:
    """The positions of one account."""

    account_id: str
    member_id: str
    positions: Mapping[str, float]
    """Quantity by instrument name, long positive."""

    @cached_property
    def book(self) -> Book:
        """A book that holds only this account."""
        return account_book(self.account_id, self.member_id, self.positions)


EligibilityCheck = Callable[[Book], Mapping[tuple[str, str], str]]
"""Function that returns the reasons why positions of a book cannot be margined: descriptions by
(account, instrument); the instrument is empty if the reason concerns the account as a whole."""


class Positions:
    """All positions, updated from the ledger. Methods may be called from any thread.

    `follow`, `take_in` and `book` may take long after a change; the other methods do not wait for
    them.
    `check_trades` calls `follow`.
    """

    def __init__(self, archive: StoreArchive) -> None:
        self._archive = archive
        self._following = Lock()
        self._lock = Lock()
        self._version = 0
        self._base: Book | None = None
        self._row: dict[str, int] = {}
        self._changed: dict[str, Holding] = {}
        self._recent: dict[str, Holding] = {}
        self._of_member: dict[str, set[str]] | None = None
        self._member_version: dict[str, int] = {}
        self._fellows: dict[str, tuple[int, Book | None]] = {}
        self._whole: tuple[int, Book | None] = (-1, None)
        self._fault: MarginError | None = None

    @property
    def version(self) -> int:
        """Version of the last change that was applied; 0 before the first change."""
        return self._version

    @property
    def fault(self) -> str:
        """Reason why the stored positions cannot be used; empty if they can be used."""
        return "" if self._fault is None else str(self._fault)

    def is_current(self) -> bool:
        """Return whether the ledger has no newer version; makes one small read."""
        return self._archive.ledger.portfolio_version() == self._version

    def follow(self) -> int:
        """Apply the changes recorded in the ledger since `version`; return the new version.

        If a stored book cannot be read, `fault` is set, and methods that need positions raise
        MissingMarketData until an upload replaces the book.
        """
        if self.is_current():
            return self._version
        with self._following:
            for change in self._archive.ledger.changes_since(self._version):
                if change.kind == "upload":
                    self._read_book(change.version, change.content)
                else:
                    self.trade(change.version, change.trades)
        return self._version

    def trade(self, version: int, trades: tuple[Trade, ...]) -> None:
        """Apply the trades of the version that follows the current one."""
        with self._lock:
            self._add(trades, version)
            self._note(version)

    def take_in(self, version: int, book: Book) -> None:
        """Apply an upload of this process, whose book need not be read from the store.

        Does nothing if the version, or a later one, has been applied already.

        Parameters
        ----------
        version : int
            Version of the positions that the upload was given by the ledger.
        book : Book
            The positions of all accounts.
        """
        with self._following:
            if version > self._version:
                self._replace(version, book, None)

    def _read_book(self, version: int, book_id: str) -> None:
        try:
            book = self._archive.load_book(book_id)
        except MarginError as error:
            self._replace(version, None, error)
        else:
            self._replace(version, book, None)

    def _replace(self, version: int, book: Book | None, fault: MarginError | None) -> None:
        row = {} if book is None else {a: i for i, a in enumerate(book.accounts)}
        with self._lock:
            self._base, self._row, self._changed, self._fault = book, row, {}, fault
            self._of_member, self._member_version, self._fellows = None, {}, {}
            self._note(version)

    def _note(self, version: int) -> None:
        self._version = version
        self._recent.clear()

    def _add(self, trades: tuple[Trade, ...], version: int) -> None:
        for trade in trades:
            account = trade.account_id
            before = self._of(account) or Holding(account, trade.member_id, {})
            after = add_quantities(before.positions, [(trade.instrument_name, trade.quantity)])
            self._changed[account] = Holding(account, before.member_id, after)
            self._member_version[before.member_id] = version
            if self._of_member is not None:
                self._of_member.setdefault(before.member_id, set()).add(account)

    def _of(self, account: str) -> Holding | None:
        if account in self._changed:
            return self._changed[account]
        row = self._row.get(account)
        if row is None or self._base is None:
            return None
        base = self._base
        held = slice(int(base.start[row]), int(base.start[row + 1]))
        names = [base.instruments[i] for i in base.instrument_index[held].tolist()]
        quantities = dict(zip(names, base.quantity[held].tolist(), strict=True))
        return Holding(account, base.members[row], quantities)

    def _require_usable(self) -> None:
        if self._fault is not None:
            raise MissingMarketData(
                "the stored positions cannot be read",
                [Problem("positions", str(self._fault), "upload the positions again")],
            )

    def held(self, account: str) -> tuple[Holding, int]:
        """Return (positions of an account, version), without reading the ledger.

        Raises
        ------
        UnknownAccount
            If the account is neither in the last upload nor in a later trade.
        MissingMarketData
            If the stored positions cannot be read.
        """
        with self._lock:
            self._require_usable()
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

    def held_with_fellows(self, account: str) -> tuple[Holding, Book | None, int]:
        """Return (positions of an account, the other accounts of its member, version).

        The other accounts are None if there are none; the same object is returned until positions
        of the member change. Raises the errors of `held`.
        """
        while True:
            holding, version = self.held(account)
            member = holding.member_id
            with self._lock:
                if self._version != version:
                    continue
                last, found = self._fellows.get(account, (-1, None))
                if last >= self._member_version.get(member, 0):
                    return holding, found, version
                names = sorted(self._accounts_of(member) - {account})
                held = [self._of(name) for name in names]
            book = book_of_portfolios(
                (item.account_id, member, item.positions) for item in held if item is not None
            )
            fellows = book if book.n_positions else None
            with self._lock:
                if self._version == version:
                    if len(self._fellows) >= _RECENT_MAX:
                        self._fellows.clear()
                    self._fellows[account] = (version, fellows)
                    return holding, fellows, version

    def _accounts_of(self, member: str) -> set[str]:
        """Return all accounts of a member; the caller holds the lock."""
        if self._of_member is None:
            self._of_member = {}
            base = self._base
            pairs = zip(base.accounts, base.members, strict=True) if base is not None else ()
            changed = ((h.account_id, h.member_id) for h in self._changed.values())
            for account, its_member in (*pairs, *changed):
                self._of_member.setdefault(its_member, set()).add(account)
        return self._of_member.get(member, set())

    def is_known(self, account: str) -> bool:
        """Return whether an account is in the last upload or in a later trade."""
        with self._lock:
            return account in self._changed or account in self._row

    def counts(self) -> tuple[int, int]:
        """Return (number of accounts with positions, number of positions)."""
        with self._lock:
            sizes = [len(h.positions) for h in self._changed.values()]
            accounts, positions = sum(size > 0 for size in sizes), sum(sizes)
            if self._base is not None:
                counts = np.diff(self._base.start)
                replaced = [self._row[a] for a in self._changed if a in self._row]
                accounts += len(self._base.accounts) - len(replaced)
                positions += int(counts.sum() - counts[replaced].sum())
        return accounts, positions

    def book(self) -> tuple[Book | None, int]:
        """Apply new changes; return the book of all accounts and its version.

        The book is None if there are no positions.

        Raises
        ------
        MissingMarketData
            If the stored positions cannot be read.
        """
        self.follow()
        return self.known_book()

    def known_book(self) -> tuple[Book | None, int]:
        """Return (book of all accounts, version) without reading the ledger; see `book`."""
        with self._lock:
            self._require_usable()
            version, base, changed = self._version, self._base, dict(self._changed)
            if self._whole[0] == version:
                return self._whole[1], version
        whole = base
        if changed:
            whole = assemble_book(base, {a: (h.member_id, h.positions) for a, h in changed.items()})
        with self._lock:
            self._whole = (version, whole)
        return whole, version

    def check_trades(
        self, trades: tuple[Trade, ...], eligibility: EligibilityCheck
    ) -> tuple[Trade, ...]:
        """Check trades against the latest positions; return them with their members filled in.

        The caller must hold the writer's lock of the ledger, so that the positions do not change
        between the check and the commit.

        Raises
        ------
        InvalidPortfolio
            With every trade that has an unusable instrument name, names another member than the
            account's, or opens an account without naming its member. If there are none: with every
            trade after which the position is too large or cannot be margined.
        MissingMarketData
            If the stored positions cannot be read.
        """
        self.follow()
        with self._lock:
            self._require_usable()
            held = {t.account_id: self._of(t.account_id) for t in trades}
        problems: list[Problem] = []
        members: dict[str, str] = {}
        out: list[Trade] = []
        for number, trade in enumerate(trades):
            where = f"trades[{number}]"
            found = held[trade.account_id]
            member = found.member_id if found else members.get(trade.account_id, trade.member_id)
            members[trade.account_id] = member
            if not member:
                what = f"account {trade.account_id} is new"
                problems.append(Problem(f"{where}.member_id", what, "name its member"))
            elif trade.member_id and trade.member_id != member:
                what = f"{trade.member_id}, but account {trade.account_id} belongs to {member}"
                problems.append(Problem(f"{where}.member_id", what))
            fault = holding_fault(trade.instrument_name, None)
            if fault is not None:
                problems.append(Problem(f"{where}.instrument_name", *fault))
            out.append(Trade(trade.account_id, member, trade.instrument_name, trade.quantity))
        if not problems:
            problems += _position_problems(out, held, eligibility)
        raise_if_any(problems, InvalidPortfolio, "the trades cannot be applied")
        return tuple(out)


def _position_problems(
    trades: list[Trade], held: Mapping[str, Holding | None], eligibility: EligibilityCheck
) -> list[Problem]:
    """Return the problems of the positions after trades, each located at the trade concerned.

    A position that could not be margined before the trades may still be reduced.
    """
    before = {account: h.positions if h else {} for account, h in held.items()}
    after: dict[str, dict[str, float]] = {account: dict(p) for account, p in before.items()}
    last: dict[tuple[str, str], int] = {}
    problems: list[Problem] = []
    for number, trade in enumerate(trades):
        account, name = trade.account_id, trade.instrument_name
        after[account] = add_quantities(after[account], [(name, trade.quantity)])
        last[account, name] = number
        total = after[account].get(name, 0.0)
        if is_reduction(before[account].get(name, 0.0), total):
            continue
        if not math.isfinite(total) or abs(total) > QUANTITY_MAX:
            what = f"the position of {account} in {name} would be {total:g}"
            remedy = f"at most {QUANTITY_MAX:g}"
            problems.append(Problem(f"trades[{number}].quantity", what, remedy))
    if problems:
        return problems
    accounts = sorted({account for account, _ in last})
    found = eligibility(book_of_portfolios((account, "", after[account]) for account in accounts))
    if not found:
        return []
    earlier = eligibility(
        book_of_portfolios((account, "", before[account]) for account in accounts)
    )
    for (account, name), reason in sorted(found.items()):
        if name and (account, name) in last:
            was, total = before[account].get(name, 0.0), after[account].get(name, 0.0)
            if (account, name) not in earlier or not is_reduction(was, total):
                where = f"trades[{last[account, name]}].instrument_name"
                problems.append(Problem(where, f"account {account}: {reason}"))
        elif not name and (account, name) not in earlier:
            number = max(n for (a, _), n in last.items() if a == account)
            problems.append(Problem(f"trades[{number}].quantity", f"account {account}: {reason}"))
    return problems
