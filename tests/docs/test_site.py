"""The generated pages of the site: nothing public is missing, and links stay within the site."""

import importlib
import re
import sys
from pathlib import Path

import pytest
from margin_cluster.gateway.status import TABLE

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "generator"))

from site_contract import contract_page  # noqa: E402
from site_pages import (  # noqa: E402
    PROTOS,
    REFERENCE,
    public_names,
    reference_pages,
    target_of,
    with_site_links,
)
from site_tables import commands_page, errors_page, parameters_page  # noqa: E402


def test_every_message_field_and_call_of_the_contract_is_on_its_page() -> None:
    page = contract_page(ROOT / PROTOS)
    for path in (ROOT / PROTOS).glob("*.proto"):
        code = "\n".join(line.partition("//")[0] for line in path.read_text().splitlines())
        blocks = re.findall(r"\b(?:message|enum|service) (\w+)", code)
        assert blocks
        for block in blocks:
            assert f"\n### {block}\n" in page
        for field in re.findall(r"(\w+) = \d+;|\brpc (\w+)", code):
            assert f"| `{''.join(field)}` |" in page
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert all(row.rstrip(" |").count(" | ") >= 1 for row in rows)
    assert not [row for row in rows if row.endswith("|  |")]  # a row without a comment


def test_every_error_and_status_is_on_its_page() -> None:
    page = errors_page()
    for error, row in TABLE.items():
        assert f"| `{error.__name__}` |" in page
        assert row.code.name in page


def test_every_parameter_and_every_command_is_on_its_page() -> None:
    parameters = parameters_page()
    for words in ("`confidence`", "## addons.concentration", "`windows`", "`plain-hs`"):
        assert words in parameters
    commands = commands_page()
    for words in ("## margin run", "## margin explain account", "`--book`", "`--json`"):
        assert words in commands


@pytest.mark.parametrize("package", [p for _, packages in REFERENCE.values() for p in packages])
def test_public_names_of_the_reference_can_be_imported(package: str) -> None:
    names = public_names(package)
    assert names
    module = importlib.import_module(package)
    assert all(hasattr(module, name) for name in names)
    assert any(f"::: {package}\n" in page for page in reference_pages().values())


def test_every_room_of_the_engine_is_in_the_reference() -> None:
    listed = {package for _, packages in REFERENCE.values() for package in packages}
    rooms = {
        f"margin_actors.engine.{p.parent.name}"
        for p in ROOT.glob("margin_actors/engine/*/__init__.py")
    }
    assert rooms <= listed


def test_links_lead_to_the_pages_of_the_site() -> None:
    changed = with_site_links(
        "[a](docs/model.md#core) [b](margin_actors/engine/span/charges.py) [c](benchmarks/SOAK.md)",
        source="README.md",
        page="index.md",
    )
    assert changed == "[a](model.md#core) [b](reference/span.md) [c](benchmarks/SOAK.md)"
    changed = with_site_links(
        "[a](../../README.md)", source="docs/decisions/1.md", page="decisions/1.md"
    )
    assert changed == "[a](../index.md)"
    assert target_of("nothing/here") is None
