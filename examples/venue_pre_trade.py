# pyright: basic
"""A venue that checks every order against margin before it goes to the book.

    margin serve                              # in one terminal
    python examples/venue_pre_trade.py        # in another

Orders arrive for random accounts. One call simulates both sides of a quote (it may be hit or
lifted). The order is accepted if the account's collateral covers the larger requirement, or if
neither side increases the requirement. Some accepted orders are filled and added to the account's
positions. In this example, collateral is a fixed multiple of each account's initial requirement.
"""

import argparse
import random
import statistics
import time

from margin_client import BusyError, Candidate, DeadlineError, MarginClient, Trade

COVER = 1.02
"""Ratio of collateral to the requirement at the start."""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--address", default="127.0.0.1:50051")
    parser.add_argument("--orders", type=int, default=200)
    arguments = parser.parse_args()
    chance, milliseconds = random.Random(7), list[float]()
    let_in = refused = filled = 0
    with MarginClient(arguments.address) as client:
        client.wait_until_ready()
        book = client.calculate_book()
        collateral = {
            account: COVER * max(book[account].initial_margin_usd, 0.0) for account in book
        }
        options = options_held(client, list(book)[:20])
        print(f"{len(book)} accounts, {book.initial_margin_usd:,.0f} US dollars required")
        for number in range(arguments.orders):
            account = chance.choice(list(book))
            name = chance.choice(options)
            size = float(chance.choice((1, 2, 5, 10)))
            begin = time.perf_counter()
            try:
                answer = client.simulate_margin(
                    account,
                    candidates=[Candidate({name: size}, "buy"), Candidate({name: -size}, "sell")],
                    timeout_seconds=1.0,
                )
            except (BusyError, DeadlineError) as late:
                print(f"order {number}: no response in time, rejected ({late})")
                refused += 1
                continue
            milliseconds.append(1e3 * (time.perf_counter() - begin))
            needed = max(c.after.initial_margin_usd for c in answer.candidates)
            if needed > collateral[account] and needed > answer.before.initial_margin_usd:
                refused += 1
                if refused <= 5:
                    print(
                        f"order {number}: {account} quotes {size:g} {name}: would need "
                        f"{needed:,.0f}, has {collateral[account]:,.0f}; rejected"
                    )
                continue
            let_in += 1
            if chance.random() < 0.3:
                side = chance.choice((1.0, -1.0))
                client.apply_trades([Trade(account, name, side * size)])
                filled += 1
    print(f"{let_in} quotes accepted, {refused} rejected, {filled} filled")
    print(
        f"response after {statistics.median(milliseconds):.1f} ms (median), "
        f"{sorted(milliseconds)[int(0.99 * len(milliseconds))]:.1f} ms (99 of 100)"
    )


def options_held(client: MarginClient, accounts: list[str]) -> list[str]:
    """Return the names of the options that the accounts hold, used as the venue's instruments."""
    held = {
        position.instrument_name
        for account in accounts
        for position in client.get_portfolio(account).positions
    }
    return sorted(name for name in held if name.endswith(("-C", "-P")))


if __name__ == "__main__":
    main()
