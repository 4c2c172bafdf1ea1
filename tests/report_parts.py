"""Parts of a written report: its text, its figures and the columns of its accounts."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any


def body_of(report: Path | str) -> str:
    """Return the body of a report without scripts and packed data."""
    html = report.read_text(encoding="utf-8") if isinstance(report, Path) else report
    return re.sub(r"<script.*?</script>", "", html[html.index("<body>") :], flags=re.DOTALL)


def unpacked(report: Path | str, name: str) -> Any:
    """Return the packed data of a report: ``figures`` or ``accounts``."""
    html = report.read_text(encoding="utf-8") if isinstance(report, Path) else report
    found = re.search(rf'id="packed-{name}">([^<]*)<', html)
    assert found is not None
    return json.loads(gzip.decompress(base64.b64decode(found[1])))
