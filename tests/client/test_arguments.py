"""Arguments that cannot be sent raise a ValueError that names them."""

from typing import cast

import pytest
from margin_client import AccountPosition, MarginClient, Trade
from margin_client._write import positions, trades_to_wire, uploads


def test_a_quantity_of_text_is_named() -> None:
    text = cast("float", "5")
    with pytest.raises(ValueError, match="portfolio: BTC-PERPETUAL: quantity is '5', a str"):
        positions({"BTC-PERPETUAL": text}, "portfolio")
    with pytest.raises(ValueError, match="trades: BTC-PERPETUAL: quantity is '5'"):
        trades_to_wire([Trade("A", "BTC-PERPETUAL", text)])
    rows = [AccountPosition("A", "M", "BTC-PERPETUAL", text)]
    with pytest.raises(ValueError, match="positions: BTC-PERPETUAL: quantity is '5'"):
        list(uploads(rows, "key")())


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_timeout_that_is_not_positive_is_refused(seconds: float) -> None:
    with (
        MarginClient("127.0.0.1:1") as client,
        pytest.raises(ValueError, match="timeout_seconds is"),
    ):
        client.get_status(timeout_seconds=seconds)
