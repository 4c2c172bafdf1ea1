"""Resources of accounts against a requirement, from the state of the clearing house in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from margin_actors.clearing.amounts import requirement_units
from margin_actors.clearing.house import HouseState
from margin_actors.clearing.house.queries import Headroom, headroom, resources_of
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
        found, now = resources_of(state, account), headroom(state, account)
    except MissingMarketData:
        return None
    if margin_usd is not None:
        needed = requirement_units(margin_usd)
        excess = now.excess_cents + now.requirement_cents - needed
        now = Headroom(now.resources_cents, needed, now.reserved_cents, excess)
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
