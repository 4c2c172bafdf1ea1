"""Generates the blocking client `client.py` from the asyncio client `aio.py`.

    python client/generate.py            write client.py
    python client/generate.py --check    exit with 1 if client.py is not current

unasync removes `async` and `await` and replaces names. What is true of one client only (parameters,
sentences of the documentation) is replaced here; each of these texts must occur exactly once.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import unasync

FOLDER = Path(__file__).resolve().parent / "margin_client"
SOURCE, TARGET = FOLDER / "aio.py", FOLDER / "client.py"
NAMES = {"AsyncMarginClient": "MarginClient", "AsyncTransport": "Transport"}
TEXTS = {
    '''"""The asyncio client of the margin service; `client.py` is generated from this module."""
''': '''# Generated from aio.py by client/generate.py; do not edit.
"""The blocking client of the margin service."""
''',
    '''    """Client of a margin service for one event loop.

    If the task that awaits a call is cancelled, the service stops working on the call.
''': '''    """Client of a margin service; safe to share between threads.
''',
    """    in_flight_max : int
        Maximum number of calls in flight. Further calls wait in first-in-first-out order, so that
        any number of calls may be gathered; the time limit of a call includes the wait.
""": "",
    """    >>> from margin_client import AsyncMarginClient
    >>> async def requirement(account_id: str) -> float:
    ...     async with AsyncMarginClient("127.0.0.1:50051") as client:
    ...         return (await client.calculate_margin(account_id)).margin.initial_margin_usd
""": """    >>> from margin_client import MarginClient
    >>> with MarginClient("127.0.0.1:50051") as client:  # doctest: +SKIP
    ...     print(client.calculate_margin("A00001").margin.initial_margin_usd)
""",
    """        in_flight_max: int = 32,
""": "",
    """compression=compression, in_flight_max=in_flight_max
""": """compression=compression
""",
}


def blocking_client() -> str:
    """Return the content of `client.py`.

    Raises
    ------
    ValueError
        If a text of `TEXTS` does not occur exactly once.
    """
    text = SOURCE.read_text()
    for old, new in TEXTS.items():
        if text.count(old) != 1:
            raise ValueError(f"{SOURCE}: expected once, found {text.count(old)} times:\n{old}")
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "asyncio" / TARGET.name, Path(folder) / "blocking"
        source.parent.mkdir()
        source.write_text(text)
        rule = unasync.Rule(f"{source.parent}/", f"{target}/", NAMES)
        unasync.unasync_files([str(source)], [rule])
        text = (target / TARGET.name).read_text()
    for command in (["check", "--select", "I", "--fix"], ["format"]):
        text = _ruff(command, text)
    return text


def _ruff(command: list[str], text: str) -> str:
    own = Path(sys.executable).with_name("ruff")
    program = str(own) if own.exists() else shutil.which("ruff")
    if program is None:
        raise FileNotFoundError("ruff is not installed; it is part of the extra dev")
    done = subprocess.run(  # noqa: S603
        [program, *command, "--quiet", "--stdin-filename", str(TARGET), "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def main() -> int:
    """Write or check `client.py`; return the exit code."""
    text = blocking_client()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text() == text:
            return 0
        sys.stderr.write(f"{TARGET} is not current: run `make client`\n")
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
