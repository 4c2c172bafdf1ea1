"""The positions of all accounts, as recorded in the ledger and followed change by change.

An upload is a book of arrays. Trades after it concern few accounts, which are kept beside the book
as mappings. The whole book is assembled only when all of it is requested.
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
from margin_actors.market.books import account_book, assemble_book, book_of_portfolios
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import holding_fault
from margin_actors.market.portfolios import QUANTITY_MAX, Book
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import Trade

_DECIMALS = 9
"""Quantities are kept to a billionth, so that adding and subtracting 0.1 leaves nothing."""
_RECENT_MAX = 4_096
"""Accounts of the uploaded book that are kept as mappings since they were last requested."""


def add_quantities(
    held: Mapping[str, float], trades: Iterable[tuple[str, float]]
) -> dict[str, float]:
    """Return the positions after trades; positions that become 0 are left out."""
    out = dict(held)
    for name, quantity in trades:
        total = round(out.get(name, 0.0) + quantity, _DECIMALS)
        if total == 0.0:
            out.pop(name, None)
        else:
            out[name] = total
    return out


def is_reduction(before: float, after: float) -> bool:
    """Return whether a position becomes smaller without changing its side."""
    return abs(after) < abs(before) and after * before >= 0.0


@dataclass(frozen=True)
class Holding:
    """The positions of one account."""

    account_id: str
    member_id: str
    positions: Mapping[str, float]
    """Quantity by instrument."""

    @cached_property
    def book(self) -> Book:
        """A book of this account alone."""
        return account_book(self.account_id, self.member_id, self.positions)


EligibilityCheck = Callable[[Book], Mapping[tuple[str, str], str]]
"""Returns why positions of a book cannot be margined: description by (account, instrument); the
instrument is empty if the reason concerns the account as a whole."""


class Positions:
    """All positions, followed from the ledger. Methods may be called from any thread.

    `follow` and `book` may take long after a change; the other methods do not wait for them.
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
        self._whole: tuple[int, Book | None] = (-1, None)
        self._fault: MarginError | None = None

    @property
    def version(self) -> int:
        """The version followed so far; 0 before the first change."""
        return self._version

    @property
    def fault(self) -> str:
        """Why the stored positions cannot be used; empty if they can."""
        return "" if self._fault is None else str(self._fault)

    def is_current(self) -> bool:
        """Return whether the ledger has no newer version; one small read."""
        return self._archive.ledger.portfolio_version() == self._version

    def follow(self) -> int:
        """Apply the changes recorded since the version followed so far; return the version.

        A stored book that cannot be read is reported by `fault`, and by an error from every method
        that needs positions, until an upload replaces it.
        """
        if self.is_current():
            return self._version
        with self._following:
            for change in self._archive.ledger.changes_since(self._version):
                if change.kind == "upload":
                    self._replace(change.version, change.content)
                else:
                    with self._lock:
                        self._add(change.trades)
                        self._note(change.version)
        return self._version

    def _replace(self, version: int, book_id: str) -> None:
        base, fault = None, None
        try:
            base = self._archive.load_book(book_id)
        except MarginError as error:
            fault = error
        place = {} if base is None else {a: i for i, a in enumerate(base.accounts)}
        with self._lock:
            self._base, self._place, self._changed, self._fault = base, place, {}, fault
            self._note(version)

    def _note(self, version: int) -> None:
        self._version = version
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

    def _require_usable(self) -> None:
        if self._fault is not None:
            raise MissingMarketData(
                "the stored positions cannot be read",
                [Problem("positions", str(self._fault), "upload the positions again")],
            )

    def held(self, account: str) -> tuple[Holding, int]:
        """Return the positions of an account in the version followed so far, and that version.

        Raises
        ------
        UnknownAccount
            If the account has never held a position.
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

    def is_known(self, account: str) -> bool:
        """Return whether an account has held a position since the last upload."""
        with self._lock:
            return account in self._changed or account in self._place

    def counts(self) -> tuple[int, int]:
        """Return (accounts with positions, positions)."""
        with self._lock:
            sizes = [len(h.positions) for h in self._changed.values()]
            accounts, positions = sum(size > 0 for size in sizes), sum(sizes)
            if self._base is not None:
                counts = np.diff(self._base.start)
                replaced = [self._place[a] for a in self._changed if a in self._place]
                accounts += len(self._base.accounts) - len(replaced)
                positions += int(counts.sum() - counts[replaced].sum())
        return accounts, positions

    def book(self) -> tuple[Book | None, int]:
        """Return the positions of all accounts (None if there are none) and their version.

        Raises
        ------
        MissingMarketData
            If the stored positions cannot be read.
        """
        self.follow()
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
        """Return the trades with their members filled in; checked against the latest positions.

        Call it while no other change can be committed, so that what was checked is what is stored.

        Raises
        ------
        InvalidPortfolio
            Naming every trade with an unusable instrument name, of an account whose member is
            unknown or another one, or after which the position is too large or not eligible.
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
    """Return what is wrong with the positions after trades, located at the trade concerned.

    A position that could not be margined before may be reduced, so that there is a way out of it.
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
    found = eligibility(book_of_portfolios((account, after[account]) for account in accounts))
    if not found:
        return []
    earlier = eligibility(book_of_portfolios((account, before[account]) for account in accounts))
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


def trades_id(trades: Iterable[Trade]) -> str:
    """Return the content id of trades."""
    return content_id(
        "trades",
        {"rows": [[t.account_id, t.member_id, t.instrument_name, t.quantity] for t in trades]},
    )
