"""What a requirement is made of, and the figures from which each part can be recomputed."""

from collections.abc import Sequence
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
    """Figures that went into parts, a row each; rows of an account stand together."""

    account: IndexArray
    """int32 (n_rows,): place of the account."""
    part: tuple[str, ...]
    """One of PARTS."""
    label: tuple[str, ...]
    """What the figure is of: a bucket, a strike, an alternative; empty for the account."""
    field: tuple[str, ...]
    """Name of the figure with its unit last, for example ``var_usd``."""
    value: FloatArray
    """float64 (n_rows,)."""

    def of(self, account: int) -> "PartInputs":
        """Return the rows of one account."""
        first, last = (int(x) for x in np.searchsorted(self.account, [account, account + 1]))
        return PartInputs(
            self.account[first:last] - np.int32(account),
            self.part[first:last],
            self.label[first:last],
            self.field[first:last],
            self.value[first:last],
        )


NO_INPUTS = PartInputs(np.empty(0, np.int32), (), (), (), np.empty(0))


def join_inputs(parts: Sequence[tuple[int, PartInputs]]) -> PartInputs:
    """Return the rows of all, the accounts of each shifted by its number."""
    if not parts:
        return NO_INPUTS
    return PartInputs(
        np.concatenate([item.account + np.int32(first) for first, item in parts]),
        tuple(p for _, item in parts for p in item.part),
        tuple(p for _, item in parts for p in item.label),
        tuple(p for _, item in parts for p in item.field),
        np.concatenate([item.value for _, item in parts]),
    )


class InputRows:
    """Collects inputs part by part and hands them out by account."""

    def __init__(self) -> None:
        self._account: list[np.ndarray] = []
        self._value: list[np.ndarray] = []
        self._part: list[str] = []
        self._label: list[str] = []
        self._field: list[str] = []

    def add(
        self,
        part: str,
        field: str,
        account: np.ndarray,
        value: np.ndarray,
        labels: Sequence[str] | str = "",
    ) -> None:
        """Add one figure of many accounts; a label for all, or one each."""
        n = len(account)
        self._account.append(np.asarray(account, np.int32))
        self._value.append(np.asarray(value, np.float64))
        self._part += [part] * n
        self._field += [field] * n
        self._label += [labels] * n if isinstance(labels, str) else list(labels)

    def sorted(self) -> PartInputs:
        """Return all rows, ascending by account, otherwise in the order of their adding."""
        if not self._account:
            return NO_INPUTS
        account, value = np.concatenate(self._account), np.concatenate(self._value)
        order = np.argsort(account, kind="stable")
        places = order.tolist()
        return PartInputs(
            account[order],
            tuple(self._part[i] for i in places),
            tuple(self._label[i] for i in places),
            tuple(self._field[i] for i in places),
            value[order],
        )
