"""Append-only record of the smallest ratios that challenges of models found."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from margin_actors.engine.challenge import ChallengeResult
from margin_cluster.atomic import create_atomically


class ChallengeRecord(BaseModel):
    """The result of one challenge, as the store keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    id: str
    recorded_at: datetime
    """Aware, UTC."""
    model_name: str
    model_version: str
    model_id: str
    snapshot_id: str
    snapshot_time: datetime
    """Aware, UTC."""
    open_interest_share: float
    gross_usd: float | None
    legs_max: int | None
    loss_min_usd: float
    ratio: float | None
    """Smallest requirement per plausible loss; None if no portfolio has a sufficient loss."""
    method: str
    """Method that found it; empty without one."""
    move: str
    """Plausible move of its largest loss; empty without one."""


@dataclass(frozen=True)
class ChallengeHistory:
    """Records of challenges in a folder; a record is never changed or replaced."""

    root: Path

    def append(self, found: ChallengeResult, *, recorded_at: datetime) -> ChallengeRecord:
        """Return the record of a challenge, which is created unless the same one is recorded."""
        worst = found.worst[0] if found.worst else None
        record = ChallengeRecord(
            id=found.id,
            recorded_at=recorded_at,
            model_name=found.model.name,
            model_version=found.model.version,
            model_id=found.model.id,
            snapshot_id=found.snapshot.id,
            snapshot_time=found.snapshot.time,
            open_interest_share=found.limits.open_interest_share,
            gross_usd=found.limits.gross_usd,
            legs_max=found.limits.legs_max,
            loss_min_usd=found.limits.loss_min_usd,
            ratio=None if worst is None else worst.ratio,
            method="" if worst is None else worst.portfolio.method,
            move="" if worst is None else worst.move,
        )
        path = self.root / "challenges" / f"{found.id}.json"
        if not path.exists():
            create_atomically(path, record.model_dump_json(indent=1))
        return _read(path)

    def records(self) -> list[ChallengeRecord]:
        """Return all records by model name, then by the time of recording."""
        found = [_read(path) for path in (self.root / "challenges").glob("*.json")]
        return sorted(found, key=lambda r: (r.model_name, r.recorded_at, r.id))


def _read(path: Path) -> ChallengeRecord:
    return ChallengeRecord.model_validate_json(path.read_bytes())
