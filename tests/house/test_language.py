"""The text of the project is plain technical English: telltale phrases of the old style stay out.

Checked are docstrings and comments of Python files, pages, comments of the contract and templates.
Messages are strings of the code; they are reviewed by people.
"""

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PHRASES = {
    r"\bfor ever\b": "always",
    r"\bbut for\b": "except",
    r"\bof now\b": "current",
    r"\bnobody\b": "no caller, no user, …",
    r"\banew\b": "again",
    r"\bfor people\b": "human-readable",
    r"\binnards\b": "internals",
    r"\bnewcomers? heard\b": "first in, first out",
    r"\b(?:[Aa]n?|[Oo]ne) (?:row|column|line|value|number|record|slice|file) an? \w+": "… per …",
    r"(?<![Tt]here )\b(?:is|are|was|were) no (?!longer|more|less|doubt)[a-z]+": "is not a …",
    r"\b(?:is|are|was|were|been) told\b": "receives, reports",
    r"\btells (?:how|what|which|whether|the|it)\b": "reports",
    r"\bturn(?:s|ed|ing)? (?:\w+ )?away\b": "reject",
    r"\bmended\b": "repaired",
}
ANY_PHRASE = re.compile("|".join(PHRASES))
GENERATED = re.compile(r"_pb2|/migrations/versions/|/stored/")


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = [ROOT / name for name in listed if name.endswith(suffixes)]
    return [path for path in found if not GENERATED.search(str(path)) and path.exists()]


def python_prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield (first line, text) of each docstring, or other lone string, and of each comment."""
    begins = True  # whether a statement begins here
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (begins and token.type == tokenize.STRING):
            yield token.start[0], token.string
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            begins = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (first line, text) of the parts of a file that people read; code is left out."""
    text = path.read_text()
    if path.suffix == ".py":
        yield from python_prose(text)
    elif path.suffix == ".proto":
        for number, line in enumerate(text.splitlines(), 1):
            yield number, line.partition("//")[2]
    else:
        blank = lambda found: re.sub(r"[^\n]", " ", found[0])  # noqa: E731
        yield 1, re.sub(r"`[^`\n]*`", blank, re.sub(r"```.*?```", blank, text, flags=re.DOTALL))


def faults_of(pieces: Iterator[tuple[int, str]], name: str) -> list[str]:
    found = []
    for first, text in pieces:
        flat = re.sub(r"\s", " ", text)
        if not ANY_PHRASE.search(flat):
            continue
        for pattern, better in PHRASES.items():
            for match in re.finditer(pattern, flat):
                line = first + text[: match.start()].count("\n")
                found.append(f"{name}:{line}: {match[0]!r}; better: {better}")
    return found


def test_the_text_is_free_of_telltale_phrases() -> None:
    own = Path(__file__)
    faults = [
        fault
        for path in tracked(".py", ".md", ".proto", ".j2")
        if path != own
        for fault in faults_of(prose(path), str(path.relative_to(ROOT)))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "text",
    [
        "One row a position.",
        "Kept for ever.",
        "NaN but for options.",
        "This is no share.",
        "Every caller is told at once.",
        "split over\ntwo lines: it is\nno burst",
    ],
)
def test_the_phrases_are_found(text: str) -> None:
    assert faults_of(iter([(1, text)]), "page")


def test_ordinary_sentences_and_code_are_not_faults(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "There is no account.\n\n```\nnobody\n```\nCalls `for people` are no longer kept.\n"
    )
    assert not faults_of(prose(page), "page")


def test_docstrings_and_comments_are_read_and_other_strings_are_not() -> None:
    code = '"""One."""\nx = "no"  # two\n\n\ndef f():\n    """Three."""\n    return "no"\n'
    assert list(python_prose(code)) == [(1, '"""One."""'), (2, "# two"), (6, '"""Three."""')]
