"""The figures from which the components of requirements can be recomputed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray, IntArray


@dataclass(frozen=True)
class ComponentInputs:
    """Figures from which requirement components were computed, one row per figure.

    Rows ascend by account. Labels and names of figures are stored once and referred to by index.
    """

    account: IndexArray
    """int32 (n_rows,): index of the account."""
    component: IndexArray
    """int32 (n_rows,): index in `components`."""
    label: IndexArray
    """int32 (n_rows,): index in `labels`."""
    figure: IndexArray
    """int32 (n_rows,): index in `figures`."""
    value: FloatArray
    """float64 (n_rows,): in the unit at the end of the figure's name."""
    components: tuple[str, ...]
    """Names of the components, as `Margins.components`."""
    labels: tuple[str, ...]
    """What figures refer to: a bucket, strike, underlying or alternative; empty for the account."""
    figures: tuple[str, ...]
    """Names of figures; those with a unit end with it, for example ``var_usd``."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.value.size)

    def of(self, account: int) -> "ComponentInputs":
        """Return the rows of one account, renumbered as account 0."""
        first, last = (int(x) for x in np.searchsorted(self.account, [account, account + 1]))
        return ComponentInputs(
            self.account[first:last] - np.int32(account),
            self.component[first:last],
            self.label[first:last],
            self.figure[first:last],
            self.value[first:last],
            self.components,
            self.labels,
            self.figures,
        )

    def found(self, component: str, figure: str) -> tuple[IndexArray, IndexArray, FloatArray]:
        """Return (account, label, value) of every row of one figure; empty if there is none.

        Accounts and labels are int32 indices (n_found,), values float64 (n_found,).
        """
        if component not in self.components or figure not in self.figures:
            return _EMPTY, _EMPTY, np.empty(0)
        at = np.flatnonzero(
            (self.component == self.components.index(component))
            & (self.figure == self.figures.index(figure))
        )
        return self.account[at], self.label[at], self.value[at]

    def rows(self) -> Iterator[tuple[int, str, str, str, float]]:
        """Yield (account, component, label, figure, value), one tuple per row."""
        columns = (self.account, self.component, self.label, self.figure, self.value)
        for a, c, label, f, value in zip(*(column.tolist() for column in columns), strict=True):
            yield a, self.components[c], self.labels[label], self.figures[f], value


_EMPTY = np.empty(0, np.int32)
NO_INPUTS = ComponentInputs(_EMPTY, _EMPTY, _EMPTY, _EMPTY, np.empty(0), (), (), ())


class _Texts:
    """Distinct texts, numbered in the order of their first appearance."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.index.setdefault(text, len(self.index))

    def numbers(self, texts: Sequence[str]) -> IndexArray:
        return np.fromiter((self.number(t) for t in texts), np.int32, len(texts))


def join_inputs(batches: Sequence[tuple[int, ComponentInputs]]) -> ComponentInputs:
    """Return the rows of all batches under one model.

    A batch is a pair (offset added to its account indices, inputs).
    """
    filled = [(first, item) for first, item in batches if len(item)]
    if not filled:
        return NO_INPUTS
    labels, figures = _Texts(), _Texts()
    label: list[IndexArray] = []
    figure: list[IndexArray] = []
    for _, item in filled:
        label.append(labels.numbers(item.labels)[item.label])
        figure.append(figures.numbers(item.figures)[item.figure])
    return ComponentInputs(
        np.concatenate([item.account + np.int32(first) for first, item in filled]),
        np.concatenate([item.component for _, item in filled]),
        np.concatenate(label),
        np.concatenate(figure),
        np.concatenate([item.value for _, item in filled]),
        filled[0][1].components,
        tuple(labels.index),
        tuple(figures.index),
    )


class InputRecorder:
    """Collects figures component by component and returns them ordered by account.

    Parameters
    ----------
    components : sequence of str
        Names of the components, as `Margins.components`.
    """

    def __init__(self, components: Sequence[str]) -> None:
        self._components = tuple(components)
        self._labels, self._figures = _Texts(), _Texts()
        self._columns: list[tuple[IntArray, int, IndexArray, int, FloatArray]] = []

    def add(
        self,
        component: str,
        figure: str,
        account: IntArray,
        value: FloatArray,
        labels: Sequence[str] | str = "",
        of: IntArray | None = None,
    ) -> None:
        """Add one figure for many accounts.

        Parameters
        ----------
        component, figure : str
            Names of the component and of the figure.
        account : int64 (n,)
            Indices of the accounts.
        value : float64 (n,)
            In the unit at the end of the figure's name.
        labels : str or sequence of str
            One label for all rows; or one label per row if `of` is None, else the distinct labels.
        of : int64 (n,), optional
            Index in `labels` of each row's label.
        """
        if isinstance(labels, str):
            label = np.full(len(account), self._labels.number(labels), np.int32)
        else:
            label = self._labels.numbers(labels)
            label = label if of is None else label[of]
        number = self._components.index(component)
        self._columns.append((account, number, label, self._figures.number(figure), value))

    def sorted(self) -> ComponentInputs:
        """Return all rows, ascending by account and then in the order in which they were added."""
        if not self._columns:
            return NO_INPUTS
        account = np.concatenate([c[0] for c in self._columns]).astype(np.int32)
        sizes = [len(c[0]) for c in self._columns]
        order = np.argsort(account, kind="stable")
        return ComponentInputs(
            account[order],
            np.repeat(np.array([c[1] for c in self._columns], np.int32), sizes)[order],
            np.concatenate([c[2] for c in self._columns])[order],
            np.repeat(np.array([c[3] for c in self._columns], np.int32), sizes)[order],
            np.concatenate([c[4] for c in self._columns]).astype(np.float64)[order],
            self._components,
            tuple(self._labels.index),
            tuple(self._figures.index),
        )
