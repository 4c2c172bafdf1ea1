"""The blocking client is generated from the asyncio client."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_blocking_client_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "client" / "generate.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
