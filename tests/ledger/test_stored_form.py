"""The hash chain covers stored texts, so their form is that of the first version."""

from ledger_records import NOW
from margin_cluster.ledger import GenerationSummary, InputIds
from margin_cluster.ledger.calculation_inputs import (
    generation_from_text,
    generation_to_text,
    inputs_from_text,
    inputs_to_text,
)


def test_the_stored_form_of_a_calculation_s_inputs_never_changes() -> None:
    generation = GenerationSummary(3, "s", NOW, "c", 500, "m", "name", "1", 40, True)
    text = (
        '{"number": 3, "snapshot_id": "s", "snapshot_time": "2026-01-01T00:00:00+00:00",'
        ' "scenarios_id": "c", "scenarios": 500, "model_id": "m", "model_name": "name",'
        ' "model_version": "1", "instruments": 40, "is_synthetic": true}'
    )
    assert generation_to_text(generation) == text
    assert generation_from_text(text) == generation
    inputs = InputIds("s", "c", "m", "b", ("x", "y"))
    ids = (
        '{"snapshot_id": "s", "scenarios_id": "c", "model_id": "m", "book_id": "b",'
        ' "surface_ids": ["x", "y"]}'
    )
    assert inputs_to_text(inputs) == ids
    assert inputs_from_text(ids) == inputs


def test_quarantined_expiries_are_stored_only_if_there_are_any() -> None:
    generation = GenerationSummary(3, quarantined_expiries=("BTC 27MAR26", "ETH 3JAN26"))
    text = generation_to_text(generation)
    assert '"quarantined_expiries": ["BTC 27MAR26", "ETH 3JAN26"]' in text
    assert generation_from_text(text) == generation
    assert "quarantined" not in generation_to_text(GenerationSummary(3))
