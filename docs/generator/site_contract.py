"""The page of the gRPC contract, generated from the comments of its files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class _Block:
    """A message, an enum, a service or a oneof of the contract."""

    kind: str
    name: str
    comment: str
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Label or empty, type, name, comment; of a service: request, response, call, comment."""


_BLOCK = re.compile(r"^(message|enum|service|oneof) (\w+) \{(\})?")
_RPC = re.compile(r"^rpc (\w+)\((stream )?(\w+)\) returns \((stream )?(\w+)\)")
_FIELD = re.compile(r"^(optional |repeated )?([\w.]+(?:<[^>]+>)?) (\w+) = \d+")
_VALUE = re.compile(r"^(\w+) = \d+")


def contract_blocks(text: str) -> Iterator[_Block | str]:
    """Yield the introduction of a file of the contract, then its services, messages and enums."""
    comment: list[str] = []
    blocks: list[_Block] = []
    for line in (raw.strip() for raw in text.splitlines()):
        said = " ".join(comment)
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        if line.startswith("syntax"):
            yield "\n".join(comment)
        elif found := _BLOCK.match(line):
            kind, name, is_empty = found.groups()
            if kind == "oneof":
                blocks[-1].rows.append(("one of", "", name, said))
            blocks.append(_Block(kind, name, said))
            if is_empty:
                yield blocks.pop()
        elif line == "}":
            block = blocks.pop()
            if block.kind == "oneof":
                blocks[-1].rows += block.rows
            else:
                yield block
        elif found := _RPC.match(line):
            name, sends, request, answers, response = found.groups()
            row = (f"{sends or ''}{request}", f"{answers or ''}{response}", name, said)
            blocks[-1].rows.append(row)
        elif found := _FIELD.match(line):
            label, kind, name = found.groups()
            blocks[-1].rows.append(((label or "").strip(), kind, name, said))
        elif blocks and (found := _VALUE.match(line)):
            blocks[-1].rows.append(("", "", found[1], said))
        comment = []


def cell(text: str) -> str:
    """Return a text for a Markdown table; characters that mean something there are escaped.

    Within backticks only the separator of columns is escaped.
    """
    pieces = text.replace("|", r"\|").split("`")
    pieces[::2] = [re.sub(r"([<*\[])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def _type(kind: str, known: set[str]) -> str:
    stream, _, name = kind.rpartition(" ")
    shown = f"[`{name}`](#{name.lower()})" if name in known else f"`{name.removeprefix('google.')}`"
    return f"{stream} {shown}".strip()


def contract_page(folder: Path) -> str:
    """Return the page of the contract in `folder`: every call, message, field and comment."""
    files = sorted(folder.glob("*.proto"), key=lambda p: (p.name == "margin_types.proto", p.name))
    parsed = {path.name: list(contract_blocks(path.read_text())) for path in files}
    known = {b.name for items in parsed.values() for b in items if isinstance(b, _Block)}
    lines = ["# gRPC contract", "", "Package `margin_protos.v1`, generated from the comments of",
             "its files. The Python client has the same names.", ""]  # fmt: skip
    for name, items in parsed.items():
        lines += [f"## {name}", ""]
        for item in sorted(items, key=lambda b: isinstance(b, _Block) and b.kind != "service"):
            if isinstance(item, str):
                lines += [cell(item), ""]
                continue
            lines += [f"### {item.name}", "", cell(item.comment), ""]
            if not item.rows:
                continue
            headings = {
                "service": ("call", "request", "response"),
                "enum": ("value",),
            }.get(item.kind, ("field", "type"))
            lines += [
                f"| {' | '.join((*headings, 'meaning'))} |",
                "|---" * (len(headings) + 1) + "|",
            ]
            for first, second, what, comment in item.rows:
                if item.kind == "service":
                    middle = [_type(first, known), _type(second, known)]
                elif item.kind == "enum":
                    middle = []
                else:
                    middle = [f"{first} {_type(second, known) if second else ''}".strip()]
                lines.append(f"| {' | '.join([f'`{what}`', *middle, cell(comment)])} |")
            lines.append("")
    return "\n".join(lines) + "\n"
