"""A service warns if its model is not approved, and refuses to start if that is required."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway import GatewayOptions
from margin_cluster.ledger import Ledger, sqlite_url
from margin_cluster.recorded_models import approval_notice, record_model, recorded_model
from margin_cluster.service import ServiceRequest, running_gateway
from margin_cluster.settings import Settings
from service_world import World

from margin_actors.errors import InvalidParameters, MissingInput


def sign(ledger: Ledger, world: World, role: str, person: str) -> None:
    name, version = world.model.name, world.model.version
    ledger.models.sign(name, version, role, person, now=datetime.now(UTC))


def test_a_notice_states_what_is_missing_until_two_people_have_signed(
    world: World, tmp_path: Path
) -> None:
    ledger = Ledger(sqlite_url(tmp_path / "ledger.sqlite"))
    model = world.model
    record_model(ledger, model)
    for role, person, message in (
        ("", "", "is not registered"),
        ("registered", "Ada", "is registered by Ada and not approved"),
    ):
        if role:
            sign(ledger, world, role, person)
        notice = approval_notice(ledger, model, is_required=False)
        assert notice is not None
        assert message in notice
        with pytest.raises(InvalidParameters, match="not approved"):
            approval_notice(ledger, model, is_required=True)
    sign(ledger, world, "approved", "Grace")
    assert approval_notice(ledger, model, is_required=True) is None
    ledger.close()


def test_a_required_approval_is_checked_before_anything_starts(
    world: World, tmp_path: Path
) -> None:
    request = ServiceRequest(model=world.model, state=tmp_path, require_approved_model=True)
    settings = Settings(store=tmp_path / "store", data=None, threads=2, deribit_url="")

    async def start() -> None:
        async with running_gateway(settings, request, GatewayOptions(port=0, health_port=0)):
            raise AssertionError("it has started")

    with pytest.raises(InvalidParameters, match="not approved"):
        asyncio.run(start())


def test_parameters_are_read_from_the_ledger_alone(world: World, tmp_path: Path) -> None:
    archive = StoreArchive(tmp_path, sqlite_url(tmp_path / "ledger.sqlite"))
    with pytest.raises(MissingInput, match="not recorded"):
        recorded_model(archive, world.model.id)
    record_model(archive.ledger, world.model)
    assert recorded_model(archive, world.model.id) == world.model
    archive.ledger.close()
