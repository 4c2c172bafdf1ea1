"""Scripts and data inside reports: stored compressed, unpacked by the browser.

A report is one file that opens without a network. plotly.js (the bundle with two-dimensional
charts) and Tabulator are in the folder ``vendor``, unchanged and with their licences. Compressed,
they take 0.8 MB of a page instead of 2.0 MB.
"""

import base64
import gzip
import json
import re
from functools import cache
from importlib.resources import files

from markupsafe import Markup

PLOTLY, TABULATOR = "plotly/plotly-cartesian.min.js", "tabulator/tabulator.min.js"
TABULATOR_STYLES = "tabulator/tabulator.min.css"
_SOURCE_MAP = re.compile(r"(//# sourceMappingURL=\S+|/\*# sourceMappingURL=.*?\*/)\s*$")


def vendored(name: str) -> str:
    """Return the text of a file of the folder ``vendor`` without the address of its source map."""
    text = files("margin_cluster.report").joinpath("vendor", *name.split("/")).read_text("utf-8")
    return _SOURCE_MAP.sub("", text)


@cache
def packed_script(name: str) -> Markup:
    """Return a vendored script, compressed by gzip and encoded in base64."""
    return packed(vendored(name))


def packed(text: str) -> Markup:
    """Return a text, compressed by gzip and encoded in base64; equal texts give equal results."""
    content = gzip.compress(text.encode(), compresslevel=9, mtime=0)
    return Markup(base64.b64encode(content).decode())  # noqa: S704 - letters, digits, +, / and =


def packed_json(value: object) -> Markup:
    """Return a value as compressed JSON; a number that is not finite becomes null in `compact`."""
    return packed(json.dumps(value, separators=(",", ":"), allow_nan=False))
