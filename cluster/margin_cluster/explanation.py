"""Explanations of stored calculations: the origin of a margin, and its change between two runs."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from margin_actors.engine.explain import (
    State,
    TracedPosition,
    changes_of_margin,
    trace_account,
)
from margin_actors.engine.margin import (
    MarginResult,
    attribute_account,
    calculate_margin,
    prepare_market,
)
from margin_actors.engine.measures import Attribution
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidPortfolio, InvalidRequest, Problem, named_input
from margin_actors.market.books import Book, other_accounts, select_account
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.snapshot_table import snapshot_from_table
from margin_cluster.recorded_changes import RequirementChange, input_ids, requirement_change
from margin_cluster.sources import ParquetStore
from margin_cluster.wiring import Workspace, load_scenarios


@dataclass(frozen=True)
class ExplainedAccount:
    """The explanation of one account's margin in a stored calculation."""

    state: State
    """Inputs of the calculation; the book holds only this account's live positions."""
    result: MarginResult
    """Margin of this account alone."""
    attribution: Attribution
    """Contributions of its positions to VaR and ES."""
    row: int
    """Index of the traced scenario in the scenario set."""
    trace: tuple[TracedPosition, ...]
    """Prices of every position before and after the traced scenario."""


def load_state(workspace: Workspace, run: Path) -> State:
    """Return all inputs of a calculation of `margin run`, from its folder and the store.

    Raises
    ------
    InvalidRequest
        If the folder holds no calculation, or its inputs.json is damaged or of another version.
    InvalidMarketData
        If the store no longer holds the snapshot, scenario set or book of the calculation.
    """
    path = run / "inputs.json"
    if not path.is_file():
        raise InvalidRequest(
            f"{run} holds no calculation",
            [Problem("RUN", str(path), "there is no such file; name a folder of `margin run`")],
        )
    store: ParquetStore = workspace.store
    try:
        inputs = json.loads(path.read_text(encoding="utf-8"))
        model = {name: value for name, value in inputs["model"].items() if name != "id"}
        parameters = ModelParameters.model_validate(model)
        ids = [str(inputs[name]["id"]) for name in ("snapshot", "scenarios", "book")]
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        what = f"the file is damaged or of another version: {str(fault).splitlines()[0][:200]}"
        raise InvalidRequest(
            f"{run} holds no usable calculation",
            [Problem(str(path), what, "calculate it again with `margin run`")],
        ) from fault
    snapshot_id, scenarios_id, book_id = ids
    snapshot = snapshot_from_table(
        store.get("market_snapshots", snapshot_id), where=f"snapshot {snapshot_id}"
    )
    return State(
        snapshot,
        load_scenarios(workspace, scenarios_id),
        book_from_table(store.get("books", book_id), where=f"book {book_id}", unknown_names="keep"),
        parameters,
    )


def explain_account(
    workspace: Workspace, run: Path, account: str, scenario: int | None
) -> ExplainedAccount:
    """Return an account's margin with its components, contributions and one traced scenario.

    Parameters
    ----------
    workspace : Workspace
    run : Path
        Folder of a calculation of `margin run`.
    account : str
    scenario : int or None
        Index of the scenario to trace; None for the tail scenario whose loss is closest to the
        account's VaR.

    Raises
    ------
    InvalidPortfolio
        If the account is not in the book of the calculation.
    InvalidRequest
        If there is no such scenario, or all positions of the account had expired.
    """
    state = load_state(workspace, run)
    alone = _alone(state.book, account, run)
    with named_input("book", f"book of {run}"):
        result = calculate_margin(
            state.snapshot,
            state.scenarios,
            alone,
            state.model,
            others=other_accounts(state.book, [account]),
        )
    live = result.book  # without positions that have expired
    if live.n_positions == 0:
        raise InvalidRequest(
            f"{account} has no margin to explain",
            [Problem("--account", account, "all its positions had expired at the valuation time")],
        )
    row = scenario
    if row is None:
        losses = -result.margins.tail_usd[0]
        row = int(
            result.margins.tail_scenario[
                0, int(np.abs(losses - result.margins.var_usd[0]).argmin())
            ]
        )
    if not 0 <= row < len(state.scenarios):
        raise InvalidRequest(
            "there is no such scenario",
            [Problem("--scenario", str(row), f"0 to {len(state.scenarios) - 1}")],
        )
    market = prepare_market(state.snapshot, state.model, names=live.instruments)
    return ExplainedAccount(
        State(state.snapshot, state.scenarios, live, state.model),
        result,
        attribute_account(result, 0),
        row,
        trace_account(market, live, 0, state.scenarios, row),
    )


def explain_changes(
    workspace: Workspace, before: Path, after: Path, account: str
) -> RequirementChange:
    """Return the change of an account's requirement between two stored calculations, in steps.

    Raises
    ------
    InvalidPortfolio
        If neither book holds the account, or its positions cannot be priced in any order of steps.
    """
    old, new = load_state(workspace, before), load_state(workspace, after)
    found = changes_of_margin(old, new, account)
    return requirement_change(found, input_ids(old), input_ids(new))


def _alone(book: Book, account: str, run: Path) -> Book:
    if account not in book.accounts:
        raise InvalidPortfolio(
            f"account {account} is not in the calculation {run}",
            [
                Problem(
                    "--account",
                    account,
                    f"it has {len(book.accounts)} accounts, for example {book.accounts[0]}",
                )
            ],
        )
    return select_account(book, book.accounts.index(account))
