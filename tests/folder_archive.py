"""An archive in one folder of files, without a database, that provides what the actors require."""

import fcntl
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from margin_actors.actors.inputs import ActiveInputs
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import KeyReused, OutdatedSnapshot, UnknownScenarioSet
from margin_actors.market.snapshots import MarketSnapshot


@dataclass(frozen=True)
class FolderArchive:
    """Implements `margin_actors.actors.generation.Archive`; processes exclude each other."""

    root: Path

    def active_inputs(self) -> ActiveInputs:
        with self._state() as state:
            return ActiveInputs(**state["heads"])

    def repeated_generation(self, kind: str, key: str, content_id: str) -> int | None:
        with self._state() as state:
            return _repeated(state, kind, key, content_id)

    def publish_snapshot(
        self,
        snapshot: MarketSnapshot,
        *,
        key: str,
        request_id: str,
        caller: str,
        allow_older: bool,
    ) -> tuple[ActiveInputs, int]:
        with self._state() as state:
            before = _repeated(state, "publish", key, snapshot.id)
            if before is not None:
                return ActiveInputs(**state["heads"]), before
            current = state["heads"]["snapshot_id"]
            if current and not allow_older:
                time = state["times"].get(current, "")
                if snapshot.time.isoformat() < time:
                    raise OutdatedSnapshot(f"the snapshot in use is of {time}")
            self._write("snapshots", snapshot.id, snapshot)
            state["times"][snapshot.id] = snapshot.time.isoformat()
            state["log"].append(["publish", request_id, caller])
            return _advanced(state, "publish", key, "snapshot_id", snapshot.id)

    def activate_scenarios(
        self, scenarios_id: str, *, key: str, request_id: str, caller: str
    ) -> tuple[ActiveInputs, int]:
        with self._state() as state:
            before = _repeated(state, "activate", key, scenarios_id)
            if before is not None:
                return ActiveInputs(**state["heads"]), before
            state["log"].append(["activate", request_id, caller])
            return _advanced(state, "activate", key, "scenarios_id", scenarios_id)

    def log(self) -> list[list[str]]:
        """Return [kind, request id, caller] of every publication and activation."""
        with self._state() as state:
            return state["log"]

    def load_snapshot(self, snapshot_id: str) -> MarketSnapshot:
        return pickle.loads(self.path("snapshots", snapshot_id).read_bytes())

    def load_scenarios(self, scenarios_id: str) -> ScenarioSet:
        path = self.path("scenarios", scenarios_id)
        if not path.exists():
            raise UnknownScenarioSet(f"there is no scenario set {scenarios_id}")
        return pickle.loads(path.read_bytes())

    def save_scenarios(self, scenarios: ScenarioSet) -> None:
        self._write("scenarios", scenarios.id, scenarios)

    def path(self, kind: str, name: str) -> Path:
        return self.root / kind / name

    def _write(self, kind: str, name: str, value: object) -> None:
        path = self.path(kind, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(value))

    @contextmanager
    def _state(self) -> Iterator[dict[str, Any]]:
        """Yield the state under a lock shared by all processes; write it back if it has changed."""
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.root / "state.json"
            text = path.read_text() if path.exists() else ""
            empty: dict[str, Any] = {
                "heads": asdict(ActiveInputs()),
                "keys": {},
                "times": {},
                "log": [],
            }
            state = json.loads(text) if text else empty
            yield state
            after = json.dumps(state)
            if after != text:
                path.write_text(after)


def _repeated(state: dict[str, Any], kind: str, key: str, content_id: str) -> int | None:
    found = state["keys"].get(f"{kind} {key}") if key else None
    if found is None:
        return None
    if found["content"] != content_id:
        raise KeyReused(f"the key {key} was used with {found['content']}")
    return int(found["number"])


def _advanced(
    state: dict[str, Any], kind: str, key: str, field: str, content_id: str
) -> tuple[ActiveInputs, int]:
    heads = state["heads"]
    if heads[field] != content_id:
        heads[field] = content_id
        heads["number"] += 1
    if key:
        state["keys"][f"{kind} {key}"] = {"content": content_id, "number": heads["number"]}
    return ActiveInputs(**heads), int(heads["number"])
