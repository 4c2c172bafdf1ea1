"""Explanation of a portfolio: its components, and what each section of the scenarios loses."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.challenge.board import Board
from margin_actors.engine.challenge.portfolios import Portfolio, book_of, plausible_losses

_MOVES = 5


@dataclass(frozen=True)
class SectionLoss:
    """The largest loss of a portfolio in the rows of one section."""

    section: str
    row: str
    """Name of the row."""
    loss_usd: float
    """Loss in that row before its loss share, US dollars; negative if every row is a profit."""
    counted_usd: float
    """Loss times the loss share of the row."""


@dataclass(frozen=True)
class ExplainedPortfolio:
    """A portfolio with its requirement, its plausible losses and what missed them."""

    portfolio: Portfolio
    quantities: dict[str, float]
    """Quantity by instrument, in the unit of `Book.quantity`."""
    gross_usd: float
    """Sum of the absolute positions times the index, US dollars."""
    requirement_usd: float
    loss_usd: float
    """Largest plausible loss."""
    move: str
    """Name of the move of that loss."""
    ratio: float
    components_usd: dict[str, float]
    """Requirement components in summation order."""
    losses_usd: dict[str, float]
    """The largest plausible losses by move, in descending order."""
    sections: tuple[SectionLoss, ...]
    """Largest losses by section, in the order of the scenario set."""

    @property
    def missed(self) -> str:
        """Sentences on what missed the plausible loss and what would have had to bind."""
        return " ".join([_largest_components(self), *_sections(self)])


def explain(board: Board, portfolio: Portfolio) -> ExplainedPortfolio:
    """Return the explanation of one portfolio under the board's model."""
    book = book_of(board, [portfolio])
    margins = board.priced.margins(book)
    losses = plausible_losses(board, [portfolio])[:, 0]
    order = np.argsort(-losses, kind="stable")[:_MOVES]
    names = board.moves.names
    required, loss = float(margins.initial_margin_usd[0]), float(losses[order[0]])
    gross = float(np.abs(portfolio.lots) @ board.notional_usd[portfolio.contract])
    return ExplainedPortfolio(
        portfolio=portfolio,
        quantities=portfolio.quantities(board),
        gross_usd=gross,
        requirement_usd=required,
        loss_usd=loss,
        move=names[int(order[0])],
        ratio=required / loss if loss >= board.limits.loss_min_usd else np.inf,
        components_usd=margins.amounts_of(0),
        losses_usd={names[int(m)]: float(losses[m]) for m in order},
        sections=_section_losses(board, portfolio),
    )


def _section_losses(board: Board, portfolio: Portfolio) -> tuple[SectionLoss, ...]:
    """Return the row of each section in which the portfolio's counted loss is largest."""
    scenarios = board.priced.scenarios
    lots = np.zeros(len(board))
    lots[portfolio.contract] = portfolio.lots
    loss: FloatArray = -board.profits_usd(lots)
    share = np.ones(loss.size) if scenarios.loss_share is None else scenarios.loss_share
    found: list[SectionLoss] = []
    for name in scenarios.section_names:
        section = scenarios.section(name)
        if section.count == 0:
            continue
        row = section.first + int(np.argmax((loss * share)[section.rows]))
        found.append(
            SectionLoss(
                name, scenarios.row_name(row), float(loss[row]), float(loss[row] * share[row])
            )
        )
    return tuple(found)


def _largest_components(found: ExplainedPortfolio) -> str:
    """Return a sentence on the components that make up the requirement."""
    paid = sorted(found.components_usd.items(), key=lambda item: -item[1])
    shown = [
        f"{name.replace('_', ' ')} {_percent(amount / found.loss_usd)}"
        for name, amount in paid[:3]
        if amount > 0.0
    ]
    if not shown:
        return "No component charges this portfolio."
    return f"Of the plausible loss the requirement has {', '.join(shown)}."


def _sections(found: ExplainedPortfolio) -> list[str]:
    """Return a sentence per section, and one on what would have required the plausible loss."""
    said: list[str] = []
    holding = [item for item in found.sections if item.counted_usd >= found.loss_usd]
    for item in found.sections:
        name = item.section.replace("_", " ")
        share = _percent(max(item.counted_usd, 0.0) / found.loss_usd)
        if item in holding:
            said.append(
                f"The {name} section has a row with {share} of it ({item.row}), which is not "
                "charged in full."
            )
        else:
            said.append(
                f"No row of the {name} section loses as much: the worst, {item.row}, has {share}."
            )
    if found.requirement_usd < found.loss_usd:
        needed = f"the row {holding[0].row}" if holding else f"a row with the move {found.move!r}"
        said.append(f"The loss would be required in full if {needed} were charged in full.")
    return said


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
