"""Reading of files, with error messages that state the fault and the remedy.

In all functions, `what` names the content in messages.
"""

import csv
import gzip
import io
import json
import tomllib
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from margin_actors.errors import InvalidMarketData, MarginError, Problem

_HEADER_BYTES = 65_536
_EMPTY = [v for v in pa_csv.ConvertOptions().null_values if "nan" not in v.lower()]
"""Texts of a CSV file that stand for an empty field; nan is a number that is refused as such."""


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_file(path: Path, *, what: str, error: type[MarginError] = InvalidMarketData) -> None:
    """Raise `error` if `path` is not an existing file."""
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise error(f"cannot read the {what}", [Problem(str(path), kind, "check the path")])


def read_parquet(
    path: Path,
    *,
    what: str,
    columns: list[str] | None = None,
    error: type[MarginError] = InvalidMarketData,
) -> pa.Table:
    """Return a Parquet file as a table; names in `columns` that it does not have are ignored.

    Raises
    ------
    InvalidMarketData (or `error`)
        If the file is absent, truncated or not a Parquet file.
    """
    require_file(path, what=what, error=error)
    try:
        with pq.ParquetFile(path) as opened:
            wanted = columns and [c for c in columns if c in opened.schema_arrow.names]
            return opened.read(columns=wanted)
    except (pa.ArrowException, OSError, ValueError) as fault:
        raise error(
            f"cannot read the {what}",
            [
                Problem(
                    str(path),
                    f"damaged, or not a Parquet file: {str(fault).splitlines()[0][:200]}",
                    "fetch or write it again",
                )
            ],
        ) from fault


def read_table(path: Path, *, what: str, error: type[MarginError] = InvalidMarketData) -> pa.Table:
    """Return a table from a Parquet file, or from a plain or gzipped CSV file with a header line.

    The format follows from the ending of the file name. The delimiter of CSV is the most frequent
    of comma, semicolon and tab in the header.

    Raises
    ------
    InvalidMarketData (or `error`)
        If the file is absent or cannot be read.
    """
    if path.suffix == ".parquet":
        return read_parquet(path, what=what, error=error)
    require_file(path, what=what, error=error)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as head:
            raw = head.readline(_HEADER_BYTES)
        _require_utf8(raw)
        header = raw.decode("utf-8", errors="replace")
        parse = pa_csv.ParseOptions(delimiter=max(",;\t", key=header.count))
        text = pa.OSFile(str(path)) if path.suffix != ".gz" else pa.input_stream(str(path))
        with text as stream:
            options = pa_csv.ConvertOptions(strings_can_be_null=True, null_values=_EMPTY)
            return pa_csv.read_csv(stream, parse_options=parse, convert_options=options)
    except (pa.ArrowException, OSError, ValueError, EOFError, zlib.error) as fault:
        raise error(
            f"cannot read the {what}",
            [
                Problem(
                    str(path),
                    f"damaged, or not a CSV file: {str(fault).splitlines()[0][:200]}",
                    "it needs a header line and the same number of fields in every row; decimals "
                    "have a point, since a comma begins the next field",
                )
            ],
        ) from fault


def _require_utf8(head: bytes) -> None:
    """Raise ValueError if a text file begins like one encoded as UTF-16."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        raise ValueError("the file is encoded as UTF-16; save it as UTF-8")


def read_text_rows(path: Path, *, what: str) -> list[list[str]]:
    """Return the non-empty rows of a CSV file: plain, gzipped, or the only file of a ZIP archive.

    The delimiter may be a comma, a semicolon or a tab.

    Raises
    ------
    InvalidMarketData
        If the file is absent or damaged, or the archive does not hold exactly one file.
    """
    require_file(path, what=what)
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if not n.endswith("/")]
                if len(names) != 1:
                    raise ValueError(f"holds {len(names)} files, one is expected")
                raw = archive.read(names[0])
        elif path.suffix == ".gz":
            raw = gzip.decompress(path.read_bytes())
        else:
            raw = path.read_bytes()
        _require_utf8(raw[:_HEADER_BYTES])
        text = raw.decode("utf-8-sig")
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as fault:
        raise InvalidMarketData(
            f"cannot read the {what}",
            [Problem(str(path), f"damaged: {fault}", "fetch it again")],
        ) from fault
    head = text[:4000]
    delimiter = max(",;\t", key=head.count)
    return [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]


def read_toml(path: Path, *, what: str, error: type[MarginError]) -> dict[str, object]:
    """Return the content of a TOML file; raise `error` if it is absent or not TOML."""
    require_file(path, what=what, error=error)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise error(
            f"cannot read the {what}", [Problem(str(path), f"not valid TOML: {fault}")]
        ) from fault


def read_json(path: Path, *, what: str) -> object:
    """Return the content of a JSON file, plain or gzipped; raise InvalidMarketData on failure."""
    require_file(path, what=what)
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return json.loads(raw)
    except (ValueError, OSError, EOFError) as fault:
        raise InvalidMarketData(
            f"cannot read the {what}", [Problem(str(path), f"not valid JSON: {fault}")]
        ) from fault
