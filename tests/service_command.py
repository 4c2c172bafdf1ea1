"""`margin serve` in a separate process."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MARGIN = Path(sys.executable).parent / "margin"


@dataclass
class Command:
    """A running `margin serve`."""

    process: subprocess.Popen[str]
    target: str
    health: str
    told: list[str]
    """Lines of standard output up to the end of the start-up message."""
    log: Path
    """Standard error."""


@contextmanager
def command(
    folder: Path, *options: str, log: Path | None = None, store: Path | None = None
) -> Iterator[Command]:
    """Run `margin serve` until the end of the block; standard error goes to `log`.

    Without a `store`, the command has an empty one in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = store or folder / "store"
    environment = os.environ | {"MARGIN_STORE": str(store), "COLUMNS": "120"}
    environment.pop("MARGIN_DATA", None)
    log = log or folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [MARGIN, "serve", "--port", "0", "--health-port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env=environment,
            cwd=folder,
        )
    try:
        told: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            told.append(line.rstrip())
            if line.startswith("health on"):
                break
        text = "\n".join(told)
        ready = re.search(r"Ready on (\S+)", text)
        health = re.search(r"health on (\S+)", text)
        assert ready is not None, log.read_text()
        assert health is not None, text
        yield Command(process, ready[1], health[1], told, log)
    finally:
        process.kill()
        process.communicate()
