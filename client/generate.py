"""Generates the modules of the blocking client from those of the asyncio client.

    python client/generate.py            write the modules
    python client/generate.py --check    exit with 1 if one of them is not current

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
NAMES = {
    "AsyncMarginClient": "MarginClient",
    "AsyncClearingClient": "ClearingClient",
    "AsyncCaller": "Caller",
    "AsyncTransport": "Transport",
    "aio_calls": "blocking_calls",
    "aio_clearing": "blocking_clearing",
}
GENERATED = "# Generated from {} by client/generate.py; do not edit.\n"
CALLS = {
    '''"""How the asyncio client makes calls; `blocking_calls.py` is generated from this module."""
''': GENERATED.format("aio_calls.py")
    + '''"""How the blocking client makes calls."""
''',
    """        in_flight_max: int = 32,
""": "",
    """compression=compression, in_flight_max=in_flight_max
""": """compression=compression
""",
}
CLEARING = {
    '''"""Calls of the clearing day; `blocking_clearing.py` is generated from this module."""
''': GENERATED.format("aio_clearing.py")
    + '''"""Calls of the clearing day."""
''',
}
CLIENT = {
    '''"""The asyncio client of the margin service; `client.py` is generated from this module."""
''': GENERATED.format("aio.py")
    + '''"""The blocking client of the margin service."""
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
}
MODULES = {
    "aio_calls.py": ("blocking_calls.py", CALLS),
    "aio_clearing.py": ("blocking_clearing.py", CLEARING),
    "aio.py": ("client.py", CLIENT),
}
"""Name of the generated module and texts to replace, by name of the source."""


def blocking_module(source: Path, target: Path, texts: dict[str, str]) -> str:
    """Return the content of a generated module.

    Raises
    ------
    ValueError
        If a text to replace does not occur exactly once.
    """
    text = source.read_text()
    for old, new in texts.items():
        if text.count(old) != 1:
            raise ValueError(f"{source}: expected once, found {text.count(old)} times:\n{old}")
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as folder:
        copied, made = Path(folder) / "asyncio" / target.name, Path(folder) / "blocking"
        copied.parent.mkdir()
        copied.write_text(text)
        rule = unasync.Rule(f"{copied.parent}/", f"{made}/", NAMES)
        unasync.unasync_files([str(copied)], [rule])
        text = (made / target.name).read_text()
    for command in (["check", "--select", "I", "--fix"], ["format"]):
        text = _ruff(command, text, target)
    return text


def _ruff(command: list[str], text: str, target: Path) -> str:
    own = Path(sys.executable).with_name("ruff")
    program = str(own) if own.exists() else shutil.which("ruff")
    if program is None:
        raise FileNotFoundError("ruff is not installed; it is part of the extra dev")
    done = subprocess.run(  # noqa: S603
        [program, *command, "--quiet", "--stdin-filename", str(target), "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def main() -> int:
    """Write or check the modules; return the exit code."""
    code = 0
    for name, (target, texts) in MODULES.items():
        path = FOLDER / target
        text = blocking_module(FOLDER / name, path, texts)
        if sys.argv[1:] != ["--check"]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.stderr.write(f"{path} is not current: run `make client`\n")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
