"""Start-up of a service: an empty ledger is seeded from the options of the command line.

A ledger that already holds a market or positions keeps them unless an explicit option replaces
them. Stored data that cannot be used are reported and do not prevent the service from starting.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidParameters, InvalidPortfolio, MarginError, Problem
from margin_actors.market.portfolios import book_from_table
from margin_actors.progress import ProgressCallback
from margin_cluster.archive import StoreArchive
from margin_cluster.atomic import write_atomically
from margin_cluster.gateway import Gateway
from margin_cluster.gateway.portfolios import replace_positions
from margin_cluster.ledger import Origin
from margin_cluster.sources import read_table, require_plausible
from margin_cluster.wiring import Workspace, build_scenarios, load_market, load_scenarios

START_SECONDS_MAX = 600.0
MODEL_FILE = "model.json"
"""File in the state folder that records the service's model."""
_CALLER = "command line"


class Seeds(Protocol):
    """Options of the command line that seed the ledger."""

    @property
    def model(self) -> ModelParameters:
        """Parameters of the service's model."""
        ...

    @property
    def snapshot(self) -> str | None:
        """Time of a recorded snapshot or path of a TOML file; None for the latest snapshot."""
        ...

    @property
    def scenarios_id(self) -> str | None:
        """Id of a stored scenario set; None to build one."""
        ...

    @property
    def book(self) -> Path | None:
        """File of positions; None for the book of the data folder."""
        ...

    @property
    def replace_snapshot(self) -> bool:
        """Use `snapshot` and `scenarios_id` even if the ledger has a market in use."""
        ...

    @property
    def replace_book(self) -> bool:
        """Use `book` even if the ledger holds positions."""
        ...


@dataclass(frozen=True)
class Seeding:
    """The gateway that starts, and the inputs of its start-up."""

    gateway: Gateway
    workspace: Workspace
    archive: StoreArchive
    seeds: Seeds
    until: float
    """Deadline of the start-up, seconds of `time.monotonic`."""


async def seed_and_warm(
    gateway: Gateway,
    workspace: Workspace,
    archive: StoreArchive,
    seeds: Seeds,
    *,
    progress: ProgressCallback,
) -> list[str]:
    """Seed an empty ledger, wait until the market is priced, and warm up the gateway.

    Returns
    -------
    list of str
        Notices for the operator: options that were not used, and stored data that cannot be used.

    Raises
    ------
    InvalidParameters
        If the service ran another model before and the market is not replaced.
    MarginError
        If the snapshot, the scenario set or the book to be used is not usable.
    """
    until = time.monotonic() + START_SECONDS_MAX
    await asyncio.to_thread(require_same_model, archive, seeds)
    seeding = Seeding(gateway, workspace, archive, seeds, until)
    notices = await _seed_market(seeding, progress)
    await asyncio.to_thread(keep_model, archive, seeds.model)
    progress("Pricing every contract in every scenario", 0, 0)
    generation: ResidentGeneration | None = None
    try:
        generation = await gateway.cluster.generation(until=until)
    except MarginError as error:
        notices.append(f"The market in use cannot be priced: {error}. Publish another snapshot.")
    notices += await _seed_positions(seeding, generation, progress)
    if generation is not None:
        progress("Warming up", 0, 0)
        await gateway.warm(until=until)
    return notices


def require_same_model(archive: StoreArchive, seeds: Seeds) -> None:
    """Require the model with which the service ran before, if there is one.

    The scenario set in use was built for that model. With another model, the same generation would
    give different margins, which a run from files could not reproduce.

    Raises
    ------
    InvalidParameters
        If the service ran another model and the market is not replaced.
    """
    path, model = archive.root / MODEL_FILE, seeds.model
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    if kept and kept["id"] != model.id and not seeds.replace_snapshot:
        raise InvalidParameters(
            "the service ran another model",
            [
                Problem(
                    "--model",
                    f"{model.name} ({model.id}), but the service in {archive.root} ran "
                    f"{kept['name']} ({kept['id']}) before",
                    "start with that model, or add --replace-snapshot to rebuild the scenarios",
                )
            ],
        )


def keep_model(archive: StoreArchive, model: ModelParameters) -> None:
    """Record the service's model in the state folder."""
    text = json.dumps({"id": model.id, "name": model.name, "version": model.version}) + "\n"
    path = archive.root / MODEL_FILE
    if not path.exists() or path.read_text() != text:
        write_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))


async def _seed_market(seeding: Seeding, progress: ProgressCallback) -> list[str]:
    seeds, archive = seeding.seeds, seeding.archive
    in_use = await asyncio.to_thread(archive.active_inputs)
    named = seeds.snapshot is not None or seeds.scenarios_id is not None
    if in_use.is_complete and not seeds.replace_snapshot:
        if not named:
            return []
        return [
            f"The ledger already has a market in use (generation {in_use.number}); --snapshot and "
            "--scenarios are not used. Add --replace-snapshot to use them."
        ]
    progress("Reading the snapshot", 0, 0)
    snapshot, _ = await asyncio.to_thread(
        load_market, seeding.workspace, seeds.snapshot, seeds.model
    )
    if seeds.scenarios_id is None:
        build = partial(
            build_scenarios, seeding.workspace, seeds.model, snapshot.time, progress=progress
        )
        scenarios, history = await asyncio.to_thread(build)
        require_plausible(snapshot, history.grids, seeds.model, source=seeds.snapshot)
    else:
        scenarios = await asyncio.to_thread(load_scenarios, seeding.workspace, seeds.scenarios_id)
        require_plausible(snapshot, {}, seeds.model, source=seeds.snapshot)
    await asyncio.to_thread(archive.save_scenarios, scenarios)
    progress("Fitting smiles", 0, 0)
    cluster, origin = seeding.gateway.cluster, {"request_id": "", "caller": _CALLER}
    await cluster.activate(scenarios.id, key=uuid4().hex, until=seeding.until, **origin)
    await cluster.publish(
        snapshot, key=uuid4().hex, allow_older=True, until=seeding.until, **origin
    )
    return []


async def _seed_positions(
    seeding: Seeding, generation: ResidentGeneration | None, progress: ProgressCallback
) -> list[str]:
    seeds, archive = seeding.seeds, seeding.archive
    version = await asyncio.to_thread(archive.ledger.portfolio_version)
    if version > 0 and not (seeds.replace_book and seeds.book is not None):
        if seeds.book is None:
            return []
        return [
            f"The ledger already holds positions (version {version}); --book is not used. "
            "Add --replace-book to replace them."
        ]
    path = seeds.book
    if path is None:
        path, _ = seeding.workspace.data.default_book()
    if path is None:
        return []
    if generation is None:
        return [f"The positions of {path} are not loaded: there is no market to check them with."]
    progress("Reading the book", 0, 0)
    table = await asyncio.to_thread(read_table, path, what="book", error=InvalidPortfolio)
    book = await asyncio.to_thread(partial(book_from_table, table, where=str(path)))
    positions, origin = seeding.gateway.positions, Origin("", _CALLER)
    await asyncio.to_thread(
        replace_positions, archive, positions, generation.priced, book, "", origin
    )
    return []
