"""The requirement components of a book while they are being computed."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.addons import Charge
from margin_actors.engine.margin.parts import PARTS, InputRows


@dataclass
class Sheet:
    """Requirement components of all accounts, filled step by step."""

    parts: FloatArray
    """float64 (n_accounts, len(PARTS)), US dollars."""
    rows: InputRows
    """Figures from which the components were computed."""

    def __getitem__(self, part: str) -> FloatArray:
        """Return the amounts of a component, (n_accounts,), for reading and writing."""
        return self.parts[:, PARTS.index(part)]

    def so_far(self) -> FloatArray:
        """Return the sum of the components, (n_accounts,), in the order of PARTS."""
        total = np.zeros(self.parts.shape[0])
        for column in range(self.parts.shape[1]):
            total += self.parts[:, column]
        return total

    def figure(self, part: str, name: str, value: FloatArray, label: str = "") -> None:
        """Add one figure of a component; `value` has one entry per account."""
        self.rows.add(part, name, np.arange(value.size), value, label)

    def charge(self, part: str, charge: Charge) -> None:
        """Set a component to a charge, and add the figures of the charge."""
        self[part][:] = charge.amount
        for item in charge.figures:
            self.rows.add(part, item.name, item.account, item.value, item.labels, item.of)
