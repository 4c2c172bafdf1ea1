"""Tables of an export that hold the accounts: positions, components, figures and profits."""

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray
from margin_actors.engine.addons import strike_coins
from margin_actors.engine.disclosure import Disclosure, group_labels
from margin_actors.engine.margin import binding_components, components_of
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
    columns: dict[str, pa.Array] = {
        "account_id": pa.array(np.array(book.accounts, object)[account], pa.string()),
        "member_id": pa.array(np.array(book.members, object)[account], pa.string()),
        "instrument_name": pa.array(names, pa.string()),
        "quantity": pa.array(book.quantity),
        "lots": pa.array(disclosure.prepared.holdings.lots),
    }
    members, risk = disclosure.prepared.members, disclosure.prepared.inputs.risk
    if members is not None and risk is not None:
        strike = risk.strike[disclosure.prepared.holdings.index]
        own = strike_coins(strike, account, book.quantity, len(risk.strike_names))
        columns["size"] = pa.array(np.maximum(np.abs(book.quantity), members.quantity))
        columns["strike_size_coins"] = _known(
            np.where(strike >= 0, np.maximum(own, members.strike_coins), np.nan)
        )
    return pa.table(columns)


def member_sizes_table(disclosure: Disclosure) -> pa.Table | None:
    """Return one row per account and bucket; None unless the model measures size by member.

    The buckets are those that the account holds, and the next shorter and longer ones.
    """
    members, inputs = disclosure.prepared.members, disclosure.prepared.inputs
    if members is None or inputs.risk is None:
        return None
    risk, book = inputs.risk, disclosure.book
    shape = (len(book.accounts), len(risk.depth.underlyings), len(risk.depth.buckets))
    held = np.zeros(shape, np.bool_)
    index = disclosure.prepared.holdings.index
    held[accounts_of_positions(book), risk.underlying[index], risk.bucket[index]] = True
    near = held.copy()
    near[:, :, 1:] |= held[:, :, :-1]
    near[:, :, :-1] |= held[:, :, 1:]
    a, u, b = np.nonzero(near)
    return pa.table(
        {
            "account_id": pa.array(np.array(book.accounts, object)[a], pa.string()),
            "underlying": pa.array(np.array(risk.depth.underlyings, object)[u], pa.string()),
            "tier": pa.array(np.array(risk.depth.buckets, object)[b], pa.string()),
            "delta_coins": pa.array(members.delta[a, u, b]),
            "vega_usd": pa.array(members.vega[a, u, b]),
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
    columns |= {n: _known(getattr(margins, n)) for n in _MEASURES}
    if disclosure.prepared.loss_max_usd is not None:
        bound = disclosure.prepared.loss_max_usd
        columns["loss_max_usd"] = _known(np.where(np.isfinite(bound), bound, np.nan))
    columns["binding"] = pa.array(binding_components(margins), pa.string())
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


def _known(values: np.ndarray) -> pa.Array:
    """Return an array whose NaN are null."""
    return pa.array(values, from_pandas=True)


def _all(pnl: FloatArray | None) -> FloatArray:
    """Return the profits, which `disclose` keeps in every row."""
    assert pnl is not None
    return pnl
