"""The story of an account as one HTML page."""

from dataclasses import dataclass
from itertools import groupby

from margin_actors.clearing.story import AccountPosition, Story, StoryLine, Tone
from margin_actors.clearing.story.lines import moment, money
from margin_cluster.report.identity import ReportIdentity
from margin_cluster.report.page import base_values, environment

EXPLANATION = (
    "Every line is proven by the entry of the log that it names: the hash of an entry covers all "
    "entries before it. A requirement has a line if it changed by more than 5 %, the index by more "
    "than 2 %, if positions or model changed, or if the account became short or covered again."
)


@dataclass(frozen=True)
class _Line:
    """One line as the template shows it."""

    time: str
    title: str
    text: str
    who: str
    tone: str
    number: str
    hash: str
    event: str
    references: tuple[tuple[str, str], ...]


def audit_html(story: Story, *, period: str, identity: ReportIdentity) -> str:
    """Return the story of an account as one self-contained HTML document.

    Parameters
    ----------
    story : Story
    period : str
        The period in words.
    identity : ReportIdentity
        With the last entry of the log among its inputs.
    """
    days = [
        (day, [_line(line) for line in lines])
        for day, lines in groupby(story.lines, lambda line: f"{line.at:%A, %Y-%m-%d}")
    ]
    return (
        environment()
        .get_template("audit.html.j2")
        .render(
            title=f"Audit of account {story.account}",
            subtitle=f"member {story.member}, {period}",
            verdict=verdict(story),
            ends=[("At the beginning", _ends(story.opening)), ("At the end", _ends(story.closing))],
            explanation=EXPLANATION,
            days=days,
            **base_values(identity, {}),
        )
    )


def verdict(story: Story) -> list[str]:
    """Return the story in a few sentences."""
    titles = [line.statement.title for line in story.lines]
    issued, overdue = titles.count("Margin call issued"), titles.count("Margin call overdue")
    defaults = titles.count("Default declared")
    met = sum(title in ("Margin call met", "Margin call met late") for title in titles)
    late = titles.count("Margin call met late")
    sentences = [
        f"{_counted(story.cycles, 'requirement')} calculated, {_counted(issued, 'margin call')} "
        f"issued, {met:,} met{f' ({late:,} late)' if late else ''}, "
        f"{_counted(overdue, 'deadline')} missed."
    ]
    if defaults:
        sentences.append("The default of the account was declared by two people.")
    sentences.append(f"At the end, {story.closing.call}.")
    if story.call_account != story.account:
        sentences.append(
            f"The account nets with others of the member; its calls are issued to "
            f"{story.call_account}."
        )
    return sentences


def _ends(position: AccountPosition) -> list[tuple[str, str]]:
    known = position.requirement_cents is not None and position.resources_cents is not None
    rows = [
        ("last entry", f"{position.number:,}" if position.number else "the log was empty"),
        ("time", "" if position.at is None else moment(position.at)),
        ("requirement", _amount(position.requirement_cents)),
        ("resources", _amount(position.resources_cents)),
    ]
    if known:
        assert position.requirement_cents is not None
        assert position.resources_cents is not None
        excess = position.resources_cents - position.requirement_cents
        rows.append(("deficit" if excess < 0 else "excess", money(abs(excess))))
    rows.append(("margin call", position.call))
    return [*rows, ("holdings", "; ".join(position.balances) or "none")]


def _amount(cents: int | None) -> str:
    return "not known" if cents is None else money(cents)


def _line(line: StoryLine) -> _Line:
    statement = line.statement
    who = "; ".join([f"recorded by {line.actor}", *statement.people])
    tone = "" if statement.tone is Tone.PLAIN else statement.tone.value
    return _Line(
        f"{line.at:%H:%M:%S}",
        statement.title,
        statement.text,
        who,
        tone,
        f"{line.number:,}",
        line.entry_hash,
        line.event_id,
        statement.references,
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
