"""The generation and the inputs of a calculation, and their stored form: JSON texts.

The ledger's hash chain covers these texts, so their form never changes: names, order and separators
are those of the first version. A field that an older version did not store has its default.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class GenerationSummary:
    """The generation on which a calculation was made."""

    number: int
    snapshot_id: str = ""
    snapshot_time: datetime | None = None
    """Valuation time; None if an older version did not store it."""
    scenarios_id: str = ""
    scenarios: int = 0
    """Number of scenarios."""
    model_id: str = ""
    model_name: str = ""
    model_version: str = ""
    instruments: int = 0
    """Number of listed contracts."""
    is_synthetic: bool = False
    """True if the snapshot or the scenarios are synthetic."""
    quarantined_expiries: tuple[str, ...] = ()
    """Expiries whose options were not priced, for example ``BTC 27MAR26``."""
    model_approved_by: str = ""
    """Who had approved the version of the model; empty if it was not known to be approved."""


@dataclass(frozen=True, slots=True)
class InputIds:
    """Content ids of all inputs of a calculation."""

    snapshot_id: str = ""
    scenarios_id: str = ""
    model_id: str = ""
    book_id: str = ""
    surface_ids: tuple[str, ...] = ()
    """Ids of the fitted surfaces, which follow from the snapshot and the model."""

    @property
    def independent(self) -> dict[str, str]:
        """The ids from which all other ids follow, by name; the digest of a result covers them."""
        return {
            "snapshot_id": self.snapshot_id,
            "scenarios_id": self.scenarios_id,
            "model_id": self.model_id,
            "book_id": self.book_id,
        }


def generation_to_text(generation: GenerationSummary) -> str:
    """Return the stored form of a generation."""
    time, quarantined = generation.snapshot_time, generation.quarantined_expiries
    approver = generation.model_approved_by
    return json.dumps(
        {
            "number": generation.number,
            "snapshot_id": generation.snapshot_id,
            "snapshot_time": None if time is None else time.isoformat(),
            "scenarios_id": generation.scenarios_id,
            "scenarios": generation.scenarios,
            "model_id": generation.model_id,
            "model_name": generation.model_name,
            "model_version": generation.model_version,
            "instruments": generation.instruments,
            "is_synthetic": generation.is_synthetic,
        }
        # Empty values are left out, so that the text is that of earlier versions.
        | ({"quarantined_expiries": quarantined} if quarantined else {})
        | ({"model_approved_by": approver} if approver else {})
    )


def generation_from_text(text: str) -> GenerationSummary:
    """Return the generation of a stored text."""
    stored: Mapping[str, object] = json.loads(text)
    time = stored.get("snapshot_time")
    quarantined = stored.get("quarantined_expiries")
    return GenerationSummary(
        number=_whole(stored, "number"),
        snapshot_id=_text(stored, "snapshot_id"),
        snapshot_time=datetime.fromisoformat(time) if isinstance(time, str) else None,
        scenarios_id=_text(stored, "scenarios_id"),
        scenarios=_whole(stored, "scenarios"),
        model_id=_text(stored, "model_id"),
        model_name=_text(stored, "model_name"),
        model_version=_text(stored, "model_version"),
        instruments=_whole(stored, "instruments"),
        is_synthetic=stored.get("is_synthetic") is True,
        quarantined_expiries=tuple(map(str, quarantined)) if isinstance(quarantined, list) else (),
        model_approved_by=_text(stored, "model_approved_by"),
    )


def inputs_to_text(inputs: InputIds) -> str:
    """Return the stored form of the ids of inputs."""
    return json.dumps(inputs.independent | {"surface_ids": inputs.surface_ids})


def inputs_from_text(text: str) -> InputIds:
    """Return the ids of a stored text."""
    stored: Mapping[str, object] = json.loads(text)
    surfaces = stored.get("surface_ids")
    return InputIds(
        snapshot_id=_text(stored, "snapshot_id"),
        scenarios_id=_text(stored, "scenarios_id"),
        model_id=_text(stored, "model_id"),
        book_id=_text(stored, "book_id"),
        surface_ids=tuple(map(str, surfaces)) if isinstance(surfaces, list) else (),
    )


def _text(stored: Mapping[str, object], name: str) -> str:
    value = stored.get(name)
    return value if isinstance(value, str) else ""


def _whole(stored: Mapping[str, object], name: str) -> int:
    value = stored.get(name)
    return value if isinstance(value, int) else 0
