"""The terminal of a simulated day: a live screen, or one line per cycle without a terminal."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeAlias

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from margin_cluster.cli.console import err
from margin_cluster.simulation import DayView
from margin_cluster.simulation.tally import SHOWN

ShowView: TypeAlias = Callable[[DayView, float], None]
"""Shows a view; the second argument is the speed as a multiple of real time."""
_DUE_SOON = timedelta(minutes=10)


@contextmanager
def day_screen(start: datetime, end: datetime, *, quiet: bool) -> Generator[ShowView]:
    """Yield a function that shows the views of a day on standard error.

    On a terminal it draws one screen; otherwise it prints one line per change of the cycle number;
    if `quiet`, nothing.
    """
    if quiet:
        yield lambda _view, _speed: None
    elif not err.is_terminal:
        yield _lines()
    else:
        with Live(console=err, auto_refresh=False, transient=True) as live:
            yield lambda view, speed: live.update(screen(view, start, end, speed), refresh=True)


def screen(view: DayView, start: datetime, end: datetime, speed: float) -> RenderableType:
    """Return one screen: time and index, requirement and resources, who is short, and calls."""
    done = (view.time - start) / (end - start)
    head = Table.grid(expand=True, padding=(0, 2))
    head.add_column()
    head.add_column(justify="right")
    head.add_row(
        Text(f"{view.time:%a %Y-%m-%d %H:%M} UTC", style="bold"),
        Text(f"{speed:,.0f} × real time, {view.cycles:,} cycles, {view.entries:,} entries", "dim"),
    )
    bar = Table.grid(expand=True)
    bar.add_row(ProgressBar(total=1.0, completed=min(max(done, 0.0), 1.0)))
    return Group(
        head,
        bar,
        _index(view),
        _figures(view),
        _short(view),
        _messages(view),
    )


def _index(view: DayView) -> Text:
    line = Text()
    for name, price in sorted(view.index_usd.items()):
        change = view.change[name]
        style = "red" if change < -0.02 else "green" if change > 0.02 else ""
        line.append(f"{name} {price:,.2f} ")
        line.append(f"{100 * change:+.1f} %   ", style=style)
    return line


def _figures(view: DayView) -> Table:
    table = Table.grid(padding=(0, 3))
    used = view.requirement_cents / view.resources_cents if view.resources_cents > 0 else 0.0
    table.add_row(
        f"requirement [bold]{millions(view.requirement_cents)}[/]",
        f"resources [bold]{millions(view.resources_cents)}[/] ({100 * used:.0f} % used)",
        f"short [bold]{len(view.short):,}[/] of {view.accounts:,}, by "
        f"[bold]{millions(view.deficit_cents)}[/]",
    )
    overdue = f"[bold red]{view.late:,}[/]" if view.late else "0"
    table.add_row(
        f"calls issued [bold]{view.issued:,}[/], met {view.met:,}",
        f"cancelled {view.cancelled:,}, deadlines missed {overdue}",
        f"open [bold]{view.open:,}[/], unpaid {millions(view.out_cents)}",
    )
    return table


def _short(view: DayView) -> Panel:
    table = Table(expand=True, box=None, padding=(0, 1))
    for name in ("account", "deficit", "resources", "call", "unpaid", "due", "left"):
        table.add_column(name, justify="left" if name in ("account", "call") else "right")
    for one in view.short[:SHOWN]:
        left = None if one.due is None else one.due - view.time
        is_late = one.call == "overdue"
        style = "red" if is_late else "yellow" if left is not None and left <= _DUE_SOON else ""
        table.add_row(
            one.account,
            millions(one.deficit_cents),
            millions(one.resources_cents),
            one.call or "none",
            millions(one.out_cents) if one.out_cents else "",
            "" if one.due is None else f"{one.due:%H:%M}",
            "" if left is None else _minutes(left),
            style=style,
        )
    more = len(view.short) - SHOWN
    title = f"Short accounts, the largest {SHOWN} of {len(view.short):,}" if more > 0 else "Short"
    return Panel(table if view.short else Text("No account is short."), title=title)


def _messages(view: DayView) -> Panel:
    return Panel(Text("\n".join(view.messages) or "Nothing so far."), title="Calls")


def _minutes(left: timedelta) -> str:
    minutes = round(left.total_seconds() / 60)
    return f"{minutes} min" if minutes >= 0 else f"{-minutes} min late"


def millions(cents: int) -> str:
    """Return an amount in US cents as millions of US dollars, for example ``12.35 M``."""
    return f"{cents / 1e8:,.2f} M"


def _lines() -> ShowView:
    last = [0]

    def show(view: DayView, _speed: float) -> None:
        if view.cycles == last[0]:
            return
        last[0] = view.cycles
        index = " ".join(
            f"{name} {price:,.0f} ({100 * view.change[name]:+.1f} %)"
            for name, price in sorted(view.index_usd.items())
        )
        err.print(
            f"{view.time:%Y-%m-%d %H:%M}  {index}  requirement {millions(view.requirement_cents)}  "
            f"resources {millions(view.resources_cents)}  short {len(view.short):,} by "
            f"{millions(view.deficit_cents)}  issued {view.issued:,}  met {view.met:,}  "
            f"missed {view.late:,}  open {view.open:,}",
            highlight=False,
            soft_wrap=True,
        )

    return show
