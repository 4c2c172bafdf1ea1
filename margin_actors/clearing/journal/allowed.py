"""Which accounts each kind of transfer may connect."""

from collections.abc import Mapping

from margin_actors.clearing.journal.accounts import Account, AccountKind
from margin_actors.clearing.journal.transfers import TransferKind

Route = tuple[AccountKind, AccountKind]
"""Kinds of the debited and the credited account."""


def _both(one: AccountKind, other: AccountKind) -> frozenset[Route]:
    return frozenset({(one, other), (other, one)})


_K = AccountKind
_CASH_SETTLEMENT = _both(_K.CASH, _K.SETTLEMENT)

ROUTES: Mapping[TransferKind, frozenset[Route]] = {
    TransferKind.DEPOSIT: _both(_K.CUSTODIAN, _K.COLLATERAL),
    TransferKind.WITHDRAWAL: frozenset({(_K.COLLATERAL, _K.IN_TRANSIT)}),
    TransferKind.PAYOUT: frozenset({(_K.IN_TRANSIT, _K.CUSTODIAN)}),
    TransferKind.RETURN: frozenset({(_K.IN_TRANSIT, _K.COLLATERAL)}),
    TransferKind.SWEEP: _both(_K.CASH, _K.COLLATERAL),
    TransferKind.VARIATION: _CASH_SETTLEMENT,
    TransferKind.PREMIUM: _CASH_SETTLEMENT,
    TransferKind.PAYOFF: _CASH_SETTLEMENT,
    TransferKind.FUNDING: _both(_K.CASH, _K.FUNDING),
    TransferKind.FEE: _both(_K.CASH, _K.FEES),
    TransferKind.ROUNDING: _both(_K.SETTLEMENT, _K.ROUNDING) | _both(_K.FUNDING, _K.ROUNDING),
    TransferKind.LIMIT: _both(_K.MARGIN_LIMIT, _K.FREE_MARGIN),
    TransferKind.RESERVATION: frozenset({(_K.FREE_MARGIN, _K.RESERVED)}),
    TransferKind.RELEASE: frozenset({(_K.RESERVED, _K.MARGIN_LIMIT)}),
}
"""Routes of each kind. Assets enter and leave the books through a custodian only, so that they
change by deposits and payouts alone."""

ONE_OWNER = frozenset(
    {
        TransferKind.WITHDRAWAL,
        TransferKind.RETURN,
        TransferKind.SWEEP,
        TransferKind.RESERVATION,
    }
)
"""Kinds that connect accounts of one owner: assets of one clearing account never become those of
another without a settlement between them."""


NEVER_FROM_DEBT = frozenset({TransferKind.SWEEP})
"""Kinds that may not overdraw the debited account even if it has no limit: what an account owes
never becomes collateral."""


def is_route(kind: TransferKind, debit: Account, credit: Account) -> bool:
    """Return whether a transfer of a kind may debit one account and credit the other."""
    return (debit.kind, credit.kind) in ROUTES[kind]


def is_same_owner(kind: TransferKind, debit: Account, credit: Account) -> bool:
    """Return whether the owners of the accounts are as the kind of transfer requires."""
    return kind not in ONE_OWNER or debit.owner == credit.owner
