"""Margins of accounts as arrays, and the digest of a result."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.engine.margin.component_inputs import (
    NO_INPUTS,
    ComponentInputs,
    join_inputs,
)
from margin_actors.engine.margin.failures import AccountFailure, failures_content
from margin_actors.market.identity import content_id


@dataclass(frozen=True, kw_only=True)
class Margins:
    """Margins of n_accounts accounts.

    Unless stated otherwise, arrays are float64 (n_accounts,) in US dollars and losses are positive.
    Amounts that the model does not require are NaN, scenario numbers -1.
    """

    positions: IntArray
    """int64: number of positions."""
    value_usd: FloatArray
    """Value of options and spot; 0 for futures and perpetuals, which are settled daily."""
    var_usd: FloatArray
    """Value at risk of the core rows."""
    var_low_usd: FloatArray
    """Lower end of the 95 % confidence interval of VaR."""
    var_high_usd: FloatArray
    """Upper end of the interval."""
    es_usd: FloatArray
    """Expected shortfall of the core rows."""
    es_standard_error_usd: FloatArray
    """Standard error of expected shortfall."""
    worst_usd: FloatArray
    """Loss in the worst scenario of the core."""
    worst_scenario: IndexArray
    """int32: row of that scenario in the set."""
    undiversified_usd: FloatArray
    """Sum over underlyings of ES if the core is ES, else of VaR, each at least 0."""
    span_usd: FloatArray
    """SPAN requirement."""
    venue_grid_usd: FloatArray
    """Requirement of the venue grid."""
    long_usd: FloatArray
    """Measure over the long lookback: ES if the core is ES, else VaR."""
    stress_period_usd: FloatArray
    """The same measure over the stress days, at the scenario set's confidence for them."""
    stress_usd: FloatArray
    """Largest loss in the rows of the stress section, at least 0."""
    stress_scenario: IndexArray
    """int32: row of that loss in the scenario set."""
    core_usd: FloatArray
    """The core measure that the model selects, at least 0."""
    components_usd: FloatArray
    """float64 (n_accounts, n_components): requirement components; they sum to the requirement."""
    initial_margin_usd: FloatArray
    """The requirement."""
    rounding_bound_usd: FloatArray
    """Bound on the effect of rounding to ticks on any of an account's profits."""
    tail_usd: FloatArray
    """float64 (n_accounts, n_tail): least profits of the core rows, ascending."""
    tail_scenario: IndexArray
    """int32 (n_accounts, n_tail): rows of these profits in the set."""
    components: tuple[str, ...]
    """Names of the columns of `components_usd`, in summation order: the built-in components, then
    the further ones that the model names."""
    inputs: ComponentInputs = NO_INPUTS
    """Figures from which each requirement component can be recomputed."""

    def component_usd(self, name: str) -> FloatArray:
        """Return the amounts of a component by name, float64 (n_accounts,), US dollars.

        Raises
        ------
        ValueError
            If the model has no such component.
        """
        return self.components_usd[:, self.components.index(name)]

    def amounts_of(self, account: int) -> dict[str, float]:
        """Return the components of one account by name, US dollars, in summation order."""
        return dict(zip(self.components, self.components_usd[account].tolist(), strict=True))

    @property
    def components_used(self) -> tuple[str, ...]:
        """Names of the components that are non-zero for some account, and always the core."""
        charged = np.any(self.components_usd != 0.0, axis=0).tolist()
        return tuple(
            name
            for k, (name, used) in enumerate(zip(self.components, charged, strict=True))
            if used or k == 0
        )


MARGIN_ARRAYS: tuple[str, ...] = tuple(
    f.name for f in fields(Margins) if f.name not in ("components", "inputs")
)
"""Names of the fields of `Margins` that are arrays with one entry or row per account."""


def position_sums(
    per_unit: FloatArray, start: IntArray, index: IndexArray, quantity: FloatArray
) -> FloatArray:
    """Return the sum of quantity * per_unit over each account's positions, in their order.

    Parameters
    ----------
    per_unit : float64 (n_contracts,)
        Amount for one unit of each contract, in any currency.
    start : int64 (n_accounts + 1,)
        Account a owns positions start[a] to start[a + 1]; indices of positions.
    index : int32 (n_positions,)
        Index of each position's contract.
    quantity : float64 (n_positions,)
        Units; long is positive.

    Returns
    -------
    float64 (n_accounts,)
        In the currency of `per_unit`.
    """
    n_accounts = start.size - 1
    account = np.repeat(np.arange(n_accounts), np.diff(start))
    summed = np.bincount(account, weights=quantity * per_unit[index], minlength=n_accounts)
    return summed.astype(np.float64)


def select_margins(margins: Margins, chosen: IntArray | BoolArray) -> Margins:
    """Return the margins of the chosen accounts.

    `chosen` is either an int64 array of account indices, whose order is kept, or a bool mask of
    shape (n_accounts,).
    """
    accounts = np.arange(margins.positions.size)[chosen].tolist()
    inputs = [(row, margins.inputs.of(account)) for row, account in enumerate(accounts)]
    return Margins(
        **{name: getattr(margins, name)[chosen] for name in MARGIN_ARRAYS},
        components=margins.components,
        inputs=join_inputs(inputs) if len(margins.inputs) else NO_INPUTS,
    )


def concatenate_margins(batches: Sequence[Margins]) -> Margins:
    """Return the margins of all accounts of batches under one model, one batch after another."""
    firsts = np.cumsum([0, *(b.positions.size for b in batches)]).tolist()
    inputs = [(first, b.inputs) for first, b in zip(firsts, batches, strict=False)]
    return Margins(
        **{name: np.concatenate([getattr(b, name) for b in batches]) for name in MARGIN_ARRAYS},
        components=batches[0].components,
        inputs=join_inputs(inputs),
    )


def result_digest(
    margins: Margins,
    *,
    snapshot_id: str,
    scenarios_id: str,
    model_id: str,
    book_id: str,
    failures: Sequence[AccountFailure] = (),
) -> str:
    """Return a hash of the bits of every account's result; it does not depend on the machine.

    Parameters
    ----------
    margins : Margins
        Margins of the accounts that were margined.
    snapshot_id, scenarios_id, model_id, book_id : str
        Content ids of the inputs; `book_id` is that of the whole book, failures included.
    failures : sequence of AccountFailure
        Accounts that could not be margined; if empty, only the margins are hashed.
    """
    margined = content_id(
        "result",
        {
            "inputs": [snapshot_id, scenarios_id, model_id, book_id],
            "arrays": [
                margins.value_usd,
                margins.var_usd,
                margins.es_usd,
                margins.worst_usd,
                margins.worst_scenario,
                margins.components_usd,
                margins.initial_margin_usd,
            ],
        },
    )
    if not failures:
        return margined
    return content_id("result", {"margined": margined, "failures": failures_content(failures)})
