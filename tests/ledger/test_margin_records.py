"""Margins and failures in the ledger: their stored form does not change."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_records import record
from margin_cluster.gateway.convert.margin_types import failure_to_proto, margin_to_proto
from margin_cluster.ledger import Ledger
from margin_cluster.ledger.margin_records import (
    failures_from_text,
    failures_to_text,
    margin_from_text,
    margin_to_text,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "stored_margin.json"
"""A margin (SPAN with a VaR floor, all tools, two add-ons) and a failure, as version 0.2.0 stored
them."""


@pytest.fixture(scope="module")
def stored() -> dict[str, str]:
    return json.loads(GOLDEN.read_text())


def test_a_stored_margin_keeps_its_text(stored: dict[str, str]) -> None:
    found = margin_from_text(stored["margin"])
    assert found is not None
    assert margin_to_text(found) == stored["margin"]
    assert failures_to_text(failures_from_text(stored["failures"])) == stored["failures"]


def test_a_stored_margin_is_sent_with_every_value(stored: dict[str, str]) -> None:
    values = json.loads(stored["margin"])
    found = margin_from_text(stored["margin"])
    assert found is not None
    message = margin_to_proto(found)
    parts = [
        {
            "name": p.name,
            "amount_usd": p.amount_usd,
            "inputs": [[i.name, i.value, i.of] for i in p.inputs],
        }
        for p in message.parts
    ]
    assert parts == values.pop("parts")
    assert list(message.expired_instruments) == values.pop("expired_instruments")
    assert {name: getattr(message, name) for name in values} == values
    assert not message.HasField("venue_grid_usd")
    (failure,) = failures_from_text(stored["failures"])
    sent = failure_to_proto(failure)
    assert [[p.instrument_name, p.description] for p in sent.problems] == [
        ["X", "unknown"],
        ["", "too large"],
    ]
    assert (sent.account_id, sent.positions, sent.problems_total) == ("B", 2, 2)


def test_margins_and_failures_survive_the_ledger(ledger_url: str, stored: dict[str, str]) -> None:
    ledger = Ledger(ledger_url)
    written = replace(
        record("calculation-1"),
        margin=margin_from_text(stored["margin"]),
        failures=failures_from_text(stored["failures"]),
    )
    ledger.add_calculations([written, record("calculation-2")])
    assert ledger.calculation("calculation-1").margin == written.margin
    assert ledger.calculation("calculation-1").failures == written.failures
    assert ledger.calculation("calculation-2").margin is None
    assert ledger.calculation("calculation-2").failures == ()
    ledger.close()


def test_values_that_an_old_version_did_not_store_have_their_defaults() -> None:
    found = margin_from_text('{"account_id": "A", "var_usd": 2.5, "x": 0.1}')
    assert found is not None
    assert (found.account_id, found.var_usd, found.span_usd) == ("A", 2.5, None)
    assert found.components == ()
