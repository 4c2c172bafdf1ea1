"""Links and commands on the pages: everything that a page names exists."""

import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from margin_cluster.cli import app

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return [ROOT / name for name in listed]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as the site and code hosts form them."""
    headings = _HEADING.findall(_FENCE.sub("", path.read_text()))
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {re.sub(r"\s+", "-", text) for text in plain}


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken: list[str] = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def shell_lines(text: str) -> Iterator[str]:
    """Yield the lines of fenced blocks that call `margin`, with continued lines joined."""
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.match(r"\s*(?:\$ )?(margin .*)", line):
                yield found[1].split("#")[0].strip()


def inline_commands(text: str) -> Iterator[str]:
    """Yield the commands in backticks, which a line break may divide."""
    for command in re.findall(r"`(margin [^`]+)`", _FENCE.sub("", text)):
        yield " ".join(command.split())


def command_of(line: str) -> tuple[Any, list[str]]:
    """Return the command that a line calls, and the words after its name."""
    command: Any = typer.main.get_command(app)
    words = line.split()[1:]
    while words and (below := getattr(command, "commands", None)):
        assert words[0] in below or words[0].startswith("-"), f"unknown command in: {line}"
        if words[0].startswith("-"):
            break
        command, words = below[words[0]], words[1:]
    return command, words


def test_every_command_and_option_on_a_page_exists() -> None:
    texts = [(name(page), page.read_text()) for page in pages()]
    blocks = [(page, line) for page, text in texts for line in shell_lines(text)]
    inline = [(page, line) for page, text in texts for line in inline_commands(text)]
    assert len(blocks) > 20
    assert len(inline) > 20
    for page, line in (*blocks, *inline):
        command, words = command_of(line)
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        used = {re.sub(r"[\[\],]", "", w).split("=")[0] for w in words}
        unknown = {w for w in used if w.startswith("--")} - known - {"--help", "--version"}
        assert not unknown, f"{page}: {line}"


def test_commands_have_one_spelling() -> None:
    found = [name(p) for p in pages() if re.search(r"(?:bin/|python -m )margin\b", p.read_text())]
    assert not found


def test_every_option_that_a_page_names_alone_exists() -> None:
    known: set[str] = {"--help", "--version", "--markdown"}

    def collect(command: Any) -> None:
        for parameter in command.params:
            known.update(parameter.opts, parameter.secondary_opts)
        for below in getattr(command, "commands", {}).values():
            collect(below)

    collect(typer.main.get_command(app))
    for page in pages():
        named = set(re.findall(r"`(--[a-z][\w-]*)", _FENCE.sub("", page.read_text())))
        assert named <= known, name(page)


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (name(page), target)
        for page in pages()
        for target in re.findall(r"`make\s([\w-]+)", page.read_text())
    }
    assert len({target for _, target in named}) > 10
    assert not {(page, target) for page, target in named if target not in targets}


def test_every_formula_of_a_page_has_a_number_of_its_own() -> None:
    text = (ROOT / "docs" / "how-your-margin-is-computed.md").read_text()
    numbers = re.findall(r"^ *\((\d+[a-z]?)\) ", "".join(_FENCE.findall(text)), re.MULTILINE)
    assert len(numbers) > 50
    assert len(set(numbers)) == len(numbers)
