"""Exports of stored calculations for clearing members: files to recompute margins, risk arrays."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from margin_actors.engine.disclosure import (
    ArrayTarget,
    Disclosure,
    MemberArrays,
    disclose,
    member_arrays,
)
from margin_actors.engine.explain import State
from margin_actors.engine.margin import (
    MarginResult,
    PreparedMarket,
    calculate_margin,
    prepare_market,
)
from margin_actors.errors import InvalidRequest, Problem, named_input
from margin_actors.market.books import Book, other_accounts, select_positions
from margin_cluster.explanation import load_state
from margin_cluster.wiring import Workspace


@dataclass(frozen=True)
class ReproducedRun:
    """A calculation of `margin run`, calculated again from its stored inputs."""

    state: State
    result: MarginResult
    market: PreparedMarket
    """All contracts that the snapshot can price."""


def reproduce_run(workspace: Workspace, run: Path) -> ReproducedRun:
    """Return a calculation, computed again, if its digest is the recorded one.

    Raises
    ------
    InvalidRequest
        If the folder holds no calculation, or the digest differs.
    InvalidMarketData
        If the store no longer holds an input of the calculation.
    """
    state = load_state(workspace, run)
    market = prepare_market(state.snapshot, state.model)
    with named_input("book", f"book of {run}"):
        result = calculate_margin(
            state.snapshot,
            state.scenarios,
            state.book,
            state.model,
            surfaces=dict(market.surfaces),
            threads=workspace.settings.threads,
        )
    recorded = json.loads((run / "inputs.json").read_text(encoding="utf-8"))["result"]["digest"]
    if result.digest != recorded:
        raise InvalidRequest(
            f"the calculation of {run} cannot be reproduced",
            [
                Problem(
                    str(run / "inputs.json"),
                    f"its digest is {recorded}, that of the calculation repeated {result.digest}",
                    "calculate it again with this version of the software",
                )
            ],
        )
    return ReproducedRun(state, result, market)


def disclose_run(
    workspace: Workspace, run: Path, members: Sequence[str], accounts: Sequence[str]
) -> Disclosure:
    """Return what the margins of a calculation can be recomputed from.

    Parameters
    ----------
    workspace : Workspace
    run : Path
        Folder of a calculation of `margin run`.
    members, accounts : sequences of str
        Ids of clearing members and accounts whose accounts are disclosed; all if both are empty.

    Raises
    ------
    InvalidRequest
        As `reproduce_run`; also if a member or an account is not among those that were margined;
        names all of them.
    InvalidMarketData
        As `reproduce_run`.
    """
    found = reproduce_run(workspace, run)
    book = _selected(found.result.book, members, accounts)
    others = other_accounts(found.result.book, book.accounts)
    disclosure = disclose(found.market, found.state.scenarios, book, others)
    rows = [found.result.book.accounts.index(a) for a in book.accounts]
    recorded = found.result.margins.initial_margin_usd[rows]
    assert np.array_equal(recorded, disclosure.margins.initial_margin_usd)
    return disclosure


def _selected(book: Book, members: Sequence[str], accounts: Sequence[str]) -> Book:
    known = (("--member", members, set(book.members)), ("--account", accounts, set(book.accounts)))
    problems = [
        Problem(option, name, "not among the accounts that were margined")
        for option, names, existing in known
        for name in names
        if name not in existing
    ]
    if problems:
        raise InvalidRequest("there is nothing to export", problems)
    if not members and not accounts:
        return book
    pairs = zip(book.accounts, book.members, strict=True)
    wanted = np.array([a in accounts or m in members for a, m in pairs], np.bool_)
    return select_positions(book, wanted, np.ones(book.n_positions, np.bool_))


def risk_arrays_of_run(
    workspace: Workspace, run: Path, *, n_arrays: int, target: ArrayTarget, seed: int
) -> tuple[ReproducedRun, MemberArrays]:
    """Return (the calculation, risk arrays of all listed and held contracts chosen for its book).

    Raises
    ------
    InvalidRequest, InvalidMarketData
        As `reproduce_run`.
    InvalidParameters
        If the core of the model is neither VaR nor expected shortfall.
    """
    found = reproduce_run(workspace, run)
    book = found.result.book
    names = sorted({*found.market.contracts.names, *book.instruments})
    market = found.market.with_contracts(names)
    arrays = member_arrays(
        market, found.state.scenarios, book, n_arrays=n_arrays, target=target, seed=seed
    )
    return found, arrays
