"""Components of a requirement, and the figures from which each can be recomputed."""

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
"""Components of a requirement, each in US dollars and at least 0; summed in this order."""

ADD_ONS: tuple[str, ...] = ("concentration", "liquidity", "model_risk", "expiry_risk")
"""Components that are added to the core and its floors."""


@dataclass(frozen=True)
class PartInputs:
    """Figures from which requirement components were computed, one row per figure.

    Rows ascend by account. Labels and names of figures are stored once and referred to by index.
    """

    account: IndexArray
    """int32 (n_rows,): index of the account."""
    part: IndexArray
    """int32 (n_rows,): index of the component in PARTS."""
    label: IndexArray
    """int32 (n_rows,): index in `labels`."""
    figure: IndexArray
    """int32 (n_rows,): index in `figures`."""
    value: FloatArray
    """float64 (n_rows,): in the unit at the end of the figure's name."""
    labels: tuple[str, ...]
    """What figures refer to: a bucket, strike, underlying or alternative; empty for the account."""
    figures: tuple[str, ...]
    """Names of figures; those with a unit end with it, for example ``var_usd``."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.value.size)

    def of(self, account: int) -> "PartInputs":
        """Return the rows of one account, renumbered as account 0."""
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
        """Yield (account, component, label, figure, value), one tuple per row."""
        columns = (self.account, self.part, self.label, self.figure, self.value)
        for a, p, label, f, value in zip(*(c.tolist() for c in columns), strict=True):
            yield a, PARTS[p], self.labels[label], self.figures[f], value


_EMPTY = np.empty(0, np.int32)
NO_INPUTS = PartInputs(_EMPTY, _EMPTY, _EMPTY, _EMPTY, np.empty(0), (), ())


class _Words:
    """Numbers texts in the order of their first appearance."""

    def __init__(self) -> None:
        self.place: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.place.setdefault(text, len(self.place))

    def numbers(self, texts: Sequence[str]) -> np.ndarray:
        return np.fromiter((self.number(t) for t in texts), np.int32, len(texts))


def join_inputs(parts: Sequence[tuple[int, PartInputs]]) -> PartInputs:
    """Return the rows of all `parts`, given as (offset added to the account indices, inputs)."""
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
    """Collects figures component by component and returns them ordered by account."""

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
        """Add one figure for many accounts.

        Parameters
        ----------
        part, figure : str
            The component, one of PARTS, and the name of the figure.
        account : int (n,)
            Indices of the accounts.
        value : float64 (n,)
            In the unit at the end of the figure's name.
        labels : str or sequence of str
            One label for all rows; or one label per row if `of` is None, else the distinct labels.
        of : int (n,), optional
            Index in `labels` of each row's label.
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
        """Return all rows, ascending by account and then in the order in which they were added."""
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
