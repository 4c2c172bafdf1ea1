# pyright: basic
"""A clearing member that watches its margin calls, acknowledges them, and pays them in USDC.

    margin serve                                        # in one terminal
    python examples/member_pays_calls.py ACCOUNT        # in another

The token of the last processed message is kept in a file, so that the program can be stopped and
started at any time, and can reach any gateway: no call is missed, and none is paid twice. A payment
is identified by the tranche that it pays and by the amount that had been paid on it before, so that
the deposit of a repeated message is the same deposit. In reality, the custodian reports the
receipt; here the program does so itself.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from margin_client import MarginCall, MarginClient

USDC_PER_CENT = 10_000
"""Smallest units of USDC in one US cent."""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("account", help="the clearing account")
    parser.add_argument("--address", default="127.0.0.1:50051")
    parser.add_argument("--token", type=Path, default=Path("calls.token"))
    parser.add_argument("--seconds", type=float, help="stop after this time; never if omitted")
    arguments = parser.parse_args()
    token = arguments.token.read_text() if arguments.token.exists() else ""
    with MarginClient(arguments.address) as client:
        client.wait_until_ready()
        watch = client.watch_margin_calls(
            account_id=arguments.account, resume_token=token, timeout_seconds=arguments.seconds
        )
        for message in watch:
            change = message.change
            if change is not None:
                for one in change.announcements:
                    print(f"{change.record_time:%H:%M:%S} {one.news} {one.subject}".rstrip())
                if change.call is not None and change.call.is_open:
                    settle(client, change.call)
            # Only now has the message been processed.
            arguments.token.write_text(message.resume_token)


def settle(client: MarginClient, seen: MarginCall) -> None:
    """Acknowledge a call, and pay what is out unless it has changed in the meantime."""
    found = client.list_margin_calls(account_id=seen.account_id).calls
    call = next((c for c in found if c.call_id == seen.call_id), None)
    if call is None or call.version != seen.version:
        return  # a later message describes the present state
    if not call.is_acknowledged:
        client.acknowledge_margin_call(call.account_id, call.call_id, idempotency_key=call.call_id)
        return  # which is a change that the watch reports
    for tranche in call.tranches:
        unpaid = tranche.amount_cents - tranche.paid_cents
        if unpaid:
            name = f"{call.call_id}/{tranche.number}/{tranche.paid_cents}"
            client.deposit(
                call.account_id,
                name,
                "USDC",
                unpaid * USDC_PER_CENT,
                custodian="bank",
                receive_time=datetime.now(UTC),
            )
            print(f"paid {unpaid / 100:,.2f} US dollars before {tranche.due_time:%H:%M} UTC")


if __name__ == "__main__":
    main()
