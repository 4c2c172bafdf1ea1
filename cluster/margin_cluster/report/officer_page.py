"""The risk officer's page as the values of its template."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from markupsafe import Markup

from margin_actors.arrays import FloatArray
from margin_cluster.report.account_data import account_data
from margin_cluster.report.formats import millions, signed, usd
from margin_cluster.report.officer import OfficerPage, Resources
from margin_cluster.report.scripts import packed_json

_FIRST = 25
"""Accounts ranked on page one; the table of accounts has all."""
_DETAILS_MAX = 200
"""Accounts or expiries that a warning lists."""
_MEMBERS_MAX = 200
"""Members in the table of members."""
_LARGE = 100e6
"""Totals from this amount on are shown in millions."""


@dataclass(frozen=True)
class Ranked:
    """A ranked account of page one, as text."""

    account: str
    member: str
    amounts: list[str]
    why: str
    since: str


def officer_values(page: OfficerPage) -> dict[str, object]:
    """Return the values of the template ``officer.html.j2``."""
    deficit = page.deficit_usd
    short = None if deficit is None else int((deficit > 0.0).sum())
    return {
        "page": page,
        "verdict": verdict(page),
        "cards": _cards(page),
        "ranked": [_ranked(page, int(a)) for a in page.ranking[: min(_FIRST, short or _FIRST)]]
        if short != 0
        else [],
        "short": short,
        "first": _FIRST,
        "has_previous": page.previous is not None,
        "has_calls": page.resources is not None and page.resources.calls is not None,
        "gone": 0 if page.previous is None else page.previous.accounts_gone,
        "previous_title": "" if page.previous is None else page.previous.title,
        "previous_time": "" if page.previous is None else _minute(page.previous.time),
        "members": _members(page),
        "members_shown": _MEMBERS_MAX,
        "component_rows": _components(page),
        "component_names": [_words(name) for name in page.components],
        "unit": "million US dollars" if _is_large(page) else "US dollars",
        "warnings": [
            (w.kind, w.text, w.details[:_DETAILS_MAX], max(len(w.details) - _DETAILS_MAX, 0))
            for w in page.warnings
        ],
        "account_data": account_data_packed(page),
        "member_names": sorted(set(page.members)),
    }


def account_data_packed(page: OfficerPage) -> Markup:
    """Return the columns of all accounts, compressed, for the table in the browser."""
    return packed_json(account_data(page))


def verdict(page: OfficerPage) -> list[str]:
    """Return the sentences at the top of the page: who is short, by how much, why, since when."""
    deficit, resources = page.deficit_usd, page.resources
    if deficit is None or resources is None:
        return [
            "Resources are unknown: no collateral was given, so this report cannot say who is "
            "short. Accounts are ranked by requirement."
        ]
    count = int((deficit > 0.0).sum())
    if count == 0:
        return [f"No account is short: {_accounts(len(page.accounts))} with sufficient resources."]
    worst = int(page.ranking[0])
    noun = "account is" if count == 1 else "accounts are"
    sentences = [
        f"{count:,} of {len(page.accounts):,} {noun} short, by {usd(float(deficit.sum()))} US "
        "dollars in total; the excess of other accounts does not offset it.",
        f"The largest deficit is that of {page.accounts[worst]} ({page.members[worst]}): "
        f"{usd(float(deficit[worst]))} US dollars, {_why(page, worst)}, "
        f"{_since_words(page, resources, worst)}.",
    ]
    if page.previous is not None and page.previous.deficit_usd is not None:
        new = sum(t is not None and t > page.previous.time for t in resources.short_since)
        before = float(sum((page.previous.members_deficit_usd or {}).values()))
        sentences.append(
            f"At the previous close of {_minute(page.previous.time)} UTC the deficits were "
            f"{usd(before)} US dollars; {_accounts(new)} became short since."
        )
    return sentences


def _since_words(page: OfficerPage, resources: Resources, account: int) -> str:
    since = resources.short_since[account]
    if since is None:
        return "at an unknown time"
    if page.previous is None:
        return f"since {_minute(since)} UTC at the latest (no previous close was given)"
    if since > page.previous.time:
        return f"new since the previous close of {_minute(page.previous.time)} UTC"
    return f"short since {_minute(since)} UTC"


def _cards(page: OfficerPage) -> list[tuple[str, str]]:
    deficit, resources, previous = page.deficit_usd, page.resources, page.previous
    cards: list[tuple[str, str]] = []
    if deficit is not None and resources is not None:
        count = int((deficit > 0.0).sum())
        cards = [
            (f"sum of the deficits of {_accounts(count)}", _headline(float(deficit.sum()))),
            ("resources of all accounts", _headline(float(resources.total_usd.sum()))),
        ]
    total = float(page.requirement_usd.sum())
    cards.append(("initial margin of all accounts", _headline(total)))
    if previous is not None:
        before = float(sum(previous.members_usd.values()))
        share = f" ({signed(total / before - 1.0)})" if before else ""
        cards.append((f"change since the previous close{share}", _headline(total - before, True)))
    cards.append(("accounts", f"{len(page.accounts):,}"))
    dominated = sum(map(bool, page.dominant))
    if dominated:
        cards.append(("accounts with an add-on above half of their requirement", f"{dominated:,}"))
    return cards


def _headline(value: float, is_change: bool = False) -> str:
    size = abs(value)
    shown = f"{size / 1e9:,.2f}\u00a0B" if size >= 1e9 else f"{size / 1e6:,.1f}\u00a0M"
    if size < 1e5:
        shown = f"{size:,.0f}"
    sign = "−" if value < 0.0 else "+" if is_change else ""
    return f"{sign}${shown}"


def _ranked(page: OfficerPage, account: int) -> Ranked:
    deficit, resources = page.deficit_usd, page.resources
    amounts: list[str] = []
    since = ""
    if deficit is not None and resources is not None:
        amounts = [usd(deficit[account]), usd(resources.total_usd[account])]
        since = _since(page, resources, account)
        if resources.calls is not None:
            since = f"{since}; {resources.calls[account]}" if resources.calls[account] else since
    amounts.append(usd(page.requirement_usd[account]))
    if page.previous is not None:
        amounts.append(_difference(page, account))
    return Ranked(
        page.accounts[account], page.members[account], amounts, _why(page, account), since
    )


def _difference(page: OfficerPage, account: int) -> str:
    """Return the change of a requirement as the difference of the amounts that are shown."""
    if page.previous is None or not np.isfinite(page.previous.requirement_usd[account]):
        return "new account"
    before = round(float(page.previous.requirement_usd[account]))
    return usd(round(float(page.requirement_usd[account])) - before)


def _since(page: OfficerPage, resources: Resources, account: int) -> str:
    since = resources.short_since[account]
    if since is None:
        return ""
    if page.previous is None:
        return f"{_minute(since)} or before"
    return "new" if since > page.previous.time else _minute(since)


def _why(page: OfficerPage, account: int) -> str:
    """Return the component that determines a requirement, and the largest add-on."""
    requirement, amounts = page.requirement_usd[account], page.components_usd[account]
    binding = page.binding[account]
    text = f"determined by {_words(binding)}"
    others = [
        (float(amounts[k]), name)
        for k, name in enumerate(page.components)
        if name not in (binding, "core")
    ]
    if others and requirement > 0.0:
        amount, name = max(others)
        if amount > 0.1 * requirement:
            text += f" ({100 * amount / requirement:.0f} % {_words(name)})"
    return text


def _members(page: OfficerPage) -> list[list[str]]:
    """Return one row per member: counts, deficit, resources, requirement, previous, components."""
    names, index = np.unique(np.array(page.members, np.str_), return_inverse=True)
    shown = millions if _is_large(page) else usd
    n = names.size

    def by_member(values: FloatArray) -> FloatArray:
        return np.bincount(index, weights=values, minlength=n).astype(np.float64)

    requirement = by_member(page.requirement_usd)
    parts = [by_member(page.components_usd[:, k]) for k in range(len(page.components))]
    deficit, resources, previous = page.deficit_usd, page.resources, page.previous
    owed = np.zeros(n) if deficit is None else by_member(deficit)
    rows: list[list[str]] = []
    for m in np.lexsort((-requirement, -owed)).tolist()[:_MEMBERS_MAX]:
        name = str(names[m])
        row = [name, f"{int((index == m).sum()):,}"]
        if deficit is not None and resources is not None:
            row += [
                f"{int((deficit[index == m] > 0.0).sum()):,}",
                shown(float(owed[m])),
                shown(float(resources.total_usd[index == m].sum())),
            ]
        row.append(shown(float(requirement[m])))
        if previous is not None:
            before = previous.members_usd.get(name)
            known = before is not None
            row += [shown(before) if known else "new"]
            row += [shown(float(requirement[m]) - before) if known else "new"]
        rows.append(row + [shown(float(values[m])) for values in parts])
    return rows


def _components(page: OfficerPage) -> list[list[str]]:
    """Return one row per component: amount, share, previous, change, accounts that it binds."""
    shown = millions if _is_large(page) else usd
    total = float(page.requirement_usd.sum())
    binds = Counter(page.binding)
    previous = page.previous
    gone = [] if previous is None else [n for n in previous.components_usd if n not in _names(page)]
    rows: list[list[str]] = []
    for name in [*page.components, *gone]:
        here = name in page.components
        amount = float(page.components_usd[:, page.components.index(name)].sum()) if here else 0.0
        if not here and previous is not None and previous.components_usd[name] == 0.0:
            continue
        row = [_words(name), shown(amount), f"{100 * amount / total:.1f} %" if total else ""]
        if previous is not None:
            before = previous.components_usd.get(name, 0.0)
            row += [shown(before), shown(amount - before)]
        rows.append([*row, f"{binds[name]:,}" if binds[name] else ""])
    last = ["all", shown(total), "100.0 %" if total else ""]
    if previous is not None:
        before = float(sum(previous.members_usd.values()))
        last += [shown(before), shown(total - before)]
    return [*rows, [*last, ""]]


def _names(page: OfficerPage) -> set[str]:
    return set(page.components)


def _is_large(page: OfficerPage) -> bool:
    return float(page.requirement_usd.sum()) >= _LARGE


def _words(name: str) -> str:
    return name.replace("_", " ")


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _accounts(count: int) -> str:
    return f"{count:,} account{'' if count == 1 else 's'}"
