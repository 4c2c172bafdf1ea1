"""Resources of accounts against a requirement, from the state of the clearing house in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from margin_actors.clearing.amounts import requirement_units
from margin_actors.clearing.house import HouseState
from margin_actors.clearing.house.queries import Headroom, resources_of
from margin_actors.clearing.house.valuing import (
    others_deficit_cents,
    requirement_cents,
    reserved_cents,
)
from margin_actors.clearing.journal.resources import Resources
from margin_actors.errors import MissingMarketData
from margin_cluster.ledger.clearing_rows import Committed, LogPosition


@dataclass(frozen=True)
class AccountStanding:
    """What an account has, and what it needs."""

    resources: Resources
    headroom: Headroom
    """Against the requirement of the last cycle, or of the margin that was just calculated."""
    is_frozen: bool
    at: LogPosition

    def headroom_after(self, requirement_cents: int) -> int:
        """Return what remains of the resources with another requirement, US cents.

        Reserved margin and the deficit of accounts with which it nets are deducted; a negative
        amount is missing.
        """
        now = self.headroom
        change = requirement_cents - now.requirement_cents
        return now.excess_cents - now.reserved_cents - change


def standing(
    committed: Committed[HouseState], account: str, margin_usd: float | None = None
) -> AccountStanding | None:
    """Return the resources of an account against a requirement.

    Parameters
    ----------
    committed : Committed
        The state of the clearing house.
    account : str
    margin_usd : float, optional
        The requirement, US dollars, rounded up to a cent; by default that of the last cycle.

    Returns
    -------
    AccountStanding or None
        None if the account has no clearing account, or an asset that it holds has no price.
    """
    state = committed.state
    if account not in state.accounts:
        return None
    try:
        found = resources_of(state, account)
        others = others_deficit_cents(state, account)
    except MissingMarketData:
        return None
    needed = requirement_cents(state, account)
    if margin_usd is not None:
        needed = requirement_units(margin_usd)
    total = found.total_cents
    # As `queries.headroom`, which would compute the resources two times more.
    now = Headroom(total, needed, reserved_cents(state, account), total - needed - others)
    return AccountStanding(found, now, account in state.frozen, committed.at)


def standings(
    committed: Committed[HouseState], accounts: Sequence[str], margins_usd: Sequence[float]
) -> list[AccountStanding | None]:
    """Return `standing` of each account; an empty list if there is no clearing account at all."""
    if not len(committed.state.accounts):
        return []
    return [
        standing(committed, account, margin)
        for account, margin in zip(accounts, margins_usd, strict=True)
    ]
