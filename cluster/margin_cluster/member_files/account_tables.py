"""Tables of an export that hold the accounts: positions, components, figures and profits."""

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray
from margin_actors.engine.disclosure import Disclosure, group_labels
from margin_actors.engine.margin import components_of
from margin_actors.market.books import accounts_of_positions

_MEASURES = (
    "value_usd",
    "var_usd",
    "es_usd",
    "worst_usd",
    "worst_scenario",
    "undiversified_usd",
    "long_usd",
    "stress_period_usd",
    "stress_usd",
    "initial_margin_usd",
    "rounding_bound_usd",
)


def positions_table(disclosure: Disclosure) -> pa.Table:
    """Return one row per position; the columns are described in `columns.FILES`."""
    book = disclosure.book
    account = accounts_of_positions(book)
    names = np.array(book.instruments, object)[book.instrument_index]
    return pa.table(
        {
            "account_id": pa.array(np.array(book.accounts, object)[account], pa.string()),
            "member_id": pa.array(np.array(book.members, object)[account], pa.string()),
            "instrument_name": pa.array(names, pa.string()),
            "quantity": pa.array(book.quantity),
            "lots": pa.array(disclosure.prepared.holdings.lots),
        }
    )


def components_table(disclosure: Disclosure) -> pa.Table:
    """Return one row per account and enabled component, also if the amount is 0."""
    names = [c.name for c in components_of(disclosure.market.model)]
    amounts = [disclosure.margins.component_usd(name) for name in names]
    accounts = disclosure.book.accounts
    return pa.table(
        {
            "account_id": pa.array([a for a in accounts for _ in names], pa.string()),
            "component": pa.array(names * len(accounts), pa.string()),
            "amount_usd": pa.array(np.array(amounts).T.ravel(), pa.float64()),
        }
    )


def measures_table(disclosure: Disclosure) -> pa.Table:
    """Return one row per account."""
    book, margins = disclosure.book, disclosure.margins
    columns: dict[str, pa.Array] = {
        "account_id": pa.array(book.accounts, pa.string()),
        "member_id": pa.array(book.members, pa.string()),
        "positions": pa.array(margins.positions),
    }
    columns |= {n: pa.array(getattr(margins, n), from_pandas=True) for n in _MEASURES}
    return pa.table(columns)


def figures_table(disclosure: Disclosure) -> pa.Table:
    """Return one row per figure from which a component was computed."""
    inputs = disclosure.margins.inputs
    texts = {
        "account_id": (inputs.account, disclosure.book.accounts),
        "component": (inputs.component, inputs.components),
        "label": (inputs.label, inputs.labels),
        "figure": (inputs.figure, inputs.figures),
    }
    columns = {
        name: pa.DictionaryArray.from_arrays(pa.array(index), pa.array(distinct, pa.string()))
        for name, (index, distinct) in texts.items()
    }
    return pa.table({**columns, "value": inputs.value})


def profits_table(disclosure: Disclosure) -> pa.Table:
    """Return one row per account, position group and alternative with its profits."""
    accounts, pnl = disclosure.book.accounts, disclosure.pnl
    owner, kind, label = list(accounts), ["account"] * len(accounts), [""] * len(accounts)
    rows: list[FloatArray] = [_all(pnl.accounts.pnl_usd)]
    if pnl.groups is not None:
        kinds, labels, owners = group_labels(disclosure)
        owner += [accounts[a] for a in owners.tolist()]
        kind += kinds
        label += labels
        rows.append(_all(pnl.groups.pnl_usd))
    for name, profits in pnl.alternatives:
        owner += accounts
        kind += ["alternative"] * len(accounts)
        label += [name] * len(accounts)
        rows.append(_all(profits.pnl_usd))
    lengths = np.concatenate([np.full(r.shape[0], r.shape[1], np.int64) for r in rows])
    ends = np.append(0, np.cumsum(lengths))
    values = np.concatenate([r.ravel() for r in rows])
    return pa.table(
        {
            "account_id": pa.array(owner, pa.string()),
            "kind": pa.array(kind, pa.string()),
            "label": pa.array(label, pa.string()),
            "pnl_usd": pa.LargeListArray.from_arrays(pa.array(ends), pa.array(values)),
        }
    )


def _all(pnl: FloatArray | None) -> FloatArray:
    """Return the profits, which `disclose` keeps in every row."""
    assert pnl is not None
    return pnl
