"""The columns of all accounts, as compact JSON for the table in the browser."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_cluster.report.officer import OfficerPage

Numbers: TypeAlias = list[int | None]
_NO_SINCE = ""


def account_data(page: OfficerPage) -> dict[str, object]:
    """Return the columns of the page in the order of its ranking, as plain types for JSON.

    Amounts are whole US dollars, None if not known. Repeated texts are stored once: `names` holds
    the distinct ones and `index` one number per account. Columns that follow from others up to
    rounding are stored as the remainder: the first component (requirement less the other
    components), `deficit_rest` (requirement less resources, at least 0) and `collateral_rest`
    (resources less option value).
    """
    order = page.ranking
    rows = order.tolist()
    details, resources, previous = page.details, page.resources, page.previous
    data: dict[str, object] = {
        "accounts": [page.accounts[a] for a in rows],
        "members": _coded([page.members[a] for a in rows]),
        "binding": _coded([page.binding[a].replace("_", " ") for a in rows]),
        "dominant": _coded([page.dominant[a].replace("_", " ") for a in rows]),
        "requirement": whole(page.requirement_usd[order]),
        "components": _components(page, order),
        "figures": {name: whole(values[order]) for name, values in details.figures.items()},
        "scenarios": list(details.scenario_names),
        "worst": details.worst_scenario[order].tolist(),
        "losses": [whole(row) for row in details.worst_loss_usd[order]],
        "instruments": [],
        "risks": {},
    }
    deficit = page.deficit_usd
    if resources is not None and deficit is not None:
        total, value = np.round(resources.total_usd[order]), resources.option_value_usd[order]
        gap = np.maximum(np.round(page.requirement_usd[order]) - total, 0.0)
        data["deficit_rest"] = whole(np.round(deficit[order]) - gap)
        data["resources"] = whole(total)
        data["option_value"] = whole(value)
        rest = np.round(resources.collateral_usd[order]) - (total - np.round(value))
        data["collateral_rest"] = whole(rest)
        since = [resources.short_since[a] for a in rows]
        data["since"] = _coded([f"{t:%Y-%m-%d %H:%M}" if t else _NO_SINCE for t in since])
        if previous is not None:
            data["since_new"] = [int(t is not None and t > previous.time) for t in since]
        if resources.calls is not None:
            data["calls"] = _coded([resources.calls[a] for a in rows])
    if previous is not None:
        data["previous"] = whole(previous.requirement_usd[order])
        data["previous_time"] = f"{previous.time:%Y-%m-%d %H:%M}"
        if previous.deficit_usd is not None:
            data["previous_deficit"] = whole(previous.deficit_usd[order])
    data["instruments"], data["risks"] = _risks(page, rows)
    return data


def _components(page: OfficerPage, order: IntArray) -> dict[str, Numbers]:
    """Return the components by name; the first one as the remainder, see `account_data`."""
    amounts = np.round(page.components_usd[order])
    others = amounts[:, 1:].sum(axis=1)
    amounts[:, 0] -= np.round(page.requirement_usd[order]) - others
    return {name.replace("_", " "): whole(amounts[:, k]) for k, name in enumerate(page.components)}


def whole(values: FloatArray) -> Numbers:
    """Return amounts rounded to whole numbers; None for values that are not finite."""
    return [round(v) if np.isfinite(v) else None for v in values.tolist()]


def _coded(texts: Sequence[str]) -> dict[str, list[str] | list[int]]:
    """Return the distinct texts in alphabetical order and the index of each text."""
    names, index = np.unique(np.array(texts, np.str_), return_inverse=True)
    return {"names": names.tolist(), "index": index.tolist()}


def _risks(
    page: OfficerPage, rows: Sequence[int]
) -> tuple[list[str], dict[str, list[list[int | float]]]]:
    """Return the instruments that are used, and the largest risks by place in the table."""
    found = page.details.risks
    used = sorted({risk[0] for own in found.values() for risk in own})
    place = {instrument: i for i, instrument in enumerate(used)}
    risks: dict[str, list[list[int | float]]] = {
        str(i): [[place[n], quantity, round(usd)] for n, quantity, usd in found[a]]
        for i, a in enumerate(rows)
        if a in found
    }
    return [page.details.instruments[n] for n in used], risks
