"""The store: converted data as Parquet files that are named by an id and never overwritten.

    store/objects/{kind}/{id}.parquet    a table; its id is a hash of its content or of its inputs
    store/raw/{key}.json                 which raw file was converted into which object

Both kinds of file are written under a temporary name and renamed, so that readers never see a
partial file; processes that store the same object write the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from margin_actors.errors import InvalidMarketData, Problem
from margin_cluster.atomic import write_atomically
from margin_cluster.sources.files import read_parquet

RawRecord: TypeAlias = Mapping[str, str | int | bool]
"""What a raw file was converted into: the id of the object, and facts of its conversion."""


@dataclass(frozen=True)
class ParquetStore:
    """A folder of tables, named by kind and id, to which objects are only added."""

    root: Path

    def path(self, kind: str, object_id: str) -> Path:
        """Return the path of an object, whether or not it exists."""
        assert "/" not in object_id
        assert not object_id.startswith(".")
        return self.root / "objects" / kind / f"{object_id}.parquet"

    def put(self, kind: str, object_id: str, table: pa.Table) -> Path:
        """Store `table` under its id and return its path; an existing object is left unchanged."""
        path = self.path(kind, object_id)
        if not path.exists():
            write_atomically(path, lambda aside: pq.write_table(table, aside, compression="zstd"))
        return path

    def has(self, kind: str, object_id: str) -> bool:
        """Return whether the store holds the object."""
        return self.path(kind, object_id).exists()

    def get(self, kind: str, object_id: str) -> pa.Table:
        """Return the table with an id.

        Raises
        ------
        InvalidMarketData
            If the store does not hold the object, or its file is damaged.
        """
        path = self.path(kind, object_id)
        if not path.exists():
            raise InvalidMarketData(
                f"the object {kind} {object_id} is not in the store",
                [
                    Problem(
                        str(self.root),
                        "not found",
                        f"the number of stored objects of this kind is {len(self.ids(kind)):,}",
                    )
                ],
            )
        return read_parquet(path, what=kind)

    def ids(self, kind: str) -> list[str]:
        """Return the ids of all objects of a kind, newest last."""
        folder = self.root / "objects" / kind
        files = sorted(folder.glob("*.parquet"), key=lambda p: (p.stat().st_mtime_ns, p.name))
        return [p.stem for p in files]

    def note_raw(self, sha256: str, record: RawRecord) -> None:
        """Record the result of the conversion of a raw file; replaces an earlier record.

        `sha256` is the key: the hash of the file, extended by the kind of conversion.
        """
        path = self.root / "raw" / f"{sha256}.json"
        text = json.dumps(record, indent=1, sort_keys=True)
        write_atomically(path, lambda aside: aside.write_text(text))

    def raw_record(self, sha256: str) -> RawRecord | None:
        """Return the record that `note_raw` wrote under this key, or None."""
        path = self.root / "raw" / f"{sha256}.json"
        if not path.exists():
            return None
        content: RawRecord = json.loads(path.read_text())
        return content
