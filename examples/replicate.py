"""Recompute margin requirements from the files of `margin export`, without this project's code.

    margin export RUN --out EXPORT --member M000
    python examples/replicate.py EXPORT

Only numpy, scipy and pandas (with pyarrow) are imported; the parts of the program are in the folder
`replication` beside this file. Every component is one function, with the formulas numbered as on
the page "How your margin is computed"; the columns of the files are on the page "Files for
members". The program prints each component recomputed and exported, and exits with
status 1 if one differs by more than 1e-6 relative, or 2 if the export contains something that
it does not know: an unknown component must not pass unnoticed.

Signs: a profit is positive, VaR and ES are positive losses, a long position is positive.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from replication.addons import (
    concentration,
    expiry_risk,
    liquidity,
    loss_max,
    model_risk,
    with_sizes,
)
from replication.export import Export, UnknownContentError, load
from replication.requirement import (
    Account,
    buffer,
    core,
    correlation_stress,
    diversification_cap,
    extended_moves,
    floor,
    short_option_minimum,
    stressed_weight,
)
from replication.revaluation import pnl_of

RELATIVE_MAX = 1e-6
"""Largest relative difference of a component."""
USD_MIN = 1.0
"""Differences of smaller components are compared with this amount."""

COMPONENTS: dict[str, Callable[[Account], float]] = {
    "core": core,
    "diversification_cap": diversification_cap,
    "correlation_stress": correlation_stress,
    "buffer": buffer,
    "stressed_weight": stressed_weight,
    "floor": floor,
    "extended_moves": extended_moves,
    "short_option_minimum": short_option_minimum,
    "concentration": concentration,
    "liquidity": liquidity,
    "model_risk": model_risk,
    "expiry_risk": expiry_risk,
}
"""A further component is one more function here; the order is that of the export."""


def recompute(export: Export) -> pd.DataFrame:
    """Every component of every account, recomputed and exported, US dollars."""
    unknown = [name for name in export.manifest["components"] if name not in COMPONENTS]
    if unknown:
        raise UnknownContentError(
            f"unknown components: {', '.join(unknown)}; add one function for each"
        )
    contracts = export.contracts.assign(place=np.arange(len(export.contracts)))
    held = export.positions.merge(contracts, on="instrument_name", how="left", validate="m:1")
    held, members = with_sizes(export, held)
    by_account = dict(iter(held.groupby("account_id")))
    found: list[tuple[str, str, float]] = []
    for name in export.accounts:
        positions = by_account.get(name, held.iloc[:0])
        pnl = pnl_of(export, positions, export.rules)
        account = Account(export, positions, pnl, members.get(name, {}))
        bound = loss_max(account) if export.model["addons"]["loss_bound"]["enabled"] else np.inf
        for component in export.manifest["components"]:
            amount = COMPONENTS[component](account)
            account.amounts[component] = min(amount, max(0.0, bound - account.so_far()))
        found += [(name, c, float(a)) for c, a in account.amounts.items()]
        found.append((name, "initial_margin", float(account.so_far())))
    mine = pd.DataFrame(found, columns=["account_id", "component", "recomputed_usd"])
    total = export.measures[["account_id", "initial_margin_usd"]].assign(component="initial_margin")
    exported = pd.concat(
        [export.components, total.rename(columns={"initial_margin_usd": "amount_usd"})]
    )
    table = mine.merge(exported, on=["account_id", "component"], how="outer")
    size = table["amount_usd"].abs().clip(lower=USD_MIN)
    table["difference"] = (table["recomputed_usd"] - table["amount_usd"]).abs() / size
    return table


def main(folder: Path) -> int:
    """Print the comparison; return 0 if every component agrees, 1 if not, 2 if unknown."""
    try:
        table = recompute(load(folder))
    except UnknownContentError as reason:
        print(f"cannot recompute: {reason}", file=sys.stderr)
        return 2
    order = list(dict.fromkeys(table["component"]))
    parts = table.groupby("component").agg(
        recomputed_usd=("recomputed_usd", "sum"),
        exported_usd=("amount_usd", "sum"),
        largest_difference=("difference", "max"),
    )
    print(f"{table['account_id'].nunique()} accounts; sums over accounts, US dollars\n")
    print(f"{'component':22} {'recomputed':>20} {'exported':>20} {'largest difference':>20}")
    for name, row in parts.loc[order].iterrows():
        print(
            f"{name!s:22} {row['recomputed_usd']:20,.2f} {row['exported_usd']:20,.2f}"
            f" {row['largest_difference']:20.1e}"
        )
    # A comparison with NaN is false, so that a missing amount counts as different.
    wrong = table[~(table["difference"] <= RELATIVE_MAX)]
    if len(wrong):
        print(f"\n{len(wrong)} amounts differ by more than {RELATIVE_MAX:g}:")
        print(wrong.sort_values("difference", ascending=False).head(20).to_string(index=False))
        return 1
    print(f"\nEvery amount agrees within {RELATIVE_MAX:g}, relative to at least {USD_MIN:g} USD.")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: replicate.py EXPORT", file=sys.stderr)
        raise SystemExit(2)
    raise SystemExit(main(Path(sys.argv[1])))
