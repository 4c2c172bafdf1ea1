"""Permanent registry of the parameters of each version of each model.

A version is recorded when it is first used. Use of the same name and version with other parameters
is refused, so that the version in a result always identifies the parameters.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from margin_actors.engine.parameters import ModelParameters, require_same_version
from margin_cluster.atomic import create_atomically


@dataclass(frozen=True)
class ModelRecord:
    """A version of a model that has been used."""

    parameters: ModelParameters
    model_id: str
    first_used: datetime
    """Aware, UTC."""


@dataclass(frozen=True)
class ModelRegistry:
    """A folder with one file per version of a model."""

    root: Path

    def _path(self, name: str, version: str) -> Path:
        """Return the file of a version.

        Other characters than letters, digits, points, underscores and hyphens are replaced; a hash
        of the original text is appended in this case, so that different names have different files.
        """
        safe = [re.sub(r"[^A-Za-z0-9._-]", "_", text) for text in (name, version)]
        former = self.root / "models" / safe[0] / f"{safe[1]}.json"
        if safe == [name, version]:
            return former
        if former.exists():
            known = self._read(former).parameters
            if (known.name, known.version) == (name, version):
                return former  # written before hashes were appended
        text = hashlib.sha256(f"{name}\n{version}".encode()).hexdigest()[:12]
        return self.root / "models" / safe[0] / f"{safe[1]}-{text}.json"

    def use(self, model: ModelParameters) -> ModelRecord:
        """Return the record of the version of `model`, creating it if it does not exist.

        Raises
        ------
        InvalidParameters
            If the version is recorded with other parameters; names every field that differs.
        """
        path = self._path(model.name, model.version)
        if not path.exists():
            record = {
                "id": model.id,
                "first_used": datetime.now(UTC).isoformat(),
                "parameters": model.model_dump(mode="json"),
            }
            create_atomically(path, json.dumps(record, indent=1))
        known = self._read(path)
        require_same_version(model, known.parameters)
        return known

    def records(self) -> list[ModelRecord]:
        """Return the records of all versions, sorted by model name, then first use."""
        found = [self._read(path) for path in (self.root / "models").glob("*/*.json")]
        return sorted(found, key=lambda r: (r.parameters.name, r.first_used))

    def find(self, name: str, version: str) -> ModelRecord | None:
        """Return the record of a version, or None if it was never used."""
        path = self._path(name, version)
        return self._read(path) if path.exists() else None

    def _read(self, path: Path) -> ModelRecord:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return ModelRecord(
            ModelParameters.model_validate(kept["parameters"]),
            kept["id"],
            datetime.fromisoformat(kept["first_used"]),
        )
