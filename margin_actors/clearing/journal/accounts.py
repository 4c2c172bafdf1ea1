"""Accounts of the journal and their balances.

The journal is kept from the view of the clearing house. A credit balance is owed to the owner of
the account; a debit balance is held by the clearing house or owed to it. Over all accounts of an
asset, debits equal credits.
"""

from dataclasses import dataclass
from enum import Flag, StrEnum, auto

from margin_actors.clearing.amounts import Asset
from margin_actors.clearing.journal.canonical import id_fault
from margin_actors.errors import InvalidRequest, Problem, raise_if_any

MARGIN = Asset("MARGIN", 2)
"""US cents of margin that can be used. Not money: limits are booked in an asset of their own, so
that no transfer can turn a limit into cash."""
CLEARING_HOUSE = ""
"""Owner of the accounts of the clearing house itself; no clearing account has an empty id."""
BALANCE_MAX = 2**63 - 1
"""Largest sum of debits or credits of one account, in units: a 64-bit column of a database."""


class AccountKind(StrEnum):
    """What an account stands for."""

    COLLATERAL = "collateral"
    """Deposits of a clearing account and cash moved there; never overdrawn."""
    CASH = "cash"
    """Settled variation, funding, premiums, payoffs and fees of a clearing account. A debit balance
    is owed to the clearing house. A sweep returns it to zero as far as collateral permits."""
    IN_TRANSIT = "in_transit"
    """Withdrawals of a clearing account that are approved and not yet confirmed by a custodian."""
    FREE_MARGIN = "free_margin"
    """Margin that a clearing account can use for new positions; asset `MARGIN`."""
    RESERVED = "reserved"
    """Margin of executed block trades that no requirement includes yet; asset `MARGIN`."""
    MARGIN_LIMIT = "margin_limit"
    """Counter-account of free margin; of the clearing house, asset `MARGIN`."""
    CUSTODIAN = "custodian"
    """Assets held at a custodian, a debit balance; the owner is the custodian's name."""
    SETTLEMENT = "settlement"
    """Clearing account of variation, premiums and payoffs; zero after each settlement."""
    FUNDING = "funding"
    """Clearing account of funding payments; zero after each payment."""
    ROUNDING = "rounding"
    """Residuals of rounding per account; of the clearing house, of either sign."""
    FEES = "fees"
    """Fees received; of the clearing house."""


class AccountFlag(Flag):
    """Limits of a balance; open pending transfers count as if they were posted."""

    NONE = 0
    DEBITS_MUST_NOT_EXCEED_CREDITS = auto()
    CREDITS_MUST_NOT_EXCEED_DEBITS = auto()


_HOUSE_KINDS = frozenset(
    {
        AccountKind.MARGIN_LIMIT,
        AccountKind.SETTLEMENT,
        AccountKind.FUNDING,
        AccountKind.ROUNDING,
        AccountKind.FEES,
    }
)
MARGIN_KINDS = frozenset({AccountKind.FREE_MARGIN, AccountKind.RESERVED, AccountKind.MARGIN_LIMIT})
"""Kinds of accounts in the asset `MARGIN`; all others hold money or coins."""
_FLAGS = {
    AccountKind.COLLATERAL: AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS,
    AccountKind.IN_TRANSIT: AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS,
    AccountKind.FREE_MARGIN: AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS,
    AccountKind.RESERVED: AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS,
    AccountKind.CUSTODIAN: AccountFlag.CREDITS_MUST_NOT_EXCEED_DEBITS,
}


@dataclass(frozen=True)
class Account:
    """An account of the journal; its id follows from kind, asset and owner."""

    owner: str
    """Clearing account, name of a custodian, or `CLEARING_HOUSE`; see `AccountKind`."""
    kind: AccountKind
    asset: Asset
    flags: AccountFlag
    """Limits of the balance; `open_account` sets those of the kind."""

    def __post_init__(self) -> None:
        found: list[str] = []
        if self.kind in _HOUSE_KINDS:
            if self.owner != CLEARING_HOUSE:
                found.append(f"an account of kind {self.kind} belongs to the clearing house")
        elif fault := id_fault(self.owner):
            found.append(f"owner {fault}")
        if (self.kind in MARGIN_KINDS) != (self.asset == MARGIN):
            found.append(f"an account of kind {self.kind} cannot hold {self.asset.name}")
        if not self.asset.name.isalnum():
            found.append(f"{self.asset.name!r} is not the name of an asset")
        raise_if_any(
            [Problem("account", what) for what in found],
            InvalidRequest,
            "the account cannot be opened",
        )

    @property
    def limits_debits(self) -> bool:
        """Whether debits, posted and pending, must not exceed posted credits."""
        return AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS in self.flags

    @property
    def limits_credits(self) -> bool:
        """Whether credits, posted and pending, must not exceed posted debits."""
        return AccountFlag.CREDITS_MUST_NOT_EXCEED_DEBITS in self.flags

    @property
    def id(self) -> str:
        """The id of the account, for example ``collateral:BTC:fund-1``."""
        return account_id(self.kind, self.asset, self.owner)


@dataclass(frozen=True, slots=True)
class Balance:
    """The balance of an account, in units of its asset; all sums are at least 0."""

    debits_posted: int = 0
    credits_posted: int = 0
    debits_pending: int = 0
    """Debits of open pending transfers."""
    credits_pending: int = 0
    """Credits of open pending transfers."""
    version: int = 0
    """Number of transfers that changed the balance."""

    @property
    def net(self) -> int:
        """Posted credits less posted debits: positive for a credit balance."""
        return self.credits_posted - self.debits_posted

    @property
    def available(self) -> int:
        """Credit balance less pending debits: what can still be debited without an overdraft."""
        return self.net - self.debits_pending


ZERO = Balance()


def account_id(kind: AccountKind, asset: Asset, owner: str = CLEARING_HOUSE) -> str:
    """Return the id of an account; different accounts have different ids.

    The names of kinds and assets contain no colon; the owner, which may, comes last.
    """
    return f"{kind.value}:{asset.name}:{owner}"


def open_account(kind: AccountKind, asset: Asset, owner: str = CLEARING_HOUSE) -> Account:
    """Return an account with the limits of its kind.

    Raises
    ------
    InvalidRequest
        If the kind does not fit the owner or the asset.
    """
    return Account(owner, kind, asset, _FLAGS.get(kind, AccountFlag.NONE))


def margin_accounts(owner: str) -> tuple[Account, ...]:
    """Return the accounts that every clearing account has: free and reserved margin."""
    kinds = (AccountKind.FREE_MARGIN, AccountKind.RESERVED)
    return tuple(open_account(kind, MARGIN, owner) for kind in kinds)
