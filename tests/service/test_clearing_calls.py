"""Margin calls, collateral and past states over gRPC, on SQLite and on PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clearing_desk import DOLLAR, Desk, desk
from margin_client import (
    CallAction,
    CallStatus,
    ConflictError,
    InvalidRequestError,
    MarginClient,
    NotFoundError,
    RefusedError,
)
from postgres_server import PostgresServer
from service_world import Running, World, served

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def on_postgres(
    embedded: None,
    world: World,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    url = postgres_server.new_database()
    with served(world, tmp_path_factory.mktemp("service"), ledger_url=url) as running:
        yield running


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def service(request: pytest.FixtureRequest) -> Running:
    names = {"sqlite": "service_of_session", "postgres": "on_postgres"}
    return request.getfixturevalue(names[request.param])


@pytest.fixture
def funded(service: Running, world: World) -> Iterator[Desk]:
    with desk(service, world, "ab", dollars=1_000_000) as found:
        found.cycle()
        yield found


@pytest.fixture
def client(service: Running) -> Iterator[MarginClient]:
    with MarginClient(service.target) as client:
        yield client


def news_of(client: MarginClient, account: str) -> list[str]:
    """What the log announces on the calls of an account, read by a watch from the beginning."""
    (call,) = client.list_margin_calls(account_id=account).calls
    found: list[str] = []
    for message in client.watch_margin_calls(account_id=account, timeout_seconds=20):
        change = message.change
        if change is not None and change.call is not None:
            assert change.account_id == account
            found += [one.news for one in change.announcements]
            if change.call.version == call.version:
                return found
    raise AssertionError("the last version did not come")


def test_the_life_of_a_call_from_the_cycle_to_the_payment(
    funded: Desk, client: MarginClient
) -> None:
    account = funded.accounts[0]
    assert client.list_margin_calls(account_id=account).calls == ()
    funded.cycle({account: 1_234_567})
    listed = client.list_margin_calls(account_id=account, is_open_only=True)
    (call,) = listed.calls
    assert (call.status, call.out_cents) == (CallStatus.ISSUED, 24_000_000)
    assert call.tranches[0].due_time > datetime.now(UTC)
    status = client.get_status()
    assert call in status.open_calls
    assert status.open_calls_total >= 1
    assert status.clearing_position is not None
    seen = client.acknowledge_margin_call(account, call.call_id, person="ann")
    assert seen.call.is_acknowledged
    expires = datetime.now(UTC) + timedelta(minutes=5)
    attested = client.attest_deposit(
        account, f"pay-{account}", "USDC", 40_000 * DOLLAR, custodian="bank", expire_time=expires
    )
    assert attested.call is not None
    assert [p.amount_cents for p in attested.call.attested] == [4_000_000]
    part = funded.deposit(client, account, 40_000)
    assert part.call is not None
    assert (part.call.status, part.call.out_cents) == (CallStatus.PARTLY_MET, 20_000_000)
    rest = funded.deposit(client, account, 200_000, key=f"rest-{account}")
    assert rest.call is not None
    assert (rest.call.status, rest.call.out_cents) == (CallStatus.MET, 0)
    assert rest.resources is not None
    assert rest.resources.resources_cents == 124_000_000
    assert rest.resources.excess_cents == 124_000_000 - 123_456_700
    again = funded.deposit(client, account, 200_000, key=f"rest-{account}")
    assert again.was_repeated
    assert client.get_resources(account).balances[0].collateral == 1_240_000 * DOLLAR
    with pytest.raises(ConflictError):
        funded.deposit(client, account, 200_001, key=f"rest-{account}")
    assert news_of(client, account) == [
        "issued",
        "acknowledged",
        "payment_under_way",
        "payment_posted",
        "met",
    ]


def test_the_example_of_a_member_pays_each_call_once(
    funded: Desk, client: MarginClient, service: Running, tmp_path: Path
) -> None:
    account = funded.accounts[0]

    def member(seconds: float) -> str:
        program = ROOT / "examples" / "member_pays_calls.py"
        token = tmp_path / "calls.token"
        done = subprocess.run(
            [sys.executable, program, account, "--address", service.target, "--token", token,
             "--seconds", str(seconds)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )  # fmt: skip
        return done.stdout

    funded.cycle({account: 1_234_567})
    said = member(1.5)
    assert "issued" in said
    assert "paid 240,000.00 US dollars" in said
    assert client.list_margin_calls(account_id=account).calls[0].status is CallStatus.MET
    assert "paid" not in member(0.8), "the next start continues after what was processed"
    assert client.get_resources(account).balances[0].collateral == 1_240_000 * DOLLAR


def test_a_withdrawal_below_the_requirement_is_refused_with_the_reason(
    funded: Desk, client: MarginClient
) -> None:
    account = funded.accounts[0]
    funded.cycle({account: 900_000})
    with pytest.raises(RefusedError) as caught:
        client.withdraw(account, f"w0-{account}", "USDC", 100_001 * DOLLAR, custodian="bank")
    (problem,) = caught.value.problems
    assert problem.field == "not_covered"
    assert "100001 USDC exceeds the withdrawable 100000" in problem.description.replace(
        ".000000", ""
    )
    name = f"w1-{account}"
    asked = client.withdraw(account, name, "USDC", 100_000 * DOLLAR, custodian="bank", person="ann")
    assert asked.resources is not None
    with pytest.raises(RefusedError) as caught:
        client.approve_withdrawal(name, person="ann")
    assert caught.value.problems[0].field == "same_person"
    with pytest.raises(InvalidRequestError, match="person"):
        client.approve_withdrawal(name)
    client.approve_withdrawal(name, person="bob")
    client.confirm_withdrawal(name)
    with pytest.raises(RefusedError) as caught:
        client.return_withdrawal(name)
    assert caught.value.problems[0].field == "wrong_stage"
    assert client.get_resources(account).balances[0].collateral == 900_000 * DOLLAR
    found = list(client.list_movements(account, page_size=1))
    booked = {b: sum(m.amount.units for m in found if m.balance == b and m.phase != "pending")
              for b in ("collateral", "in_transit")}  # fmt: skip
    assert booked == {"collateral": 900_000 * DOLLAR, "in_transit": 0}
    assert [m.log_number for m in found] == sorted(m.log_number for m in found)
    assert found[0].kind == "deposit"


def test_a_returned_withdrawal_is_credited_again(funded: Desk, client: MarginClient) -> None:
    account = funded.accounts[1]
    name = f"r-{account}"
    client.withdraw(account, name, "USDC", DOLLAR, custodian="bank", person="ann")
    client.approve_withdrawal(name, person="bob")
    assert client.get_resources(account).balances[0].in_transit == DOLLAR
    client.return_withdrawal(name)
    balance = client.get_resources(account).balances[0]
    assert (balance.in_transit, balance.collateral) == (0, 1_000_000 * DOLLAR)


def test_past_states_are_what_was_answered_at_the_time(funded: Desk, client: MarginClient) -> None:
    buyer, seller = funded.accounts
    then = [client.get_resources(buyer)]
    for step in range(4):
        if step % 2:
            funded.deposit(client, buyer, 1 + step)
        else:
            client.book_trades([funded.trade(buyer, seller, "0.5")])
        then.append(client.get_resources(buyer))
    for answer in then:
        past = client.get_resources(buyer, as_of=answer.position.number)
        assert (past.balances, past.positions) == (answer.balances, answer.positions)
        assert past.position.number == answer.position.number
        if answer.resources is not None:
            assert past.resources is not None
            assert past.resources.resources_cents == answer.resources.resources_cents
    assert then[-1].positions[0].quantity == "1.0"
    moment = then[2].position.time
    assert moment is not None
    by_time = client.get_resources(buyer, as_of=moment)
    assert (by_time.balances, by_time.positions) == (then[2].balances, then[2].positions)
    with pytest.raises(NotFoundError):
        client.get_resources(buyer, as_of=0)
    with pytest.raises(InvalidRequestError):
        client.get_resources(buyer, as_of=10**9)


def test_two_people_hold_and_cancel_a_call(funded: Desk, client: MarginClient) -> None:
    account = funded.accounts[0]
    funded.cycle({account: 2_000_000})
    (call,) = client.list_margin_calls(account_id=account).calls
    hold = CallAction(account, call.call_id, "hold", "bank closed")
    assert client.propose_action(hold, person="ann").call.approvals[0].proposer == "ann"
    with pytest.raises(RefusedError) as caught:
        client.approve_action(hold, person="ann")
    assert caught.value.problems[0].field == "same_person"
    other = CallAction(account, call.call_id, "hold", "another reason")
    with pytest.raises(RefusedError) as caught:
        client.approve_action(other, person="bob")
    assert caught.value.problems[0].field == "not_proposed"
    key = f"approve-{account}"
    assert client.approve_action(hold, person="bob", idempotency_key=key).call.is_held
    assert client.approve_action(hold, person="bob", idempotency_key=key).was_repeated
    assert not client.release_hold(account, call.call_id, person="eve").call.is_held
    later = call.tranches[0].due_time + timedelta(minutes=7)
    extend = CallAction(account, call.call_id, "extend", "bank closed", 1, later)
    client.propose_action(extend, person="ann")
    assert client.approve_action(extend, person="bob").call.tranches[0].due_time == later
    cancel = CallAction(account, call.call_id, "cancel", "wrong model")
    client.propose_action(cancel, person="bob")
    assert client.approve_action(cancel, person="ann").call.status is CallStatus.CANCELLED


def test_a_default_is_not_declared_before_a_call_is_overdue(
    funded: Desk, client: MarginClient
) -> None:
    account = funded.accounts[0]
    funded.cycle({account: 2_000_000})
    (call,) = client.list_margin_calls(account_id=account).calls
    default = CallAction(account, call.call_id, "declare_default", "not paid")
    with pytest.raises(RefusedError) as caught:
        client.propose_action(default, person="ann")
    assert caught.value.problems[0].field == "not_overdue"


def test_pages_of_calls_are_of_one_state(funded: Desk, client: MarginClient) -> None:
    a, b = funded.accounts
    funded.cycle({a: 2_000_000, b: 2_000_000})
    first = client.list_margin_calls(page_size=1, is_open_only=True)
    funded.deposit(client, a, 5_000_000)
    found, token = list(first.calls), first.next_page_token
    while token:
        page = client.list_margin_calls(page_size=1, is_open_only=True, page_token=token)
        found, token = found + list(page.calls), page.next_page_token
    listed = {call.account_id: call.status for call in found}
    assert listed[a] is listed[b] is CallStatus.ISSUED
    assert len(found) == len({call.call_id for call in found})
    past = client.list_margin_calls(account_id=a, as_of=first.position.number)
    assert past.calls[0].status is CallStatus.ISSUED
    assert client.list_margin_calls(account_id=a).calls[0].status is CallStatus.MET


def test_requests_that_name_nothing_are_refused(service: Running, client: MarginClient) -> None:
    with pytest.raises(NotFoundError):
        client.get_resources("nobody")
    with pytest.raises(NotFoundError):
        list(client.list_movements("nobody"))
    with pytest.raises(NotFoundError):
        client.deposit("nobody", "p-none", "USDC", 1, custodian="bank")
    with pytest.raises(InvalidRequestError, match="amount"):
        client.deposit("nobody", "p-none", "DOGE", 0, custodian="bank")
    with pytest.raises(InvalidRequestError):
        next(iter(client.watch_margin_calls(resume_token="1:" + "0" * 64)))
