"""What a requirement is made of, and the figures from which each part can be recomputed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray

PARTS: tuple[str, ...] = (
    "core",
    "diversification_cap",
    "correlation_stress",
    "buffer",
    "stressed_weight",
    "floor",
    "concentration",
    "liquidity",
    "model_risk",
    "expiry_risk",
)
"""Parts of a requirement, US dollars each, none negative; they add up to it in this order."""

ADD_ONS: tuple[str, ...] = ("concentration", "liquidity", "model_risk", "expiry_risk")
"""Parts on top of the core and its floors."""


@dataclass(frozen=True)
class PartInputs:
    """Figures that went into parts, a row each; rows of an account stand together.

    Texts are kept once and referred to by place.
    """

    account: IndexArray
    """int32 (n_rows,): place of the account."""
    part: IndexArray
    """int32 (n_rows,): place in PARTS."""
    label: IndexArray
    """int32 (n_rows,): place in `labels`."""
    figure: IndexArray
    """int32 (n_rows,): place in `figures`."""
    value: FloatArray
    """float64 (n_rows,)."""
    labels: tuple[str, ...]
    """What figures are of: a bucket, a strike, an alternative; empty for the account."""
    figures: tuple[str, ...]
    """Names of figures with their unit last, for example ``var_usd``."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.value.size)

    def of(self, account: int) -> "PartInputs":
        """Return the rows of one account, as account 0."""
        first, last = (int(x) for x in np.searchsorted(self.account, [account, account + 1]))
        return PartInputs(
            self.account[first:last] - np.int32(account),
            self.part[first:last],
            self.label[first:last],
            self.figure[first:last],
            self.value[first:last],
            self.labels,
            self.figures,
        )

    def rows(self) -> Iterator[tuple[int, str, str, str, float]]:
        """Yield (account, part, label, figure, value)."""
        columns = (self.account, self.part, self.label, self.figure, self.value)
        for a, p, label, f, value in zip(*(c.tolist() for c in columns), strict=True):
            yield a, PARTS[p], self.labels[label], self.figures[f], value


_EMPTY = np.empty(0, np.int32)
NO_INPUTS = PartInputs(_EMPTY, _EMPTY, _EMPTY, _EMPTY, np.empty(0), (), ())


class _Words:
    """Texts numbered in the order in which they come."""

    def __init__(self) -> None:
        self.place: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.place.setdefault(text, len(self.place))

    def numbers(self, texts: Sequence[str]) -> np.ndarray:
        return np.fromiter((self.number(t) for t in texts), np.int32, len(texts))


def join_inputs(parts: Sequence[tuple[int, PartInputs]]) -> PartInputs:
    """Return the rows of all, the accounts of each shifted by its number."""
    filled = [(first, item) for first, item in parts if len(item)]
    if not filled:
        return NO_INPUTS
    labels, figures = _Words(), _Words()
    label: list[np.ndarray] = []
    figure: list[np.ndarray] = []
    for _, item in filled:
        label.append(labels.numbers(item.labels)[item.label])
        figure.append(figures.numbers(item.figures)[item.figure])
    return PartInputs(
        np.concatenate([item.account + np.int32(first) for first, item in filled]),
        np.concatenate([item.part for _, item in filled]),
        np.concatenate(label),
        np.concatenate(figure),
        np.concatenate([item.value for _, item in filled]),
        tuple(labels.place),
        tuple(figures.place),
    )


class InputRows:
    """Collects inputs part by part and hands them out by account."""

    def __init__(self) -> None:
        self._labels, self._figures = _Words(), _Words()
        self._columns: list[tuple[np.ndarray, int, np.ndarray, int, np.ndarray]] = []

    def add(
        self,
        part: str,
        figure: str,
        account: np.ndarray,
        value: np.ndarray,
        labels: Sequence[str] | str = "",
        of: np.ndarray | None = None,
    ) -> None:
        """Add one figure of many accounts.

        One label is for all of them; several are one each, or chosen by `of`.
        """
        if isinstance(labels, str):
            label = np.full(len(account), self._labels.number(labels), np.int32)
        else:
            label = self._labels.numbers(labels)
            label = label if of is None else label[of]
        self._columns.append(
            (account, PARTS.index(part), label, self._figures.number(figure), value)
        )

    def sorted(self) -> PartInputs:
        """Return all rows, ascending by account, otherwise in the order of their adding."""
        if not self._columns:
            return NO_INPUTS
        account = np.concatenate([c[0] for c in self._columns]).astype(np.int32)
        sizes = [len(c[0]) for c in self._columns]
        order = np.argsort(account, kind="stable")
        return PartInputs(
            account[order],
            np.repeat(np.array([c[1] for c in self._columns], np.int32), sizes)[order],
            np.concatenate([c[2] for c in self._columns])[order],
            np.repeat(np.array([c[3] for c in self._columns], np.int32), sizes)[order],
            np.concatenate([c[4] for c in self._columns]).astype(np.float64)[order],
            tuple(self._labels.place),
            tuple(self._figures.place),
        )
