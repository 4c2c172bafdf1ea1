"""Versions of models in the ledger, and the two people who register and approve them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from ledger_records import NOW, fill, record
from margin_cluster.ledger import Ledger
from margin_cluster.ledger.verification import verify_ledger

from margin_actors.errors import InvalidParameters


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    ledger = Ledger(ledger_url)
    yield ledger
    ledger.close()


def add(ledger: Ledger, model_id: str = "model-1", version: str = "1") -> None:
    ledger.models.add(model_id, name="ccp", version=version, parameters="{}", now=NOW)


def test_two_people_sign_a_version(ledger: Ledger) -> None:
    add(ledger)
    ledger.models.sign("ccp", "1", "registered", "Ada", now=NOW)
    ledger.models.sign("ccp", "1", "approved", "Grace", now=NOW + timedelta(hours=1))
    (found,) = ledger.models.all()
    assert found == ledger.models.named("ccp", "1")
    assert (found.registered_by, found.approved_by) == ("Ada", "Grace")
    assert found.registered is not None
    assert found.approved is not None
    assert found.approved.sequence == found.registered.sequence + 1 == ledger.head().sequence
    assert found.approved.create_time == NOW + timedelta(hours=1)
    assert verify_ledger(ledger.database).findings == ()


@pytest.mark.parametrize("name", ["Ada", "ada", "  ADA "])
def test_who_registered_a_version_cannot_approve_it(ledger: Ledger, name: str) -> None:
    add(ledger)
    ledger.models.sign("ccp", "1", "registered", "Ada", now=NOW)
    before = ledger.head()
    with pytest.raises(InvalidParameters, match="registered it"):
        ledger.models.sign("ccp", "1", "approved", name, now=NOW)
    assert ledger.head() == before


def test_a_version_is_registered_before_it_is_approved(ledger: Ledger) -> None:
    with pytest.raises(InvalidParameters, match="not in the ledger"):
        ledger.models.sign("ccp", "1", "registered", "Ada", now=NOW)
    add(ledger)
    with pytest.raises(InvalidParameters, match="not registered"):
        ledger.models.sign("ccp", "1", "approved", "Grace", now=NOW)


def test_repetitions_change_nothing_and_contradictions_are_refused(ledger: Ledger) -> None:
    for _ in range(2):
        add(ledger)
        ledger.models.sign("ccp", "1", "registered", "Ada", now=NOW)
        ledger.models.sign("ccp", "1", "approved", "Grace", now=NOW)
    assert ledger.head().sequence == 3
    with pytest.raises(InvalidParameters, match="approved by Grace"):
        ledger.models.sign("ccp", "1", "approved", "Edsger", now=NOW)
    with pytest.raises(InvalidParameters, match="other parameters"):
        add(ledger, "model-2")
    assert ledger.head().sequence == 3
    add(ledger, "model-1", "2")
    assert [(m.version, m.approved_by) for m in ledger.models.all()] == [("1", "Grace"), ("2", "")]
    assert ledger.models.parameters("model-1") == "{}"
    assert ledger.models.parameters("model-2") is None


@pytest.mark.parametrize("name", ["", "   ", "x" * 129, "a\x00b"])
def test_a_name_is_required(ledger: Ledger, name: str) -> None:
    add(ledger)
    with pytest.raises(InvalidParameters, match="name"):
        ledger.models.sign("ccp", "1", "registered", name, now=NOW)


def test_calculations_of_a_time_range_are_read_in_order(ledger: Ledger) -> None:
    fill(ledger)
    found = [c.calculation_id for c in ledger.calculations_between(None, None)]
    assert found == [f"calculation-{i}" for i in range(5)]
    minute = timedelta(minutes=1)
    assert list(ledger.calculations_between(NOW, NOW, account_id="A")) != []
    assert list(ledger.calculations_between(NOW + minute, None)) == []
    assert list(ledger.calculations_between(None, NOW - minute)) == []
    assert list(ledger.calculations_between(None, None, account_id="B")) == []


def test_changes_up_to_a_version_begin_with_the_latest_upload_before_it(ledger: Ledger) -> None:
    fill(ledger)
    assert [c.version for c in ledger.changes_since(0)] == [1, 2, 3]
    assert [c.version for c in ledger.changes_since(0, until=2)] == [1, 2]
    assert [c.version for c in ledger.changes_since(1, until=2)] == [2]
    assert ledger.changes_since(2, until=2) == []


def test_the_caller_and_the_portfolio_of_a_calculation_are_recorded(ledger: Ledger) -> None:

    asked = replace(record("calculation-x"), caller="CN=desk", portfolio={"B": -1.5, "A": 0.1})
    ledger.add_calculations([asked, record("calculation-y")])
    found = ledger.calculation("calculation-x")
    assert found == asked
    assert list(found.portfolio) == ["B", "A"]
    assert ledger.calculation("calculation-y").portfolio is None
    assert verify_ledger(ledger.database).findings == ()
