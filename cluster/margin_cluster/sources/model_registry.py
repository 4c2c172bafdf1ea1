"""Which parameters each version of each model stands for, kept for ever.

A version is noted the first time it is used. Whoever uses the same name and version with other
parameters is refused, so that a version in a result always says which parameters made it.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from margin_actors.engine.parameters import ModelParameters, require_same_version
from margin_cluster.atomic import create_atomically


@dataclass(frozen=True)
class ModelRecord:
    """A version that has been used."""

    parameters: ModelParameters
    model_id: str
    first_used: datetime
    approved_by: str
    """Who approved it; empty where nobody was named."""


@dataclass(frozen=True)
class ModelRegistry:
    """A folder with a file for each version."""

    root: Path

    def _path(self, name: str, version: str) -> Path:
        safe = [re.sub(r"[^A-Za-z0-9._-]", "_", text) for text in (name, version)]
        return self.root / "models" / safe[0] / f"{safe[1]}.json"

    def use(self, model: ModelParameters, *, approved_by: str = "") -> ModelRecord:
        """Return the record of a model's version, made now if it is new.

        Raises
        ------
        InvalidParameters
            If the version stands for other parameters; names every field that differs.
        """
        path = self._path(model.name, model.version)
        if not path.exists():
            record = {
                "id": model.id,
                "first_used": datetime.now(UTC).isoformat(),
                "approved_by": approved_by,
                "parameters": model.model_dump(mode="json"),
            }
            create_atomically(path, json.dumps(record, indent=1))
        known = self._read(path)
        require_same_version(model, known.parameters)
        return known

    def records(self) -> list[ModelRecord]:
        """Return every version used, in the order of names and first use."""
        found = [self._read(path) for path in (self.root / "models").glob("*/*.json")]
        return sorted(found, key=lambda r: (r.parameters.name, r.first_used))

    def find(self, name: str, version: str) -> ModelRecord | None:
        """Return the record of a version, None if it was never used."""
        path = self._path(name, version)
        return self._read(path) if path.exists() else None

    def _read(self, path: Path) -> ModelRecord:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return ModelRecord(
            ModelParameters.model_validate(kept["parameters"]),
            kept["id"],
            datetime.fromisoformat(kept["first_used"]),
            kept["approved_by"],
        )
