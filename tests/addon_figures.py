"""Models with one add-on, and the amounts and figures of components, for tests of add-ons."""

import numpy as np
from made import model_from

from margin_actors.engine.margin import MarginResult
from margin_actors.market.books import Book


def on(name: str, **fields: object):
    return model_from("hs-surface", addons={name: {"enabled": True, **fields}})


def part(result: MarginResult, name: str, account: int = 0) -> float:
    return float(result.margins.component_usd(name)[account])


def figures(result: MarginResult, name: str, account: int = 0) -> dict[str, dict[str, float]]:
    """Return the inputs of one component, by label and then by name."""
    out: dict[str, dict[str, float]] = {}
    for _, p, label, figure, value in result.margins.inputs.of(account).rows():
        if p == name:
            out.setdefault(label, {})[figure] = value
    return out


def account_book(book: Book, account: int, times: float = 1.0) -> Book:
    held = slice(int(book.start[account]), int(book.start[account + 1]))
    index = book.instrument_index[held]
    lots = np.array([10.0 if book.instruments[i].endswith("PERPETUAL") else 0.01 for i in index])
    quantity = np.round(book.quantity[held] * times / lots) * lots
    return Book(("A",), ("M",), book.instruments, np.array([0, index.size]), index, quantity)
