"""Names on the pages: the files and the names of the code that a page mentions exist."""

import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_CODE = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"[\w./-]+\.(?:py|proto|sql|toml|md|j2|binpb)")
_NAME = re.compile(r"_?[A-Za-z]\w*(?:\.\w+)*(?:\(\))?")
_NOT_CODE = {"Makefile", "_USD", "_USDT"}
"""A file, and endings of instrument names."""
PAGES = ["README.md", "CONTRIBUTING.md", "docs/design.md", "docs/glossary.md", "docs/model.md",
         "docs/data.md", "docs/ledger.md"]  # fmt: skip


@functools.cache
def files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listed.stdout.splitlines()


@functools.cache
def words() -> frozenset[str]:
    """Return every word of the code, the contract and the tests."""
    found: set[str] = set()
    for name in files():
        if name.endswith((".py", ".proto", ".toml")) and "_pb2" not in name:
            found.update(re.findall(r"\w+", (ROOT / name).read_text()))
    return frozenset(found)


def mentioned(page: str) -> Iterator[str]:
    yield from _CODE.findall(_FENCE.sub("", (ROOT / page).read_text()))


def is_file(name: str) -> bool:
    return any(f == name or f.endswith(f"/{name}") for f in files())


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    named = {n for n in mentioned(page) if _FILE.fullmatch(n) and not re.search("NAME|NNNN", n)}
    assert {n for n in named if not is_file(n)} == set()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/glossary.md"])
def test_every_name_of_the_code_on_a_page_exists(page: str) -> None:
    named = {
        n.removesuffix("()")
        for n in mentioned(page)
        if _NAME.fullmatch(n) and re.search(r"[A-Z_]", n) and not _FILE.fullmatch(n)
    }
    assert len(named) > 30
    named = {n for n in named if "NAME" not in n and n not in _NOT_CODE}
    assert {n for n in named if not set(n.split(".")) <= words()} == set()
