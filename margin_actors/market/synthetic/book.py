"""Synthetic book of a clearing house: the positions in every instrument sum to zero."""

import numpy as np
import pyarrow as pa

from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.numerics.counter_random import uniforms

_STREAM = 500_000
_LOT_COINS = 0.1
_LOT_USD = 10.0


def book_table(snapshot: MarketSnapshot, seed: int, *, n_accounts: int) -> pa.Table:
    """Return positions of up to `n_accounts` accounts in the options and perpetuals of a snapshot.

    The open interest of each option, and 2 million US dollars per account in each perpetual, is
    distributed in whole lots among a few long accounts and as many short ones, so that longs equal
    shorts. House accounts (-H) have three times the weight of client accounts (-C0, …) in the
    random choice of these accounts.

    Returns
    -------
    pyarrow.Table
        Columns of `BOOK_COLUMNS`; quantities are positive if long, in coins for options and in US
        dollars for perpetuals.
    """
    accounts, members, appetite = _accounts(n_accounts)
    rows: list[tuple[int, str, float]] = []
    options = snapshot.options
    for i, name in enumerate(options.names):
        lots = round(float(options.open_interest[i]) / _LOT_COINS)
        if lots > 0:
            rows += _share(name, lots, _LOT_COINS, appetite, seed, _STREAM + 4 * i)
    for j, u in enumerate(sorted(snapshot.index_usd)):
        lots = round(2.0e6 * n_accounts / _LOT_USD)
        stream = _STREAM + 4 * (len(options.names) + j)
        rows += _share(f"{u}-PERPETUAL", lots, _LOT_USD, appetite, seed, stream)
    rows.sort(key=lambda row: (row[0], row[1]))
    return pa.table(
        {
            "member_id": [members[a] for a, _, _ in rows],
            "account_id": [accounts[a] for a, _, _ in rows],
            "instrument_name": [name for _, name, _ in rows],
            "quantity": [quantity for _, _, quantity in rows],
        }
    )


def collateral_table(book: pa.Table, snapshot: MarketSnapshot, seed: int) -> pa.Table:
    """Return two deposits of every account of the book: one in USDC and one in a coin.

    Returns
    -------
    pyarrow.Table
        Columns ``account_id``, ``asset``, ``amount`` (units of the asset, at least 0).
    """
    notional: dict[str, float] = {}
    short_value: dict[str, float] = {}
    for account, name, quantity in zip(
        book.column("account_id").to_pylist(),
        book.column("instrument_name").to_pylist(),
        book.column("quantity").to_pylist(),
        strict=True,
    ):
        index = snapshot.index_usd[name.split("-")[0]]
        row = snapshot.option_row.get(name)
        size = abs(quantity) * (index if row is not None else 1.0)
        notional[account] = notional.get(account, 0.0) + size
        mark = 0.0 if row is None else float(snapshot.options.mark[row])
        short_value[account] = short_value.get(account, 0.0) - quantity * mark * index
    accounts = sorted(notional)
    draw = uniforms(seed, _STREAM - 1, 2 * len(accounts))
    coins = sorted(snapshot.index_usd)
    ids: list[str] = []
    assets: list[str] = []
    amounts: list[float] = []
    for i, account in enumerate(accounts):
        usd = 0.018 * notional[account] * (0.35 + 1.3 * draw[2 * i])
        usd += 1.05 * max(short_value[account], 0.0)
        share, coin = 0.6 * draw[2 * i + 1], coins[i % len(coins)]
        ids += [account] * 2
        assets += ["USDC", coin]
        amounts += [round(usd * (1.0 - share), 2), round(usd * share / snapshot.index_usd[coin], 4)]
    return pa.table({"account_id": ids, "asset": assets, "amount": amounts})


def _accounts(n_accounts: int) -> tuple[list[str], list[str], list[float]]:
    accounts: list[str] = []
    members: list[str] = []
    appetite: list[float] = []
    member, client = -1, 99
    for _ in range(n_accounts):
        if client >= 4:
            member, client = member + 1, -1
        house = client < 0
        accounts.append(f"M{member:03d}-H" if house else f"M{member:03d}-C{client}")
        members.append(f"M{member:03d}")
        appetite.append(3.0 if house else 1.0)
        client += 1
    return accounts, members, appetite


def _share(
    name: str, lots: int, lot: float, appetite: list[float], seed: int, stream: int
) -> list[tuple[int, str, float]]:
    n_sides = 2 + int(uniforms(seed, stream, 1)[0] * 10)
    weight = np.array(appetite) * uniforms(seed, stream + 1, len(appetite)) ** 2
    chosen = np.argsort(-weight, kind="stable")[: 2 * n_sides]
    longs, shorts = chosen[0::2], chosen[1::2]
    rows: list[tuple[int, str, float]] = []
    for side, sign in ((longs, 1.0), (shorts, -1.0)):
        draw = uniforms(seed, stream + (2 if sign > 0 else 3), side.size)
        whole = np.floor(lots * draw / draw.sum()).astype(np.int64)
        whole[0] += lots - whole.sum()
        rows += [
            (int(a), name, round(sign * int(q) * lot, 1))
            for a, q in zip(side, whole, strict=True)
            if q
        ]
    return rows
