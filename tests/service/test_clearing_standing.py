"""Resources in answers agree with what the clearing house itself decides by."""

from clearing_house import BTC, MILLION, House
from margin_cluster.gateway.resources import standing
from margin_cluster.ledger.clearing_rows import Committed

from margin_actors.clearing.house.queries import headroom
from margin_actors.clearing.journal.deficits import AccountType


def netting_house() -> House:
    house = House().open("a")
    for name in ("h1", "h2"):
        house.open_account(name, kind=AccountType.HOUSE, nets=True)
    for account in ("a", "h1", "h2"):
        house.deposit(account, MILLION)
    house.cycle({"a": 400_000, "h1": 100_000, "h2": 1_500_000})
    house.trade("a", "h1", 3)
    return house


def test_the_standing_of_every_account_is_its_headroom() -> None:
    state = netting_house().state
    for account in ("a", "h1", "h2"):
        found = standing(Committed(state), account)
        assert found is not None
        assert found.headroom == headroom(state, account)
        assert not found.is_frozen


def test_another_requirement_changes_excess_by_the_difference() -> None:
    state = netting_house().state
    now, other = standing(Committed(state), "h1"), standing(Committed(state), "h1", 123_456.781)
    assert now is not None
    assert other is not None
    assert other.headroom.requirement_cents == 12_345_679, "rounded up to a cent"
    change = other.headroom.requirement_cents - now.headroom.requirement_cents
    assert other.headroom.excess_cents == now.headroom.excess_cents - change
    left = now.headroom_after(12_345_679)
    assert left == other.headroom.excess_cents - other.headroom.reserved_cents


def test_an_account_without_a_price_has_no_standing() -> None:
    house = House().open("a")
    house.deposit("a", 1, asset=BTC)
    assert standing(Committed(house.state), "a") is None
    assert standing(Committed(house.state), "nobody") is None
