"""Margins of accounts with their quoted trades, from which reservations are priced again.

Margin does not add up: the k-th reservation of an account is priced on its positions together with
the quotes before it.
"""

from collections.abc import Mapping, Sequence

from margin_actors.engine.addons import netted_book
from margin_actors.engine.margin import (
    BookAssessment,
    MarginResult,
    PreparedMarket,
    margin_from_slice,
    model_faults,
    price_own_slice,
)
from margin_actors.engine.scenarios import CORE, ScenarioSet
from margin_actors.errors import MarginError
from margin_actors.market.books import (
    Book,
    book_of_portfolios,
    other_accounts,
    select_account,
)
from margin_actors.market.instruments import instrument_from_name
from margin_cluster.operations.margining import QuotedPositions


def cumulative_margins(
    market: PreparedMarket,
    scenarios: ScenarioSet,
    result: MarginResult,
    quotes: Mapping[str, Sequence[QuotedPositions]],
    *,
    threads: int = 1,
) -> dict[str, tuple[float, ...]]:
    """Return the margins of accounts with their first quote, their first two quotes, and so on.

    Parameters
    ----------
    market : PreparedMarket
        Any contracts; those of the accounts and quotes are priced here.
    scenarios : ScenarioSet
    result : MarginResult
        The margins of the whole book without quotes.
    quotes : mapping of account to sequence of QuotedPositions
    threads : int

    Returns
    -------
    dict of account to tuple of float
        US dollars. It ends before the first quote that cannot be priced; accounts that were not
        margined, or cannot be with their quotes, are left out.
    """
    place = {account: row for row, account in enumerate(result.book.accounts)}
    usable = _priceable(market, scenarios, quotes)
    alternatives = {
        account: _alternatives(result.book, place[account], usable[account])
        for account in sorted(usable)
        if account in place and usable[account]
    }
    if not alternatives:
        return {}
    others = {account: _others(result, account) for account in alternatives}
    books = (*alternatives.values(), *(book for book in others.values() if book is not None))
    names = sorted({name for book in books for name in book.instruments})
    own = market.with_contracts(names or market.contracts.names[:1])
    n_core = scenarios.section(CORE).count
    priced = price_own_slice(own, scenarios, 0, n_core=n_core, threads=threads)
    found: dict[str, tuple[float, ...]] = {}
    for account, book in alternatives.items():
        further = others[account]
        if further is not None:
            further = netted_book(own.contracts, further, book.members)
        assessment = BookAssessment(book, book, others=further)
        try:
            margins = margin_from_slice(own, priced, scenarios, assessment, threads=threads).margins
        except MarginError:
            continue
        found[account] = tuple(margins.initial_margin_usd.tolist())
    return found


def _alternatives(book: Book, row: int, quotes: Sequence[QuotedPositions]) -> Book:
    """Return the account with more and more quotes, each as an account of a member of its own."""
    own = select_account(book, row)
    positions = {
        own.instruments[i]: float(q)
        for i, q in zip(own.instrument_index.tolist(), own.quantity.tolist(), strict=True)
    }
    portfolios: list[tuple[str, str, dict[str, float]]] = []
    for number, quote in enumerate(quotes, 1):
        for name, quantity in quote.positions.items():
            positions[name] = positions.get(name, 0.0) + quantity
        portfolios.append((f"with {number}", f"with {number}", dict(positions)))
    return book_of_portfolios(portfolios)


def _others(result: MarginResult, account: str) -> Book | None:
    """Return the further accounts of the account's member, if the model measures by member."""
    if not result.market.model.addons.members.enabled:
        return None
    row = result.book.accounts.index(account)
    return other_accounts(result.book, [account]) if result.book.members[row] else None


def _priceable(
    market: PreparedMarket, scenarios: ScenarioSet, quotes: Mapping[str, Sequence[QuotedPositions]]
) -> dict[str, tuple[QuotedPositions, ...]]:
    """Return the quotes of each account up to the first that has a contract without a price."""
    names = sorted({n for some in quotes.values() for one in some for n in one.positions})
    faults = set(model_faults(names, market.snapshot, market.model, market.other_surfaces))
    faults |= {
        name
        for name in names
        if name not in faults and instrument_from_name(name).underlying not in scenarios.underlyings
    }
    kept: dict[str, tuple[QuotedPositions, ...]] = {}
    for account, some in quotes.items():
        count = next(
            (k for k, one in enumerate(some) if not faults.isdisjoint(one.positions)), len(some)
        )
        kept[account] = tuple(some[:count])
    return kept


__all__ = ["cumulative_margins"]
